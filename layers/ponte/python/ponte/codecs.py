"""Which decoder reads which transfer syntax: one line in `DECODERS` each.

pydicom's plugins have no decoder under a permissive licence for some, and slow ones for others, so the plugin
is ours, over imagecodecs, which is imported when a frame needs it and lets other threads run meanwhile. Each
was chosen by measuring, and is proved equal to another decoder on real files
(tests/integration/test_codecs.py).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.pixels.decoders.base import Decoder, DecodeRunner, get_decoder

from ponte import syntaxes
from ponte.colourspace import JpegColour, jpeg_colour
from ponte.errors import UnsupportedTransferSyntax

OURS: Final = "ponte"

_RLE_HEADER: Final = struct.Struct("<16L")
_RLE_PADDING: Final = 128  # bytes that a writer may have put after a segment, at most

_CAP: Final = 0xFF50
_COD: Final = 0xFF52

Samples = npt.NDArray[Any]


def _jpeg_lossy(data: bytes, runner: DecodeRunner) -> Samples:
    """Baseline, extended and progressive; colour comes back as RGB (PS3.5 8.2.1)."""
    from imagecodecs import jpeg8_decode

    if runner.samples_per_pixel == 1:
        return jpeg8_decode(data)
    coded = coded_colour(data, str(runner.photometric_interpretation))
    runner.set_option("photometric_interpretation", "RGB")
    return jpeg8_decode(data, colorspace=coded, outcolorspace="RGB")


def coded_colour(data: bytes, photometric: str) -> JpegColour:
    """What a lossy colour JPEG is coded in: by what it says itself, else by the dataset."""
    return jpeg_colour(data) or ("RGB" if photometric == "RGB" else "YCBCR")


def _jpeg_lossless(data: bytes, runner: DecodeRunner) -> Samples:
    """Processes 14 and 14 SV1: the samples as they are, in whatever colour space."""
    from imagecodecs import jpeg8_decode

    if runner.samples_per_pixel == 1:
        return jpeg8_decode(data)
    return jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB")


def _jpeg_ls(data: bytes, _: DecodeRunner) -> Samples:
    """Lossless and near-lossless, any interleaving; signed samples come back as bit patterns."""
    from imagecodecs import jpegls_decode

    return jpegls_decode(data)


def _jpeg_xl(data: bytes, runner: DecodeRunner) -> Samples:
    from imagecodecs import jpegxl_decode

    if runner.samples_per_pixel == 3:
        runner.set_option("photometric_interpretation", "RGB")
    return jpegxl_decode(data)


def _jpeg2000(data: bytes, runner: DecodeRunner) -> Samples:
    """Any code stream of JPEG 2000, HTJ2K included; what it transforms itself comes back as RGB.

    Colour under a lossy syntax is left to pylibjpeg's build of OpenJPEG, against which this is measured: the
    irreversible colour transform computes in floats, and one build rounds not quite as another.
    """
    from imagecodecs import jpeg2k_decode

    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
        runner.set_option("photometric_interpretation", "RGB")
    if runner.samples_per_pixel == 3 and runner.transfer_syntax in (uid.JPEG2000, uid.HTJ2K):
        from openjpeg.utils import decode

        return decode(data)
    return jpeg2k_decode(data)


def _htj2k_lossless(data: bytes, runner: DecodeRunner) -> Samples:
    """OpenJPH, where the code stream is what its syntax says: of lossy colour it makes something else."""
    from imagecodecs import htj2k_decode

    if not _is_reversible_htj2k(data):
        return _jpeg2000(data, runner)
    if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
        runner.set_option("photometric_interpretation", "RGB")
    return htj2k_decode(data)


def _is_reversible_htj2k(data: bytes) -> bool:
    """True for a bare code stream with CAP and the 5-3 wavelet (ITU-T T.800 A.6.1, T.814 A.3)."""
    offset, has_cap = 2, False
    while data[:2] == b"\xff\x4f" and offset + 14 <= len(data):
        marker, length = struct.unpack_from(">HH", data, offset)
        if marker == _COD:
            return has_cap and data[offset + 13] == 1
        has_cap = has_cap or marker == _CAP
        offset += 2 + length
    return False


def _rle(data: bytes, runner: DecodeRunner) -> Samples:
    """PackBits, a segment for each byte of each sample, the most significant first (PS3.5 G).

    Segment by segment: `imagecodecs.dicomrle_decode` lets a long segment make up for a short one.
    """
    from imagecodecs import packbits_decode

    pixels, bits = int(runner.rows) * int(runner.columns), int(runner.bits_allocated)
    samples, width = int(runner.samples_per_pixel), max(bits // 8, 1)
    size = pixels if bits > 1 else (pixels + 7) // 8
    planes = np.empty((samples, size, width), np.uint8)
    for number, segment in enumerate(_rle_segments(data, samples * width)):
        plane = packbits_decode(segment, out=size + _RLE_PADDING)
        planes[number // width, :, width - 1 - number % width] = np.frombuffer(plane, np.uint8, size)
    runner.set_option("planar_configuration", 1)
    return planes if bits > 1 else np.unpackbits(planes, bitorder="little", count=pixels)


def _rle_segments(data: bytes, count: int) -> Iterator[bytes]:
    """The segments by the header's offsets. Raises ValueError where they are not `count`, in order."""
    found, *offsets = _RLE_HEADER.unpack_from(data)
    ends = [*offsets[1:count], len(data)]
    if found != count or count > len(offsets):
        raise ValueError("another number of RLE segments than the header of the dataset says")
    for start, end in zip(offsets[:count], ends, strict=True):
        if not _RLE_HEADER.size <= start < end <= len(data):
            raise ValueError("offsets of RLE segments are out of order")
        yield data[start:end]


