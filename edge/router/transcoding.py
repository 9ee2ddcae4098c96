"""An instance in another transfer syntax, for a destination that refuses the one it has.

Always uncompressed: no information is lost on top of what is lost already. Nothing but the encoding of the
pixels and what describes it changes; the instance stays the same one (PS3.3 C.7.6.1.1.5).
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

import numpy as np
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from ponte.codecs import DECODERS, IMAGE_CODECS
from ponte.description import PixelDescription
from ponte.destination import Outgoing
from ponte.errors import CannotDecode, LimitExceeded
from ponte.native import Frame
from ponte.pixels import PixelReader, native_endian
from ponte.quiet import BROKEN_INPUT, quiet
from ponte.scan import Scanner
from ponte.syntaxes import DEFLATED_FRAMES, JPEG_XL_LOSSLESS
from router.destinations import Transcode
from router.loads import Load

TARGETS: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""In this order; every peer must take the last (PS3.5 10.1)."""
NATIVE: Final = frozenset({*TARGETS, DeflatedExplicitVRLittleEndian})
LOSSLESS: Final = frozenset(
    {
        RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless,
        HTJ2KLosslessRPCL, JPEG_XL_LOSSLESS, DEFLATED_FRAMES,
    }
)  # fmt: skip
"""A code stream of these may still be a lossy one; what it says is what everybody decodes."""
MOST_BYTES: Final = 1 << 30
_REMEMBERED_S = 3600.0
_CHUNK = 1 << 20
_OFFSET_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


class Transcoder:
    """What one destination is sent in place of syntaxes that it refuses. For several threads."""

    def __init__(self, allowed: Transcode, folder: Path) -> None:
        self._allowed = allowed
        self._folder = folder
        self._refused: dict[tuple[str, str], tuple[float, tuple[str, ...]]] = {}

    def can_help(self, one: Load) -> bool:
        """True while there is a syntax left that may be tried in place of the one that was just refused."""
        source = one.whole.transfer_syntax_uid
        one.refused = (*one.refused, one.outgoing.transfer_syntax_uid)
        return self._may_decode(source) and self._target(one) is not None

    def knows_refused(self, one: Load) -> bool:
        """True where the destination refused such an instance not long ago, and took it in another syntax."""
        until, refused = self._refused.get(_kind(one), (0.0, ()))
        if until < time.monotonic():
            return False
        one.refused = refused
        return True

    def accepted(self, one: Load) -> None:
        """The destination has taken it as it was sent."""
        if one.refused:
            self._refused[_kind(one)] = (time.monotonic() + _REMEMBERED_S, one.refused)

    def transcode(self, one: Load) -> None:
        """Make the load one in the next syntax to be tried. Raises `PermanentError`."""
        target = self._target(one)
        if target is None:
            raise CannotDecode("No transfer syntax is left to try")
        stream = cast("BinaryIO", TemporaryFile(dir=self._folder))  # noqa: SIM115  closed with the load
        one.files = (*one.files, stream)
        one.replace_by(transcoded(one.whole, target, stream))

    def _target(self, one: Load) -> UID | None:
        return next((target for target in TARGETS if target not in one.refused), None)

    def _may_decode(self, source: str) -> bool:
        if self._allowed == "never":
            return False
        return source in NATIVE | LOSSLESS or (self._allowed == "any" and source in DECODERS)


def transcoded(instance: Outgoing, target: UID, stream: BinaryIO) -> Outgoing:
    """The instance in a native syntax, written to `stream`. Raises `PermanentError`: it is held back rather
    than changed in any other way. PS3.5 8.1, A.1, A.2."""
    size = instance.size_bytes
    if size > MOST_BYTES:
        raise LimitExceeded(f"The instance has {size} bytes; {MOST_BYTES} at most are transcoded")
    with TemporaryFile() as whole:
        for chunk in instance.chunks(size):
            whole.write(chunk)
        whole.seek(0)
        try:
            with quiet():
                dataset = dcmread(whole)
                if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
                    _decode(dataset)
                dataset.file_meta.TransferSyntaxUID = target
                dcmwrite(stream, dataset, implicit_vr=target.is_implicit_VR, little_endian=True)
        except BROKEN_INPUT as error:
            raise CannotDecode(f"It cannot be transcoded: {type(error).__name__}") from error
    return _checked(instance, target, stream)


def _decode(dataset: FileDataset) -> None:
    """Put native pixels in the place of the compressed ones."""
    description = PixelDescription.from_dataset(dataset, "PixelData")
    if description.bits_allocated % 8:
        raise CannotDecode("Bits Allocated (0028,0100) is 1; expected 8 or more to transcode")
    reader = PixelReader(dataset, description)
    pixels = bytearray()
    photometric = description.photometric
    for index in range(description.frames):
        frame = reader.frame(index)
        pixels += _bytes_of(frame, description)
        photometric = frame.photometric.removesuffix("_422").removesuffix("_420")
        if len(pixels) > MOST_BYTES:
            raise LimitExceeded(f"Its pixels have more than {MOST_BYTES} bytes")
    dataset.PixelData = bytes(pixels) + b"\0" * (len(pixels) % 2)
    dataset["PixelData"].VR = "OW" if description.bits_allocated > 8 else "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.PhotometricInterpretation = photometric
    if description.samples > 1:
        dataset.PlanarConfiguration = 0
    for keyword in _OFFSET_TABLES:
        with suppress(AttributeError):
            delattr(dataset, keyword)


def _bytes_of(frame: Frame, d: PixelDescription) -> bytes:
    """Samples in Bits Allocated; signed ones with their sign up to the highest bit, where the code stream
    knew no more than Bits Stored."""
    values = native_endian(frame.values)
    if values.dtype.itemsize * 8 > d.bits_allocated:
        raise CannotDecode("The decoder answers wider samples than Bits Allocated (0028,0100)")
    wide = values.astype(f"<{'i' if d.signed else 'u'}{d.bits_allocated // 8}")
    if d.signed and d.transfer_syntax_uid in IMAGE_CODECS and d.high_bit == d.bits_stored - 1:
        unused = d.bits_allocated - d.bits_stored
        wide = np.right_shift(np.left_shift(wide, unused), unused)
    return wide.tobytes()


def _checked(instance: Outgoing, target: UID, stream: BinaryIO) -> Outgoing:
    """What was written is an instance, and the same one."""
    scanner = Scanner()
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        scanner.feed(chunk)
    verdict = scanner.finish()
    if verdict.reason is not None or verdict.sop_instance_uid != instance.sop_instance_uid:
        raise CannotDecode(f"What was transcoded is no instance: {verdict.reason}")
    return Outgoing(
        instance.sop_instance_uid, stream, instance.sop_class_uid, str(target), verdict.dataset_start or 0
    )


def _kind(one: Load) -> tuple[str, str]:
    return one.whole.sop_class_uid, one.whole.transfer_syntax_uid
