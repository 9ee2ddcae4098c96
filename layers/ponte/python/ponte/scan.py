"""Is this a whole and sound instance? Said from its bytes as they go by, before anybody trusts it.

No value is decoded and no pixel kept: lengths, order, limits and identity are checked, and the pixel data
against the image attributes. What readers take in silence, a file cut short above all, is refused here with
a reason. PS3.10 7.1, PS3.5 7, PS3.3 C.7.6.3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPIPHTJ2KReferenced,
    JPIPHTJ2KReferencedDeflate,
)

from ponte.errors import MissingAttribute, NotDicom, PonteError
from ponte.instance import INFLATE_LIMIT
from ponte.scanning import identity
from ponte.scanning.identity import SOP_CLASS_UID, SOP_INSTANCE_UID, text_of
from ponte.scanning.inflater import Inflater
from ponte.scanning.pixeldata import BITS, COLUMNS, IMAGE_TAGS, ROWS, PixelCheck
from ponte.scanning.walker import MetaWalker, Walker
from ponte.structure import PREAMBLE, TRANSFER_SYNTAX_UID, Encoding, has_preamble, looks_explicit
from ponte.syntaxes import JPIP_REFERENCED, JPIP_REFERENCED_DEFLATE, is_known
from ponte.uid import is_valid_uid

Buffer = bytes | bytearray | memoryview

_JPIP = {JPIP_REFERENCED, JPIP_REFERENCED_DEFLATE, JPIPHTJ2KReferenced, JPIPHTJ2KReferencedDeflate}
_DEFLATED = {DeflatedExplicitVRLittleEndian, JPIP_REFERENCED_DEFLATE, JPIPHTJ2KReferencedDeflate}
_MAGIC_END: Final = PREAMBLE + 4
_FIRST_ELEMENT = 8  # bytes: they show how the dataset is written
_META_CLASS_UID, _META_INSTANCE_UID = 0x00020002, 0x00020003
_META_TAGS = frozenset({_META_CLASS_UID, _META_INSTANCE_UID, TRANSFER_SYNTAX_UID})
_PIXEL_DATA_PROVIDER_URL = 0x00287FE0
_KEPT = identity.IDENTITY_TAGS | IMAGE_TAGS | {_PIXEL_DATA_PROVIDER_URL}
_DESCRIBES_IMAGE = frozenset({ROWS, COLUMNS, BITS})
_TIFF = (b"II*\0", b"MM\0*")
_OF_PIXELS = ("NO_PIXEL_DATA", "PIXEL_")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the scan. `reason` is None for an instance that is accepted.

    UIDs are given only where they are UIDs. `sha256` is over the dataset without preamble and file meta; it
    begins `dataset_start` bytes into the instance. `values` has what the scanner was asked to keep, as raw
    bytes (None for a value too long): it may name the patient, so that it is never shown.
    """

    reason: str | None
    detail: str
    notes: tuple[str, ...]
    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str | None
    sha256: str | None
    dataset_start: int | None = None
    values: Mapping[int, bytes | None] = field(default_factory=dict, repr=False)

    @property
    def accepted(self) -> bool:
        """True for an instance that may be sent on."""
        return self.reason is None

    @classmethod
    def refused(cls, reason: str, detail: str) -> Verdict:
        """The verdict on what could not be scanned at all."""
        return cls(reason, detail, (), None, None, None, None)


def scan(pieces: Iterable[bytes], *, digest: bool = True) -> Verdict:
    """The verdict on an instance, in however many pieces."""
    scanner = Scanner(digest=digest)
    for piece in pieces:
        scanner.feed(piece)
    return scanner.finish()


