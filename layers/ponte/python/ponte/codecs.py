"""Which decoder reads which transfer syntax: one line in `DECODERS` each.

Where pydicom's plugins have no decoder under a permissive licence, or a slow one, the plugin is ours, over
imagecodecs, which is imported when a frame needs it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.pixels.decoders.base import Decoder, DecodeRunner, get_decoder

from ponte import syntaxes
from ponte.colourspace import jpeg_colour
from ponte.errors import UnsupportedTransferSyntax

OURS: Final = "ponte"
_PYLIBJPEG: Final = "pylibjpeg"

Samples = npt.NDArray[Any]


def _jpeg_lossy(data: bytes, runner: DecodeRunner) -> Samples:
    """Baseline, extended and progressive; colour comes back as RGB (PS3.5 8.2.1)."""
    from imagecodecs import jpeg8_decode

    if runner.samples_per_pixel == 1:
        return jpeg8_decode(data)
    said = "RGB" if runner.photometric_interpretation == "RGB" else "YCBCR"
    coded = jpeg_colour(data) or said
    runner.set_option("photometric_interpretation", "RGB")
    return jpeg8_decode(data, colorspace=coded, outcolorspace="RGB")


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


def _deflated(data: bytes, runner: DecodeRunner) -> Samples:
    """Each frame is one deflated stream of native samples (PS3.5 A.4.13)."""
    length = int(runner.frame_length(unit="bytes"))
    frame = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, length)
    samples = np.frombuffer(frame, np.uint8)
    if runner.bits_allocated > 1:
        return samples
    return np.unpackbits(samples, bitorder="little", count=int(runner.frame_length(unit="pixels")))


DECODERS: Final[dict[uid.UID, str | Callable[[bytes, DecodeRunner], Samples]]] = {
    uid.RLELossless: _PYLIBJPEG,
    uid.JPEGBaseline8Bit: _jpeg_lossy,
    uid.JPEGExtended12Bit: _jpeg_lossy,
    syntaxes.JPEG_SPECTRAL_SELECTION: _jpeg_lossy,
    syntaxes.JPEG_FULL_PROGRESSION: _jpeg_lossy,
    uid.JPEGLossless: _jpeg_lossless,
    uid.JPEGLosslessSV1: _jpeg_lossless,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.JPEG2000Lossless: _PYLIBJPEG,
    uid.JPEG2000: _PYLIBJPEG,
    uid.HTJ2KLossless: _PYLIBJPEG,
    uid.HTJ2KLosslessRPCL: _PYLIBJPEG,
    uid.HTJ2K: _PYLIBJPEG,
    syntaxes.JPEG_XL_LOSSLESS: _jpeg_xl,
    syntaxes.JPEG_XL_RECOMPRESSION: _jpeg_xl,
    syntaxes.JPEG_XL: _jpeg_xl,
    syntaxes.DEFLATED_FRAMES: _deflated,
}
"""The name of one of pydicom's own plugins, or a function of ours."""

IMAGE_CODECS: Final = frozenset(DECODERS) - {uid.RLELossless, syntaxes.DEFLATED_FRAMES}
"""Syntaxes that know what a sample is; the others compress containers, unused bits included."""

DECODER_DEPENDENCIES: Final = dict.fromkeys(DECODERS, ("imagecodecs",))
"""What pydicom asks of a plugin's module, as `is_available` and `decode_frame` below."""


def is_available(syntax: str) -> bool:
    """True where the decoder of ours for this syntax is installed."""
    decoder = DECODERS.get(uid.UID(syntax), _PYLIBJPEG)
    return decoder is _deflated or (not isinstance(decoder, str) and find_spec("imagecodecs") is not None)


def decode_frame(data: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame for pydicom; tells the runner how wide the samples came out."""
    decode = DECODERS[runner.transfer_syntax]
    assert not isinstance(decode, str)  # noqa: S101  (only ours are registered with this function)
    samples = decode(data, runner)
    if decode is not _deflated:
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
    chosen = DECODERS[syntax]
    plugin = chosen if isinstance(chosen, str) else OURS
    decoder = _registered(syntax) if plugin == OURS else get_decoder(syntax)
    if plugin not in decoder.available_plugins:
        raise UnsupportedTransferSyntax(
            f"The decoder for {syntaxes.name(syntax)} ({syntax}) is not installed"
        )
    return decoder, plugin


def _registered(syntax: uid.UID) -> Decoder:
    """A decoder of pydicom's class that knows our plugin alone; pydicom's own stay as they are."""
    decoder = Decoder(syntax)
    decoder.add_plugin(OURS, (__name__, decode_frame.__name__))
    return decoder
