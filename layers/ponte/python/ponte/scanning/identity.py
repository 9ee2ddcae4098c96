"""What an instance says it is: its UIDs, its SOP class, and whether that is an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pydicom.charset import python_encoding
from pydicom.uid import MediaStorageDirectoryStorage

from ponte.errors import NotDicom
from ponte.structure import tag_name
from ponte.uid import is_valid_uid

SPECIFIC_CHARACTER_SET, SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080005, 0x00080016, 0x00080018
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E
IDENTITY_TAGS: Final = frozenset(
    {SPECIFIC_CHARACTER_SET, SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID}
)

_IMAGE_STORAGE = "Image Storage"
_OTHER_IMAGES = frozenset(
    {
        "Corneal Topography Map Storage",
        "Enhanced US Volume Storage",
        "Ophthalmic Optical Coherence Tomography B-scan Volume Analysis Storage",
        "Ophthalmic Thickness Map Storage",
        "Parametric Map Storage",
        "Segmentation Storage",
    }
)
_MISSING = {SOP_CLASS_UID: "MISSING_SOP_CLASS"}

Values = Mapping[int, bytes | None]


def text_of(value: bytes | None) -> str:
    """A value as text without its padding, which is behind it; what is no ASCII becomes a sign that no UID
    has."""
    return value.decode("ascii", "replace").rstrip(" \0") if value else ""


def check_uids(values: Values) -> None:
    """Raise `NotDicom`: MISSING_SOP_CLASS, MISSING_UID, BAD_UID.

    The UIDs of study and series may be absent: not every class of instance belongs to one.
    """
    for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID):
        required = tag in (SOP_CLASS_UID, SOP_INSTANCE_UID)
        found = values.get(tag, b"")
        if found is not None and not text_of(found):
            if required:
                raise NotDicom(f"{tag_name(tag)} is absent", code=_MISSING.get(tag, "MISSING_UID"))
        elif not is_valid_uid(text_of(found)):
            raise NotDicom(f"{tag_name(tag)} is not a UID (PS3.5 9.1)", code="BAD_UID")


def is_image_class(sop_class_uid: str) -> bool:
    """True where the standard gives instances of this class pixels, always (PS3.4 B.5, PS3.6 A)."""
    name = UID_dictionary.get(sop_class_uid, ("",))[0]
    return _IMAGE_STORAGE in name or name in _OTHER_IMAGES


def is_directory_class(sop_class_uid: str) -> bool:
    """True for the directory of a file set, a DICOMDIR under whatever name (PS3.10 8.6)."""
    return sop_class_uid == MediaStorageDirectoryStorage


def has_unknown_charset(value: bytes | None) -> bool:
    """True where Specific Character Set (0008,0005) is none of the defined terms (PS3.3 C.12.1.1.2)."""
    if value is None:
        return True
    terms = value.decode("ascii", "replace").strip("\0").split("\\")
    return not all(term.strip() in python_encoding for term in terms)
