"""The grayscale chain; expected values worked out by hand from PS3.3 C.11."""

from __future__ import annotations

import numpy as np
import pytest

from ponte.display import (
    Chain,
    Lut,
    Rescale,
    Stored,
    Window,
    apply_modality,
    apply_voi,
    apply_window,
    container_table,
    full_window,
    gray_table,
    window_from_table,
    window_from_values,
)

BYTE = Stored(8, signed=False)
IDENTITY = Window(127.5, 255, "LINEAR_EXACT")


def chain(stored: Stored = BYTE, *, padding: tuple[int, int] | None = None, inverted: bool = False) -> Chain:
    return Chain(stored, Rescale(), IDENTITY, padding, inverted)


def levels(values: list[float], window: Window) -> list[float]:
    return [round(float(v), 4) for v in apply_window(np.array(values, np.float64), window)]


def test_linear_is_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1 note 2: c=2048, w=4096 maps 0..4095 to the full range; c=0, w=100 ends at -50 and 49
    assert levels([0, 4095], Window(2048, 4096)) == [0.0, 1.0]
    assert levels([-51, -50, 49, 50], Window(0, 100)) == [0.0, 0.0, 1.0, 1.0]
    assert levels([-0.5], Window(0, 100)) == [0.5]
    assert levels([40], Window(40, 400)) == [round(0.5 / 399 + 0.5, 4)]


def test_linear_of_width_one_is_a_threshold() -> None:
    assert levels([9, 9.5, 9.6, 10], Window(10, 1)) == [0.0, 0.0, 1.0, 1.0]


def test_linear_exact_has_no_half_steps() -> None:
    assert levels([-50, 0, 25, 50], Window(0, 100, "LINEAR_EXACT")) == [0.0, 0.5, 0.75, 1.0]


def test_sigmoid_is_half_at_its_centre_and_never_overflows() -> None:
    window = Window(10, 4, "SIGMOID")
    assert levels([10, 11, -1e9, 1e9], window) == [0.5, 0.7311, 0.0, 1.0]


def test_rescale_gives_modality_units() -> None:
    assert apply_modality(np.array([0, 100]), Rescale(2.0, -1024.0)).tolist() == [-1024.0, -824.0]


def test_a_lut_holds_its_ends_outside_its_range() -> None:
    lut = Lut(10, 8, np.array([5, 7, 9], "<u2").tobytes())
    assert apply_modality(np.array([0, 10, 11, 12, 99]), lut).tolist() == [5, 5, 7, 9, 9]


def test_a_voi_lut_reaches_white_at_its_declared_bits() -> None:
    lut = Lut(0, 12, np.array([0, 4095], "<u2").tobytes())
    assert apply_voi(np.array([0.0, 1.0]), lut).tolist() == [0.0, 1.0]


def test_a_voi_lut_wider_than_declared_is_not_clipped() -> None:
    lut = Lut(0, 8, np.array([0, 4095], "<u2").tobytes())
    assert apply_voi(np.array([1.0]), lut).tolist() == [1.0]


@pytest.mark.parametrize(
    ("bits", "pattern", "number"),
    [(12, 0xFFF, -1), (12, 0x800, -2048), (12, 0x7FF, 2047), (16, 0x8000, -32768)],
)
def test_signed_patterns_are_twos_complement_of_the_stored_bits(bits: int, pattern: int, number: int) -> None:
    assert Stored(bits, signed=True).values(np.array([pattern])).tolist() == [number]


def test_the_table_of_eight_unsigned_bits_in_full_is_the_identity() -> None:
    whole = full_window(BYTE, Rescale())
    assert gray_table(Chain(BYTE, Rescale(), whole, None, inverted=False)).tolist() == list(range(256))


def test_inversion_comes_after_the_window() -> None:
    window = Window(100.5, 101)
    plain = Chain(BYTE, Rescale(), window, None, inverted=False)
    turned = Chain(BYTE, Rescale(), window, None, inverted=True)
    # 50 is black through the window and 151 white; inverting first would swap what is inside it
    assert [int(gray_table(plain)[v]) for v in (50, 150, 151)] == [0, 255, 255]
    assert [int(gray_table(turned)[v]) for v in (50, 150, 151)] == [255, 0, 0]


def test_padding_is_black_inverted_or_not() -> None:
    for inverted in (False, True):
        table = gray_table(chain(padding=(10, 20), inverted=inverted))
        assert not table[10:21].any()
        assert table[9]
        assert table[21]


def test_garbage_in_unused_bits_changes_nothing() -> None:
    stored = Stored(12, signed=True)
    table = container_table(chain(stored), 16, 0)
    assert len(table) == 1 << 16
    assert table[0xF123] == table[0x0123] == gray_table(chain(stored))[0x123]


def test_bits_below_the_stored_ones_are_passed_over() -> None:
    table = container_table(chain(BYTE), 16, 4)
    assert table[0x0A50] == table[0x0A5F] == table[0xFA50] == 0xA5


def test_tables_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        gray_table(chain())[0] = 1


def test_a_window_from_the_data_leaves_out_padding_and_outliers() -> None:
    stored = Stored(12, signed=False)
    patterns = np.concatenate([np.full(5000, 4000), np.arange(1000, 2000).repeat(10), [4095], [0]]).astype(
        np.uint16
    )
    window = window_from_table(patterns, chain(stored, padding=(4000, 4000)))
    low, high = window.center - window.width / 2, window.center + window.width / 2
    assert 1000 <= low <= 1010
    assert 1990 <= high <= 2000
    assert window.function == "LINEAR_EXACT"


def test_a_window_from_the_data_follows_a_falling_slope() -> None:
    patterns = np.arange(256).astype(np.uint8)
    window = window_from_table(patterns, Chain(BYTE, Rescale(-1.0, 0.0), IDENTITY, None, inverted=False))
    assert window.width > 0
    assert -255 <= window.center <= 0


def test_an_image_of_padding_alone_still_has_a_window() -> None:
    assert window_from_table(np.full(9, 7, np.uint8), chain(padding=(7, 7))).width > 0


def test_a_flat_image_has_a_window_that_is_not_degenerate() -> None:
    assert window_from_table(np.full(9, 7, np.uint8), chain()) == Window(7.0, 1.0, "LINEAR_EXACT")


def test_values_that_are_not_numbers_have_no_say_in_the_window() -> None:
    values = np.array([np.nan, np.inf, 0.0, 1.0, 2.0])
    window = window_from_values(values, chain())
    assert 0 <= window.center - window.width / 2 < window.center + window.width / 2 <= 2
    assert window_from_values(np.array([np.nan]), chain()).width == 1.0
