"""What a clinic sets, as data classes: what the service runs by, and what a dashboard may show.

Read by `router.configfile`. Each field has its default and the check that its value must pass.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from ponte.dicomweb import checked_address
from ponte.errors import PonteError
from ponte.signature import sign
from ponte.uid import is_valid_uid
from router.destinations import Target
from router.rules import Matching
from router.spool import FOLDER_NAME
from watcher.config import Config

Check = Callable[[Any], str]

HIDDEN: Final = "********"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  the default of the old system, with a warning
LANGUAGES: Final = ("pt-BR", "en")
SECURITIES: Final = ("starttls", "tls", "none")
_FIRST_PORT_FOR_ALL = 1024
_MAILBOX: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)*", re.ASCII | re.IGNORECASE)
_NAMESPACE: Final = re.compile(r"(?!AWS/)[\w.#/:-]{1,255}", re.ASCII)
_SITE_DIMENSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SITE: Final = re.compile(r"[\w. -]{1,64}")


def _port(value: int) -> str:
    return "" if 0 < value < 1 << 16 else f"{value} is no port; expected 1 to 65535"


def _positive(value: float) -> str:
    return "" if value > 0 else f"{value} is not above 0"


def _not_negative(value: float) -> str:
    return "" if value >= 0 else f"{value} is below 0"


def _address(value: str) -> str:
    return _problem(lambda: ip_address(value), f"{value!r} is no IP address")


def _network(value: str) -> str:
    return _problem(lambda: ip_network(value, strict=False), f"{value!r} is no IP address or network")


def _zone(value: str) -> str:
    return _problem(lambda: ZoneInfo(value), f"{value!r} is no time zone")


def _ae_title(value: str) -> str:
    title = value.strip(" ")
    fits = 0 < len(title) <= 16 and title.isascii() and title.isprintable() and "\\" not in title
    return "" if fits else f"{value!r} is no AE title; expected 1 to 16 characters of ASCII, no backslash"


def _uid(value: str) -> str:
    return "" if is_valid_uid(value) else f"{value!r} is no UID"


def _level(value: str) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    return "" if value in levels else f"{value!r} is no level; expected one of {', '.join(levels)}"


def _pdu(value: int) -> str:
    return "" if value == 0 or value >= 4096 else f"{value} is too small; expected 0 (any) or at least 4096"


def _language(value: str) -> str:
    return "" if value in LANGUAGES else f"{value!r} is not known; expected one of {', '.join(LANGUAGES)}"


def _security(value: str) -> str:
    return "" if value in SECURITIES else f"{value!r} is not known; expected one of {', '.join(SECURITIES)}"


def _mailbox(value: str) -> str:
    fits = len(value) <= 254 and _MAILBOX.fullmatch(value)
    return "" if fits else f"{value!r} is no e-mail address; expected name@host in ASCII"


def _url(value: str) -> str:
    return _problem(lambda: checked_address(value), "is not http(s)://host[:port]/path without a user")


def _signing_secret(value: str) -> str:
    return _problem(lambda: sign("", 0, [], value.split()), "is not whsec_ and base64 of 24 to 64 bytes")


def _site(value: str) -> str:
    fits = not value or _SITE.fullmatch(value)
    return "" if fits else f"{value!r} does not fit; expected up to 64 letters, digits, spaces, dots, - and _"


def _site_dimension(value: str) -> str:
    fits = _SITE_DIMENSION.fullmatch(value)
    return "" if fits else f"{value!r} does not fit; expected up to 64 of a-z, A-Z, 0-9, - and _"


def _namespace(value: str) -> str:
    return "" if _NAMESPACE.fullmatch(value) else f"{value!r} is no CloudWatch namespace of ours"


def _processes(value: int) -> str:
    return "" if 0 <= value <= 64 else f"{value} is no number of processes; expected 0 to 64"


def _problem(attempt: Callable[[], object], text: str) -> str:
    try:
        attempt()
    except (ValueError, OSError, KeyError, PonteError):
        return text
    return ""


def _checked(check: Check, default: Any = MISSING, *, secret: bool = False, least: int = 0) -> Any:
    """A field that is looked at. `check` gives what is wrong with a value, or with each of several, of which
    there must be `least`."""
    metadata = {"check": check, "secret": secret, "least": least}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS for a listener (PS3.15 B.12). With `client_ca_file` peers must show a certificate."""

    certificate_file: Path
    key_file: Path
    key_password: str = field(default="", repr=False, metadata={"secret": True})
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One address and port that modalities send to."""

    port: int = _checked(_port)
    address: str = _checked(_address, EVERYWHERE)
    name: str = ""
    tls: TlsConfig | None = None

    @property
    def label(self) -> str:
        """How it is called in rows, logs and counters."""
        return self.name or str(self.port)


@dataclass(frozen=True, slots=True)
class AccessConfig:
    """Who may send what; an empty list lets all in."""

    called_ae_titles: tuple[str, ...] = _checked(_ae_title, ())
    calling_ae_titles: tuple[str, ...] = _checked(_ae_title, ())
    addresses: tuple[str, ...] = _checked(_network, ())
    sop_classes: tuple[str, ...] = _checked(_uid, ())


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What associations may take, and how many processes carry them: 0 for one for each core, 4 at most."""

    processes: int = _checked(_processes, 1)
    associations: int = _checked(_positive, 64)
    associations_per_address: int = _checked(_positive, 16)
    max_pdu_bytes: int = _checked(_pdu, 131072)
    instance_bytes: int = _checked(_positive, 8 << 30)
    handshake_s: float = _checked(_positive, 10.0)
    idle_s: float = _checked(_positive, 60.0)
    pdu_s: float = _checked(_positive, 30.0)


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """Free space below which no association, and no instance, is taken; what quarantine may hold; and below
    what there is an alarm."""

    associations_bytes: int = _checked(_not_negative, 2 << 30)
    instances_bytes: int = _checked(_not_negative, 512 << 20)
    quarantine_bytes: int = _checked(_positive, 50 << 30)
    warning_bytes: int = _checked(_not_negative, 20 << 30)


