"""How a page is made: a template, what it shows, and what all pages have."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from dashboard.config import LANGUAGES
from dashboard.flash import Flash
from dashboard.language import Words
from dashboard.shown import Shown, plain

STATIC: Final = Path(__file__).with_name("static")
_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the navigation: `nav.<key>` are its words, `icon` is a picture of `icons.html`."""

    key: str
    path: str
    icon: str


@cache
def environment() -> Environment:
    """The templates: what they show is escaped, and what is not there is an error."""
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals["static"] = static_path
    found.globals["flash_words"] = _flash_words
    found.filters["plain"] = plain
    return found


@cache
def static_path(name: str) -> str:
    """Where a file of ours is had; another content has another address, so that it may be kept."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. Templates have `t`, `n` (words, words for so many), `show` (times, sizes, names), `role`,
    `csrf`, `flash`, `navigation`, `path` and what is in `values`."""
    return HTMLResponse(text_of(request, template, with_flash=True, **values), status)


def text_of(request: Request, template: str, *, with_flash: bool = False, **values: Any) -> str:
    """The same as text: a part of a page."""
    state, app = request.state, request.app.state
    words = words_of(request)
    return (
        environment()
        .get_template(template)
        .render(
            {
                "t": words,
                "n": words.count,
                "show": Shown(words, ZoneInfo(app.config.router.timezone), time.time()),
                "role": state.role,
                "is_operator": state.role == "operator",
                "csrf": state.csrf,
                "flash": app.flashes.take(state.visitor) if with_flash else None,
                "navigation": app.navigation,
                "path": request.url.path,
                "here": _here(request),
                "languages": LANGUAGES,
                "is_open": not app.config.has_password,
                "box": app.config.router.ae_title,
                **values,
            }
        )
    )


def words_of(request: Request) -> Words:
    """The texts in the reader's language."""
    return Words(request.state.language)


def problem(request: Request, status: int, key: str, *, detail: str = "", **values: Any) -> HTMLResponse:
    """A page that says what is wrong and what to do: the words are `key` and `key.do`, with `values`."""
    return render(request, "problem.html", status=status, key=key, detail=detail, values=values)


def _flash_words(flash: Flash, words: Words) -> str:
    values = dict(flash.values)
    number = values.pop("number", None)
    return words(flash.key, **values) if number is None else words.count(flash.key, number, **values)


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
