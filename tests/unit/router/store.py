"""A spool with all that keeps instances, for tests: driven as an association would, by one call a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import FileDataset

from ponte.quarantine import FolderQuarantine
from ponte.scan import scan
from router.counters import Counters
from router.database import Instance
from router.intake import DiskLimits, SpoolIntake
from router.reception import SUCCESS, Asked, AssociationFacts, Referenced
from router.spool import Spool
from router.startup import SpoolLock, open_store
from tests.factories import encode

FACTS = AssociationFacts("association-1", "MODALITY", "STORESCP", "192.0.2.7", "104", 1.7e9)
LITTLE = "1.2.840.10008.1.2.1"
NO_LIMITS = DiskLimits(0, 0)


class NoCommitments:
    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        return SUCCESS


class Store:
    """Open it again to see what a restart finds."""

    def __init__(self, root: Path, *, limits: DiskLimits = NO_LIMITS) -> None:
        self.spool = Spool(root)
        self.spool.make()
        self.lock = SpoolLock(self.spool)
        self.quarantine = FolderQuarantine(root)
        self.committer, self.findings = open_store(self.spool, self.quarantine)
        self.counters = Counters()
        self.intake = SpoolIntake(
            self.spool, self.committer, self.quarantine, NoCommitments(), self.counters, limits=limits
        )

    def store(self, dataset: bytes, sop_class_uid: str, sop_instance_uid: str, *, piece: int = 4096) -> int:
        """As C-STORE does: the status."""
        asked = Asked(FACTS, sop_class_uid, sop_instance_uid, LITTLE)
        reception = self.intake.begin(asked)
        for at in range(0, len(dataset), piece):
            reception.write(memoryview(dataset)[at : at + piece])
        return reception.finish()

    def send(self, instance: FileDataset) -> int:
        return self.store(dataset_of(instance), instance.SOPClassUID, instance.SOPInstanceUID)

    def kept(self, uid: str) -> Instance | None:
        found = self.committer.run(lambda database: database.kept(uid))
        assert found is None or isinstance(found, Instance)
        return found

    def count(self) -> int:
        return int(str(self.committer.run(lambda database: database.count_kept())))

    def bytes_of(self, uid: str) -> bytes:
        instance = self.kept(uid)
        assert instance is not None
        return self.spool.path_of(instance.place).read_bytes()[instance.dataset_start :]

    def quarantined(self) -> list[str]:
        """The reasons."""
        return sorted(kept.record.reason for kept in self.quarantine.list())

    def files(self) -> list[str]:
        """All that is in the spool but for the rows."""
        return [*self.spool.places(), *(path.name for path in self.spool.incoming.iterdir())]

    def close(self) -> None:
        self.committer.close()
        self.lock.release()


def dataset_of(instance: FileDataset) -> bytes:
    """As it travels in a C-STORE."""
    data = encode(instance)
    return data[scan([data]).dataset_start or 0 :]
