"""A storage SCP in a process of its own: `python -m bench.receivers NAME PORT FOLDER`, until it is killed.

`ours` is the router's, on its spool: checked, fsynced and committed before each answer. `unsynced` writes a
file for each instance and promises nothing, as the others do. `pynetdicom` is its server as it comes.
"""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from ponte.filemeta import part10_head
from ponte.quarantine import FolderQuarantine
from router.config import DiskConfig, LimitsConfig, ListenerConfig, RouterConfig
from router.counters import Counters
from router.intake import DiskLimits, SpoolIntake
from router.listen import listen
from router.listener import Endpoint
from router.memory import share_arenas
from router.reception import SUCCESS, Asked, AssociationFacts, Ending, Reception, Referenced
from router.scp import ConnectionLimits, Scp
from router.spool import Spool
from router.startup import open_store

HOST = "127.0.0.1"
PROCESSES = (2, 3)


def ours(port: int, folder: Path, processes: int = 1) -> None:
    """The router's receiving and nothing else of it; so many processes carry associations."""
    spool = Spool(folder)
    spool.make()
    quarantine, counters = FolderQuarantine(folder), Counters()
    committer, _ = open_store(spool, quarantine)
    intake = SpoolIntake(spool, committer, quarantine, Nothing(folder), counters, limits=DiskLimits(0, 0, 0))
    config = RouterConfig(
        listeners=(ListenerConfig(port, HOST),),
        dicom_root=folder,
        limits=LimitsConfig(processes, associations_per_address=64),
        disk=DiskConfig(0, 0, warning_bytes=0),
        log_level="WARNING",
    )
    share_arenas()
    listen(config, intake, counters).start()
    signal.pause()


def unsynced(port: int, folder: Path) -> None:
    """The same network side, before an intake that writes files."""
    intake = Nothing(folder)
    Scp([Endpoint(port, HOST)], intake, connections=ConnectionLimits(64, 64)).start()
    signal.pause()


def pynetdicom(port: int, folder: Path) -> None:
    """Its own server; the handler writes the dataset that it has in memory."""
    numbers = itertools.count()

    def keep(event: Event) -> int:
        (folder / f"{next(numbers)}.dcm").write_bytes(event.encoded_dataset())
        return SUCCESS

    ae = AE()
    ae.maximum_associations = 64
    ae.maximum_pdu_size = 131072
    ae.supported_contexts = AllStoragePresentationContexts
    ae.add_supported_context(Verification)
    ae.start_server((HOST, port), block=True, evt_handlers=[(evt.EVT_C_STORE, keep)])


class Nothing:
    """An intake that keeps files and promises nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def refuses_associations(self) -> str | None:
        return None

    def association_opened(self, facts: AssociationFacts) -> None:
        pass

    def association_closed(self, facts: AssociationFacts, how: Ending) -> None:
        pass

    def begin(self, asked: Asked) -> Reception:
        return _File(self._folder / f"{next(self._numbers)}.dcm", asked)

    def commitment_asked(
        self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]
    ) -> int:
        raise NotImplementedError

    def commitment_reported(
        self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]
    ) -> int:
        raise NotImplementedError

    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        raise NotImplementedError


class _File:
    def __init__(self, path: Path, asked: Asked) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(part10_head(asked.sop_class_uid, asked.sop_instance_uid, asked.transfer_syntax_uid))

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._file.write(piece)

    def finish(self) -> int:
        self._file.close()
        return SUCCESS

    def abandon(self) -> None:
        self._file.close()


RECEIVERS: dict[str, Callable[[int, Path], None]] = {
    "ours": ours,
    **{f"ours-{processes}": partial(ours, processes=processes) for processes in PROCESSES},
    "unsynced": unsynced,
    "pynetdicom": pynetdicom,
}

if __name__ == "__main__":
    RECEIVERS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
