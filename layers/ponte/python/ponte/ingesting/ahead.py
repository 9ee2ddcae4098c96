"""Reading one batch while the one before is sent."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress


def one_ahead[T](source: Iterator[T], *, stop: Callable[[], None], drop: Callable[[T], None]) -> Generator[T]:
    """What `source` yields, taken from it in a thread of its own, one item ahead and no more.

    Its errors arrive here, in their turn. When this is closed, `stop` tells `source` to end, which is waited
    for; `drop` gets the item that nobody took.
    """
    coming: Future[T | None] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="ponte-read") as pool:
        try:
            coming = pool.submit(next, source, None)
            while (item := coming.result()) is not None:
                coming = pool.submit(next, source, None)
                yield item
            coming = None
        finally:
            if coming is not None:
                stop()
                _forget(coming, drop)


def _forget[T](coming: Future[T | None], drop: Callable[[T], None]) -> None:
    if coming.cancel():
        return
    with suppress(Exception):  # somebody else's error is on its way already, or nobody wants to know
        item = coming.result()
        if item is not None:
            drop(item)
