"""What an instance says, as text: decoded by its Specific Character Set (PS3.5 6.1, PS3.3 C.12.1.1.2)."""

from __future__ import annotations

import unicodedata
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from ponte.quiet import BROKEN_INPUT, quiet

_MOST_BYTES: Final = 1024
_PADDING = " \0\t\r\n"
_BETWEEN_WORDS = str.maketrans("^=\\,", "    ")


def text_value(value: bytes | None, character_set: bytes | None) -> str:
    """A value without padding, "" where there is none. What cannot be decoded has a substitute, and of a
    value beyond 1024 bytes the beginning is taken: no attribute that is asked for may be as long."""
    return _decoded(value, character_set, TEXT_VR_DELIMS)


def person_name(value: bytes | None, character_set: bytes | None) -> str:
    """The first group of a Person Name that says anything, with its carets: `DOE^JOHN` (PS3.5 6.2.1.1)."""
    groups = whole_name(value, character_set).split("=")
    return next((group for group in map(_stripped, groups) if group), "")


def whole_name(value: bytes | None, character_set: bytes | None) -> str:
    """All groups of a Person Name, with what stands between them."""
    return _decoded(value, character_set, PN_DELIMS)


def folded(text: str) -> str:
    """What a search compares: without case, accents, and what stands between the parts of a name."""
    spread = unicodedata.normalize("NFKD", text.casefold()).translate(_BETWEEN_WORDS)
    return " ".join("".join(one for one in spread if not unicodedata.combining(one)).casefold().split())


def _decoded(value: bytes | None, character_set: bytes | None, delimiters: set[int]) -> str:
    if not value:
        return ""
    terms = [term.strip() for term in (character_set or b"").decode("ascii", "replace").split("\\")]
    with quiet():
        try:
            text = decode_bytes(value[:_MOST_BYTES], convert_encodings([*terms]), delimiters)
        except BROKEN_INPUT:
            text = value[:_MOST_BYTES].decode("ascii", "replace")
    return _stripped(text)


def _stripped(text: str) -> str:
    return text.strip(_PADDING)
