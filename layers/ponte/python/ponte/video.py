"""A video instance: what it holds, and one frame of it for paper (PS3.5 8.2.5 to 8.2.8, A.4.5 to A.4.11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.uid import UID

from ponte import attributes, poster, syntaxes
from ponte.description import pixel_value
from ponte.display import Window
from ponte.errors import (
    CannotDecode,
    InvalidAttribute,
    MissingAttribute,
    PonteError,
    UnsupportedTransferSyntax,
)
from ponte.frames import item_spans
from ponte.geometry import FrameGeometry, geometry_of
from ponte.image import Image, Picture
from ponte.quiet import quiet
from ponte.videostream import VideoStream, read_stream

CODECS: Final[dict[UID, str]] = {
    **dict.fromkeys((uid.MPEG2MPML, uid.MPEG2MPMLF, uid.MPEG2MPHL, uid.MPEG2MPHLF), "MPEG-2"),
    **dict.fromkeys((uid.MPEG4HP41, uid.MPEG4HP41F, uid.MPEG4HP41BD, uid.MPEG4HP41BDF), "H.264"),
    **dict.fromkeys((uid.MPEG4HP422D, uid.MPEG4HP422DF, uid.MPEG4HP423D, uid.MPEG4HP423DF), "H.264"),
    **dict.fromkeys((uid.MPEG4HP42STEREO, uid.MPEG4HP42STEREOF), "H.264"),
    **dict.fromkeys((uid.HEVCMP51, uid.HEVCM10P51), "HEVC"),
}
"""What a transfer syntax promises; the stream may be something else."""

_ELSEWHERE: Final = {
    uid.SMPTEST211020UncompressedProgressiveActiveVideo: "which is sent live, beside the DICOM objects",
    uid.SMPTEST211020UncompressedInterlacedActiveVideo: "which is sent live, beside the DICOM objects",
    uid.SMPTEST211030PCMDigitalAudio: "which is sound, sent live",
}
_POSTER: Final = "poster frame of a video"
_FURTHEST = 50  # frames into a video that its poster is looked for: each of them is decoded
_MOST_FRAMES = 2**31 - 1
_LEAST_BYTES = 4  # of a coded picture: no start code is shorter


@dataclass(frozen=True, slots=True)
class VideoDescription:
    """What a video is, by its stream's own header, and by the dataset where that says nothing.

    `profile` and `level` are "" where they are not known, `rate`, in frames a second, None. `poster_frame`
    is the number of the frame that may stand for it. `contradicts` is true where dataset and stream differ
    in codec or size. Nothing here is text that people wrote.
    """

    codec: str
    profile: str
    level: str
    container: str
    columns: int
    rows: int
    frames: int
    rate: float | None
    poster_frame: int
    contradicts: bool

    @property
    def compression(self) -> str:
        """`H.264 High@4.1`."""
        return f"{self.codec} {'@'.join(part for part in (self.profile, self.level) if part)}".strip()

    @property
    def seconds(self) -> float | None:
        return self.frames / self.rate if self.rate else None

    def __str__(self) -> str:
        lasting = f", {self.seconds:.1f} s" if self.seconds is not None else ""
        return f"{self.compression} video of {self.columns}x{self.rows}, {self.frames} frames{lasting}"

    def only_poster(self) -> UnsupportedTransferSyntax:
        """Why a video is not shown in full though a frame of it is."""
        return UnsupportedTransferSyntax(
            f"{self}: frame {self.poster_frame} alone is on a page, as its poster"
        )


def open_image(dataset: Dataset) -> Image | Video:
    """The pixels of an instance, still or moving.

    Raises as `Image` and `Video`, and `UnsupportedTransferSyntax` for what is sent beside DICOM objects.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _ELSEWHERE:
        raise UnsupportedTransferSyntax(f"{syntaxes.name(syntax)} ({syntax}), {_ELSEWHERE[syntax]}")
    if syntax in CODECS and "PixelData" in dataset:
        return Video(dataset)
    return Image(dataset)