def _deflated(data: bytes, runner: DecodeRunner) -> Samples:
    """Each frame is one deflated stream of native samples (PS3.5 A.4.13)."""
    length = int(runner.frame_length(unit="bytes"))
    frame = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, length)
    samples = np.frombuffer(frame, np.uint8)
    if runner.bits_allocated > 1:
        return samples
    return np.unpackbits(samples, bitorder="little", count=int(runner.frame_length(unit="pixels")))


DECODERS: Final[dict[uid.UID, Callable[[bytes, DecodeRunner], Samples]]] = {
    uid.RLELossless: _rle,
    uid.JPEGBaseline8Bit: _jpeg_lossy,
    uid.JPEGExtended12Bit: _jpeg_lossy,
    syntaxes.JPEG_SPECTRAL_SELECTION: _jpeg_lossy,
    syntaxes.JPEG_FULL_PROGRESSION: _jpeg_lossy,
    uid.JPEGLossless: _jpeg_lossless,
    uid.JPEGLosslessSV1: _jpeg_lossless,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _jpeg2000,
    uid.JPEG2000: _jpeg2000,
    uid.HTJ2KLossless: _htj2k_lossless,
    uid.HTJ2KLosslessRPCL: _htj2k_lossless,
    uid.HTJ2K: _jpeg2000,
    syntaxes.JPEG_XL_LOSSLESS: _jpeg_xl,
    syntaxes.JPEG_XL_RECOMPRESSION: _jpeg_xl,
    syntaxes.JPEG_XL: _jpeg_xl,
    syntaxes.DEFLATED_FRAMES: _deflated,
}
"""Each decodes one frame, and tells the runner where the samples came out other than declared."""

IMAGE_CODECS: Final = frozenset(DECODERS) - {uid.RLELossless, syntaxes.DEFLATED_FRAMES}
"""Syntaxes that know what a sample is; the others compress containers, unused bits included."""

DECODER_DEPENDENCIES: Final = dict.fromkeys(DECODERS, ("imagecodecs",))
"""What pydicom asks of a plugin's module, as `is_available` and `decode_frame` below."""


def is_available(syntax: str) -> bool:
    """True where the decoder for this syntax is installed."""
    decoder = DECODERS.get(uid.UID(syntax))
    return decoder is _deflated or (decoder is not None and find_spec("imagecodecs") is not None)


def decode_frame(data: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame for pydicom; tells the runner how wide the samples came out."""
    samples = DECODERS[runner.transfer_syntax](data, runner)
    if runner.transfer_syntax in IMAGE_CODECS:
        runner.set_option("bits_allocated", samples.dtype.itemsize * 8)
        runner.set_option("planar_configuration", 0)
    return samples.tobytes()


@cache
def decoder_of(syntax: uid.UID) -> tuple[Decoder, str]:
    """pydicom's decoder for a syntax and the plugin to use; native syntaxes have no plugin.

    Raises `UnsupportedTransferSyntax` where there is none, or it is not installed.
    """
    if not syntax.is_encapsulated:
        return get_decoder(syntax), ""
    if syntax not in DECODERS:
        raise UnsupportedTransferSyntax(f"No decoder for {syntaxes.name(syntax)} ({syntax})")
    # A decoder of pydicom's class that knows our plugin alone; pydicom's own stay as they are
    decoder = Decoder(syntax)
    decoder.add_plugin(OURS, (__name__, decode_frame.__name__))
    if OURS not in decoder.available_plugins:
        raise UnsupportedTransferSyntax(
            f"The decoder for {syntaxes.name(syntax)} ({syntax}) is not installed"
        )
    return decoder, OURS