@dataclass(frozen=True, slots=True)
class StudiesConfig:
    """When a study is complete: `quiet_s` after the last image and association, `limit_s` at the latest. How
    long images stay once all destinations have them. How fast the patrol reads."""

    quiet_s: float = _checked(_positive, 60.0)
    limit_s: float = _checked(_positive, 7200.0)
    keep_s: float = _checked(_not_negative, 0.0)
    patrol_bytes_per_s: int = _checked(_positive, 8 << 20)


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """Where a peer listens."""

    host: str
    port: int = _checked(_port, 104)


@dataclass(frozen=True, slots=True)
class CommitmentConfig:
    """Where Storage Commitment reports go: to `peers` by AE title, else to who asked, at `port`."""

    port: int = _checked(_port, 104)
    peers: Mapping[str, PeerConfig] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """Where instances are forwarded."""

    host: str = "192.168.10.16"
    port: int = _checked(_port, 4243)
    ae_title: str = _checked(_ae_title, "ZEROCLICK")


def _name(value: str) -> str:
    fits = 0 < len(value) <= 40 and value.isprintable()
    return "" if fits else f"{value!r} is no name; expected 1 to 40 characters that can be shown"


def _host(value: str) -> str:
    fits = 0 < len(value) <= 253 and value.isprintable() and not any(one in value for one in " /@")
    return "" if fits else f"{value!r} is no host name or address"


@dataclass(frozen=True, slots=True)
class ModalityConfig:
    """A modality that the doctor can ask; nothing else needs it. `test_store` lets it be sent a marked object
    when somebody asks for that."""

    name: str = _checked(_name)
    ae_title: str = _checked(_ae_title)
    host: str = _checked(_host)
    port: int = _checked(_port, 104)
    test_store: bool = False


@dataclass(frozen=True, slots=True)
class EmailConfig:
    """The server that takes alerts as e-mail. `security` is `starttls`, `tls` from the first byte, or
    `none`."""

    host: str
    sender: str = _checked(_mailbox)
    recipients: tuple[str, ...] = _checked(_mailbox, least=1)
    port: int = _checked(_port, 587)
    security: str = _checked(_security, "starttls")
    username: str = ""
    password: str = field(default="", repr=False, metadata={"secret": True})
    ca_file: Path | None = None
    timeout_s: float = _checked(_positive, 20.0)


