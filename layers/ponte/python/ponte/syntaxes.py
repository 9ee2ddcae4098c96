"""Transfer syntaxes: those of pydicom's dictionary, and those that are younger than it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

ENCAPSULATED_UNCOMPRESSED: Final = UID("1.2.840.10008.1.2.1.98")
JPEG_SPECTRAL_SELECTION: Final = UID("1.2.840.10008.1.2.4.53")
JPEG_FULL_PROGRESSION: Final = UID("1.2.840.10008.1.2.4.55")
JPIP_REFERENCED: Final = UID("1.2.840.10008.1.2.4.94")
JPIP_REFERENCED_DEFLATE: Final = UID("1.2.840.10008.1.2.4.95")
JPEG_XL_LOSSLESS: Final = UID("1.2.840.10008.1.2.4.110")
JPEG_XL_RECOMPRESSION: Final = UID("1.2.840.10008.1.2.4.111")
JPEG_XL: Final = UID("1.2.840.10008.1.2.4.112")
DEFLATED_FRAMES: Final = UID("1.2.840.10008.1.2.8.1")

_YOUNGER: Final = {
    JPEG_XL_LOSSLESS: ("JPEG XL Lossless", "JPEGXLLossless"),
    JPEG_XL_RECOMPRESSION: ("JPEG XL JPEG Recompression", "JPEGXLJPEGRecompression"),
    JPEG_XL: ("JPEG XL", "JPEGXL"),
    DEFLATED_FRAMES: ("Deflated Image Frame Compression", "DeflatedImageFrameCompression"),
}

# pydicom takes a UID that is not in its dictionary for no transfer syntax at all
for _uid, (_name, _keyword) in _YOUNGER.items():
    UID_dictionary.setdefault(_uid, (_name, "Transfer Syntax", "", "", _keyword))


@lru_cache(maxsize=256)
def is_known(uid: str) -> bool:
    """True for a transfer syntax of the standard (PS3.6 A), private ones excluded."""
    return uid in UID_dictionary and UID(uid).is_transfer_syntax


def name(uid: str) -> str:
    """The standard's name of the transfer syntax, or the UID itself."""
    return str(UID(uid).name)
