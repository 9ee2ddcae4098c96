"""Stored values, one frame at a time (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit

from ponte import attributes
from ponte.codecs import DECODERS, coded_colour, decoder_of
from ponte.errors import CannotDecode, InvalidAttribute, LimitExceeded, MissingAttribute
from ponte.frames import FrameIndex
from ponte.jpeg import bare_baseline
from ponte.limits import check_budget, check_frame, check_frame_count
from ponte.quiet import BROKEN_INPUT, quiet

KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_GRAY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
_COLOUR = _HALVED | {"RGB", "YBR_FULL", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT"}
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_MOST_FRAMES = 2**31 - 1
_RUST_PANIC = "pyo3_runtime"  # the module of an error that no `except Exception` sees

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module, checked. `bits_stored` and `high_bit` mean nothing for float pixel data."""

    keyword: str
    transfer_syntax_uid: UID
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def is_float(self) -> bool:
        return self.keyword != "PixelData"

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame; frames of one bit a pixel are packed without a gap."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits // 3 * 2 if self.photometric in _HALVED else bits

    @classmethod
    def from_dataset(cls, dataset: Dataset, keyword: str) -> PixelDescription:
        """Read and check. Raises `MissingAttribute`, `InvalidAttribute`, `LimitExceeded` (PIXEL_BUDGET)."""
        with quiet():
            description = _describe(dataset, keyword)
            length = len(_value(dataset, keyword))
        _check(description, length)
        return description


class PixelReader:
    """Decodes frames of one instance; safe to use from several threads."""

    def __init__(self, dataset: Dataset, description: PixelDescription) -> None:
        with quiet():
            self._value = _value(dataset, description.keyword)
            self._vr = str(dataset[description.keyword].VR)
            self._extended = _extended_offsets(dataset)
        self.description = description
        self._beyond_limits: LimitExceeded | None = None
        if description.transfer_syntax_uid in DECODERS:
            check_frame_count(description.frames, self._frames.fragment_count)

    def code_stream(self, index: int) -> bytes:
        """A frame as it is compressed; nothing where it is not."""
        return self._frames.frame(index) if self.description.transfer_syntax_uid.is_encapsulated else b""

    def baseline_jpeg(self, index: int) -> bytes | None:
        """The frame as a JPEG that shows its stored values anywhere, or None. Raises `CannotDecode`."""
        d = self.description
        if d.transfer_syntax_uid != JPEGBaseline8Bit or (d.bits_allocated, d.bits_stored) != (8, 8):
            return None
        data = self._frames.frame(index)
        if check_frame(data, d, index):
            return None
        return bare_baseline(data, d.samples, rgb=coded_colour(data, d.photometric) == "RGB")

    def frame(self, index: int) -> tuple[Values, str]:
        """One frame as it is stored, and its photometric interpretation.

        The shape is (rows, columns) or (rows, columns, 3). Bits above High Bit are whatever they are in the
        file, and signed values may come as bit patterns. What JPEG and JPEG 2000 transform on their own
        comes back as RGB. Raises `CannotDecode`, `LimitExceeded` (MEMORY, TIME),
        `UnsupportedTransferSyntax`.
        """
        syntax = self.description.transfer_syntax_uid
        decoder_of(syntax)
        source, position, risky = self._source(index)
        if risky:
            return self._decode_apart(source)
        return decode(syntax, source, position, self._options())

    def _decode_apart(self, source: bytes) -> tuple[Values, str]:
        """In a process of its own; after one frame that went beyond the limits no other is tried."""
        from ponte import guard

        if self._beyond_limits is not None:
            raise LimitExceeded(self._beyond_limits.detail, code=self._beyond_limits.code)
        try:
            return guard.decode(self.description.transfer_syntax_uid, source, self._options())
        except LimitExceeded as error:
            self._beyond_limits = error
            raise

    @cached_property
    def _frames(self) -> FrameIndex:
        return FrameIndex(self._value, self.description.frames, self._extended)

    def _source(self, index: int) -> tuple[bytes, int, bool]:
        """What the decoder is given, which frame of it, and whether that may hurt."""
        if not self.description.transfer_syntax_uid.is_encapsulated:
            return self._value, index, False
        data = self._frames.frame(index)
        risky = check_frame(data, self.description, index)
        return encapsulate([data], has_bot=False), 0, risky

    def _options(self) -> dict[str, Any]:
        """What pydicom's runner needs to know; the display masks unused bits, so it need not."""
        d = self.description
        options = {
            "rows": d.rows,
            "columns": d.columns,
            "number_of_frames": 1 if d.transfer_syntax_uid.is_encapsulated else d.frames,
            "samples_per_pixel": d.samples,
            "photometric_interpretation": d.photometric.replace("PARTIAL", "FULL"),
            "planar_configuration": d.planar,
            "bits_allocated": d.bits_allocated,
            "bits_stored": d.bits_stored,
            "pixel_representation": int(d.signed),
            "pixel_keyword": d.keyword,
            "pixel_vr": self._vr,
            "correct_unused_bits": False,
            "apply_jls_sign_correction": False,
        }
        if not d.transfer_syntax_uid.is_encapsulated:
            options["view_only"] = True
        return options


