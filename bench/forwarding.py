"""A router in a process of its own: `python -m bench.forwarding PORT FOLDER TARGET_PORT`, until it is killed.

It receives durably and forwards to DCMTK's `storescp`; nothing is removed, so that the rows tell the times.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from bench.receivers import HOST, Nothing
from ponte.quarantine import FolderQuarantine
from router.counters import Counters
from router.destinations import read_destinations
from router.forwarder import build
from router.intake import DiskLimits, SpoolIntake
from router.listener import Endpoint
from router.scp import ConnectionLimits, Scp
from router.spool import Spool
from router.startup import open_store


def main() -> None:
    port, folder, target = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    spool = Spool(folder)
    spool.make()
    quarantine, counters = FolderQuarantine(folder), Counters()
    committer, _ = open_store(spool, quarantine)
    limits = DiskLimits(0, 0)
    intake = SpoolIntake(spool, committer, quarantine, Nothing(folder), counters, limits=limits)
    values = {"kind": "dicom", "name": "pacs", "host": HOST, "port": target, "ae_title": "STORESCP"}
    build(read_destinations([values]), committer, spool, counters).start()
    Scp([Endpoint(port, HOST)], intake, connections=ConnectionLimits(64, 64)).start()
    signal.pause()


if __name__ == "__main__":
    main()
