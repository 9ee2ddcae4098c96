"""How a chest is named in what machines and people write of a body part."""

from __future__ import annotations

import unicodedata
from typing import Final

CHEST: Final = ("CHEST", "THORA", "TORAX", "TORAC", "PECHO", "PEITO", "LUNG", "PULM")
"""English, Portuguese and Spanish, without accents; PS3.16 L has CHEST, LUNG and THORAX."""


def plain(text: str) -> str:
    """In capitals, without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text.upper()) if not unicodedata.combining(c))
