"""The Image Pixel module of an instance, checked (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from ponte import attributes
from ponte.errors import CannotDecode, InvalidAttribute, MissingAttribute
from ponte.limits import check_budget
from ponte.quiet import BROKEN_INPUT, quiet

KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
HALVED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Two pixels share their colour, and take four bytes (PS3.3 C.7.6.3.1.2)."""

Bytes = bytes | memoryview

_ATTRIBUTES: Final = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""All that `_describe` reads."""

_GRAY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_COLOUR = HALVED | {"RGB", "YBR_FULL", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT"}
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_MOST_FRAMES = 2**31 - 1


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
        return bits // 3 * 2 if self.photometric in HALVED else bits

    @classmethod
    def from_dataset(cls, dataset: Dataset, keyword: str) -> PixelDescription:
        """Read and check. Raises `MissingAttribute`, `InvalidAttribute`, `LimitExceeded` (PIXEL_BUDGET)."""
        with quiet():
            syntax = attributes.text(dataset.file_meta, "TransferSyntaxUID")
            said = attributes.excerpt(dataset, _ATTRIBUTES)
            description = _remembered(said, keyword, syntax) if said else _describe(dataset, keyword, syntax)
            length = len(pixel_value(dataset, keyword))
        _check(description, length)
        return description


@lru_cache(maxsize=64)
def _remembered(said: attributes.Excerpt, keyword: str, syntax: str) -> PixelDescription:
    """The images of a series say the same, and are understood once."""
    return _describe(attributes.dataset_of(said), keyword, syntax)


def _describe(dataset: Dataset, keyword: str, syntax: str) -> PixelDescription:
    samples = attributes.required_int(dataset, "SamplesPerPixel", 1, 3)
    photometric = _photometric(dataset, samples)
    allocated, stored, high_bit, signed = _bits(dataset, keyword)
    return PixelDescription(
        keyword=keyword,
        transfer_syntax_uid=attributes.uid_of(syntax),
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
    if not length:
        raise MissingAttribute(f"{attributes.describe(d.keyword)} is empty", code="NO_PIXEL_DATA")
    expected = (d.frame_bits * d.frames + 7) // 8
    if not d.transfer_syntax_uid.is_encapsulated and length < expected:
        raise InvalidAttribute(
            f"{attributes.describe(d.keyword)} has {length} bytes; expected {expected}", code="PIXEL_LENGTH"
        )
    check_budget(d)


def pixel_value(dataset: Dataset, keyword: str) -> Bytes:
    """The value of the pixel data as it stands in the dataset. Raises `CannotDecode`."""
    try:
        value = dataset.get_item(keyword).value
    except BROKEN_INPUT as error:
        raise CannotDecode(f"{attributes.describe(keyword)} cannot be read") from error
    return value if isinstance(value, bytes | memoryview) else b""
