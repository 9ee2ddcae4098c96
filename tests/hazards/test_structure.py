"""DC-14 to DC-21, DC-40, DC-61, DC-69: headers that would cost a reader its stack or memory."""

from __future__ import annotations

import struct
import sys
from time import perf_counter

import pytest

from ponte.errors import PonteError
from ponte.instance import open_instance, study_instance_uid
from ponte.structure import MAX_DEPTH, MAX_ELEMENTS, MAX_FRAME_ELEMENTS, MAX_FRAME_ITEMS, MAX_ITEMS
from tests.factories import encode, make_ct

HANG_S = 20.0  # ten times what the table allows
WHOLE = encode(make_ct())
HEAD = WHOLE[: WHOLE.index(b"\x08\x00\x05\x00CS")]
SEQUENCE = b"\x08\x00\x40\x11"  # Referenced Image Sequence
UNKNOWN_SEQUENCE = b"\x40\x00\x30\xa7"
ITEM = b"\xfe\xff\x00\xe0"


def code_of(body: bytes) -> str:
    began = perf_counter()
    with pytest.raises(PonteError) as caught:
        open_instance(HEAD + body)
    assert perf_counter() - began < HANG_S
    assert "CANAR" not in str(caught.value).upper()
    return caught.value.code


def with_pixels(body: bytes) -> bytes:
    return body + WHOLE[len(HEAD) :]


def nested(depth: int, *, vr: bytes = b"SQ") -> bytes:
    """Sequences of defined length, each the only element of the item around it."""
    headers, length = [], 0
    for _ in range(depth):
        headers.append(
            SEQUENCE + vr + b"\0\0" + struct.pack("<L", length + 8) + ITEM + struct.pack("<L", length)
        )
        length += len(headers[-1])
    return b"".join(reversed(headers))


def nested_implicit(depth: int, *, defined: bool) -> bytes:
    """The same without a VR, as within an element of unknown VR."""
    if not defined:
        begin = UNKNOWN_SEQUENCE + b"\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff"
        return begin * depth + (b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0") * depth
    headers, length = [], 0
    for _ in range(depth):
        headers.append(UNKNOWN_SEQUENCE + struct.pack("<L", length + 8) + ITEM + struct.pack("<L", length))
        length += len(headers[-1])
    return b"".join(reversed(headers))


def unknown(value: bytes) -> bytes:
    """A private element of unknown VR (PS3.5 6.2.2)."""
    return b"\x09\x00\x10\x10UN\0\0" + struct.pack("<L", len(value)) + value


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100, 2_000, 200_000])
def test_dc_17_18_19_sequences_of_defined_length_are_counted_as_well(depth: int) -> None:
    assert code_of(with_pixels(nested(depth))) == "TOO_DEEP"


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [100, 2_000, 50_000])
def test_dc_69_nesting_within_unknown_elements_is_counted(depth: int, defined: bool) -> None:
    value = ITEM + struct.pack("<L", len(inner := nested_implicit(depth, defined=defined))) + inner
    assert code_of(with_pixels(unknown(value))) == "TOO_DEEP"
    assert code_of(with_pixels(nested(depth, vr=b"UN"))) == "TOO_DEEP"


def test_dc_18_what_is_let_through_costs_no_recursion_error_later() -> None:
    dataset = open_instance(HEAD + with_pixels(nested(MAX_DEPTH - 1)))
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(600)
        assert "PixelData" in dataset
        assert sum(1 for _ in dataset.iterall()) > MAX_DEPTH
        assert encode(make_ct(ReferencedImageSequence=dataset["ReferencedImageSequence"].value))
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("defined", [True, False])
def test_dc_20_a_million_items_are_refused_early(defined: bool) -> None:
    items = (ITEM + b"\0\0\0\0") * 1_000_000
    length = len(items) if defined else 0xFFFFFFFF
    end = b"" if defined else b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert code_of(with_pixels(SEQUENCE + b"SQ\0\0" + struct.pack("<L", length) + items + end)) == "TOO_MANY"


def test_dc_21_three_hundred_thousand_elements_are_refused_early() -> None:
    elements = b"".join(struct.pack("<HH2sHL", 0x0009, n & 0xFFFF, b"UL", 4, n) for n in range(300_000))
    assert code_of(with_pixels(elements)) == "TOO_MANY"
    inside = ITEM + struct.pack("<L", len(elements)) + elements
    whole = SEQUENCE + b"SQ\0\0" + struct.pack("<L", len(inside)) + inside
    assert code_of(with_pixels(whole)) == "TOO_MANY"


