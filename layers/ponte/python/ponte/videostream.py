"""What a video stream says of itself: container, codec, profile, size and rate, without decoding a picture.

Only the first bytes are looked at, and of MP4 the boxes that describe its tracks. What is broken has no
header: the answer is None, never an error. ITU-T H.222.0 (MPEG-2 systems), H.262 (MPEG-2 video), H.264,
H.265, ISO/IEC 14496-12 and -15 (MP4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ponte.videoheader import SequenceHeader, h264, hevc, mpeg2

_HEAD = 1 << 20  # bytes within which a stream must say what it is
_TS_PACKET, _M2TS_PACKET, _SYNC = 188, 192, 0x47
_PACK: Final = b"\0\0\1\xba"
_VIDEO_IDS = range(0xE0, 0xF0)
_SEQUENCE_HEADER = 0xB3
_H264_SPS, _HEVC_SPS = 7, 33
_HEVC_SPS_START: Final = b"\x42\x01"  # of the base layer
_MP4_FIRST: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_BOXES = 1000  # that are looked at; a real file has about a hundred
_TRACK_PATH: Final = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


@dataclass(frozen=True, slots=True)
class VideoStream:
    """A stream whose header could be read. `container` is "" for a bare elementary stream."""

    container: str
    header: SequenceHeader


def read_stream(data: bytes | memoryview) -> VideoStream | None:
    """What the stream says of itself; None where no header is found in its first megabyte."""
    view = memoryview(data)
    try:
        if bytes(view[4:8]) in _MP4_FIRST:
            header = _mp4(view)
            return VideoStream("MP4", header) if header else None
        container, payload = _payload(view)
        header = _elementary(payload)
    except (IndexError, struct.error):
        return None
    return VideoStream(container, header) if header else None


def _payload(view: memoryview) -> tuple[str, bytes]:
    """The container and the first bytes of its video."""
    for size in (_TS_PACKET, _M2TS_PACKET):
        start = size - _TS_PACKET
        if len(view) > start + size and view[start] == view[start + size] == _SYNC:
            return "MPEG-TS", b"".join(_transport(view, size))
    if bytes(view[:4]) == _PACK:
        return "MPEG-PS", b"".join(_program(bytes(view[:_HEAD])))
    return "", bytes(view[:_HEAD])


def _transport(view: memoryview, size: int) -> Iterator[bytes]:
    """The payload of the first video among the packets (H.222.0 2.4.3.2)."""
    video = None
    for offset in range(size - _TS_PACKET, min(len(view), 2 * _HEAD) - _TS_PACKET + 1, size):
        packet = bytes(view[offset : offset + _TS_PACKET])
        if packet[0] != _SYNC:
            return
        pid, starts = (packet[1] & 0x1F) << 8 | packet[2], bool(packet[1] & 0x40)
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if not packet[3] & 0x10:
            continue
        is_video = starts and payload[:3] == b"\0\0\1" and payload[3] in _VIDEO_IDS
        if video is None and is_video:
            video = pid
        if pid == video:
            yield payload[9 + payload[8] :] if is_video else payload


def _program(head: bytes) -> Iterator[bytes]:
    """The payload of the video packets (H.222.0 2.5.3); of MPEG-1 with its short packet headers."""
    offset = 0
    while offset + 9 <= len(head) and head[offset : offset + 3] == b"\0\0\1":
        kind = head[offset + 3]
        if kind == _PACK[3]:
            offset += 14 + (head[offset + 13] & 7) if head[offset + 4] >> 6 == 1 else 12
            continue
        end = offset + 6 + int.from_bytes(head[offset + 4 : offset + 6])
        if kind in _VIDEO_IDS:
            long_header = head[offset + 6] >> 6 == 2
            yield head[offset + 9 + head[offset + 8] if long_header else offset + 6 : end]
        offset = end


def _elementary(stream: bytes) -> SequenceHeader | None:
    """The first sequence header of whichever codec: their start codes cannot be confused at a beginning."""
    offset = stream.find(b"\0\0\1")
    while 0 <= offset < len(stream) - 5:
        unit = stream[offset + 3 : offset + 3 + 512]
        found = None
        if unit[0] == _SEQUENCE_HEADER:
            found = mpeg2(unit)
        elif unit[:2] == _HEVC_SPS_START:
            found = hevc(unit)
        elif unit[0] & 0x9F == _H264_SPS:
            found = h264(unit)
        if found is not None:
            return found
        offset = stream.find(b"\0\0\1", offset + 3)
    return None


def _mp4(view: memoryview) -> SequenceHeader | None:
    """The header of the first video track, from the description of its samples."""
    for description in _descend(view, _TRACK_PATH, [_BOXES]):
        entry = bytes(description[8:4096])  # behind version, flags and the number of entries
        for name, read in ((b"avcC", _avcc), (b"hvcC", _hvcc), (b"esds", _elementary)):
            place = entry.find(name)
            if place >= 0 and (header := read(entry[place + 4 :])) is not None:
                return header
    for media in _descend(view, (b"mdat",), [_BOXES]):  # MPEG-2 has its header among the pictures alone
        header = _elementary(bytes(media[:_HEAD]))
        if header is not None and header.codec.startswith("MPEG"):
            return header
    return None


def _descend(view: memoryview, path: tuple[bytes, ...], left: list[int]) -> Iterator[memoryview]:
    """The contents of every box at this path (14496-12 4.2)."""
    offset = 0
    while offset + 8 <= len(view) and left[0] > 0:
        left[0] -= 1
        size, header = int.from_bytes(view[offset : offset + 4]), 8
        if size == 1:
            size, header = int.from_bytes(view[offset + 8 : offset + 16]), 16
        size = size or len(view) - offset
        if size < header:
            return
        if bytes(view[offset + 4 : offset + 8]) == path[0]:
            inside = view[offset + header : offset + size]
            if len(path) == 1:
                yield inside
            else:
                yield from _descend(inside, path[1:], left)
        offset += size


def _avcc(record: bytes) -> SequenceHeader | None:
    """The first sequence parameter set of an AVC decoder configuration (14496-15 5.3.3)."""
    if not record[5] & 0x1F:
        return None
    length = int.from_bytes(record[6:8])
    return h264(record[8 : 8 + length])


def _hvcc(record: bytes) -> SequenceHeader | None:
    """The first sequence parameter set of an HEVC decoder configuration (14496-15 8.3.3)."""
    offset = 23
    for _ in range(record[22]):
        kind, count = record[offset] & 0x3F, int.from_bytes(record[offset + 1 : offset + 3])
        offset += 3
        for _ in range(min(count, 16)):
            length = int.from_bytes(record[offset : offset + 2])
            if kind == _HEVC_SPS:
                return hevc(record[offset + 2 : offset + 2 + length])
            offset += 2 + length
    return None
