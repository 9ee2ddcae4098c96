"""Reading a request body from outside: size, depth and meaning checked before anything looks into it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ponte.errors import InvalidRequest

MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 20


class BodyTooLarge(InvalidRequest):
    """More than a request for a render can need."""

    default_code = "BODY_TOO_LARGE"


class AmbiguousJson(InvalidRequest):
    """JSON that two readers would read differently, or that is built to hurt one."""

    default_code = "INVALID_JSON"


class MalformedJson(InvalidRequest):
    """Not JSON at all."""

    default_code = "INVALID_JSON"


def check_body(event: Mapping[str, Any]) -> bytes:
    """Check the body of a gateway event, and answer its bytes.

    Raises `BodyTooLarge`, `MalformedJson`, `AmbiguousJson`.
    """
    body = event.get("body")
    if not body:
        return b""
    if len(body) > 2 * MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
    text = _text(body) if event.get("isBase64Encoded") else body
    raw = text.encode(errors="surrogatepass")
    if len(raw) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise AmbiguousJson(f"the JSON is nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise MalformedJson(f"JSON decode error: {error}") from None
    if _depth(value) > MAX_DEPTH:
        raise AmbiguousJson(f"the JSON is nested more than {MAX_DEPTH} deep")
    return raw


def _text(body: str) -> str:
    try:
        return base64.b64decode(body, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise MalformedJson("the body is not UTF-8 text") from None


def _refuse_constant(name: str) -> NoReturn:
    raise AmbiguousJson(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise AmbiguousJson("a key stands twice in one object")
    return value


def _depth(value: Any) -> int:
    """Nesting of lists and objects. The parser bounds it, so that this may recurse."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0
