"""Decoding in a process of its own: the same pixels, and an end to what takes too much."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, HTJ2KLossless, JPEG2000Lossless, JPEGLSLossless

from ponte import guard, limits
from ponte.description import PixelDescription
from ponte.errors import CannotDecode, LimitExceeded, PonteError
from ponte.image import Image
from ponte.instance import open_instance
from ponte.syntaxes import JPEG_XL_LOSSLESS
from tests.unit.ponte.samples import bundled

SIDE = 1500
GRAY = np.tile(np.arange(SIDE) % 200, (SIDE, 1)).astype(np.uint8)
DESCRIPTION = PixelDescription(
    keyword="PixelData",
    transfer_syntax_uid=JPEG_XL_LOSSLESS,
    rows=SIDE,
    columns=SIDE,
    frames=1,
    samples=1,
    photometric="MONOCHROME2",
    planar=0,
    bits_allocated=8,
    bits_stored=8,
    high_bit=7,
    signed=False,
)


ENCODED: dict[UID, Callable[[npt.NDArray[np.uint16]], Any]] = {
    JPEG2000Lossless: lambda values: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k"),
    HTJ2KLossless: imagecodecs.htj2k_encode,
    JPEG_XL_LOSSLESS: lambda values: imagecodecs.jpegxl_encode(values, lossless=True, effort=1),
    JPEGLSLossless: imagecodecs.jpegls_encode,
}


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    guard.stop()


def frame() -> bytes:
    return bytes(imagecodecs.jpegxl_encode(GRAY, lossless=True, effort=1))


def process() -> subprocess.Popen[bytes]:
    found = guard._WORKERS._process
    assert found is not None
    return found


def code_of(source: bytes) -> str:
    with pytest.raises(PonteError) as caught:
        guard.decode(source, DESCRIPTION)
    return caught.value.code


def test_the_values_are_those_of_the_decoder() -> None:
    values, photometric = guard.decode(frame(), DESCRIPTION)
    assert np.array_equal(values, GRAY)
    assert photometric == "MONOCHROME2"


def test_one_process_serves_frame_after_frame_and_thread_after_thread() -> None:
    guard.decode(frame(), DESCRIPTION)
    first, source = process().pid, frame()
    with ThreadPoolExecutor(4) as executor:
        found = list(executor.map(lambda _: guard.decode(source, DESCRIPTION)[0], range(6)))
    assert all(np.array_equal(values, GRAY) for values in found)
    assert process().pid == first


def test_what_takes_too_long_is_killed_and_the_next_frame_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    guard.decode(frame(), DESCRIPTION)
    late = process()
    monkeypatch.setattr(guard, "BASE_SECONDS", 0.0)
    monkeypatch.setattr(guard, "SAMPLES_A_SECOND", 1e12)
    began = perf_counter()
    assert code_of(frame()) == "TIME"
    assert perf_counter() - began < 20
    assert late.poll() is not None
    monkeypatch.undo()
    assert np.array_equal(guard.decode(frame(), DESCRIPTION)[0], GRAY)


@pytest.mark.parametrize("syntax", ENCODED)
@pytest.mark.parametrize("megabytes", [12, 16, 20])
def test_what_takes_too_much_memory_is_refused_by_name_and_the_next_frame_is_decoded(
    syntax: UID, megabytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most decoders say no more than that they failed: the kernel's answer to them is what tells it apart."""
    noise = np.random.default_rng(0).integers(0, 4000, (3600, 3600), np.uint16)
    data = bytes(ENCODED[syntax](noise))
    large = replace(
        DESCRIPTION, transfer_syntax_uid=syntax, rows=3600, columns=3600, bits_allocated=16, bits_stored=16
    )
    guard.decode(data, large)  # what is imported meanwhile takes memory as well
    monkeypatch.setattr(guard, "BASE_BYTES", megabytes << 20)
    monkeypatch.setattr(guard, "BYTES_A_SAMPLE", 0)
    with pytest.raises(PonteError) as caught:
        guard.decode(data, large)
    crashes = {"CANNOT_DECODE"} if syntax == HTJ2KLossless else set()  # OpenJPH does, without memory
    assert caught.value.code in {"MEMORY"} | crashes
    monkeypatch.undo()
    assert np.array_equal(guard.decode(frame(), DESCRIPTION)[0], GRAY)


@pytest.mark.parametrize("syntax", ENCODED)
def test_what_is_damaged_lacks_no_memory(syntax: UID) -> None:
    data = bytes(ENCODED[syntax](GRAY.astype(np.uint16)))
    d = replace(DESCRIPTION, transfer_syntax_uid=syntax, bits_allocated=16, bits_stored=16)
    with pytest.raises(PonteError) as caught:
        guard.decode(data[: len(data) // 8], d)
    assert caught.value.code == "CANNOT_DECODE"


def test_what_the_decoder_refuses_is_refused() -> None:
    assert code_of(frame()[:400]) == "CANNOT_DECODE"


def test_a_process_that_ended_while_it_waited_is_replaced() -> None:
    guard._WORKERS._process = subprocess.Popen(
        [sys.executable, "-c", "pass"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    guard._WORKERS._process.wait(10)
    assert np.array_equal(guard.decode(frame(), DESCRIPTION)[0], GRAY)


def test_a_process_that_answers_nonsense_is_ended() -> None:
    guard._WORKERS._process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; print('x' * 100, flush=True); sys.stdin.buffer.read(); sys.exit(3)",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert code_of(frame()) == "CANNOT_DECODE"
    assert guard._WORKERS._process is None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_secret_goes_with_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-SECRET")
    guard.decode(frame(), DESCRIPTION)
    assert b"CANARY" not in Path(f"/proc/{process().pid}/environ").read_bytes()


def test_an_image_that_is_too_large_to_trust_is_decoded_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_instance(bundled("MR_small_jp2klossless.dcm"))
    expected = Image(dataset).picture(0).pixels
    assert guard._WORKERS._process is None
    monkeypatch.setattr(limits, "ORDINARY_SAMPLES", 1)
    assert np.array_equal(Image(dataset).picture(0).pixels, expected)
    assert process().poll() is None


def test_after_a_frame_beyond_the_limits_no_other_of_the_instance_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    def decode(data: bytes, d: PixelDescription, _: int) -> Any:
        tried.append(d.transfer_syntax_uid)
        raise LimitExceeded("too long", code="TIME")

    monkeypatch.setattr(limits, "ORDINARY_SAMPLES", 1)
    monkeypatch.setattr(guard, "decode", decode)
    image = Image(open_instance(bundled("MR_small_jp2klossless.dcm")))
    for _ in range(3):
        with pytest.raises(LimitExceeded) as caught:
            image.picture(0)
        assert caught.value.code == "TIME"
    assert tried == [JPEG2000Lossless]


def test_an_ordinary_frame_starts_no_process() -> None:
    for name in (
        "JPEG2000.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_RLE.dcm",
    ):
        Image(open_instance(bundled(name))).picture(0)
    assert guard._WORKERS._process is None


def test_a_frame_without_a_header_is_given_to_no_decoder_of_this_process() -> None:
    dataset = open_instance(bundled("MR_small_jp2klossless.dcm"))
    dataset.PixelData = encapsulate([b"no codestream at all"])
    with pytest.raises(CannotDecode):
        Image(dataset).picture(0)
    assert process().poll() is None
