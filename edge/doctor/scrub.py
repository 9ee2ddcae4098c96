"""What may not leave the box: secrets are hidden, identifiers are told apart and not told.

AE titles and addresses stay, since they are what one needs; UIDs become a digest with a salt that is thrown
away, so that two lines about the same instance are still seen to be.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from router.config import HIDDEN, RouterConfig
from router.configfile import ENVIRONMENT
from router.destinations import WebServer

_UID: Final = re.compile(r"(?<![\d.])(?:2\.25\.\d+(?:\.\d+)*|\d+(?:\.\d+){4,})(?![\d.])")
_STANDARD: Final = "1.2.840.10008."  # classes and syntaxes: they name nobody
_PROBLEM: Final = re.compile(r"([A-Za-z_][\w.\[\]-]*): ([^'\"]*)")
_LEAST_SECRET: Final = 4
_SECRET_NAME: Final = re.compile(r"PASS|SECRET|TOKEN|KEY|HASH|CREDENTIAL", re.IGNORECASE)
_WELL_KNOWN: Final = (
    *ENVIRONMENT, "HTR_IP", "SCP_PORT", "SCP_SECOND_PORT", "LOG_FILE", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL", "DASHBOARD_HOST", "DASHBOARD_PORT", "DASHBOARD_LANGUAGE", "LANG",
)  # fmt: skip


class Scrubber:
    """Of one bundle: its salt is known to nobody else."""

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        self._salt = secrets.token_bytes(32)
        known = sorted({one for one in hidden if len(one) >= _LEAST_SECRET}, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, value: str) -> str:
        """Without secrets, and with digests in the place of UIDs."""
        found = _UID.sub(self._digest, value)
        return self._secrets.sub(HIDDEN, found) if self._secrets else found

    def _digest(self, match: re.Match[str]) -> str:
        uid = match.group()
        if uid.startswith(_STANDARD):
            return uid
        return "uid-" + hmac.new(self._salt, uid.encode(), hashlib.sha256).hexdigest()[:16]


def secrets_of(config: RouterConfig | None, environment: Mapping[str, str]) -> Iterator[str]:
    """All that is known to be secret, to be looked for wherever it may have got to."""
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and not name.endswith("_FILE"):
            yield value
    if config is not None:
        yield from _secrets_in(config)


def _secrets_in(value: Any) -> Iterator[str]:
    """What is marked as secret, and what the password files hold."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, WebServer) and value.password_file is not None:
        with suppress(OSError):
            yield value.password_file.read_text(encoding="utf-8", errors="replace").strip()
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from _secrets_in(inner)
    elif is_dataclass(value):
        for one in fields(value):
            inner = getattr(value, one.name)
            if one.metadata.get("secret"):
                yield from str(inner).split()
            else:
                yield from _secrets_in(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _secrets_in(inner)


def shown_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of ours; of those that are secret, that they are set."""
    found = {name: environment[name] for name in _WELL_KNOWN if name in environment}
    prefixes = ("AWS_", "DASHBOARD_", "PONTE_")
    for name in environment:
        if name.startswith(prefixes) and name not in found:
            found[name] = HIDDEN
    return dict(sorted(found.items()))


def without_values(problem: str) -> str:
    """A problem of the configuration by its name, up to where it quotes what stood there: that may be a
    secret in the wrong place."""
    problem, sign, _ = problem.partition("is no YAML")  # what follows quotes the file
    found = _PROBLEM.match(problem + sign) if not sign else None
    if found is None:
        return problem + sign if sign else "…"
    return found.group() + ("…" if found.end() < len(problem) else "")


def hidden_addresses(value: Any) -> Any:
    """The same values, where an address on the web is its origin alone: what follows may be a secret."""
    if isinstance(value, dict):
        return {key: hidden_addresses(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [hidden_addresses(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return re.sub(r"[?#].*$", "", re.sub(r"//[^/@]*@", "//", value))
    return value
