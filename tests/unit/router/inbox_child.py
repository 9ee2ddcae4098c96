"""A router that only uploads, until it is killed: arguments are its root and the address of S3."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.unit.router.forwarding import QUICK, forwarding, states
from tests.unit.router.store import Store


def main() -> None:
    store = Store(Path(sys.argv[1]))
    inbox = {
        "kind": "s3", "name": "cloud", "bucket": "inbox-of-test", "region": "us-east-1",
        "endpoint_url": sys.argv[2], "part_bytes": 5 << 20, "deflate": False, "retry": QUICK,
    }  # fmt: skip
    with forwarding(store, inbox):
        while set(states(store, "cloud")) != {"sent"}:
            time.sleep(0.01)
    store.close()


if __name__ == "__main__":
    main()
