"""What is said about an alert, on every channel the same: which, since when, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, Self

State = Literal["raised", "reminder", "over", "test"]
Values = Mapping[str, str | int | float]

DESTINATION_DOWN: Final = "DESTINATION_DOWN"
IMAGES_WAIT: Final = "IMAGES_WAIT"
NOT_PLANNED: Final = "NOT_PLANNED"
DISK_LOW: Final = "DISK_LOW"
NOT_RECEIVING: Final = "NOT_RECEIVING"
CANNOT_COMMIT: Final = "CANNOT_COMMIT"
QUARANTINE_GREW: Final = "QUARANTINE_GREW"
UNDELIVERED: Final = "UNDELIVERED"
CERTIFICATE_EXPIRES: Final = "CERTIFICATE_EXPIRES"
WATCH_FOLDER_GONE: Final = "WATCH_FOLDER_GONE"
PART_FAILED: Final = "PART_FAILED"
TEST: Final = "TEST"
KINDS: Final = (
    DESTINATION_DOWN, IMAGES_WAIT, NOT_PLANNED, DISK_LOW, NOT_RECEIVING, CANNOT_COMMIT, QUARANTINE_GREW,
    UNDELIVERED, CERTIFICATE_EXPIRES, WATCH_FOLDER_GONE, PART_FAILED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. `id` is the same each time it is sent. `subject` is a destination, a certificate or a part
    of the router, or empty. Times are seconds since the epoch. Nothing in it is a patient's."""

    id: str
    kind: str
    subject: str
    state: State
    since: float
    at: float
    values: Values = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """What `plain` gave. Raises `TypeError` for something else."""
        return cls(**plain)
