"""pydicom's warnings and log lines kept in: they may quote values, and values may name a patient."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
import zlib
from contextlib import AbstractContextManager

BROKEN_INPUT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # RecursionError, NotImplementedError and every error of imagecodecs are of this kind
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise, between them, on input that is broken."""

_SILENT = logging.CRITICAL + 1


class _Gate(AbstractContextManager[None]):
    """Counts who is inside: Python's warning filters belong to the process, not to a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = logging.NOTSET
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._filters = warnings.catch_warnings()
            self._filters.__enter__()
            warnings.filterwarnings("ignore", module=r"pydicom\b")
            logger = logging.getLogger("pydicom")
            self._level = logger.level
            logger.setLevel(_SILENT)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                logging.getLogger("pydicom").setLevel(self._level)
                self._filters.__exit__(None, None, None)


_GATE = _Gate()


def quiet() -> AbstractContextManager[None]:
    """Drop what pydicom warns and logs meanwhile; from several threads at once, nested or not."""
    return _GATE
