"""A router that only forwards, until it is killed: arguments are its root and the port to send to."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.unit.router.forwarding import dicom, forwarding, states
from tests.unit.router.store import Store


def main() -> None:
    store = Store(Path(sys.argv[1]))
    with forwarding(store, dicom("pacs", int(sys.argv[2]))):
        while set(states(store, "pacs")) != {"sent"}:
            time.sleep(0.01)
    store.close()


if __name__ == "__main__":
    main()
