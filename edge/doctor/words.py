"""What the doctor says, in Portuguese and in English: every phrase has both.

Keys are `STEP.what`, and `STEP.what_advice` where it says what to do. Values that come from outside are made
printable and short; who shows a phrase on a page escapes it there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from doctor.phrases import PHRASES

LANGUAGES: Final = ("pt-BR", "en")
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Phrase:
    """A key, and what goes into it."""

    key: str
    values: Mapping[str, str] = field(default_factory=dict)

    def text(self, language: str) -> str:
        """In one of `LANGUAGES`."""
        values = {name: say(_clean(value), language) for name, value in self.values.items()}
        return say(self.key, language).format_map(values)


def say(key: str, language: str) -> str:
    """The phrase as it stands; a text that is no key, such as a cell of a table, as it is."""
    both = PHRASES.get(key)
    return both[LANGUAGES.index(language)] if both else _clean(key)


def is_known(key: str) -> bool:
    """Whether there is a phrase of this key."""
    return key in PHRASES


def when(at: float) -> str:
    """A time in words that are the same in both languages."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _clean(value: str) -> str:
    shown = "".join(one if one.isprintable() else "?" for one in value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
