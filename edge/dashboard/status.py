"""What the running router says of itself, with a type for each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast

State = Literal["up", "slow", "down", "paused", "closed", "idle", "unknown"]
STATES: Final[tuple[State, ...]] = ("up", "slow", "down", "paused", "closed", "idle", "unknown")


@dataclass(frozen=True, slots=True)
class Association:
    """A modality that is connected: instances and bytes so far. How many there will be nobody knows."""

    id: str = ""
    calling_ae_title: str = ""
    called_ae_title: str = ""
    address: str = ""
    listener: str = ""
    started_at: float = 0.0
    instances: int = 0
    bytes: int = 0
    bytes_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where images go. `since` is when the state began; `code` and `detail` are the last error."""

    name: str = ""
    kind: str = ""
    state: State = "unknown"
    since: float | None = None
    queue: int = 0
    failures: int = 0
    detail: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """Space; `days_left` at the pace of late, None where it does not fill."""

    free_bytes: int = 0
    total_bytes: int = 0
    days_left: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the router: `running`, `stopped` or `failed`."""

    name: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """All of it. Times are seconds since the epoch."""

    version: str
    started_at: float
    draining: bool
    refusing: str | None
    associations: tuple[Association, ...]
    destinations: tuple[Destination, ...]
    disk: Disk
    oldest_unforwarded_at: float | None
    quarantine: Mapping[str, int]
    parts: tuple[Part, ...]


def parse(said: Mapping[str, Any]) -> Status:
    """The answer to `status`. What a later router says besides is passed over."""
    oldest = said.get("oldest_unforwarded_at")
    return Status(
        version=str(said.get("version", "")),
        started_at=float(said.get("started_at") or 0.0),
        draining=bool(said.get("draining")),
        refusing=said.get("refusing"),
        associations=tuple(_made(Association, one) for one in said.get("associations") or ()),
        destinations=tuple(_destination(one) for one in said.get("destinations") or ()),
        disk=_made(Disk, said.get("disk") or {}),
        oldest_unforwarded_at=None if oldest is None else float(oldest),
        quarantine=dict(said.get("quarantine") or {}),
        parts=tuple(_made(Part, one) for one in said.get("parts") or ()),
    )


def _destination(said: Mapping[str, Any]) -> Destination:
    state = said.get("state")
    known = state if state in STATES else "unknown"
    texts = {name: said.get(name) or "" for name in ("detail", "code")}
    return _made(Destination, {**said, **texts, "state": cast("State", known)})


def _made[T](kind: type[T], said: Mapping[str, Any]) -> T:
    names = [one.name for one in fields(cast("Any", kind))]
    return kind(**{name: said[name] for name in names if said.get(name) is not None})