class Scanner:
    """Takes the bytes of one instance in any pieces and gives a verdict; it never raises on what they are.

    With `transfer_syntax_uid` they are a dataset alone, as it travels in a C-STORE. `keep` names tags of the
    dataset whose values the verdict is to have. What is held in memory does not grow with the instance.
    """

    def __init__(
        self,
        *,
        transfer_syntax_uid: str | None = None,
        digest: bool = True,
        keep: frozenset[int] = frozenset(),
    ) -> None:
        self._keep = keep
        self._fed = 0
        self._dataset_start = 0
        self._digest = hashlib.sha256() if digest else None
        self._has_dataset = False
        self._failure: PonteError | None = None
        self._notes: list[str] = []
        self._bare = False
        self._opening = b""
        self._syntax: UID | None = None
        self._meta = MetaWalker(_META_TAGS)
        self._inflater: Inflater | None = None
        self._pixels: PixelCheck | None = None
        self._walker: Walker | None = None
        self._stage: Callable[[Scanner, Buffer], None] = Scanner._start  # unbound: see `Walker`
        if transfer_syntax_uid is not None:
            self._attempt(lambda: self._begin_dataset(_known_syntax(transfer_syntax_uid), b""))

    def feed(self, data: Buffer) -> None:
        """Take the next bytes, which are the caller's again when this returns."""
        self._fed += len(data)
        if self._failure is None:
            self._attempt(lambda: self._stage(self, data))
        elif self._has_dataset and self._digest:
            self._digest.update(data)

    def finish(self) -> Verdict:
        """The verdict, once all bytes were fed."""
        if self._failure is None:
            self._attempt(self._finish)
        values = self._walker.values if self._walker else {}
        sop_class_uid, sop_instance_uid = values.get(SOP_CLASS_UID), values.get(SOP_INSTANCE_UID)
        failure = self._failure
        return Verdict(
            reason=failure.code if failure else None,
            detail=failure.detail if failure else "",
            notes=() if failure else tuple(self._notes),
            sop_class_uid=_uid(sop_class_uid),
            sop_instance_uid=_uid(sop_instance_uid),
            transfer_syntax_uid=self._syntax,
            sha256=self._digest.hexdigest() if self._digest and self._has_dataset else None,
            dataset_start=self._dataset_start if self._has_dataset else None,
            values={tag: values[tag] for tag in self._keep if tag in values},
        )

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except PonteError as error:
            self._failure = error
            if self._bare and not error.code.startswith(_OF_PIXELS):
                self._failure = NotDicom("Neither a Part 10 header nor a dataset that parses as a whole")
                self._has_dataset = False

    def _start(self, data: Buffer) -> None:
        """Wait for what stands at the beginning: preamble and prefix, or no header at all."""
        self._opening += data
        if len(self._opening) >= _MAGIC_END:
            self._open(self._opening)

    def _open(self, data: bytes) -> None:
        if has_preamble(data):
            if data[:PREAMBLE] != bytes(PREAMBLE) and not data.startswith(_TIFF):
                self._notes.append("PREAMBLE_NEUTRALISED")
            self._stage = Scanner._read_meta
            self._read_meta(data[_MAGIC_END:])
            return
        self._bare = True
        self._notes.append("NO_META")
        if data[:2] == b"\x02\x00" and looks_explicit(data, 0):
            self._stage = Scanner._read_meta
            self._read_meta(data)
        else:
            self._begin_dataset(None, data)

    def _read_meta(self, data: Buffer) -> None:
        self._meta.feed(data)
        if not self._meta.is_over:
            return
        rest = self._meta.take_rest()
        if not self._meta.offset:
            self._bare = True
            self._notes.append("NO_META")
            self._begin_dataset(None, rest)
        else:
            self._begin_dataset(_syntax_of(self._meta), rest)

    def _begin_dataset(self, syntax: UID | None, data: bytes) -> None:
        """From here on it is the dataset. Without a transfer syntax its first element tells its encoding."""
        self._syntax = syntax
        self._dataset_start = self._fed - len(data)
        if syntax in _DEFLATED:
            self._inflater = Inflater(INFLATE_LIMIT)
        self._has_dataset = True
        self._opening = b""
        self._stage = Scanner._read_dataset
        self._read_dataset(data)

    def _read_dataset(self, data: Buffer) -> None:
        if self._digest:
            self._digest.update(data)
        for piece in self._inflater.feed(data) if self._inflater else (data,):
            self._walk(piece)

    def _walk(self, data: Buffer) -> None:
        if self._walker is None:
            self._opening += data
            if len(self._opening) < _FIRST_ELEMENT:
                return
            data, self._opening = self._opening, b""
            self._walker = self._new_walker(data)
        self._walker.feed(data)

    def _new_walker(self, data: bytes) -> Walker:
        if self._syntax is None:
            self._syntax = _guess(data)
        encoding = _encoding(self._syntax, data)
        if encoding.implicit != (self._syntax == ImplicitVRLittleEndian):
            self._notes.append("META_MISMATCH")
        self._pixels = PixelCheck(self._syntax, little_endian=encoding.little_endian)
        walker = Walker(encoding, _KEPT | self._keep, self._pixels)
        self._pixels.values = walker.values
        return walker

    def _finish(self) -> None:
        if self._stage is Scanner._start:
            if not self._opening:
                raise NotDicom("The instance has no bytes", code="EMPTY")
            self._open(self._opening)
        for piece in self._inflater.finish() if self._inflater else ():
            self._walk(piece)
        if self._walker is None or self._pixels is None:
            self._meta.finish()
            raise NotDicom("The instance ends before its dataset; bytes are missing", code="TRUNCATED")
        self._walker.finish()
        self._conclude(self._walker.values, self._pixels)

    def _conclude(self, values: identity.Values, pixels: PixelCheck) -> None:
        """The dataset is whole: is it what it should be?"""
        identity.check_uids(values)
        if not pixels.seen and self._lacks_pixels(values):
            raise MissingAttribute("An image without pixel data", code="NO_PIXEL_DATA")
        for tag, meta_tag in ((SOP_CLASS_UID, _META_CLASS_UID), (SOP_INSTANCE_UID, _META_INSTANCE_UID)):
            said = text_of(self._meta.values.get(meta_tag))
            if said and said != text_of(values[tag]) and "META_MISMATCH" not in self._notes:
                self._notes.append("META_MISMATCH")
        if pixels.excess:
            self._notes.append("EXCESS_PIXELS")
        if identity.has_unknown_charset(values.get(identity.SPECIFIC_CHARACTER_SET, b"")):
            self._notes.append("CHARSET")

    def _lacks_pixels(self, values: identity.Values) -> bool:
        if self._syntax in _JPIP and values.get(_PIXEL_DATA_PROVIDER_URL, b"") != b"":
            return False  # they are somewhere else (PS3.5 A.6)
        return identity.is_image_class(text_of(values[SOP_CLASS_UID])) or values.keys() >= _DESCRIBES_IMAGE


