"""Preamble and file meta of an instance that we write, or whose own are not to be trusted (PS3.10 7.1)."""

from __future__ import annotations

import struct
from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.154503763243506119396327320119259961340"
"""Ours: the number of a UUID below 2.25 (PS3.5 B.2)."""
IMPLEMENTATION_VERSION_NAME: Final = "PONTE"

_AE_TITLE_LENGTH = 16
_OPENING = bytes(128) + b"DICM"
_VERSION = struct.pack("<HH2sHL2s", 2, 1, b"OB", 0, 2, b"\x00\x01")  # of the file meta: 1


def part10_head(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, *, source_ae_title: str = ""
) -> bytes:
    """All that stands before the dataset: zeros, the prefix, and file meta that says what follows.

    Explicit VR little endian, whatever the dataset is written in. `source_ae_title` is who sent it; a title
    that is none is left out.
    """
    source = source_ae_title.strip(" ")
    has_source = 0 < len(source) <= _AE_TITLE_LENGTH and source.isascii() and source.isprintable()
    meta = _VERSION + b"".join(
        _element(number, vr, value)
        for number, vr, value in (
            (0x02, b"UI", sop_class_uid),
            (0x03, b"UI", sop_instance_uid),
            (0x10, b"UI", transfer_syntax_uid),
            (0x12, b"UI", IMPLEMENTATION_CLASS_UID),
            (0x13, b"SH", IMPLEMENTATION_VERSION_NAME),
            *([(0x16, b"AE", source)] if has_source else []),
        )
    )
    return _OPENING + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta)) + meta


def _element(number: int, vr: bytes, value: str) -> bytes:
    """An element of group 0002, padded as its VR wants it (PS3.5 6.2)."""
    data = value.encode("ascii")
    if len(data) % 2:
        data += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, number, vr, len(data)) + data