def test_dc_40_two_hundred_thousand_fragments_are_refused_early() -> None:
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + (ITEM + b"\0\0\0\0") * 200_000
    assert code_of(pixels + b"\xfe\xff\xdd\xe0\0\0\0\0") == "TOO_MANY"


ELEMENT = b"\x20\x00\x13\x00IS\0\0"
EMPTY_ITEM = ITEM + b"\0\0\0\0"
GROUPS = b"\x00\x52\x30\x92"  # Per-frame Functional Groups Sequence
PIXELS = WHOLE[WHOLE.rindex(b"\xe0\x7f\x10\x00OW") :]
ATTRIBUTES = WHOLE[len(HEAD) : -len(PIXELS)]


def sequence(tag: bytes, value: bytes) -> bytes:
    return tag + b"SQ\0\0" + struct.pack("<L", len(value)) + value


def item(value: bytes) -> bytes:
    return ITEM + struct.pack("<L", len(value)) + value


def is_opened(*elements: bytes) -> bool:
    began, said = perf_counter(), ""
    try:
        open_instance(HEAD + ATTRIBUTES + b"".join(elements) + PIXELS)
    except PonteError as error:
        said = error.code
    assert perf_counter() - began < HANG_S
    assert said in {"", "TOO_MANY"}
    return not said


ONE = sum(1 for _ in open_instance(WHOLE))  # elements of the instance without any of these


@pytest.mark.parametrize("more", [0, 1])
def test_dc_20_21_the_limits_of_a_header_are_exact(more: int) -> None:
    elements = item(ELEMENT * (MAX_ELEMENTS - ONE - 1 + more))
    assert is_opened(sequence(b"\x20\x00\x99\x92", elements)) is not bool(more)
    items = EMPTY_ITEM * (MAX_ITEMS + more)
    assert is_opened(sequence(b"\x20\x00\x99\x92", items)) is not bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_dc_20_21_the_limits_of_the_groups_of_frames_are_exact(more: int) -> None:
    elements = item(ELEMENT * (MAX_FRAME_ELEMENTS - 1 + more))
    assert is_opened(sequence(GROUPS, elements)) is not bool(more)
    items = EMPTY_ITEM * (MAX_FRAME_ITEMS + more)
    assert is_opened(sequence(GROUPS, items)) is not bool(more)


def test_dc_20_21_the_groups_of_frames_have_their_limits_once_and_nowhere_else() -> None:
    half = sequence(GROUPS, item(ELEMENT * (MAX_FRAME_ELEMENTS // 2)))
    assert not is_opened(half, half, half)
    assert not is_opened(sequence(b"\x20\x00\x99\x92", item(half)))
    assert not is_opened(sequence(GROUPS, EMPTY_ITEM * 1_000_000))


@pytest.mark.parametrize(("megabytes", "accepted"), [(20, True), (65, False)])
def test_dc_61_text_is_bounded_by_the_header(megabytes: int, accepted: bool) -> None:
    text = b"\x08\x00\x40\x11UT\0\0" + struct.pack("<L", megabytes << 20) + b"x" * (megabytes << 20)
    if accepted:
        assert "PixelData" in open_instance(HEAD + with_pixels(text))
    else:
        assert code_of(with_pixels(text)) == "HEADER_TOO_LARGE"


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFF0])
@pytest.mark.parametrize("vr", [b"OW", b"UT", b"SQ", b"UN"])
def test_dc_14_15_16_a_length_beyond_the_end_is_refused(vr: bytes, length: int) -> None:
    assert code_of(SEQUENCE + vr + b"\0\0" + struct.pack("<L", length) + b"\0" * 64) == "TRUNCATED"


@pytest.mark.parametrize("lie", [-2, 6])
def test_dc_16_a_sequence_whose_length_lies_is_refused(lie: int) -> None:
    inside = b"\x08\x00\x50\x11UI\x06\x001.2.3\0"
    item = ITEM + struct.pack("<L", len(inside)) + inside
    body = SEQUENCE + b"SQ\0\0" + struct.pack("<L", len(item) + lie) + item
    assert code_of(with_pixels(body)) in {"BAD_LENGTH", "TRUNCATED"}


def test_bytes_of_unknown_meaning_that_look_like_items_are_left_alone() -> None:
    for value in (ITEM + b"\x10\0\0\0ab", ITEM + b"\xff\xff\xff\xff" + b"\x01" * 40):
        assert "PixelData" in open_instance(HEAD + with_pixels(unknown(value)))


def test_looking_for_the_study_is_bounded_as_well() -> None:
    began = perf_counter()
    with pytest.raises(PonteError):
        study_instance_uid(HEAD + with_pixels(nested(200_000)))
    assert perf_counter() - began < HANG_S
