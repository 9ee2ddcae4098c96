"""Asks the application itself, without a network: what a browser would send, and what it would keep."""

from __future__ import annotations

import html
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers

from tests.asynchronous import finished

FORM = "application/x-www-form-urlencoded"
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Headers
    content: bytes

    @property
    def text(self) -> str:
        return html.unescape(self.content.decode())

    @property
    def location(self) -> str:
        return self.headers.get("location", "")


@dataclass
class Client:
    """One browser, at one address."""

    app: Starlette
    address: str = "127.0.0.1"
    host: str = "127.0.0.1:8501"
    scheme: str = "http"
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    def get(self, path: str, **headers: str) -> Answer:
        """A page."""
        return self.ask("GET", path, b"", headers)

    def post(self, path: str, values: dict[str, str] | None = None, **headers: str) -> Answer:
        """A form, with the token that the page would have had."""
        fields = {"csrf": self.token(), **(values or {})}
        headers = {"content-type": FORM, "origin": f"{self.scheme}://{self.host}", **headers}
        return self.ask("POST", path, urlencode(fields).encode(), headers)

    def token(self) -> str:
        """That of the first form there is."""
        for path in ("/", "/login"):
            found = _TOKEN.search(self.get(path).content.decode())
            if found:
                return found[1]
        raise AssertionError("no form")

    def log_in(self, password: str) -> Answer:
        """By the form."""
        return self.post("/login", {"password": password})

    def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Any request; `headers` replace what is sent by itself, and have `_` for `-`."""
        sent = {"host": self.host, "accept": "text/html", "content-length": str(len(body))}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = finished(self._ask(method, path, body, sent))
        for one in answer.headers.getlist("set-cookie"):
            self.set_cookies.append(one)
            for name, morsel in SimpleCookie(one).items():
                self.cookies[name] = morsel.value
        self.cookies = {name: value for name, value in self.cookies.items() if value}
        return answer

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        url = urlsplit(path)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": self.scheme, "path": url.path, "raw_path": url.path.encode(), "root_path": "",
            "query_string": url.query.encode(), "client": (self.address, 50000), "server": ("box", 8501),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        }  # fmt: skip
        sent: list[MutableMapping[str, Any]] = []
        asked = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> MutableMapping[str, Any]:
            return next(asked, {"type": "http.disconnect"})

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        content = b"".join(one.get("body", b"") for one in sent[1:])
        return Answer(sent[0]["status"], Headers(raw=sent[0]["headers"]), content)
