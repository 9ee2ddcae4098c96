"""DC-00 to DC-71 at the scanner: what is accepted, what is not, and the reason that is given."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MediaStorageDirectoryStorage,
    ParametricMapStorage,
    RLELossless,
)

from ponte.scan import scan
from tests.corpus import CORPUS, rows
from tests.factories import encode, make_ct, make_dataset, make_report
from tests.hazards import hostile
from tests.hazards.test_structure import (
    HEAD,
    ITEM,
    SEQUENCE,
    nested,
    nested_implicit,
    unknown,
    with_pixels,
)
from tests.unit.ponte.samples import bundled

CT = encode(make_ct())
PIECE = 1 << 16
HANG_S = 50.0  # ten times what the table allows
FLAT_BYTES = 24 << 20
TRAILING = (b"\xfc\xff\xfc\xff", b"\xfa\xff\xfa\xff")
UID_ELEMENT = b"\x08\x00\x18\x00UI"


def reason_of(data: bytes) -> str | None:
    """The reason, in time and in memory, and nothing of the patient in what is said."""
    tracemalloc.start()
    began = perf_counter()
    try:
        verdict = scan(data[start : start + PIECE] for start in range(0, len(data), PIECE))
        assert tracemalloc.get_traced_memory()[1] < FLAT_BYTES
    finally:
        tracemalloc.stop()
    assert perf_counter() - began < HANG_S
    said = verdict.detail
    assert "CANAR" not in said.upper()
    assert len(said.splitlines()) <= 1
    assert said.isprintable()
    return verdict.reason


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def with_uid(value: bytes) -> bytes:
    """The CT with this for its SOP Instance UID."""
    at = CT.rindex(UID_ELEMENT)
    length = int.from_bytes(CT[at + 6 : at + 8], "little")
    return CT[:at] + element(0x00080018, b"UI", value) + CT[at + 8 + length :]


def before_pixels(body: bytes) -> bytes:
    at = CT.rindex(b"\xe0\x7f\x10\x00OW")
    return CT[:at] + body + CT[at:]


def without(data: bytes, tag: bytes) -> bytes:
    """The instance without this element, whose length is of two bytes."""
    at = data.rindex(tag)
    return data[:at] + data[at + 8 + int.from_bytes(data[at + 6 : at + 8], "little") :]


def image(**attributes: Any) -> bytes:
    """A CT with these attributes."""
    return encode(make_ct(**attributes))


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"])
def test_dc_11_12_13_no_cut_is_accepted_but_before_trailing_padding(name: str) -> None:
    data = bundled(name)
    assert scan([data]).accepted
    for cut in range(len(data)):
        if not data.startswith(TRAILING, cut):
            assert scan([data[:cut]], digest=False).reason is not None, cut


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"])
def test_dc_11_12_a_cut_within_meta_or_dataset_is_called_truncated(name: str) -> None:
    data = bundled(name)
    for cut in (140, 200, 300, len(data) * 3 // 4):
        assert scan([data[:cut]]).reason == "TRUNCATED"


PREAMBLES = {
    "dc-01 PE": b"MZ\x90\0",
    "dc-02 ELF": b"\x7fELF",
    "dc-04 HTML": b"<html>",
    "dc-05 shell": b"#!/bin/sh",
}


@pytest.mark.parametrize("magic", PREAMBLES.values(), ids=PREAMBLES)
def test_dc_01_02_04_05_a_preamble_of_another_format_is_noted(magic: bytes) -> None:
    verdict = scan([magic.ljust(128, b"\0") + CT[128:]])
    assert (verdict.reason, verdict.notes) == (None, ("PREAMBLE_NEUTRALISED",))
    assert verdict.sha256 == scan([CT]).sha256


@pytest.mark.parametrize("magic", [b"II*\0", b"MM\0*"])
def test_dc_03_a_tiff_may_share_the_file(magic: bytes) -> None:
    assert scan([magic.ljust(128, b"x") + CT[128:]]).notes == ()


def test_dc_06_07_what_parses_without_a_header_is_accepted_and_noted() -> None:
    bare = CT[CT.index(b"\x08\x00\x05\x00CS") :]
    for data in (bare, CT[132:], CT[:132] + bare, bundled("ExplVR_BigEndNoMeta.dcm")):
        verdict = scan([data])
        assert (verdict.reason, verdict.notes) == (None, ("NO_META",))
    for data in (bare[:-1], CT[132:-1], without(bare, UID_ELEMENT), CT[132:200]):
        assert reason_of(data) == "NOT_DICOM"


def test_dc_06_pixels_are_checked_without_a_header_as_well() -> None:
    data = image(Rows=65)
    assert reason_of(data[data.index(b"\x08\x00\x05\x00CS") :]) == "PIXEL_LENGTH"


def test_dc_08_meta_without_a_transfer_syntax() -> None:
    assert reason_of(without(CT, b"\x02\x00\x10\x00UI")) == "MISSING_TRANSFER_SYNTAX"


@pytest.mark.parametrize("uid", [b"1.2.840.113619.5.2", b"1.2.3\0", b"JPEG", b"1.2.840.10008.5.1.4.1.1.2"])
def test_dc_09_10_a_transfer_syntax_that_nobody_knows(uid: bytes) -> None:
    at = CT.index(b"\x02\x00\x10\x00UI")
    data = CT[:at] + element(0x00020010, b"UI", uid) + CT[at + 8 + CT[at + 6] :]
    assert reason_of(data) == "UNKNOWN_TRANSFER_SYNTAX"


def test_dc_65_little_endian_bytes_under_big_endian() -> None:
    syntax = ExplicitVRBigEndian.encode()
    at = CT.index(b"\x02\x00\x10\x00UI")
    data = CT[:at] + element(0x00020010, b"UI", syntax + b"\0") + CT[at + 8 + CT[at + 6] :]
    assert reason_of(data) == "UNKNOWN_TRANSFER_SYNTAX"


@pytest.mark.parametrize("length", [0x7FFFFFFF, 0xFFFFFFF0])
@pytest.mark.parametrize("vr", [b"OW", b"UT", b"SQ", b"UN"])
def test_dc_14_15_16_a_length_of_gigabytes_allocates_nothing(vr: bytes, length: int) -> None:
    body = SEQUENCE + vr + b"\0\0" + struct.pack("<L", length) + ITEM + b"\0" * 64
    assert reason_of(HEAD + body) in {"TRUNCATED", "HEADER_TOO_LARGE", "BAD_LENGTH"}


@pytest.mark.parametrize("lie", [-2, 6])
def test_dc_16_a_sequence_whose_length_lies(lie: int) -> None:
    inside = b"\x08\x00\x50\x11UI\x06\x001.2.3\0"
    item = ITEM + struct.pack("<L", len(inside)) + inside
    body = SEQUENCE + b"SQ\0\0" + struct.pack("<L", len(item) + lie) + item
    assert reason_of(HEAD + with_pixels(body)) == "BAD_LENGTH"


@pytest.mark.parametrize("depth", [32, 33, 100, 2_000, 200_000])
def test_dc_17_18_19_nesting(depth: int) -> None:
    found = reason_of(HEAD + with_pixels(nested(depth)))
    assert found == ("TOO_DEEP" if depth > 32 else "TAG_ORDER")  # the sequence stands before (0008,0005)


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [100, 50_000])
def test_dc_69_nesting_within_unknown_elements(depth: int, defined: bool) -> None:
    inner = nested_implicit(depth, defined=defined)
    value = ITEM + struct.pack("<L", len(inner)) + inner
    assert reason_of(HEAD + unknown(value)) == "TOO_DEEP"
    assert reason_of(HEAD + nested(depth, vr=b"UN")) == "TOO_DEEP"
    undefined = b"\x09\x00\x10\x10UN\0\0\xff\xff\xff\xff" + ITEM + b"\xff\xff\xff\xff" + inner
    assert reason_of(HEAD + undefined) == "TOO_DEEP"


def test_dc_69_what_only_looks_like_items_is_left_alone() -> None:
    for value in (
        ITEM + b"\x10\0\0\0ab",
        ITEM + b"\xff\xff\xff\xff" + b"\x01" * 40,
        ITEM + b"\x04\0\0\0abcd",
    ):
        assert reason_of(before_pixels(unknown(value).replace(b"\x09\0", b"\x11\x70", 1))) is None


@pytest.mark.parametrize("defined", [True, False])
def test_dc_20_a_million_items(defined: bool) -> None:
    items = (ITEM + b"\0\0\0\0") * 1_000_000
    length = len(items) if defined else 0xFFFFFFFF
    assert reason_of(HEAD + SEQUENCE + b"SQ\0\0" + struct.pack("<L", length) + items) == "TOO_MANY"


def test_dc_21_elements_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However high the limit is: what is kept of an element is its tag."""
    monkeypatch.setattr("ponte.structure.MAX_ELEMENTS", 100_000)
    elements = b"".join(
        struct.pack("<HH2sHL", 0x0009 + n // 0x10000 * 2, n & 0xFFFF, b"UL", 4, n) for n in range(300_000)
    )
    assert reason_of(HEAD + elements) == "TOO_MANY"
    inside = ITEM + struct.pack("<L", len(elements)) + elements
    assert reason_of(HEAD + SEQUENCE + b"SQ\0\0" + struct.pack("<L", len(inside)) + inside) == "TOO_MANY"


@pytest.mark.parametrize(("frames", "reason"), [(60_000, None), (200_001, "TOO_MANY")])
def test_dc_21_the_groups_of_frames_have_limits_of_their_own(frames: int, reason: str | None) -> None:
    group = b"\x20\x00\x57\x91UL\x04\0\1\0\0\0"
    inner = (
        b"\x20\x00\x11\x91SQ\0\0" + struct.pack("<L", 8 + len(group)) + ITEM + struct.pack("<L", len(group))
    )
    item = ITEM + struct.pack("<L", len(inner) + len(group)) + inner + group
    value = item * frames
    whole = b"\x00\x52\x30\x92SQ\0\0" + struct.pack("<L", len(value)) + value
    assert reason_of(before_pixels(whole)) == reason


def test_dc_23_24_a_deflated_dataset_that_is_cut_or_garbage() -> None:
    syntax = DeflatedExplicitVRLittleEndian.encode()
    head = bytes(128) + b"DICM" + element(0x00020010, b"UI", syntax)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = deflater.compress(CT[CT.index(b"\x08\x00\x05\x00CS") :]) + deflater.flush()
    assert reason_of(head + body) is None
    for cut in range(0, len(body), 7):
        assert reason_of(head + body[:cut]) == "TRUNCATED"
    assert reason_of(head + b"\xff" * 4000) == "TRUNCATED"
    assert reason_of(head + zlib.compress(CT)) is not None


NUMBERS = {
    "dc-27 frames -5": (0x00280008, b"IS", b"-5"),
    "dc-28 frames abc": (0x00280008, b"IS", b"abc "),
    "dc-29 frames 0": (0x00280008, b"IS", b"0 "),
    "dc-29 frames of 4000 digits": (0x00280008, b"IS", b"1" * 4000),
    "dc-30 rows 0": (0x00280010, b"US", b"\0\0"),
    "dc-31 bits 33": (0x00280100, b"US", b"\x21\0"),
    "dc-32 samples 65535": (0x00280002, b"US", b"\xff\xff"),
    "rows of three bytes": (0x00280010, b"US", b"\1\0\0"),
    "no rows": (0x00280010, b"US", b""),
}


@pytest.mark.parametrize(("tag", "vr", "value"), NUMBERS.values(), ids=NUMBERS)
def test_dc_27_to_32_numbers_that_describe_no_pixels(tag: int, vr: bytes, value: bytes) -> None:
    data = image(NumberOfFrames=1)
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr)
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    assert reason_of(data[:at] + element(tag, vr, value) + data[at + 8 + length :]) == "PIXEL_LENGTH"


