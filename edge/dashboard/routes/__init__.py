"""The pages: a module for each, with its `routes`, and its `ENTRY` where the navigation has it."""

from __future__ import annotations

from typing import Final

from starlette.routing import BaseRoute

from dashboard.page import Entry
from dashboard.routes import health, login, now, quarantine, studies

_MODULES: Final = (now, studies, quarantine, login, health)


def routes() -> list[BaseRoute]:
    """All of them."""
    return [route for module in _MODULES for route in module.routes]


def navigation() -> tuple[Entry, ...]:
    """What every page links to, in this order."""
    return tuple(module.ENTRY for module in _MODULES if hasattr(module, "ENTRY"))
