"""Bytes to a dataset: Part 10 streams, and older ones without a header (PS3.10 7.1)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, MutableSequence
from io import BytesIO
from typing import Final, cast

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element, empty_value_for_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import VR

from ponte import attributes
from ponte.errors import LimitExceeded, NotDicom
from ponte.quiet import BROKEN_INPUT, quiet
from ponte.structure import (
    EXPLICIT_LITTLE,
    FRAME_GROUPS,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    PREAMBLE,
    TRANSFER_SYNTAX_UID,
    Bytes,
    Element,
    Encoding,
    has_preamble,
    looks_explicit,
    meta_elements,
    walk,
)
from ponte.syntaxes import is_known
from ponte.uid import is_valid_uid

INFLATE_LIMIT: Final = 512 << 20
_STUDY_INSTANCE_UID = 0x0020000D
_PEEK = 4 << 20  # inflated bytes within which the study's UID must come
_MAGIC = PREAMBLE + 4
_MOST_RATIO = 1032  # of deflate: two bits for 258 bytes (RFC 1951)
_CHUNK = 1 << 20
_SPECIFIC_CHARACTER_SET = 0x00080005
_DELIMITER = 8  # bytes of a sequence delimitation item
_UNDEFINED = 0xFFFFFFFF
_LARGE = 1 << 16
_VR_NAMES = {vr.encode("ascii"): str(vr.value) for vr in VR if len(vr) == 2}

Elements = dict[BaseTag, RawDataElement | DataElement]
Characters = str | MutableSequence[str]


def open_instance(data: bytes) -> Dataset:
    """Read an instance in full; `file_meta` has its transfer syntax. No value is decoded yet.

    Without preamble and file meta it is taken only if the whole parses and holds SOP class and instance UID.
    Raises `NotDicom` (codes NOT_DICOM, EMPTY, TRUNCATED, BAD_LENGTH, TOO_DEEP, MISSING_TRANSFER_SYNTAX,
    TOO_MANY, HEADER_TOO_LARGE, UNKNOWN_TRANSFER_SYNTAX) and `LimitExceeded` (INFLATE_LIMIT). PS3.10 7.1.
    """
    if not data:
        raise NotDicom("The instance has no bytes", code="EMPTY")
    if has_preamble(data):
        return _open_part10(data, _MAGIC)
    try:
        dataset = _open_bare(data)
    except NotDicom as error:
        raise NotDicom("Neither a Part 10 header nor a dataset that parses as a whole") from error
    return dataset


def study_instance_uid(data: Bytes) -> str | None:
    """The study's UID of an instance, reading no further than it; None where the instance has none.

    Raises `NotDicom` as `open_instance` does, as far as it reads.
    """
    data, start, encoding = dataset_start(data)
    for element in walk(data, start, encoding):
        if element.tag == _STUDY_INSTANCE_UID:
            return _value(data, element)
        if element.tag > _STUDY_INSTANCE_UID:
            break
    return None


def dataset_start(data: Bytes) -> tuple[Bytes, int, Encoding]:
    """The bytes to walk, where their dataset starts, and how it is written; a header at most is inflated.

    Raises `NotDicom` as `open_instance` does, as far as it reads.
    """
    if has_preamble(data):
        meta, start = meta_elements(data, _MAGIC)
        syntax = _transfer_syntax(data, meta)
        if syntax == DeflatedExplicitVRLittleEndian:
            data, start = _inflate(data[start:], _PEEK, whole=False), 0
    else:
        start, syntax = 0, _guess(data)
    return data, start, _encoding(data, start, syntax)


def _open_part10(data: bytes, offset: int) -> Dataset:
    meta, start = meta_elements(data, offset)
    syntax = _transfer_syntax(data, meta)
    body: Bytes = memoryview(data)[start:]
    if syntax == DeflatedExplicitVRLittleEndian:
        body = _inflate(body, INFLATE_LIMIT, whole=True)
    dataset = _read(body, _encoding(body, 0, syntax))
    file_meta, _ = _read_elements(data, offset, meta, EXPLICIT_LITTLE)
    return _with_meta(dataset, FileMetaDataset(file_meta), syntax)


def _open_bare(data: bytes) -> Dataset:
    if data[:2] == b"\x02\x00" and looks_explicit(data, 0):
        dataset = _open_part10(data, 0)
    else:
        syntax = _guess(data)
        dataset = _with_meta(_read(data, _encoding(data, 0, syntax)), FileMetaDataset(), syntax)
    with quiet():
        names = (attributes.text(dataset, "SOPClassUID"), attributes.text(dataset, "SOPInstanceUID"))
    if not all(is_valid_uid(name) for name in names):
        raise NotDicom("SOP Class UID (0008,0016) or SOP Instance UID (0008,0018) is absent")
    return dataset


def _transfer_syntax(data: Bytes, meta: list[Element]) -> UID:
    """Raises `NotDicom` where the file meta information has none, or none that is known."""
    value = next((_value(data, element) for element in meta if element.tag == TRANSFER_SYNTAX_UID), "")
    if not value:
        raise NotDicom("Transfer Syntax UID (0002,0010) is absent", code="MISSING_TRANSFER_SYNTAX")
    if not is_known(value):
        shown = value if is_valid_uid(value) else "not a UID"
        raise NotDicom(
            f"Transfer Syntax UID (0002,0010) is {shown}; expected one of PS3.6 A",
            code="UNKNOWN_TRANSFER_SYNTAX",
        )
    return attributes.uid_of(value)


def _guess(data: Bytes) -> UID:
    """The transfer syntax of a bare dataset, from its first element: groups are small numbers."""
    if not looks_explicit(data, 0):
        return ImplicitVRLittleEndian
    little = int.from_bytes(data[:2], "little") < int.from_bytes(data[:2], "big")
    return ExplicitVRBigEndian if not little and data[0] == 0 and data[1] else ExplicitVRLittleEndian


def _encoding(data: Bytes, start: int, syntax: UID) -> Encoding:
    """How the dataset is written; its first element is believed more than the header."""
    if syntax == ExplicitVRBigEndian:
        return Encoding(implicit=False, little_endian=False)
    return EXPLICIT_LITTLE if looks_explicit(data, start) else IMPLICIT_LITTLE


def _inflate(data: Bytes, limit: int, *, whole: bool) -> bytes:
    """Inflate at most `limit` bytes; with `whole`, more than that or an end that is missing is an error.

    What may exceed the limit is counted first, without being kept.
    """
    if whole and len(data) * _MOST_RATIO > limit:
        _count_inflated(data, limit)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, limit)
        more = inflater.decompress(inflater.unconsumed_tail, 1) if whole and not inflater.eof else b""
    except zlib.error as error:
        raise NotDicom("The deflated dataset cannot be inflated", code="TRUNCATED") from error
    if more:
        raise _too_large(limit)
    if whole and not inflater.eof:
        raise NotDicom("The deflated dataset ends early; bytes are missing", code="TRUNCATED")
    return inflated


def _count_inflated(data: Bytes, limit: int) -> None:
    """Raise `LimitExceeded` where more than `limit` bytes come out. What is broken is for others to say."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    count, offset, ahead = 0, 0, b""
    while not inflater.eof and (ahead or offset < len(data)):
        if not ahead:
            ahead, offset = bytes(data[offset : offset + _CHUNK]), offset + _CHUNK
        try:
            count += len(inflater.decompress(ahead, _CHUNK))
        except zlib.error:
            return
        ahead = inflater.unconsumed_tail
        if count > limit:
            raise _too_large(limit)


