"""The two languages. Every text of a page comes through `Words`, by a key that both have."""

from __future__ import annotations

from typing import Final

from dashboard.config import LANGUAGES, Language
from dashboard.words import WORDS

COOKIE: Final = "ponte_language"
_MOST_RANGES = 20


def chosen(cookie: str, accept: str, default: Language) -> Language:
    """What the reader chose, else what the browser asks for first (RFC 9110 12.5.4), else the box's own."""
    for language in LANGUAGES:
        if cookie == language:
            return language
    return next((found for one in _ranges(accept) if (found := _matching(one))), default)


def _ranges(accept: str) -> list[str]:
    """Language ranges, the most wanted first; what cannot be read counts little."""
    found: list[tuple[float, int, str]] = []
    for at, one in enumerate(accept.split(",")[:_MOST_RANGES]):
        name, _, weight = one.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0:
            found.append((-quality, at, name.strip().lower()))
    return [name for _, _, name in sorted(found)]


def _matching(name: str) -> Language | None:
    primary = name.partition("-")[0]
    return next((one for one in LANGUAGES if one.lower().partition("-")[0] == primary), None)


class Words:
    """The texts of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._at = LANGUAGES.index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The text, with its values. Raises `KeyError` for a key that there is not."""
        text = WORDS[key][self._at]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """True where there is such a text."""
        return key in WORDS

    def count(self, key: str, number: int, **values: object) -> str:
        """The text for so many: `key.one` or `key.other`, with `{number}`."""
        return self(f"{key}.one" if number == 1 else f"{key}.other", number=self.number(number), **values)

    def number(self, value: float) -> str:
        """With a sign between thousands."""
        text = f"{value:,.0f}"
        return text.replace(",", ".") if self._at == 0 else text

    def decimal(self, value: float, digits: int = 1) -> str:
        """With so many digits."""
        text = f"{value:,.{digits}f}"
        return text.translate(str.maketrans(",.", ".,")) if self._at == 0 else text
