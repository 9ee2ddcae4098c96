"""A sign of life while a job is worked on: its lease and its message are prolonged together.

Both are short, so that a worker that was killed is replaced within minutes, however long a render may take.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 4


@contextmanager
def beating(beat: Callable[[], None], *, lease_s: float) -> Iterator[None]:
    """Call `beat` some times in each lease until the block ends.

    A beat that fails is logged and the next one tried: the work itself notices when the job is lost.
    """
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(lease_s / BEATS_PER_LEASE):
            try:
                beat()
            except Exception as error:  # noqa: BLE001  the boundary of this thread
                logger.warning("lease not prolonged", extra={"error_type": type(error).__name__})

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
