"""The scanner: sound instances pass in whatever pieces they come, and nothing that is cut does."""

from __future__ import annotations

import gc
import gzip
import hashlib
import struct
import tracemalloc
import weakref
import zlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    KeyObjectSelectionDocumentStorage,
    RTDoseStorage,
    RTPlanStorage,
    TwelveLeadECGWaveformStorage,
)

from ponte.scan import Scanner, Verdict, scan
from ponte.syntaxes import JPIP_REFERENCED
from tests.factories import encode, make_ct, make_dataset, make_report
from tests.unit.ponte.samples import bundled

CT = encode(make_ct())
DATASET = CT.index(b"\x08\x00\x05\x00CS")
WHOLE_FILES = ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"]


def in_pieces(data: bytes, cuts: Sequence[int]) -> Verdict:
    scanner = Scanner()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(places):
        scanner.feed(data[start:end])
    return scanner.finish()


@pytest.mark.parametrize(
    "name", [*WHOLE_FILES, "MR_small_bigendian.dcm", "image_dfl.dcm", "rtplan.dcm", "SC_rgb_jpeg_gdcm.dcm"]
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_verdict_does_not_depend_on_how_the_bytes_are_cut(name: str, data: st.DataObject) -> None:
    whole = bundled(name)
    shown = whole[: data.draw(st.integers(0, len(whole)), label="length")]
    cuts = data.draw(st.lists(st.integers(0, 1 << 20), max_size=30), label="cuts")
    assert in_pieces(shown, cuts) == scan([shown])


@pytest.mark.parametrize("name", [*WHOLE_FILES, "image_dfl.dcm", "rtplan.dcm"])
@pytest.mark.parametrize("size", [1, 7, 300])
def test_bytes_may_come_in_a_buffer_that_is_used_again(name: str, size: int) -> None:
    whole, scanner, buffer = bundled(name), Scanner(), bytearray(size)
    for at in range(0, len(whole), size):
        piece = whole[at : at + size]
        buffer[: len(piece)] = piece
        scanner.feed(memoryview(buffer)[: len(piece)])
    assert scanner.finish() == scan([whole])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_bytes_changed_at_random_get_one_verdict_however_they_are_cut(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["MR_small.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "rtplan.dcm"]))
    changed = bytearray(bundled(name))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=5)):
        changed[place % len(changed)] = value
    cuts = data.draw(st.lists(st.integers(0, 1 << 20), max_size=10))
    assert in_pieces(bytes(changed), cuts) == scan([bytes(changed)])


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "image_dfl.dcm"])
def test_a_byte_at_a_time_is_as_good(name: str) -> None:
    data = bundled(name)
    assert in_pieces(data, range(len(data))) == scan([data])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_noise_is_no_dicom(noise: bytes) -> None:
    assert scan([noise]).reason == ("NOT_DICOM" if noise else "EMPTY")
    assert scan([bytes(128) + b"DICM" + noise]).reason is not None


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_dataset_from_the_wire_needs_no_file_meta(syntax: str) -> None:
    name = "MR_small_bigendian.dcm" if syntax == ExplicitVRBigEndian else "CT_small.dcm"
    data = bundled(name)
    if syntax == ImplicitVRLittleEndian:
        data = bundled("rtplan.dcm")
    whole = scan([data])
    start = 132 + 12 + int.from_bytes(data[140:144], "little")
    scanner = Scanner(transfer_syntax_uid=syntax)
    scanner.feed(data[start:])
    verdict = scanner.finish()
    assert verdict.accepted
    assert "NO_META" not in verdict.notes
    assert (verdict.sop_instance_uid, verdict.sha256) == (whole.sop_instance_uid, whole.sha256)
    assert verdict.transfer_syntax_uid == syntax


