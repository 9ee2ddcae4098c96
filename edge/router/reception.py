"""The seam between associations and what keeps instances: the network on one side, the disk on the other.

The association side parses and negotiates; it knows no file. The keeping side writes, checks and commits; it
knows no socket. A status is returned only when all that it promises is durable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ponte.errors import PonteError

SUCCESS: Final = 0x0000
"""Durable, or an identical duplicate, or kept beside another of its UID (PS3.7 C.1.1)."""
PROCESSING_FAILURE: Final = 0x0110
"""Something else went wrong here (PS3.7 C.5.21)."""
INVALID_UID: Final = 0x0117
"""The SOP Instance UID is not a UID (PS3.7 C.5.13)."""
OUT_OF_RESOURCES: Final = 0xA700
"""Disk, queue or database: the same instance may be sent again later (PS3.4 B.2.3)."""
DOES_NOT_MATCH: Final = 0xA900
"""The dataset is not what the command says, or an image without pixels (PS3.4 B.2.3)."""
CANNOT_UNDERSTAND: Final = 0xC000
"""The dataset cannot be read (PS3.4 B.2.3)."""

Ending = Literal["released", "aborted", "lost", "timed_out", "drained"]


@dataclass(frozen=True, slots=True)
class AssociationFacts:
    """An association that was accepted. `listener` is the name of the one it came by; AE titles as they came,
    without padding; `started_at` in seconds since the epoch."""

    id: str
    calling_ae_title: str
    called_ae_title: str
    address: str
    listener: str
    started_at: float
    tls_subject: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One C-STORE-RQ as it came (PS3.7 9.1.1): the UIDs are the command's, not yet the dataset's."""

    association: AssociationFacts
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Referenced:
    """One SOP instance for which Storage Commitment is asked (PS3.4 J.3.2.1.1)."""

    sop_class_uid: str
    sop_instance_uid: str


class RefusedInstance(PonteError):
    """The instance is not wanted. Its dataset is to be read and thrown away, and `status` answered."""

    default_code = "INTERNAL"

    def __init__(self, status: int, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.status = status


class Reception(Protocol):
    """One dataset while it arrives. It is in the hands of one thread at a time."""

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; they are the caller's again when this returns.

        Raises `RefusedInstance` when the instance cannot be kept. Then the rest is to be read and thrown
        away, its status answered, and `abandon` called.
        """
        ...

    def finish(self) -> int:
        """The C-STORE status, once all that it promises is durable. Never raises, and needs no `abandon`."""
        ...

    def abandon(self) -> None:
        """The association is gone, or the instance refused: leave nothing. Harmless when repeated."""
        ...


class Intake(Protocol):
    """What keeps instances. Any thread may call it; an association's calls come from one."""

    def refuses_associations(self) -> str | None:
        """Why no association is to be accepted now, or None: `disk`, `queue`, `draining`, `stopping`. A
        rejection transient, so that the peer tries again (PS3.8 9.3.4)."""
        ...

    def association_opened(self, facts: AssociationFacts) -> None:
        """An association was accepted. Never raises."""
        ...

    def association_closed(self, facts: AssociationFacts, how: Ending) -> None:
        """An association is over. Never raises."""
        ...

    def begin(self, asked: Asked) -> Reception:
        """Make ready for a dataset. Raises `RefusedInstance`."""
        ...

    def commitment_asked(
        self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]
    ) -> int:
        """Storage Commitment: the N-ACTION status (PS3.4 J.3.2.1), once the request is durable. The result
        goes out later, on an association of its own. Never raises."""
        ...

    def commitment_reported(
        self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]
    ) -> int:
        """A destination says what it commits to, and what it does not, by SOP Instance UID: the
        N-EVENT-REPORT status (PS3.4 J.3.3), once that is durable. Never raises."""
        ...
