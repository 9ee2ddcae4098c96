"""What an archive held that somebody else is to be told of: studies, and chest radiographs in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from ponte.chest import CHEST, plain
from ponte.ingest import Entry, Settled
from ponte.uid import is_valid_uid

STUDY_INSTANCE_UID: Final = 0x0020000D
BODY_PART_EXAMINED: Final = 0x00180015
KEEP: Final = frozenset({STUDY_INSTANCE_UID, BODY_PART_EXAMINED})

# By class, so that what Ponte makes itself (reports, secondary captures) never comes back to the classifier.
_RADIOGRAPHS = frozenset({ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation})


@dataclass(slots=True)
class Found:
    """Studies that were delivered, each with its chest radiographs, by UID."""

    studies: dict[str, list[str]] = field(default_factory=dict)

    def take(self, settled: Settled) -> None:
        """Note what of these was delivered; a duplicate was told of when it came first."""
        for entry in settled.entries:
            study = _text(entry.values.get(STUDY_INSTANCE_UID))
            if entry.verdict != "accepted" or not entry.delivered or not is_valid_uid(study):
                continue
            chest = self.studies.setdefault(study, [])
            if entry.sop_instance_uid and is_chest_radiograph(entry) and entry.sop_instance_uid not in chest:
                chest.append(entry.sop_instance_uid)

    def add(self, other: Found) -> None:
        """Add an earlier part."""
        for study, chest in other.studies.items():
            known = self.studies.setdefault(study, [])
            known.extend(one for one in chest if one not in known)

    @property
    def chest(self) -> dict[str, list[str]]:
        """Studies with chest radiographs."""
        return {study: chest for study, chest in self.studies.items() if chest}

    @classmethod
    def from_json(cls, part: Mapping[str, Any]) -> Self:
        return cls({study: list(chest) for study, chest in part.items()})


def is_chest_radiograph(entry: Entry) -> bool:
    """Whether it is a radiograph to look at, of a chest or of nobody says what (PS3.3 C.8.1, C.8.11)."""
    if entry.sop_class_uid not in _RADIOGRAPHS:
        return False
    part = _text(entry.values.get(BODY_PART_EXAMINED))
    return not part or any(word in part for word in CHEST)


def _text(value: bytes | None) -> str:
    """A value in capitals, without accents and padding."""
    if not value:
        return ""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return plain(text).strip(" \0")
