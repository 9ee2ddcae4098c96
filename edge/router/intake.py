"""What happens to an instance that arrives: written, looked at and digested while it comes, then kept or put
into quarantine, and only then answered. The statuses are those of PS3.4 B.2.3."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from ponte.errors import StorageFull, TransientError
from ponte.filemeta import part10_head
from ponte.quarantine import Quarantine, QuarantineRecord
from ponte.scan import Scanner, Verdict
from ponte.scanning.identity import text_of
from ponte.uid import is_valid_uid
from router.committer import Settlement
from router.counters import Counters
from router.database import Instance, Study
from router.failpoint import failpoint
from router.reception import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    INVALID_UID,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    Asked,
    AssociationFacts,
    Ending,
    Reception,
    Referenced,
    RefusedInstance,
)
from router.spool import Partial, Spool
from router.watermarks import Watermarks

log = logging.getLogger(__name__)

CHARACTER_SET: Final = 0x00080005
STUDY_DATE: Final = 0x00080020
STUDY_TIME: Final = 0x00080030
ACCESSION_NUMBER: Final = 0x00080050
MODALITY: Final = 0x00080060
STUDY_DESCRIPTION: Final = 0x00081030
PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
KEPT_TAGS: Final = frozenset(
    {
        CHARACTER_SET, STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, MODALITY, STUDY_DESCRIPTION, PATIENT_NAME,
        PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID,
    }
)  # fmt: skip
NO_SUCH_INSTANCE: Final = 0x0112
_CHUNK = 1 << 20


class Keeper(Protocol):
    """Who gives instances their place and their row, as far as receiving needs it."""

    @property
    def is_well(self) -> bool:
        """False while nothing can be committed."""
        ...

    def arrive(
        self, partial: Partial, instance: Instance, study: Study, facts: AssociationFacts
    ) -> Settlement:
        """See `Committer.arrive`."""
        ...

    def close_association(self, association_id: str, how: Ending, ended_at: float) -> None:
        """Note how and when it ended. Raises `NotCommitted`."""
        ...

    def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a part at a time."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
