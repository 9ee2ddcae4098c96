"""Is every decoder there, and right? A small image for each transfer syntax, made at run time and decoded.

A missing decoder used to show as a black image; this names it before a patient's image does.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydicom import dcmwrite, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from ponte import syntaxes
from ponte.codecs import decoder_of
from ponte.description import PixelDescription
from ponte.errors import PonteError, UnsupportedTransferSyntax
from ponte.instance import open_instance
from ponte.pixels import PixelReader
from ponte.quiet import BROKEN_INPUT

Status = Literal["ok", "missing", "wrong"]
Encoder = Callable[[npt.NDArray[Any]], bytes]

ROWS: Final = 48
COLUMNS: Final = 64
_LOSSY_8, _LOSSY_12 = 4, 32  # the most that a lossy sample may be off


@dataclass(frozen=True, slots=True)
class DecoderResult:
    """`decoder` is what decodes here, "" where nothing does; `detail` says what is wrong, "" if nothing."""

    transfer_syntax_uid: str
    name: str
    status: Status
    decoder: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sample:
    """How to make the image of one syntax. `encode` is None where the samples stay native."""

    syntax: uid.UID
    encode: Encoder | None = None
    bits: int = 12
    tolerance: int = 0


def check_decoders() -> list[DecoderResult]:
    """Decode a sample of every syntax that Ponte shows."""
    return [_check(sample) for sample in SAMPLES]


def sample_instance(sample: Sample) -> bytes:
    """A Part 10 instance with the sample's image."""
    pixels = expected_pixels(sample.bits)
    dataset = _dataset(sample)
    if sample.encode is None:
        dataset.PixelData = (pixels if sample.syntax.is_little_endian else pixels.byteswap()).tobytes()
    else:
        dataset.PixelData = encapsulate([sample.encode(pixels)])
    dataset["PixelData"].VR = "OB" if sample.encode else "OW"
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def expected_pixels(bits: int) -> npt.NDArray[Any]:
    """A slope with a bright square: not flat, not symmetric, all of the range."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    top = (1 << bits) - 1
    pixels = (rows * COLUMNS + columns) * top // (ROWS * COLUMNS - 1)
    pixels[8:24, 40:56] = top - pixels[8:24, 40:56]
    return np.asarray(pixels, np.uint8 if bits <= 8 else np.uint16)


def _check(sample: Sample) -> DecoderResult:
    name = syntaxes.name(sample.syntax)
    try:
        decoder = _decoder_name(sample.syntax)
    except UnsupportedTransferSyntax as error:
        return DecoderResult(str(sample.syntax), name, "missing", "", error.detail)
    try:
        status, detail = _compare(sample)
    except UnsupportedTransferSyntax as error:
        status, detail = "missing", error.detail
    except ImportError as error:
        status, detail = "missing", f"cannot make a sample: {error.name} is not installed"
    except PonteError as error:
        status, detail = "wrong", error.detail
    except BROKEN_INPUT as error:
        status, detail = "missing", f"cannot make a sample: {type(error).__name__}"
    return DecoderResult(str(sample.syntax), name, status, decoder, detail)


def _compare(sample: Sample) -> tuple[Status, str]:
    dataset = open_instance(sample_instance(sample))
    values, _ = PixelReader(dataset, PixelDescription.from_dataset(dataset, "PixelData")).frame(0)
    expected = expected_pixels(sample.bits).astype(np.int64)
    off = int(np.abs(values.astype(np.int64) - expected).max())
    if off > sample.tolerance:
        return "wrong", f"pixels are off by up to {off}; expected at most {sample.tolerance}"
    return "ok", ""


def _decoder_name(syntax: uid.UID) -> str:
    if not syntax.is_encapsulated:
        return "numpy"
    decoder_of(syntax)
    return "zlib" if syntax == syntaxes.DEFLATED_FRAMES else "imagecodecs"


def _dataset(sample: Sample) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = sample.syntax
    dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.StudyInstanceUID = dataset.SeriesInstanceUID = "1.2.3"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated = 8 if sample.bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = sample.bits, sample.bits - 1
    dataset.PixelRepresentation = 0
    return dataset


def _imagecodecs(function: str, /, **options: Any) -> Encoder:
    """An encoder of imagecodecs, imported when it is used."""

    def encode(pixels: npt.NDArray[Any]) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, function)(pixels, **options))

    return encode


def _rle(pixels: npt.NDArray[Any]) -> bytes:
    """PS3.5 G: the high bytes and the low bytes of all samples, each as literal runs."""
    planes = [pixels.view(np.uint8)[:, byte::2].tobytes() for byte in (1, 0)]
    segments = [b"".join(_literal(plane[i : i + 128]) for i in range(0, len(plane), 128)) for plane in planes]
    offsets = [2, 64, 64 + len(segments[0])]
    header = np.array(offsets + [0] * 13, "<u4").tobytes()
    return header + b"".join(segments)


def _literal(run: bytes) -> bytes:
    return bytes([len(run) - 1]) + run


def _deflate(pixels: npt.NDArray[Any]) -> bytes:
    return zlib.compress(pixels.tobytes(), wbits=-zlib.MAX_WBITS)


def _recompressed(pixels: npt.NDArray[Any]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegxl_encode_jpeg(imagecodecs.jpeg8_encode(pixels, level=98)))


_JPEG_12 = partial(_imagecodecs, "jpeg8_encode", bitspersample=12)
_J2K = partial(_imagecodecs, "jpeg2k_encode", codecformat="j2k", bitspersample=12)
_HTJ2K = partial(_imagecodecs, "htj2k_encode", bitspersample=12)

SAMPLES: Final = (
    Sample(uid.ImplicitVRLittleEndian),
    Sample(uid.ExplicitVRLittleEndian),
    Sample(uid.ExplicitVRBigEndian),
    Sample(uid.DeflatedExplicitVRLittleEndian),
    Sample(uid.RLELossless, _rle),
    Sample(uid.JPEGBaseline8Bit, _imagecodecs("jpeg8_encode", level=98), bits=8, tolerance=_LOSSY_8),
    Sample(uid.JPEGExtended12Bit, _JPEG_12(level=98), tolerance=_LOSSY_12),
    Sample(uid.JPEGLossless, _JPEG_12(lossless=True, predictor=4)),
    Sample(uid.JPEGLosslessSV1, _JPEG_12(lossless=True, predictor=1)),
    Sample(uid.JPEGLSLossless, _imagecodecs("jpegls_encode", level=0, bitspersample=12)),
    Sample(uid.JPEGLSNearLossless, _imagecodecs("jpegls_encode", level=2, bitspersample=12), tolerance=2),
    Sample(uid.JPEG2000Lossless, _J2K(reversible=True)),
    Sample(uid.JPEG2000, _J2K(reversible=False, level=70), tolerance=_LOSSY_12),
    Sample(uid.HTJ2KLossless, _HTJ2K(reversible=True)),
    Sample(uid.HTJ2KLosslessRPCL, _HTJ2K(reversible=True, prog_order="RPCL", tlm=True)),
    Sample(uid.HTJ2K, _HTJ2K(reversible=False), tolerance=_LOSSY_12),
    Sample(syntaxes.JPEG_XL_LOSSLESS, _imagecodecs("jpegxl_encode", lossless=True)),
    Sample(syntaxes.JPEG_XL_RECOMPRESSION, _recompressed, bits=8, tolerance=_LOSSY_8),
    Sample(syntaxes.JPEG_XL, _imagecodecs("jpegxl_encode", distance=0.1), bits=8, tolerance=_LOSSY_8),
    Sample(syntaxes.DEFLATED_FRAMES, _deflate),
)