def decode(syntax: str, source: bytes, position: int, options: Mapping[str, Any]) -> tuple[Values, str]:
    """The values of a frame and its photometric interpretation; `options` are those of pydicom's runner.

    Raises `CannotDecode`, `LimitExceeded` (MEMORY).
    """
    decoder, plugin = decoder_of(UID(syntax))
    with quiet():
        try:
            values, properties = decoder.as_array(
                source, index=position, validate=False, raw=True, decoding_plugin=plugin, **options
            )
        except MemoryError as error:
            raise LimitExceeded("The frame does not fit in memory") from error
        except BROKEN_INPUT as error:
            raise CannotDecode("The decoder refused the frame") from error
        except BaseException as error:
            if type(error).__module__ != _RUST_PANIC:
                raise
            raise CannotDecode("The decoder gave up on the frame") from None
    return values, str(properties["photometric_interpretation"])


def _describe(dataset: Dataset, keyword: str) -> PixelDescription:
    samples = attributes.required_int(dataset, "SamplesPerPixel", 1, 3)
    photometric = _photometric(dataset, samples)
    allocated, stored, high_bit, signed = _bits(dataset, keyword)
    return PixelDescription(
        keyword=keyword,
        transfer_syntax_uid=UID(dataset.file_meta.TransferSyntaxUID),
        rows=attributes.required_int(dataset, "Rows", 1, 65535),
        columns=attributes.required_int(dataset, "Columns", 1, 65535),
        frames=attributes.optional_int(dataset, "NumberOfFrames", 1, 1, _MOST_FRAMES),
        samples=samples,
        photometric=photometric,
        planar=attributes.optional_int(dataset, "PlanarConfiguration", 0, 0, 1) if samples > 1 else 0,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=signed,
    )


def _photometric(dataset: Dataset, samples: int) -> str:
    photometric = attributes.text(dataset, "PhotometricInterpretation").upper()
    if not photometric:
        raise MissingAttribute(f"{attributes.describe('PhotometricInterpretation')} is absent")
    if photometric not in (_GRAY if samples == 1 else _COLOUR) or samples == 2:
        shown = photometric if photometric in _GRAY | _COLOUR else "not one that can be shown"
        raise InvalidAttribute(
            f"{attributes.describe('PhotometricInterpretation')} is {shown}, with {samples} samples a pixel"
        )
    return photometric


def _bits(dataset: Dataset, keyword: str) -> tuple[int, int, int, bool]:
    """Bits Allocated, Bits Stored, High Bit, Pixel Representation."""
    if keyword in _FLOAT_BITS:
        bits = _FLOAT_BITS[keyword]
        return bits, bits, bits - 1, True
    allocated = attributes.required_int(dataset, "BitsAllocated", 1, 64)
    if allocated not in (1, 8, 16, 32, 64):
        raise InvalidAttribute(
            f"{attributes.describe('BitsAllocated')} is {allocated}; expected 1, 8, 16, 32 or 64"
        )
    stored = attributes.optional_int(dataset, "BitsStored", allocated, 1, allocated)
    high_bit = attributes.optional_int(dataset, "HighBit", stored - 1, 0, allocated - 1)
    signed = attributes.optional_int(dataset, "PixelRepresentation", 0, 0, 1)
    return allocated, stored, max(high_bit, stored - 1), bool(signed)


def _check(d: PixelDescription, length: int) -> None:
    """Length before budget: bytes that are not there are the truer reason."""
    name = attributes.describe(d.keyword)
    if not length:
        raise MissingAttribute(f"{name} is empty", code="NO_PIXEL_DATA")
    expected = (d.frame_bits * d.frames + 7) // 8
    if not d.transfer_syntax_uid.is_encapsulated and length < expected:
        raise InvalidAttribute(f"{name} has {length} bytes; expected {expected}", code="PIXEL_LENGTH")
    check_budget(d)


def _value(dataset: Dataset, keyword: str) -> bytes:
    try:
        value = dataset[keyword].value
    except BROKEN_INPUT as error:
        raise CannotDecode(f"{attributes.describe(keyword)} cannot be read") from error
    return value if isinstance(value, bytes) else b""


def _extended_offsets(dataset: Dataset) -> tuple[int, ...]:
    """The Extended Offset Table (7FE0,0001), PS3.3 C.7.6.3.1.8."""
    raw = attributes.first(dataset, "ExtendedOffsetTable")
    if not isinstance(raw, bytes):
        return ()
    return struct.unpack_from(f"<{len(raw) // 8}Q", raw)


def native_endian(values: Values) -> Values:
    """The same values in this machine's byte order."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def unsigned(values: Values) -> Values:
    """The same bit patterns as unsigned integers of this machine."""
    values = native_endian(values)
    return values.view(f"u{values.dtype.itemsize}")


def to_rgb(values: Values, photometric: str) -> npt.NDArray[np.uint8]:
    """8-bit colour of any supported photometric interpretation to RGB (PS3.3 C.7.6.3.1.2)."""
    if photometric == "RGB":
        return np.ascontiguousarray(values, dtype=np.uint8)
    if photometric not in ("YBR_FULL", "YBR_FULL_422"):
        raise CannotDecode(f"Colour came out of the decoder as {photometric}; expected RGB or YBR_FULL")
    from PIL import Image as PillowImage

    rows, columns = values.shape[:2]
    picture = PillowImage.frombuffer("YCbCr", (columns, rows), np.ascontiguousarray(values, dtype=np.uint8))
    return np.asarray(picture.convert("RGB"))
