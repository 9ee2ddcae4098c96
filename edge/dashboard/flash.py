"""What the next page of a visitor says of what was just done."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, Literal

Level = Literal["ok", "warn", "bad"]

_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Flash:
    """`key` names the words; `detail` is what the router said, in its own."""

    level: Level
    key: str
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    detail: str = ""


class Flashes:
    """One for each visitor, until it was shown."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Flash] = OrderedDict()
        self._lock = Lock()

    def put(self, visitor: str, flash: Flash) -> None:
        """To be shown next."""
        with self._lock:
            self._waiting[visitor] = flash
            self._waiting.move_to_end(visitor)
            if len(self._waiting) > _MOST:
                self._waiting.popitem(last=False)

    def take(self, visitor: str) -> Flash | None:
        """What is to be shown, once."""
        with self._lock:
            return self._waiting.pop(visitor, None)
