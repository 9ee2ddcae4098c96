"""The configuration file of the folder watcher: the keys that clinics have, and a section of ours apart.

Everything that is wrong is said by the name of its key. A key that nobody knows is a warning: files of the
old system are taken as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from ponte.dedup import Policy
from ponte.errors import InvalidRequest

_MOST_BYTES = 1 << 20
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_DRIVE = re.compile(r"([A-Za-z]):(?:[/\\]|$)")
_YES, _NO = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Peer:
    """Section `dicom`."""

    local_ae_title: str
    local_port: int
    peer_host: str
    peer_port: int
    peer_ae_title: str
    max_pdu: int
    use_tls: bool


@dataclass(frozen=True, slots=True)
class Ours:
    """Section `ponte`: what the old system did not have. All of it may be absent.

    `destination` stands for the section `dicom`. `give_up_seconds` is how long a file stands still and is no
    whole ZIP before it goes to quarantine.
    """

    destination: str | None = field(repr=False, metadata={"secret": True})
    auth_file: Path | None
    tls_ca_file: Path | None
    tls_cert_file: Path | None
    tls_key_file: Path | None
    report_language: Literal["pt-BR", "en"]
    webhook_url: str | None = field(repr=False, metadata={"secret": True})
    webhook_secret_file: Path | None
    quarantine_dir: Path
    quarantine_gib: float
    give_up_seconds: float
    log_max_mib: float
    log_backups: int


@dataclass(frozen=True, slots=True)
class Config:
    """All of it; every path is absolute. `warnings` are sentences for the log."""

    watch_dir: Path
    work_dir: Path
    archive_dir: Path
    state_db: Path
    peer: Peer | None
    dedup_policy: Policy
    poll_interval_seconds: float
    wait_zip_complete_seconds: float
    send_batch_size: int
    delete_extracted_after_upload: bool
    move_zip_to_archive: bool
    log_level: str
    log_file: Path | None
    transport_debug: bool
    ours: Ours
    warnings: tuple[str, ...] = ()


def read_config(path: Path, *, has_destination: bool = True) -> Config:
    """The configuration in the file; paths in it are relative to its folder. Raises `InvalidRequest`."""
    return parse(_read(path), path.parent.absolute(), has_destination=has_destination)


def parse(value: Any, base: Path, *, has_destination: bool = True) -> Config:
    """The configuration of these values; paths in it are relative to `base`. Without a destination of its own
    it is for the service of the router, which knows what it has. Raises `InvalidRequest`."""
    sections = _Sections(value, base)
    folders = {name: sections.path("paths", name) for name in ("watch_dir", "work_dir", "archive_dir")}
    _check_apart(folders)
    state_db = folders["work_dir"] / "state.sqlite"
    if has_destination:
        state_db = sections.path("paths", "state_db")
    ours = _ours(sections, folders["archive_dir"])
    if ours.destination and not has_destination:
        raise InvalidRequest("ponte.destination is set; expected none: ZIPs go into the router's queue")
    return Config(
        **folders,
        state_db=state_db,
        peer=_peer(sections) if has_destination and not ours.destination else None,
        dedup_policy=Policy(
            sections.word("behavior", "dedup_policy", tuple(Policy), default=Policy.UID_THEN_SHA256)
        ),
        poll_interval_seconds=sections.number("behavior", "poll_interval_seconds", 10, least=0.01, most=3600),
        wait_zip_complete_seconds=sections.number(
            "behavior", "wait_zip_complete_seconds", 2, least=0, most=86400
        ),
        send_batch_size=sections.whole("behavior", "send_batch_size", 128, least=1, most=10_000),
        delete_extracted_after_upload=sections.flag("behavior", "delete_extracted_after_upload", True),
        move_zip_to_archive=sections.flag("behavior", "move_zip_to_archive", True),
        log_level=sections.word("logging", "level", _LEVELS, default="INFO"),
        log_file=sections.optional_path("logging", "file"),
        transport_debug=sections.flag("logging", "enable_pynetdicom_debug", False),
        ours=ours,
        warnings=sections.unknown("ponte.destination" if has_destination else "the router"),
    )


def local_path(text: str, base: Path) -> Path:
    """The path on this machine. `E:/x` and `E:\\x` are Windows drives as WSL mounts them: `/mnt/e/x`.

    Raises `InvalidRequest` for a share by its Windows name.
    """
    if text.startswith(("\\\\", "//")):
        raise InvalidRequest("a share must be mounted, and be named by the folder where it is")
    drive = _DRIVE.match(text)
    if drive:
        rest = text[drive.end() :].replace("\\", "/").strip("/")
        return Path("/mnt", drive[1].lower(), rest)
    return Path(base, Path(text).expanduser())


def _peer(sections: _Sections) -> Peer:
    return Peer(
        local_ae_title=sections.text("dicom", "local_ae_title", "PONTE"),
        local_port=sections.whole("dicom", "local_port", 4011, least=0, most=_MOST_PORT),
        peer_host=sections.text("dicom", "peer_host"),
        peer_port=sections.whole("dicom", "peer_port", 4242, least=1, most=_MOST_PORT),
        peer_ae_title=sections.text("dicom", "peer_ae_title", "ORTHANC"),
        max_pdu=sections.whole("dicom", "max_pdu", 131072, least=0, most=1 << 30),
        use_tls=sections.flag("dicom", "use_tls", False),
    )


def _ours(sections: _Sections, archive_dir: Path) -> Ours:
    language = sections.word("ponte", "report_language", ("pt-BR", "en"), default="pt-BR")
    return Ours(
        destination=sections.optional_text("ponte", "destination"),
        auth_file=sections.optional_path("ponte", "auth_file"),
        tls_ca_file=sections.optional_path("ponte", "tls_ca_file"),
        tls_cert_file=sections.optional_path("ponte", "tls_cert_file"),
        tls_key_file=sections.optional_path("ponte", "tls_key_file"),
        report_language="en" if language == "en" else "pt-BR",
        webhook_url=_webhook(sections),
        webhook_secret_file=sections.optional_path("ponte", "webhook_secret_file"),
        quarantine_dir=sections.optional_path("ponte", "quarantine_dir") or archive_dir,
        quarantine_gib=sections.number("ponte", "quarantine_gib", 50, least=0.001, most=1 << 20),
        give_up_seconds=sections.number("ponte", "give_up_seconds", 3600, least=0, most=30 * 86400),
        log_max_mib=sections.number("ponte", "log_max_mib", 0, least=0, most=1 << 20),
        log_backups=sections.whole("ponte", "log_backups", 5, least=1, most=1000),
    )


def _webhook(sections: _Sections) -> str | None:
    url = sections.optional_text("ponte", "webhook_url")
    if url is not None and not re.match(r"https?://[^/@]+(/|$)", url):
        raise InvalidRequest("ponte.webhook_url is not http(s)://host/path without a user")
    return url


def _check_apart(folders: Mapping[str, Path]) -> None:
    """Two of the folders may not be one: what is archived would be new again."""
    seen: dict[Path, str] = {}
    for name in ("watch_dir", "work_dir", "archive_dir"):
        where = folders[name].resolve()
        if where in seen:
            raise InvalidRequest(f"paths.{name} and paths.{seen[where]} are the same folder")
        seen[where] = name


def _read(path: Path) -> Any:
    """What the file holds. Raises `InvalidRequest`, which quotes nothing: it may hold a password."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise InvalidRequest(f"{path} is larger than {_MOST_BYTES} bytes")
    try:
        return yaml.load(data, _Loader)  # noqa: S506  (a safe loader that knows duplicates)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) if isinstance(error, _Twice) else ""
        hint = why or "in double quotes, \\ has a meaning: write E:/x, or E:\\x without quotes"
        raise InvalidRequest(f"{path} is not YAML{where} ({hint})") from error


