"""What a clinic sets for the dashboard: variables of `.env`, or of the environment, beside the router's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, get_args

from router.config import RouterConfig
from router.configfile import BadConfiguration, load, own_variables

Language = Literal["pt-BR", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

VARIABLES: Final = (
    "DASHBOARD_HOST",
    "DASHBOARD_PORT",
    "DASHBOARD_PASSWORD_HASH",
    "DASHBOARD_VIEWER_PASSWORD_HASH",
    "DASHBOARD_TLS_CERTIFICATE",
    "DASHBOARD_TLS_KEY",
    "DASHBOARD_LANGUAGE",
    "DASHBOARD_IDLE_MINUTES",
    "DASHBOARD_SESSION_HOURS",
    "DASHBOARD_METRICS_TOKEN",
)
_LEAST_TOKEN: Final = 16
_ARGON2: Final = "$argon2"


@dataclass(frozen=True, slots=True)
class DashboardConfig:
    """Where it listens, who may look and who may act, and the router whose box it shows.

    Without a password whoever reaches it is an operator: it listens on a loopback address alone. `idle_s` is
    how long a session lasts without a page being asked for, `session_s` how long at all. Without a
    `metrics_token` metrics are for this machine alone.
    """

    router: RouterConfig
    host: str = "127.0.0.1"
    port: int = 8501
    password_hash: str = field(default="", repr=False, metadata={"secret": True})
    viewer_password_hash: str = field(default="", repr=False, metadata={"secret": True})
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    language: Language = "pt-BR"
    idle_s: float = 3600.0
    session_s: float = 12 * 3600.0
    metrics_token: str = field(default="", repr=False, metadata={"secret": True})
    configuration: Path | None = None
    env_file: Path | None = None
    """The files that all of it was read from."""

    @property
    def has_password(self) -> bool:
        """True where somebody has to say who they are."""
        return bool(self.password_hash)

    @property
    def is_loopback(self) -> bool:
        """True where only this machine reaches it."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    @property
    def has_tls(self) -> bool:
        """True where browsers come by HTTPS."""
        return self.tls_certificate is not None

    def warnings(self) -> list[str]:
        """What is allowed and seldom meant."""
        if self.is_loopback or self.has_tls:
            return []
        return ["DASHBOARD_TLS_CERTIFICATE is not set: passwords and names cross the network in the clear"]


def read(
    path: Path | None, environment: Mapping[str, str], *, env_file: Path | None = None
) -> DashboardConfig:
    """The configuration. Raises `BadConfiguration` with all that is wrong, the router's included."""
    problems: list[str] = []
    said = own_variables(VARIABLES, environment, env_file, problems)
    router: RouterConfig | None = None
    try:
        router = load(path, environment, env_file=env_file)
    except BadConfiguration as error:
        problems += error.problems
    host = _host(said, problems)
    port = _number(said, "DASHBOARD_PORT", 8501, range(1 << 16), problems)
    operator, viewer = (_hash(said, f"DASHBOARD_{one}PASSWORD_HASH", problems) for one in ("", "VIEWER_"))
    certificate, key = (_file(said, f"DASHBOARD_TLS_{one}", problems) for one in ("CERTIFICATE", "KEY"))
    language = _language(said, problems)
    idle_s = 60.0 * _number(said, "DASHBOARD_IDLE_MINUTES", 60, range(1, 24 * 60 + 1), problems)
    longest_s = 3600.0 * _number(said, "DASHBOARD_SESSION_HOURS", 12, range(1, 24 * 7 + 1), problems)
    token = _token(said, problems)
    if router is None or problems:
        raise BadConfiguration(problems)
    found = DashboardConfig(
        router,
        host,
        port,
        operator,
        viewer,
        certificate,
        key,
        language,
        idle_s,
        longest_s,
        token,
        path,
        env_file,
    )
    if problems := _disagreements(found):
        raise BadConfiguration(problems)
    return found


def _disagreements(config: DashboardConfig) -> list[str]:
    """What is right by itself and wrong together."""
    problems = []
    if not config.has_password and not config.is_loopback:
        problems.append(
            f"DASHBOARD_PASSWORD_HASH: is not set, and DASHBOARD_HOST is {config.host}; without a password it"
            " listens on 127.0.0.1 alone. `ponte dashboard password` makes one"
        )
    if config.viewer_password_hash and not config.has_password:
        problems.append(
            "DASHBOARD_VIEWER_PASSWORD_HASH: is set without DASHBOARD_PASSWORD_HASH, the operator's"
        )
    if (config.tls_certificate is None) != (config.tls_key is None):
        problems.append("DASHBOARD_TLS_CERTIFICATE and DASHBOARD_TLS_KEY: expected both or none")
    return problems


def _host(said: Mapping[str, str], problems: list[str]) -> str:
    host = said["DASHBOARD_HOST"] or "127.0.0.1"
    try:
        return host if host == "localhost" else str(ip_address(host))
    except ValueError:
        problems.append(f"DASHBOARD_HOST: {host!r} is no IP address")
        return "127.0.0.1"


def _number(said: Mapping[str, str], name: str, default: int, expected: range, problems: list[str]) -> int:
    value = said[name] or str(default)
    if value.isascii() and value.isdigit() and int(value[:9]) in expected and len(value) < 9:
        return int(value)
    problems.append(f"{name}: expected a whole number from {expected[0]} to {expected[-1]}")
    return default


def _hash(said: Mapping[str, str], name: str, problems: list[str]) -> str:
    """Never quoted: whoever set the password itself there by mistake would find it in a log."""
    value = said[name]
    if value and not value.startswith(_ARGON2):
        problems.append(f"{name}: is no argon2 hash; `ponte dashboard password` makes one")
        return ""
    return value


def _token(said: Mapping[str, str], problems: list[str]) -> str:
    value = said["DASHBOARD_METRICS_TOKEN"]
    if value and not (len(value) >= _LEAST_TOKEN and value.isascii() and value.isprintable()):
        problems.append(f"DASHBOARD_METRICS_TOKEN: expected at least {_LEAST_TOKEN} characters of ASCII")
    return value


def _file(said: Mapping[str, str], name: str, problems: list[str]) -> Path | None:
    if not said[name]:
        return None
    path = Path(said[name])
    if not path.is_file():
        problems.append(f"{name}: {path} is no file that can be read")
    return path


def _language(said: Mapping[str, str], problems: list[str]) -> Language:
    value = said["DASHBOARD_LANGUAGE"] or LANGUAGES[0]
    if value not in LANGUAGES:
        problems.append(
            f"DASHBOARD_LANGUAGE: {value!r:.20} is not spoken; expected one of {', '.join(LANGUAGES)}"
        )
        return LANGUAGES[0]
    return value