def test_a_dataset_from_the_wire_in_an_unknown_syntax_is_refused() -> None:
    scanner = Scanner(transfer_syntax_uid="1.2.840.113619.5.2")
    scanner.feed(CT[DATASET:])
    assert scanner.finish().reason == "UNKNOWN_TRANSFER_SYNTAX"


def test_the_digest_leaves_preamble_and_meta_out() -> None:
    verdict = scan([CT])
    assert verdict.sha256 == hashlib.sha256(CT[DATASET:]).hexdigest()
    other = scan([b"II*\0" + bytes(124) + CT[128:]])
    assert other.accepted
    assert other.notes == ()
    assert other.sha256 == verdict.sha256
    assert scan([CT], digest=False).sha256 is None


def test_a_quarantined_dataset_has_a_digest_of_all_its_bytes() -> None:
    cut = CT[:-100]
    assert scan([cut[:2000], cut[2000:]]).sha256 == hashlib.sha256(cut[DATASET:]).hexdigest()
    broken = CT[:DATASET] + b"\xff" * 100 + CT[DATASET:]
    assert scan([broken]).sha256 == hashlib.sha256(broken[DATASET:]).hexdigest()


def test_what_is_said_of_an_instance_is_what_it_says() -> None:
    dataset = make_ct()
    verdict = scan([CT])
    assert verdict.sop_class_uid == CTImageStorage
    assert verdict.sop_instance_uid == dataset.SOPInstanceUID
    assert verdict.transfer_syntax_uid == ExplicitVRLittleEndian
    assert (verdict.reason, verdict.detail, verdict.notes) == (None, "", ())


def test_what_is_no_dicom_has_no_digest() -> None:
    assert scan([b"text " * 100]).sha256 is None


@pytest.mark.parametrize("vr", [b"OW", b"UN"])
def test_large_values_are_passed_over_in_flat_memory(vr: bytes) -> None:
    head = CT[: CT.rindex(b"\xe0\x7f\x10\x00OW")]
    private = b"\x99\x7f\x10\x10" + vr + b"\0\0" + struct.pack("<L", 1 << 30)
    scanner, zeros = Scanner(digest=False), bytes(1 << 20)
    scanner.feed(head + private)
    tracemalloc.start()
    try:
        for _ in range(1 << 10):
            scanner.feed(zeros)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    scanner.feed(CT[len(head) :])
    assert scanner.finish().accepted


@pytest.mark.parametrize(
    "sop_class_uid", [KeyObjectSelectionDocumentStorage, RTPlanStorage, TwelveLeadECGWaveformStorage]
)
def test_what_is_no_image_needs_no_pixels(sop_class_uid: str) -> None:
    assert scan([encode(make_dataset(sop_class_uid))]).accepted
    assert scan([encode(make_report())]).accepted


def test_a_dose_that_describes_a_grid_must_have_it() -> None:
    assert scan([encode(make_dataset(RTDoseStorage))]).accepted
    described = make_dataset(RTDoseStorage, Rows=4, Columns=4, BitsAllocated=16)
    assert scan([encode(described)]).reason == "NO_PIXEL_DATA"


def test_pixels_that_a_server_keeps_are_no_missing_pixels() -> None:
    dataset = make_ct()
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = JPIP_REFERENCED
    assert scan([encode(dataset)]).reason == "NO_PIXEL_DATA"
    dataset.PixelDataProviderURL = "https://pacs.example/jpip"
    assert scan([encode(dataset)]).accepted


def deflated(body: bytes, behind: bytes = b"") -> bytes:
    syntax = DeflatedExplicitVRLittleEndian.encode()
    meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return bytes(128) + b"DICM" + meta + deflater.compress(body) + deflater.flush() + behind


@pytest.mark.parametrize("behind", [b"", b"\0", bytes(40_000), gzip.compress(CT[DATASET:])[-8:]])
def test_a_deflated_dataset_may_be_padded_or_have_a_checksum(behind: bytes) -> None:
    assert scan([deflated(CT[DATASET:], behind)]).accepted