class _Twice(yaml.MarkedYAMLError):
    """A key comes twice."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice: one of the two would count, and nobody could tell which."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise _Twice(problem=f"{twice} comes twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


class _Sections:
    """The values by section and key, each checked as it is asked for; what nobody asked for is unknown."""

    def __init__(self, value: Any, base: Path) -> None:
        if not isinstance(value, dict):
            raise InvalidRequest("The configuration is not a mapping of sections; expected paths, dicom, ...")
        self._base = base
        self._asked: dict[str, set[str]] = {}
        self._sections: dict[str, dict[str, Any]] = {}
        for name, section in value.items():
            if section is not None and not isinstance(section, dict):
                raise InvalidRequest(f"{name} is not a section of keys")
            self._sections[str(name)] = {str(key): one for key, one in (section or {}).items()}

    def unknown(self, instead: str) -> tuple[str, ...]:
        """A sentence for each section and key that nobody asked for; `instead` is what stands for the
        destination."""
        found = []
        for name, section in self._sections.items():
            if name not in self._asked:
                why = f"{instead} stands for it" if name == "dicom" else "unknown section"
                found.append(f"{name}: {why}, not used")
                continue
            found += [
                f"{name}.{key}: unknown key, not used"
                for key in section
                if key not in self._asked.get(name, set())
            ]
        return tuple(found)

    def text(self, section: str, key: str, default: str | None = None) -> str:
        value = self._get(section, key)
        if value is None:
            value = default
        if value is None:
            raise InvalidRequest(f"{section}.{key} is missing")
        if not isinstance(value, str | int) or isinstance(value, bool) or not str(value).strip():
            raise InvalidRequest(f"{section}.{key} is not a text")
        text = str(value).strip()
        if any(not character.isprintable() for character in text):
            raise InvalidRequest(f"{section}.{key} has a control character")
        return text

    def optional_text(self, section: str, key: str) -> str | None:
        return self.text(section, key) if self._get(section, key) is not None else None

    def path(self, section: str, key: str) -> Path:
        try:
            return local_path(self.text(section, key), self._base)
        except RuntimeError as error:
            raise InvalidRequest(f"{section}.{key} names a home folder that is not there") from error
        except InvalidRequest as error:
            text = error.detail if error.detail.startswith(section) else f"{section}.{key}: {error.detail}"
            raise InvalidRequest(text) from error

    def optional_path(self, section: str, key: str) -> Path | None:
        return self.path(section, key) if self._get(section, key) is not None else None

    def number(self, section: str, key: str, default: float, *, least: float, most: float) -> float:
        value = self._get(section, key)
        try:
            number = float(default if value is None else value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not least <= number <= most:
            raise InvalidRequest(f"{section}.{key} is not a number from {least:g} to {most:g}")
        return number

    def whole(self, section: str, key: str, default: int, *, least: int, most: int) -> int:
        number = self.number(section, key, default, least=least, most=most)
        if number != int(number):
            raise InvalidRequest(f"{section}.{key} is not a whole number")
        return int(number)

    def flag(self, section: str, key: str, default: bool) -> bool:
        value = self._get(section, key)
        if value is None:
            return default
        if str(value).strip().lower() not in _YES | _NO:
            raise InvalidRequest(f"{section}.{key} is neither true nor false")
        return str(value).strip().lower() in _YES

    def word(self, section: str, key: str, words: tuple[str, ...], *, default: str) -> str:
        text = self.text(section, key, default)
        found = next((word for word in words if word.lower() == text.lower()), None)
        if found is None:
            raise InvalidRequest(f"{section}.{key} is none of {', '.join(words)}")
        return found

    def _get(self, section: str, key: str) -> Any:
        self._asked.setdefault(section, set()).add(key)
        return self._sections.get(section, {}).get(key)