def _uid(value: bytes | None) -> str | None:
    text = text_of(value)
    return text if is_valid_uid(text) else None


def _syntax_of(meta: MetaWalker) -> UID:
    """Raises `NotDicom`: MISSING_TRANSFER_SYNTAX, UNKNOWN_TRANSFER_SYNTAX; IGNORED_NAME for a DICOMDIR."""
    if identity.is_directory_class(text_of(meta.values.get(_META_CLASS_UID))):
        raise NotDicom("A directory of a file set, which is no instance", code="IGNORED_NAME")
    value = meta.values.get(TRANSFER_SYNTAX_UID, b"")
    if value is not None and not text_of(value):
        raise NotDicom("Transfer Syntax UID (0002,0010) is absent", code="MISSING_TRANSFER_SYNTAX")
    return _known_syntax(text_of(value))


def _known_syntax(uid: str) -> UID:
    if not is_known(uid):
        shown = uid if is_valid_uid(uid) else "not a UID"
        raise NotDicom(
            f"Transfer Syntax UID (0002,0010) is {shown}; expected one of PS3.6 A",
            code="UNKNOWN_TRANSFER_SYNTAX",
        )
    return UID(uid)


def _looks_little(data: bytes) -> bool:
    """By the group of the first element, which is a small number."""
    return int.from_bytes(data[:2], "little") <= int.from_bytes(data[:2], "big")


def _guess(data: bytes) -> UID:
    """How a dataset without file meta is written, by its first element."""
    if not looks_explicit(data, 0):
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if _looks_little(data) else ExplicitVRBigEndian


def _encoding(syntax: UID, data: bytes) -> Encoding:
    """How the dataset is written. Whether it has VRs its first element knows better than the meta.

    Raises `NotDicom` for the wrong byte order, which is beyond what other readers forgive.
    """
    little_endian = syntax != ExplicitVRBigEndian
    implicit = not looks_explicit(data, 0)
    if _looks_little(data) != little_endian or (implicit and not little_endian):
        raise NotDicom(
            "The dataset has not the byte order of Transfer Syntax UID (0002,0010)",
            code="UNKNOWN_TRANSFER_SYNTAX",
        )
    return Encoding(implicit, little_endian)
