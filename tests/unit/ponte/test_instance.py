"""Bytes to a dataset, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponte import instance
from ponte.errors import LimitExceeded, PonteError
from ponte.image import Image
from ponte.instance import open_instance, study_instance_uid
from tests.factories import STUDY_UID, encode, make_ct
from tests.unit.ponte.samples import BUNDLED, bundled

DEFLATED = "1.2.840.10008.1.2.1.99"


def code_of(data: bytes) -> str:
    with pytest.raises(PonteError) as caught:
        open_instance(data)
    return caught.value.code


def with_syntax(data: bytes, value: bytes) -> bytes:
    """The same stream with another transfer syntax of the same length."""
    assert len(value) == len(b"1.2.840.10008.1.2.1\0")
    return data.replace(b"1.2.840.10008.1.2.1\0", value, 1)


def test_a_part_10_stream_is_read_with_its_transfer_syntax() -> None:
    dataset = open_instance(encode(make_ct()))
    assert dataset.StudyInstanceUID == STUDY_UID
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "image_dfl.dcm",
        "JPEG2000.dcm",
        "rtplan.dcm",
    ],
)
def test_every_encoding_of_the_bundled_files_is_read(name: str) -> None:
    assert open_instance(bundled(name)).SOPInstanceUID


@pytest.mark.parametrize("name", ["ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm"])
def test_a_bare_dataset_is_read_when_it_parses_as_a_whole(name: str) -> None:
    assert open_instance(bundled(name)).SOPInstanceUID


def test_a_bare_dataset_without_class_and_uid_is_not_dicom() -> None:
    assert code_of(b"\x10\x00\x10\x00PN\x04\x00A^B ") == "NOT_DICOM"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "EMPTY"),
        (b"hello, this is text and no instance at all", "NOT_DICOM"),
        (b"\0" * 131, "NOT_DICOM"),
        (b"<html><body>login</body></html>", "NOT_DICOM"),
        (b"\0" * 128 + b"DICM", "MISSING_TRANSFER_SYNTAX"),
    ],
)
def test_what_is_no_instance_is_named_as_such(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_a_missing_transfer_syntax_is_named() -> None:
    assert code_of(bundled("meta_missing_tsyntax.dcm")) == "MISSING_TRANSFER_SYNTAX"


@pytest.mark.parametrize(
    "value", [b"1.2.840.10008.9.9.9\0", b"1.2.840.113619.5.2\0\0", b"../../etc/passwd\0\0\0\0"]
)
def test_an_unknown_or_private_transfer_syntax_is_named(value: bytes) -> None:
    assert code_of(with_syntax(encode(make_ct()), value)) == "UNKNOWN_TRANSFER_SYNTAX"


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm"]
)
def test_no_cut_of_an_instance_ever_gives_a_picture(name: str) -> None:
    _no_cut_gives_a_picture(bundled(name), step=97)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm"])
def test_no_cut_at_any_byte_ever_gives_a_picture(name: str) -> None:
    _no_cut_gives_a_picture(bundled(name), step=1)


def _no_cut_gives_a_picture(data: bytes, step: int) -> None:
    # A cut exactly before what trails the pixels loses nothing of value, and is accepted
    trailing = data.rfind(b"\xfc\xff\xfc\xff")
    for end in range(0, len(data) - 1, step):
        if end == trailing:
            continue
        with pytest.raises(PonteError):
            Image(open_instance(data[:end])).picture(0)


def test_a_cut_before_the_trailing_padding_is_accepted() -> None:
    data = bundled("CT_small.dcm")
    end = data.rfind(b"\xfc\xff\xfc\xff")
    assert Image(open_instance(data[:end])).picture(0).pixels.shape == (128, 128)


def test_trailing_zeros_are_padding() -> None:
    assert open_instance(encode(make_ct()) + b"\0" * 3).SOPInstanceUID
    assert open_instance(encode(make_ct()) + b"\0" * 512).SOPInstanceUID


def test_a_missing_sequence_delimiter_is_no_empty_dataset() -> None:
    data = bundled("JPEG2000.dcm")
    delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0"
    assert data.count(delimiter) > 1
    assert code_of(data.replace(delimiter, b"", 1)) in {"TRUNCATED", "BAD_LENGTH"}
    assert code_of(data.replace(delimiter, b"")) in {"TRUNCATED", "BAD_LENGTH"}


def test_a_length_of_four_gigabytes_is_refused_before_anything_is_allocated() -> None:
    assert code_of(encode(make_ct()) + b"\x09\x00\x10\x00OW\0\0\xf0\xff\xff\xff" + b"\0" * 16) == "TRUNCATED"


def nested(depth: int) -> bytes:
    """A sequence within a sequence, `depth` times, all of undefined length."""
    begin = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return begin * depth + end * depth


@pytest.mark.parametrize("depth", [100, 2_000, 200_000])
def test_nesting_beyond_the_limit_is_refused(depth: int) -> None:
    meta = encode(make_ct())
    start = meta.index(b"\x08\x00\x05\x00CS")
    assert code_of(meta[:start] + nested(depth)) == "TOO_DEEP"


def test_nesting_within_the_limit_is_read() -> None:
    meta = encode(make_ct())
    start = meta.index(b"\x08\x00\x05\x00CS")
    assert "ReferencedImageSequence" in open_instance(meta[:start] + nested(20))


def deflated(body: bytes) -> bytes:
    value = DEFLATED.encode()
    element = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(value)) + value
    return b"\0" * 128 + b"DICM" + element + body


def test_a_deflated_dataset_that_ends_early_is_truncated() -> None:
    body = zlib.compress(b"\x08\x00\x18\x00UI\x06\x001.2.3\0" * 50, wbits=-15)
    assert code_of(deflated(body[:-3])) == "TRUNCATED"
    assert code_of(deflated(b"\xff\xff garbage")) == "TRUNCATED"


def test_a_deflated_bomb_is_refused_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "INFLATE_LIMIT", 1 << 20)
    with pytest.raises(LimitExceeded) as caught:
        open_instance(deflated(zlib.compress(b"\0" * (8 << 20), wbits=-15)))
    assert caught.value.code == "INFLATE_LIMIT"


def test_the_study_is_found_without_reading_on() -> None:
    data = encode(make_ct())
    end = data.index(b"\x20\x00\x0d\x00UI") + 8 + len(STUDY_UID) + 1
    assert study_instance_uid(data) == STUDY_UID
    assert study_instance_uid(data[:end]) == STUDY_UID


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.dcm")), ids=lambda path: path.name)
def test_the_study_found_early_is_the_study_of_the_dataset(path: Path) -> None:
    data = path.read_bytes()
    try:
        expected = open_instance(data).get("StudyInstanceUID")
    except PonteError:
        return
    assert study_instance_uid(data) == expected


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_anywhere_raises_nothing_but_errors_of_ours(data: st.DataObject) -> None:
    raw = bytearray(bundled("MR_small.dcm")[:2000] + bundled("MR_small.dcm")[-200:])
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(128, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with pytest.raises(PonteError):  # the pixels are not all there
        Image(open_instance(bytes(raw))).picture(0)


def test_errors_quote_no_value_of_the_dataset() -> None:
    data, said = encode(make_ct()), []
    for end in range(140, len(data), 50):
        try:
            Image(open_instance(data[:end]))
        except PonteError as error:
            said.append(str(error))
    assert said
    assert "CANAR" not in " ".join(said).upper()