class Video:
    """One video instance. It is described always; its poster frame is had where there is an ffmpeg.

    Raises `MissingAttribute` (NO_PIXEL_DATA, CANNOT_DECODE) and `InvalidAttribute` (PIXEL_LENGTH where the
    stream cannot hold so many frames).
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        with quiet():
            self._fragments = _fragments(dataset)
            self._stream = read_stream(_beginning(self._fragments))
            self.description = _describe(dataset, self._stream, sum(map(len, self._fragments)))
            self.photometric = attributes.text(dataset, "PhotometricInterpretation")
        self.rows, self.columns, self.samples = self.description.rows, self.description.columns, 3
        self.frame_count = self.description.frames
        self.poster_index = self.description.poster_frame - 1

    def picture(
        self,
        frame_index: int,
        window: Window | None = None,  # noqa: ARG002
        *,
        overlays: bool = False,  # noqa: ARG002
        halvings: int = 0,  # noqa: ARG002
    ) -> Picture:
        """Frame `frame_index`, from 0, as RGB. Video has no windows, overlays or smaller versions.

        Raises as `ponte.poster.frame`, each time with what the video is, and `InvalidAttribute` for a frame
        that is not there.
        """
        if not 0 <= frame_index < self.frame_count:
            raise InvalidAttribute(f"The frame is {frame_index + 1}; expected 1 to {self.frame_count}")
        try:
            if self._stream is None:
                raise CannotDecode("no header was found in the stream")
            pixels = poster.frame(
                self._fragments,
                self._stream.container,
                self._stream.header.codec,
                self.rows * self.columns,
                frame_index,
            )
        except PonteError as error:
            raise type(error)(f"{self.description}: {error.detail}", code=error.code) from None
        return Picture(pixels, None, (_POSTER,))

    def geometry(self, frame_index: int) -> FrameGeometry:
        """Which way the frame lies, and how large its pixels are: only their shape where they are others."""
        with quiet():
            said = geometry_of(self._dataset, frame_index)
        return FrameGeometry(pixel_aspect=said.pixel_aspect) if self.description.contradicts else said


def _fragments(dataset: Dataset) -> tuple[memoryview, ...]:
    """The pieces of the stream, without the offset table."""
    view = memoryview(pixel_value(dataset, "PixelData"))
    fragments = tuple(view[start:end] for start, end in item_spans(view)[1:] if end > start)
    if not fragments:
        raise MissingAttribute(f"{attributes.describe('PixelData')} is empty", code="NO_PIXEL_DATA")
    return fragments


def _beginning(fragments: Sequence[memoryview]) -> memoryview:
    """The stream to look into: joined only where it came in pieces."""
    return fragments[0] if len(fragments) == 1 else memoryview(b"".join(fragments))


def _describe(dataset: Dataset, stream: VideoStream | None, length: int) -> VideoDescription:
    promised = CODECS[UID(dataset.file_meta.TransferSyntaxUID)]
    columns = attributes.required_int(dataset, "Columns", 1, 65535)
    rows = attributes.required_int(dataset, "Rows", 1, 65535)
    frames = attributes.optional_int(dataset, "NumberOfFrames", 1, 1, _MOST_FRAMES)
    if frames * _LEAST_BYTES > length:
        raise InvalidAttribute(
            f"{attributes.describe('PixelData')} has {length} bytes for {frames} frames of video",
            code="PIXEL_LENGTH",
        )
    header = stream.header if stream else None
    return VideoDescription(
        codec=header.codec if header else promised,
        profile=header.profile if header else "",
        level=header.level if header else "",
        container=stream.container if stream else "",
        columns=header.columns if header else columns,
        rows=header.rows if header else rows,
        frames=frames,
        rate=_rate(dataset) or (header.rate if header else None),
        poster_frame=min(frames // 3, _FURTHEST) + 1,
        contradicts=header is not None
        and (header.codec, header.columns, header.rows) != (promised, columns, rows),
    )


def _rate(dataset: Dataset) -> float | None:
    """Frames a second, by the time of a frame or by what is recommended (PS3.3 C.7.6.5)."""
    milliseconds = attributes.to_float(attributes.first(dataset, "FrameTime"))
    if milliseconds and milliseconds > 0:
        return 1000 / milliseconds
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = attributes.to_float(attributes.first(dataset, keyword))
        if rate and rate > 0:
            return rate
    return None
