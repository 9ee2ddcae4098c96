"""Video streams and instances, made here: sequence headers that encoders wrote, in containers of our own."""

from __future__ import annotations

import struct
from typing import Any

from pydicom.encaps import encapsulate
from pydicom.uid import UID, VideoEndoscopicImageStorage

from tests.factories import encode, make_dataset

START = b"\0\0\1"
H264_HIGH = bytes.fromhex("67640029acd940780227e5c044000003000400000300f03c60c658")
H264_BASELINE = bytes.fromhex("6742c00dd90150878888c044000003000400000300c83c50a920")
H264_444 = bytes.fromhex("67f4000d919b282a10f1f1f808800000030080000019078a14cb")
H264_INTERLACED = bytes.fromhex("67640015acd941410d808800000300080000030190f8a14cb0")
HEVC_MAIN = bytes.fromhex(
    "420101216000000300900000030000030099a003c08010e596566924caf0168080000003008000000f04"
)
HEVC_MAIN_10 = bytes.fromhex(
    "42010102200000030090000003000003003ca00a480f9c92365959a4932bc05a020000030002000003003210"
)
MPEG2 = bytes.fromhex("b31420f213ffffe118000001b5148a00010000")
MPEG1 = bytes.fromhex("b31420f213ffffe118")
PICTURES = START + b"\x09\xf0" + b"\x55" * 400


def bare(header: bytes) -> bytes:
    """An elementary stream: the header, and something behind it."""
    return START + header + PICTURES


def transport(header: bytes, packet: int = 188) -> bytes:
    """A transport stream: a table, sound, and the video in packets of its own."""
    video = START + b"\xe0\0\0\x80\x80\x05" + b"\x21\0\1\0\1" + bare(header)
    sound = START + b"\xc0\0\0\x80\0\0" + bare(MPEG2)
    packets = [_packet(0, b"\0table", starts=True), _packet(0x101, sound[:100], starts=True)]
    packets += [_packet(0x100, video[at : at + 50], starts=not at) for at in range(0, len(video), 50)]
    return b"".join(b"\0" * (packet - 188) + one for one in packets)


def _packet(pid: int, payload: bytes, *, starts: bool) -> bytes:
    stuffing = 188 - 6 - len(payload)
    head = struct.pack(">BHBBB", 0x47, starts << 14 | pid, 0x30, stuffing + 1, 0)
    return head + b"\xff" * stuffing + payload


def program(header: bytes) -> bytes:
    """A program stream of MPEG-2: a pack, sound, and the video with its header cut in two."""
    pack = START + b"\xba" + b"\x44" + b"\0" * 8 + b"\xf8"
    video = bare(header)
    packets = [(0xC0, b"\x55" * 30), (0xE0, video[:9]), (0xE0, video[9:])]
    return pack + b"".join(
        START + bytes([kind]) + struct.pack(">H", len(data) + 3) + b"\x80\0\0" + data
        for kind, data in packets
    )


def mp4(header: bytes, *, moov_last: bool = True) -> bytes:
    """An MP4 of one track of sound and one of video."""
    name, record = (b"hvcC", _hvcc(header)) if header[0] == 0x42 else (b"avcC", _avcc(header))
    entry = _box(b"hvc1" if name == b"hvcC" else b"avc1", b"\0" * 78 + _box(name, record))
    tracks = [_track(_box(b"mp4a", b"\0" * 28)), _track(entry)]
    moov = _box(b"moov", _box(b"mvhd", b"\0" * 100) + b"".join(tracks))
    mdat = struct.pack(">L4sQ", 1, b"mdat", 16 + len(PICTURES)) + PICTURES
    return _box(b"ftyp", b"isom\0\0\0\0") + (mdat + moov if moov_last else moov + mdat)


def _box(name: bytes, inside: bytes) -> bytes:
    return struct.pack(">L", len(inside) + 8) + name + inside


def _track(entry: bytes) -> bytes:
    inside = _box(b"stsd", struct.pack(">LL", 0, 1) + entry)
    for name in (b"stbl", b"minf", b"mdia", b"trak"):
        inside = _box(name, inside)
    return inside


def _avcc(header: bytes) -> bytes:
    return b"\1" + header[1:4] + b"\xff\xe1" + struct.pack(">H", len(header)) + header + b"\1\0\4\x68abc"


def _hvcc(header: bytes) -> bytes:
    arrays = [(32, b"\x40\x01" + b"\x55" * 20), (33, header)]
    listed = b"".join(bytes([0x80 | kind, 0, 1]) + struct.pack(">H", len(u)) + u for kind, u in arrays)
    return b"\1" + b"\0" * 21 + bytes([len(arrays)]) + listed


def make_video(
    stream: bytes, syntax: UID, *, size: tuple[int, int] = (1920, 1080), fragments: int = 1, **attributes: Any
) -> bytes:
    """An endoscopic video of 60 frames at 30 a second; `size` is columns and rows."""
    given = {"Modality": "ES", "NumberOfFrames": 60, "CineRate": 30, "FrameTime": 33.33, **attributes}
    dataset = make_dataset(VideoEndoscopicImageStorage, **given)
    dataset.Columns, dataset.Rows = size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_PARTIAL_420"
    dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.file_meta.TransferSyntaxUID = syntax
    table = b"\xfe\xff\x00\xe0\0\0\0\0"
    pieces = encapsulate([stream], fragments_per_frame=fragments, has_bot=False) if stream else table
    dataset.PixelData = pieces
    dataset["PixelData"].VR = "OB"
    return encode(dataset)