def _too_large(limit: int) -> LimitExceeded:
    return LimitExceeded(f"The deflated dataset is larger than {limit} bytes", code="INFLATE_LIMIT")


def _read(data: Bytes, encoding: Encoding) -> Dataset:
    """A dataset of pydicom's over the elements as they lie there; what nobody asks for is never converted."""
    elements, characters = _read_elements(data, 0, walk(data, 0, encoding), encoding)
    dataset = Dataset(elements)
    dataset.set_original_encoding(encoding.implicit, encoding.little_endian, characters)
    return dataset


def _read_elements(
    data: Bytes, end: int, found: Iterable[Element], encoding: Encoding
) -> tuple[Elements, Characters]:
    """The elements by tag, and the character set of the texts; the first of those found starts at `end`.

    The walk has been at every element once, to check it: pydicom's own reader would go again.
    """
    elements: Elements = {}
    characters: Characters = default_encoding
    with quiet():
        try:
            for element in found:
                header, end = end, element.start + element.length
                kept = _raw(data, header, element, encoding, characters)
                elements[kept.tag] = kept
                if element.tag == _SPECIFIC_CHARACTER_SET and isinstance(kept, RawDataElement):
                    characters = convert_encodings(convert_raw_data_element(kept).value)
        except BROKEN_INPUT as error:
            raise NotDicom(f"The dataset cannot be read: {type(error).__name__}") from error
    return elements, characters


def _raw(
    data: Bytes, header: int, element: Element, encoding: Encoding, characters: Characters
) -> RawDataElement | DataElement:
    """The element as pydicom keeps it before anybody asks; sequences without a length are read by pydicom.

    Large pixel data is a view: it is half a megabyte a slice, and nobody changes it. The groups of frames
    stay as they are, to be read one by one: all at once they take thirty times as much.
    """
    number, vr_bytes, start, length, delimited = element
    end = start + length
    if delimited:
        if number not in (PIXEL_DATA, FRAME_GROUPS):
            stream = BytesIO(data[header:end])
            return next(
                data_element_generator(stream, encoding.implicit, encoding.little_endian, encoding=characters)
            )
        end, length = end - _DELIMITER, _UNDEFINED if number == PIXEL_DATA else length - _DELIMITER
    vr = _VR_NAMES.get(vr_bytes) or vr_bytes.decode("ascii") or None
    if number == PIXEL_DATA and end - start > _LARGE:
        value = cast("bytes", data[start:end])
    else:
        value = bytes(data[start:end]) if length else cast("bytes", empty_value_for_VR(vr, raw=True))
    tag = attributes.tag_of(number)
    return RawDataElement(tag, vr, length, value, start, encoding.implicit, encoding.little_endian)


def _with_meta(dataset: Dataset, file_meta: FileMetaDataset, syntax: UID) -> Dataset:
    if attributes.text(file_meta, "TransferSyntaxUID") != syntax:
        file_meta.TransferSyntaxUID = syntax
    dataset.file_meta = file_meta
    return dataset


def _value(data: Bytes, element: Element) -> str:
    raw = bytes(data[element.start : element.start + element.length])
    return raw.decode("ascii", "replace").strip(" \0")
