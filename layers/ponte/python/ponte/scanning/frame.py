"""One encoded frame while its bytes go by: what its header says, and whether it has its end.

Only the header is kept. PS3.5 A.4, G; ITU-T T.81 B.2.1.
"""

from __future__ import annotations

from typing import Final

from pydicom.uid import (
    HEVCM10P51,
    HEVCMP51,
    JPEG2000MC,
    UID,
    JPEG2000MCLossless,
    MPEGTransferSyntaxes,
    RLELossless,
    SMPTEST211020UncompressedInterlacedActiveVideo,
    SMPTEST211020UncompressedProgressiveActiveVideo,
    SMPTEST211030PCMDigitalAudio,
)

from ponte.codestream import Codestream, read_codestream, read_rle_offsets
from ponte.errors import CannotDecode
from ponte.jpeg2000 import least_length
from ponte.limits import FrameShape, check_codestream, check_deflated, check_rle, short_frame
from ponte.syntaxes import DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED

SIGNATURE_BYTES: Final = 12
OPAQUE: Final = frozenset(
    {
        *MPEGTransferSyntaxes,
        JPEG2000MC,
        JPEG2000MCLossless,
        HEVCMP51,
        HEVCM10P51,
        SMPTEST211020UncompressedInterlacedActiveVideo,
        SMPTEST211020UncompressedProgressiveActiveVideo,
        SMPTEST211030PCMDigitalAudio,
    }
)
"""Transfer syntaxes whose frames cannot be told apart without decoding."""
_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG, JPEG-LS
    b"\xff\x4f\xff\x51",  # JPEG 2000, HTJ2K
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    b"\xff\x0a",  # JPEG XL
    b"\x00\x00\x00\x0cJXL \r\n\x87\n",
)
_JPEG = b"\xff\xd8"
_END_OF_IMAGE, _SCAN = b"\xff\xd9", b"\xff\xda"
_RLE_HEADER = 64
_HEADERS = (2 << 10, 64 << 10, 1 << 20)  # bytes after which the header is tried: profiles may precede it


class Frame:
    """A frame of which nothing is known but how long it is. `index` counts from 0."""

    wants_bytes = False

    def __init__(self, shape: FrameShape, index: int) -> None:
        self._shape = shape
        self._index = index
        self._length = 0

    def add(self, length: int) -> None:
        """A fragment of the frame begins."""
        self._length += length

    def piece(self, data: bytes) -> None:
        """The next bytes."""

    def finish(self) -> None:
        """The frame is over. Raises `CannotDecode` (PIXEL_LENGTH, PIXEL_HEADER_MISMATCH)."""
        if not self._length:
            raise short_frame(self._index)


class NativeFrame(Frame):
    """As it would be without encapsulation (PS3.5 A.4.11)."""

    def finish(self) -> None:
        if self._length < self._shape.frame_bits // 8:
            raise short_frame(self._index)


class DeflatedFrame(Frame):
    """PS3.5 A.4.13."""

    def finish(self) -> None:
        super().finish()
        check_deflated(self._length, self._shape, self._index)


class RleFrame(Frame):
    """PS3.5 G."""

    def __init__(self, shape: FrameShape, index: int) -> None:
        super().__init__(shape, index)
        self.wants_bytes = True
        self._head = b""

    def piece(self, data: bytes) -> None:
        self._head += data[: _RLE_HEADER - len(self._head)]
        self.wants_bytes = len(self._head) < _RLE_HEADER

    def finish(self) -> None:
        super().finish()
        check_rle(read_rle_offsets(self._head, self._length), self._length, self._shape, self._index)


class CodestreamFrame(Frame):
    """JPEG, JPEG-LS, JPEG 2000, HTJ2K, JPEG XL."""

    def __init__(self, shape: FrameShape, index: int) -> None:
        super().__init__(shape, index)
        self.wants_bytes = True
        self._head = bytearray()
        self._header: Codestream | None = None
        self._tries = list(_HEADERS)
        self._last = b""
        self._has_end: bool | None = None  # None as long as it is no JPEG

    def piece(self, data: bytes) -> None:
        if self._tries:
            self._collect(data)
        if self._has_end is None and len(self._head) >= len(_JPEG):
            self._has_end = False if self._head.startswith(_JPEG) else None
        if self._has_end is not None:
            self._look_for_end(data)
        self.wants_bytes = bool(self._tries) or self._has_end is not None

    def _collect(self, data: bytes) -> None:
        """Gather the header; it is tried at the same lengths however the bytes are cut."""
        while self._tries and data:
            step = data[: self._tries[0] - len(self._head)]
            self._head += step
            data = data[len(step) :]
            if len(self._head) < self._tries[0]:
                return
            self._header = read_codestream(bytes(self._head))
            self._tries = [] if self._header else self._tries[1:]

    def _look_for_end(self, data: bytes) -> None:
        """An end marker counts when no scan follows. Decoders fill in gray what is missing, in silence."""
        data = self._last + data
        end = data.rfind(_END_OF_IMAGE)
        scan = data.rfind(_SCAN, max(end, 0))
        if scan >= 0:
            self._has_end = False
        elif end >= 0:
            self._has_end = True
        self._last = data[-1:]

    def finish(self) -> None:
        super().finish()
        if self._tries:
            self._header = read_codestream(bytes(self._head))
        if self._header is None:
            raise CannotDecode(
                f"Frame {self._index + 1} has no header that can be read", code="PIXEL_HEADER_MISMATCH"
            )
        check_codestream(self._header, self._shape, self._index)
        if self._has_end is False or self._length < least_length(bytes(self._head)):
            raise short_frame(self._index)


def frame_class(syntax: UID) -> type[Frame]:
    """How the frames of a transfer syntax are looked at."""
    if syntax in OPAQUE:
        return Frame
    if syntax == RLELossless:
        return RleFrame
    if syntax == DEFLATED_FRAMES:
        return DeflatedFrame
    if syntax == ENCAPSULATED_UNCOMPRESSED:
        return NativeFrame
    return CodestreamFrame


def begins_frame(data: bytes) -> bool:
    """True for a fragment that begins like a code stream, rather than going on with one."""
    return data.startswith(_SIGNATURES)
