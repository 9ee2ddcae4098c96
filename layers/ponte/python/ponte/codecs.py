"""Which decoder reads which transfer syntax: one line in `DECODERS` each.

pydicom's plugins have no decoder under a permissive licence for some, and slow ones for others; its runner
copies every frame twice. So these are called as they are, most of them from imagecodecs, which is imported
when a frame needs it and lets other threads run meanwhile. Each was chosen by measuring, and is proved equal
to another decoder on real files (tests/integration/test_codecs.py).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import uid

from ponte import syntaxes
from ponte.codestream import read_codestream
from ponte.colourspace import JpegColour, jpeg_colour
from ponte.description import PixelDescription
from ponte.errors import CannotDecode, LimitExceeded, UnsupportedTransferSyntax
from ponte.native import Frame, arranged, native_frame
from ponte.quiet import BROKEN_INPUT

_RLE_HEADER: Final = struct.Struct("<16L")
_RLE_PADDING: Final = 128  # bytes that a writer may have put after a segment, at most

_CAP: Final = 0xFF50
_COD: Final = 0xFF52

Samples = npt.NDArray[Any]


def decode(data: bytes, d: PixelDescription, halvings: int = 0) -> Frame:
    """The only frame in `data`: values of (rows, columns) or (rows, columns, 3), as they are stored.

    Each of `halvings` makes rows and columns half as many, rounded up; syntaxes of `HALVING` alone can, and a
    code stream at most `most_halvings` times. Bits above High Bit are whatever they are in the file, and
    signed values may come as bit patterns. What a code stream transforms on its own comes back as RGB.
    Raises `CannotDecode`, `LimitExceeded` (MEMORY), `UnsupportedTransferSyntax`.
    """
    decoder = decoder_of(d.transfer_syntax_uid)
    try:
        frame = decoder(data, d, halvings)
    except ImportError as error:
        name = f"{syntaxes.name(d.transfer_syntax_uid)} ({d.transfer_syntax_uid})"
        raise UnsupportedTransferSyntax(f"The decoder for {name} is not installed") from error
    except MemoryError as error:
        raise LimitExceeded("The frame does not fit in memory") from error
    except BROKEN_INPUT as error:
        raise CannotDecode("The decoder refused the frame") from error
    expected = tuple(-(-side >> halvings) for side in (d.rows, d.columns))
    if frame.values.shape != (expected if d.samples == 1 else (*expected, d.samples)):
        raise CannotDecode("The decoder answered a picture of another size", code="PIXEL_HEADER_MISMATCH")
    return frame


def decoder_of(syntax: uid.UID) -> Decoder:
    """Raises `UnsupportedTransferSyntax`."""
    if syntax not in DECODERS:
        raise UnsupportedTransferSyntax(f"No decoder for {syntaxes.name(syntax)} ({syntax})")
    return DECODERS[syntax]


def most_halvings(data: bytes, d: PixelDescription) -> int:
    """How often this frame can be decoded at half its size.

    Not at all where samples may be wider than Bits Stored: the smaller picture has values of its own, which
    must not lose their upper bits.
    """
    header = read_codestream(data) if d.transfer_syntax_uid in HALVING else None
    return 0 if header is None or header.precision > d.bits_stored else header.levels


def _jpeg_lossy(data: bytes, d: PixelDescription, _: int) -> Frame:
    """Baseline, extended and progressive; colour comes back as RGB (PS3.5 8.2.1)."""
    from imagecodecs import jpeg8_decode

    if d.samples == 1:
        return Frame(jpeg8_decode(data), d.photometric)
    coded = coded_colour(data, d.photometric)
    return Frame(jpeg8_decode(data, colorspace=coded, outcolorspace="RGB"), "RGB")


def coded_colour(data: bytes, photometric: str) -> JpegColour:
    """What a lossy colour JPEG is coded in: by what it says itself, else by the dataset."""
    return jpeg_colour(data) or ("RGB" if photometric == "RGB" else "YCBCR")


def _jpeg_lossless(data: bytes, d: PixelDescription, _: int) -> Frame:
    """Processes 14 and 14 SV1: the samples as they are, in whatever colour space."""
    from imagecodecs import jpeg8_decode

    if d.samples == 1:
        return Frame(jpeg8_decode(data), d.photometric)
    return Frame(jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"), _whole_range(d))


def _jpeg_ls(data: bytes, d: PixelDescription, _: int) -> Frame:
    """Lossless and near-lossless, any interleaving; signed samples come back as bit patterns."""
    from imagecodecs import jpegls_decode

    return Frame(jpegls_decode(data), _whole_range(d))


def _jpeg_xl(data: bytes, d: PixelDescription, _: int) -> Frame:
    from imagecodecs import jpegxl_decode

    return Frame(jpegxl_decode(data), "RGB" if d.samples == 3 else d.photometric)


def _jpeg2000(data: bytes, d: PixelDescription, halvings: int) -> Frame:
    """Any code stream of JPEG 2000, HTJ2K included; what it transforms itself comes back as RGB.

    Colour under a lossy syntax is left to pylibjpeg's build of OpenJPEG, against which this is measured: the
    irreversible colour transform computes in floats, and one build rounds not quite as another.
    """
    from imagecodecs import jpeg2k_decode

    if d.samples == 3 and not halvings and d.transfer_syntax_uid in (uid.JPEG2000, uid.HTJ2K):
        from openjpeg.utils import decode as openjpeg_decode

        return Frame(openjpeg_decode(data), _untransformed(d))
    return Frame(jpeg2k_decode(data, skipres=halvings), _untransformed(d))


def _htj2k_lossless(data: bytes, d: PixelDescription, halvings: int) -> Frame:
    """OpenJPH, where the code stream is what its syntax says: of lossy colour it makes something else.

    At half the size it lets samples leave their range, black becomes white there; OpenJPEG does not.
    """
    from imagecodecs import htj2k_decode

    if halvings or not _is_reversible_htj2k(data):
        return _jpeg2000(data, d, halvings)
    return Frame(htj2k_decode(data), _untransformed(d))


def _untransformed(d: PixelDescription) -> str:
    """The decoder has undone what the code stream did (PS3.5 8.2.4)."""
    return "RGB" if d.photometric in ("YBR_ICT", "YBR_RCT") else _whole_range(d)


def _whole_range(d: PixelDescription) -> str:
    """No code stream has YCbCr of a reduced range."""
    return d.photometric.replace("PARTIAL", "FULL")


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


def _rle(data: bytes, d: PixelDescription, _: int) -> Frame:
    """PackBits, a segment for each byte of each sample, the most significant first (PS3.5 G).

    Segment by segment: `imagecodecs.dicomrle_decode` lets a long segment make up for a short one.
    """
    from imagecodecs import packbits_decode

    pixels, width = d.rows * d.columns, max(d.bits_allocated // 8, 1)
    size = pixels if d.bits_allocated > 1 else (pixels + 7) // 8
    planes = np.empty((d.samples, size, width), np.uint8)
    for number, segment in enumerate(_rle_segments(data, d.samples * width)):
        plane = packbits_decode(segment, out=size + _RLE_PADDING)
        planes[number // width, :, width - 1 - number % width] = np.frombuffer(plane, np.uint8, size)
    if d.bits_allocated == 1:
        samples: Samples = np.unpackbits(planes, bitorder="little", count=pixels)
    else:
        samples = planes.view(f"<u{width}").reshape(-1)
    return Frame(arranged(samples, d, planar=1), _whole_range(d))


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


def _deflated(data: bytes, d: PixelDescription, _: int) -> Frame:
    """Each frame is one deflated stream of native samples (PS3.5 A.4.13)."""
    length = (d.frame_bits + 7) // 8
    return native_frame(zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, length), d, 0)


Decoder = Callable[[bytes, PixelDescription, int], Frame]

DECODERS: Final[dict[uid.UID, Decoder]] = {
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
"""Each decodes one frame of a description, at half its size as often as the last argument says."""

HALVING: Final = frozenset(
    {uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K}
)
"""Syntaxes whose code streams hold smaller versions of the picture (T.800 B.5)."""

IMAGE_CODECS: Final = frozenset(DECODERS) - {uid.RLELossless, syntaxes.DEFLATED_FRAMES}
"""Syntaxes that know what a sample is; the others compress containers, unused bits included."""