HEADERS_ALONE = {
    "dc-37 deflated frame bomb": None,
    "a million tiles": None,
    "256 megapixels of nothing": None,
    "dc-37 rle segment too long": None,
    "no codestream": "PIXEL_HEADER_MISMATCH",
}
"""What a decoder alone can tell is accepted here; a frame without a header is not."""


@pytest.mark.parametrize("name", hostile.CASES)
def test_dc_22_to_41_pixels_that_lie(name: str) -> None:
    make, code = hostile.CASES[name]
    expected = HEADERS_ALONE.get(name, code) if name in HEADERS_ALONE else code
    assert reason_of(make()) == expected


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_dc_44_short_pixel_data(share: float) -> None:
    dataset = make_ct()
    dataset.PixelData = dataset.PixelData[: int(len(dataset.PixelData) * share) // 2 * 2]
    assert reason_of(encode(dataset)) == ("PIXEL_LENGTH" if share else "NO_PIXEL_DATA")


def test_dc_45_long_pixel_data_are_noted() -> None:
    dataset = make_ct()
    dataset.PixelData += b"ab"
    verdict = scan([encode(dataset)])
    assert (verdict.reason, verdict.notes) == (None, ("EXCESS_PIXELS",))


def test_dc_45_more_frames_than_the_header_has_are_noted_and_fewer_refused() -> None:
    frame = bytes(imagecodecs.jpeg8_encode(np.eye(64, dtype="u1")))
    dataset = hostile.small(64, NumberOfFrames=2)
    assert scan([hostile.compressed(dataset, JPEGBaseline8Bit, frame, frame)]).notes == ()
    assert scan([hostile.compressed(dataset, JPEGBaseline8Bit, *[frame] * 3)]).notes == ("EXCESS_PIXELS",)
    assert reason_of(hostile.compressed(dataset, JPEGBaseline8Bit, frame)) == "PIXEL_LENGTH"
    other = bytes(imagecodecs.jpeg8_encode(np.eye(32, dtype="u1")))
    assert reason_of(hostile.compressed(dataset, JPEGBaseline8Bit, frame, other)) == "PIXEL_HEADER_MISMATCH"


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
def test_dc_44_a_jpeg_2000_that_was_cut_before_it_was_encapsulated(syntax: UID) -> None:
    values = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    if syntax == HTJ2KLossless:
        frame = bytes(imagecodecs.htj2k_encode(values))
    else:
        frame = bytes(imagecodecs.jpeg2k_encode(values, codecformat="j2k", level=0))
    assert reason_of(hostile.compressed(hostile.small(64), syntax, frame)) is None
    for cut in (len(frame) // 2, len(frame) - 20):
        assert reason_of(hostile.compressed(hostile.small(64), syntax, frame[:cut])) == "PIXEL_LENGTH"


def test_dc_45_a_frame_in_several_fragments_is_one() -> None:
    frame = bytes(imagecodecs.jpeg8_encode(np.eye(64, dtype="u1")))
    parts = [frame[start : start + 100] for start in range(0, len(frame), 100)]
    dataset = hostile.small(64, NumberOfFrames=2)
    verdict = scan([hostile.compressed(dataset, JPEGBaseline8Bit, *parts, *parts)])
    assert (verdict.reason, verdict.notes) == (None, ())
    run = b"\x81\0" * 32
    rle = hostile.rle(run)
    dataset = hostile.small(64)
    assert reason_of(hostile.compressed(dataset, RLELossless, rle[:80], rle[80:])) is None


def test_dc_42_43_an_image_without_pixel_data() -> None:
    for dataset in (make_ct(), make_dataset(DigitalXRayImageStorageForPresentation)):
        if "PixelData" in dataset:
            del dataset.PixelData
        assert reason_of(encode(dataset)) == "NO_PIXEL_DATA"
    assert reason_of(encode(make_report())) is None


def test_dc_42_float_pixel_data_are_pixels() -> None:
    dataset = make_dataset(ParametricMapStorage, Rows=4, Columns=4, SamplesPerPixel=1)
    assert reason_of(encode(dataset)) == "NO_PIXEL_DATA"
    for keyword, size in (("FloatPixelData", 64), ("DoubleFloatPixelData", 128)):
        setattr(dataset, keyword, bytes(size))
        assert reason_of(encode(dataset)) is None
        setattr(dataset, keyword, bytes(size - 8))
        assert reason_of(encode(dataset)) == "PIXEL_LENGTH"
        delattr(dataset, keyword)


UIDS = {
    "dc-46 traversal": b"../../etc/passwd",
    "dc-47 NUL": b"1.2\0.3 ",
    "dc-48 CRLF and ANSI": b"1.2\r\n\x1b[31m.3",
    "dc-48 HTML": b"<b>1.2</b>",
    "dc-49 65 characters": b"1." + b"2" * 63,
    "dc-50 alphabetic": b"abc.def ",
    "dc-54 two": b"1.2.3\\1.2.4 ",
    "4000 characters": b"1." * 2000,
}


@pytest.mark.parametrize("value", UIDS.values(), ids=UIDS)
def test_dc_46_to_54_a_uid_that_is_none(value: bytes) -> None:
    assert reason_of(with_uid(value)) == "BAD_UID"
    assert scan([with_uid(value)]).sop_instance_uid is None


def test_dc_51_53_no_uid_and_no_class() -> None:
    assert reason_of(with_uid(b"")) == "MISSING_UID"
    assert reason_of(without(CT, UID_ELEMENT)) == "MISSING_UID"
    assert reason_of(without(CT, b"\x08\x00\x16\x00UI")) == "MISSING_SOP_CLASS"


def test_dc_52_the_datasets_uid_wins() -> None:
    verdict = scan([with_uid(b"1.2.3.4 ")])
    assert (verdict.reason, verdict.notes, verdict.sop_instance_uid) == (None, ("META_MISMATCH",), "1.2.3.4")


def test_dc_55_an_unknown_character_set_is_noted() -> None:
    at = CT.index(b"\x08\x00\x05\x00CS")
    data = CT[:at] + element(0x00080005, b"CS", b"KLINGON ") + CT[at + 8 + CT[at + 6] :]
    assert scan([data]).notes == ("CHARSET",)


def test_dc_56_57_tags_twice_or_in_disorder() -> None:
    name = element(0x00100010, b"PN", b"CANARIO^Outro ")
    assert reason_of(before_pixels(name)) == "DUPLICATE_TAG"
    at = CT.rindex(b"\x10\x00\x10\x00PN")
    assert reason_of(CT[:at] + name + CT[at:]) == "DUPLICATE_TAG"
    assert reason_of(before_pixels(element(0x00100011, b"PN", b"CANARIO "))) == "TAG_ORDER"
    inside = ITEM + b"\xff\xff\xff\xff" + name + name + b"\xfe\xff\x0d\xe0\0\0\0\0"
    sequence = b"\x00\x54\x00\x01SQ\0\0" + struct.pack("<L", len(inside)) + inside
    assert reason_of(before_pixels(sequence)) == "DUPLICATE_TAG"


@pytest.mark.parametrize(
    ("vr", "value"), [(b"ZZ", b"ab"), (b"DS", b"1e999 "), (b"DS", b"nan "), (b"IS", b"9" * 4000)]
)
def test_dc_58_59_60_values_are_nobodys_business_here(vr: bytes, value: bytes) -> None:
    assert reason_of(before_pixels(element(0x70011010, vr, value))) is None


@pytest.mark.parametrize(("megabytes", "reason"), [(20, None), (65, "HEADER_TOO_LARGE")])
def test_dc_61_text_is_bounded_by_the_header(megabytes: int, reason: str | None) -> None:
    text = b"\x01\x70\x10\x10UT\0\0" + struct.pack("<L", megabytes << 20) + b"x" * (megabytes << 20)
    assert reason_of(before_pixels(text)) == reason


@pytest.mark.parametrize("tag", [0x00000000, 0x00000100, 0x00020010])
def test_dc_62_63_groups_that_belong_elsewhere(tag: int) -> None:
    misplaced = element(tag, b"UL", b"\1\0\0\0")
    at = CT.index(b"\x08\x00\x05\x00CS")
    behind_an_element = at + 8 + CT[at + 6]
    assert reason_of(CT[:behind_an_element] + misplaced + CT[behind_an_element:]) == "BAD_GROUP"
    if not tag >> 16:
        assert reason_of(CT[:at] + misplaced + CT[at:]) == "BAD_GROUP"


def test_dc_64_a_dicomdir_is_ignored_under_any_name() -> None:
    dataset = make_dataset(MediaStorageDirectoryStorage)
    assert reason_of(encode(dataset)) == "IGNORED_NAME"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EMPTY"),
        (bytes(131), "NOT_DICOM"),
        (bytes(132), "NOT_DICOM"),
        (bytes(128) + b"DICM", "TRUNCATED"),
        (b"once upon a time " * 1000, "NOT_DICOM"),
        (b"<!DOCTYPE html><html>" + b" " * 4000, "NOT_DICOM"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 4000, "NOT_DICOM"),
    ],
)
def test_dc_66_67_68_what_is_no_dicom(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason


def test_dc_71_an_encapsulated_document_is_stored() -> None:
    dataset = make_dataset(EncapsulatedPDFStorage, MIMETypeOfEncapsulatedDocument="application/pdf")
    dataset.EncapsulatedDocument = b"%PDF-1.4 /JavaScript (app.alert(1))" + bytes(1)
    assert reason_of(encode(dataset)) is None


def _catalogue(choose: Callable[[dict[str, str]], bool]) -> list[str]:
    return [row["file"] for row in rows() if choose(row)]


UNSOUND = {
    "ct/dicom-test-files__bad_sequence.dcm": "BAD_UID",
    "mr/deid__cleaned.dcm": "BAD_UID",
    "ot/pylibjpeg-data__JPEGLosslessP14SV1_1s_1f_u_16_16.dcm": "MISSING_UID",
}
"""Files that decode well, with a SOP Instance UID that no server could file them under: DC-50, DC-51."""


def _is_sound(row: dict[str, str]) -> bool:
    decodes = row["pydicom3_pylibjpeg"].startswith("ok") and row["gdcm"] == "ok"
    return decodes and not row["oddity"] and not row["file"].startswith("malformed")


@pytest.mark.corpus
def test_every_sound_file_of_the_corpus_is_accepted() -> None:
    assert CORPUS is not None
    found = {name: scan([Path(CORPUS, name).read_bytes()]).reason for name in _catalogue(_is_sound)}
    assert {name: reason for name, reason in found.items() if reason} == UNSOUND
    assert len(found) > 400


@pytest.mark.corpus
@pytest.mark.parametrize("name", _catalogue(lambda row: not _is_sound(row)))
def test_every_other_file_of_the_corpus_gets_a_verdict(name: str) -> None:
    assert CORPUS is not None
    data = Path(CORPUS, name).read_bytes()
    began = perf_counter()
    verdict = scan([data])
    assert perf_counter() - began < HANG_S
    assert (verdict.reason is None) == (verdict.detail == "")
