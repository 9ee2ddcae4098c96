"""HTTP requests as API Gateway HTTP API events (payload format 2.0), and the answers back."""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it came over the wire; `target` is the path with its query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    api_id: str = "local"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets. `headers` never has a Content-Length."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Joined:
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)


def event_of(request: Request) -> Event:
    """The event that API Gateway would send for the request.

    The peer of the connection alone is `sourceIp`: X-Forwarded-For stays a header like any other.
    """
    path, _, query = request.target.partition("?")
    joined = _join(request.headers)
    body, is_base64 = _body(request.body, joined.headers.get("content-type", ""))
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": joined.headers,
        "requestContext": _context(request, unquote(path), joined.headers),
        "isBase64Encoded": is_base64,
    }
    optional = {
        "cookies": joined.cookies,
        "queryStringParameters": _query(query),
        "body": body,
    }
    return event | {name: value for name, value in optional.items() if value}


def answer_of(result: Any) -> Answer:
    """The HTTP answer for what the function returned.

    A result without `statusCode` is the body of a 200, as the gateway infers it. Raises `ValueError` when the
    result cannot be an answer.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        return Answer(200, (("content-type", "application/json"),), json.dumps(result).encode())
    headers = [(str(name).lower(), str(value)) for name, value in (result.get("headers") or {}).items()]
    for name, values in (result.get("multiValueHeaders") or {}).items():
        headers += [(str(name).lower(), str(value)) for value in values]
    headers += [("set-cookie", str(cookie)) for cookie in result.get("cookies") or ()]
    kept = tuple((name, value) for name, value in headers if name not in ("content-length", "connection"))
    return Answer(int(result["statusCode"]), kept, _bytes(result))


def _bytes(result: Mapping[str, Any]) -> bytes:
    body = result.get("body") or ""
    if not result.get("isBase64Encoded"):
        return body.encode() if isinstance(body, str) else json.dumps(body).encode()
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise ValueError("the function's body is not base64") from error


def _join(headers: Iterable[tuple[str, str]]) -> _Joined:
    """Names in lower case, repeated ones joined by commas, cookies apart."""
    joined = _Joined()
    for name, value in headers:
        key = name.lower()
        if key == "cookie":
            joined.cookies.extend(part.strip() for part in value.split(";") if part.strip())
        elif key in joined.headers:
            joined.headers[key] += f",{value}"
        else:
            joined.headers[key] = value
    return joined


def _query(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    if content_type.lower().startswith(TEXT_TYPES):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return (base64.b64encode(body).decode(), True) if body else ("", False)


def _context(request: Request, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    now = time.time()
    host = headers.get("host", "localhost")
    return {
        "accountId": "anonymous",
        "apiId": request.api_id,
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.peer,
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": uuid.uuid4().hex,
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }
