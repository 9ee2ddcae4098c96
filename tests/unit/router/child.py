"""A process that keeps instances until it is killed: `python -m tests.unit.router.child ROOT THREADS COUNT`.

It prints a line when it is ready, and `STATUS UID` for each instance once it was answered.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Thread

from tests.factories import make_ct
from tests.unit.router.store import Store, dataset_of


def main() -> None:
    root, threads, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = Store(root)
    print_line("ready")

    def send(series: int) -> None:
        for number in range(count):
            instance = make_ct(number, series=series)
            status = store.store(dataset_of(instance), instance.SOPClassUID, instance.SOPInstanceUID)
            print_line(f"{status:04X} {instance.SOPInstanceUID}")

    workers = [Thread(target=send, args=(series,)) for series in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store.close()


def print_line(text: str) -> None:
    """In one piece, so that a line that arrives is a line that was meant."""
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    main()
