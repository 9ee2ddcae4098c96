"""The pages: a module for each, with its `routes`, and its `ENTRY` where the navigation has it."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute

from dashboard.page import Entry
from dashboard.routes import (
    diagnostics,
    doctor,
    events,
    health,
    login,
    logs,
    now,
    quarantine,
    receipt,
    settings,
    studies,
)

_MODULES: Final = (
    now, studies, quarantine, doctor, logs, events, settings, diagnostics, receipt, login, health,
)  # fmt: skip


def routes() -> list[BaseRoute]:
    """All of them."""
    return [route for module in _MODULES for route in module.routes]


def navigation() -> tuple[Entry, ...]:
    """What every page links to, in this order."""
    return tuple(module.ENTRY for module in _MODULES if hasattr(module, "ENTRY"))