@dataclass(frozen=True, slots=True)
class AlertWebhookConfig:
    """An address that takes alerts; it is shown nowhere, for with some receivers who knows it may post.
    Several secrets, apart by white space, while one is changed for another."""

    url: str = _checked(_url, secret=True)
    secret: str = _checked(_signing_secret, "", secret=True)
    timeout_s: float = _checked(_positive, 20.0)


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """Who is told of what somebody must see to, from which limits on, and how often again.

    `site` is the clinic's name in them. Without a channel alerts are in the log alone.
    """

    site: str = _checked(_site, "")
    language: str = _checked(_language, "pt-BR")
    unforwarded_s: float = _checked(_positive, 3600.0)
    disk_days: float = _checked(_not_negative, 3.0)
    certificate_days: float = _checked(_not_negative, 30.0)
    remind_s: float = _checked(_positive, 4 * 3600.0)
    every_s: float = _checked(_positive, 15.0)
    email: EmailConfig | None = None
    webhook: AlertWebhookConfig | None = None


@dataclass(frozen=True, slots=True)
class CloudWatchConfig:
    """Where the box says each minute how it is. `site` is the dimension `Site`, one of the stack's
    `EDGE_SITES`; an empty region is that of the environment."""

    site: str = _checked(_site_dimension)
    namespace: str = _checked(_namespace, "Ponte/Edge")
    region: str = ""


@dataclass(frozen=True, slots=True)
class WatchConfig:
    """A folder whose ZIPs go into the router's queue, or, as they are, to the inbox of this name."""

    settings: Config
    to_inbox: str | None = None


@dataclass(frozen=True, slots=True)
class RouterConfig:
    """All of it. `destinations` are those of `router.destinations`; `matching` is `all` or `first`."""

    ae_title: str = _checked(_ae_title, "STORESCP")
    listeners: tuple[ListenerConfig, ...] = (ListenerConfig(104),)
    dicom_root: Path = Path("/home/dicom")
    target: TargetConfig = TargetConfig()
    destinations: tuple[Target, ...] = ()
    matching: Matching = "all"
    timezone: str = _checked(_zone, "America/Sao_Paulo")
    log_level: str = _checked(_level, "INFO")
    log_file: str | None = None
    grace_s: float = _checked(_not_negative, 25.0)
    access: AccessConfig = AccessConfig()
    limits: LimitsConfig = LimitsConfig()
    disk: DiskConfig = DiskConfig()
    studies: StudiesConfig = StudiesConfig()
    commitment: CommitmentConfig = CommitmentConfig()
    alerts: AlertsConfig = AlertsConfig()
    cloudwatch: CloudWatchConfig | None = None
    modalities: tuple[ModalityConfig, ...] = ()
    watch: WatchConfig | None = None

    @property
    def log_path(self) -> Path | None:
        """Where the log is written besides standard error; None where `log_file` is empty."""
        if self.log_file is None:
            return self.dicom_root / FOLDER_NAME / "log" / "router.log"
        return Path(self.log_file) if self.log_file else None

    def shown(self) -> dict[str, Any]:
        """As plain values, without secrets."""
        found = _plain(self)
        return found if isinstance(found, dict) else {}

    def warnings(self) -> list[str]:
        """What is allowed and seldom meant."""
        return list(_warnings(self))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {
            one.name: HIDDEN if one.metadata.get("secret") and getattr(value, one.name) else
            _plain(getattr(value, one.name))
            for one in fields(value)
        }  # fmt: skip
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path | Enum) else value


def _warnings(config: RouterConfig) -> Iterator[str]:
    if config.watch is not None:
        yield from (f"watch: {one}" for one in config.watch.settings.warnings)
    for listener in config.listeners:
        if listener.address in (EVERYWHERE, "::"):
            yield (
                f"HTR_IP is {listener.address}: port {listener.port} is open on every network of this"
                " machine; expected the address on the modality network"
            )
        if listener.port < _FIRST_PORT_FOR_ALL and os.name == "posix" and os.geteuid() != 0:
            yield (
                f"port {listener.port} is below {_FIRST_PORT_FOR_ALL}: only root, or who has"
                " CAP_NET_BIND_SERVICE, may listen there"
            )
    email = config.alerts.email
    if email and email.security == "none":
        yield "alerts.email.security is none: the e-mail, and the password, can be read on the way"
    if email and bool(email.username) != bool(email.password):
        yield "alerts.email has a username or a password; expected both, or none"
    if config.alerts.webhook and not config.alerts.webhook.secret:
        yield "alerts.webhook has no secret: its receiver cannot know who sent an alert"