@pytest.mark.parametrize("behind", [b"x", b"\0" * 8 + b"x", b"\0" * 40_000 + b"x", b"12345678"])
def test_nothing_else_may_follow_a_deflated_dataset(behind: bytes) -> None:
    assert scan([deflated(CT[DATASET:], behind)]).reason == "BAD_LENGTH"


def test_zeros_behind_the_dataset_are_padding() -> None:
    for size in (1, 7, 8, 9, 5000):
        assert scan([CT + bytes(size)]).accepted
    assert scan([CT + bytes(5000) + b"\1"]).reason == "BAD_GROUP"


def test_an_icon_is_not_taken_for_the_image() -> None:
    icon = make_ct(size=16)
    dataset = make_ct(IconImageSequence=[icon])
    assert scan([encode(dataset)]).accepted
    del dataset.PixelData
    assert scan([encode(dataset)]).reason == "NO_PIXEL_DATA"


def test_meta_that_names_another_instance_is_noted() -> None:
    dataset = make_ct()
    data = encode(dataset)
    at = data.rindex(dataset.SOPInstanceUID.encode(), 0, DATASET + 10)
    changed = data[:at] + b"9" + data[at + 1 :]
    verdict = scan([changed])
    assert verdict.notes == ("META_MISMATCH",)
    assert verdict.sop_instance_uid == dataset.SOPInstanceUID


def test_meta_that_names_another_encoding_is_noted() -> None:
    """A JPEG whose dataset has no VRs, as a toolkit once wrote them."""
    data = bundled("SC_rgb_jpeg.dcm")
    assert JPEGBaseline8Bit.encode() in data
    verdict = scan([data])
    assert (verdict.reason, verdict.notes) == (None, ("META_MISMATCH",))


def test_a_scan_leaves_nothing_to_the_garbage_collector() -> None:
    """Thousands of them come one after another, each with a piece of its instance in hand."""
    gc.disable()
    try:
        scanner = Scanner()
        scanner.feed(CT)
        assert scanner.finish().accepted
        left = weakref.ref(scanner), weakref.ref(scanner._walker), weakref.ref(scanner._meta)
        del scanner
        assert [reference() for reference in left] == [None] * 3
    finally:
        gc.enable()


def test_the_verdict_says_where_the_dataset_begins() -> None:
    assert scan([CT]).dataset_start == DATASET
    assert scan([CT[DATASET:]]).dataset_start == 0
    assert scan([CT[:140]]).dataset_start is None


def test_values_that_were_asked_for_are_kept_and_not_shown() -> None:
    scanner = Scanner(keep=frozenset({0x00100010, 0x00080060, 0x00181030}))
    scanner.feed(encode(make_ct(PatientName="CANARY^ONE", Modality="CT")))
    verdict = scanner.finish()
    assert verdict.values == {0x00100010: b"CANARY^ONE", 0x00080060: b"CT"}
    assert "CANARY" not in repr(verdict)


@pytest.mark.parametrize("value", [b"\0\0" + b"1.2.3.4\0", b"  1.2.3.4 "])
def test_only_what_is_behind_a_uid_is_padding(value: bytes) -> None:
    """Other readers find another UID, or none."""
    at = CT.index(b"\x08\x00\x18\x00UI", DATASET)
    length = struct.unpack_from("<H", CT, at + 6)[0]
    value = value.ljust(length, b"\0")
    assert scan([CT[: at + 8] + value + CT[at + 8 + length :]]).reason == "BAD_UID"


@pytest.mark.parametrize(
    ("tag", "reason"), [(b"\x08\x00\x16\x00", "BAD_UID"), (b"\x02\x00\x00\x00", "BAD_LENGTH")]
)
def test_what_names_an_instance_is_of_its_vr(tag: bytes, reason: str) -> None:
    at = CT.index(tag, 132) + 4
    assert scan([CT[:at] + b"QX" + CT[at + 2 :]]).reason == reason
