"""All texts of the pages: key -> (pt-BR, en). A module for each page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dashboard.words import common, diagnostics, doctor, events, logs, now, quarantine, settings, studies

Texts = Mapping[str, tuple[str, str]]

MODULES: Final = (common, now, studies, quarantine, doctor, logs, events, settings, diagnostics)
WORDS: Final[Texts] = {key: both for module in MODULES for key, both in module.TEXTS.items()}
