"""This machine: ports, interfaces, routes, firewall, disk, clock, name resolution and time zone."""

from __future__ import annotations

import ctypes
import os
import socket
import statistics
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from doctor import network
from doctor.firewall import look_at_firewall
from doctor.steps import Check, Found, Row, Subject, Table
from doctor.words import Phrase
from router.config import EVERYWHERE, RouterConfig
from router.spool import FOLDER_NAME

NAME: Final = "machine"
_MOST_ROWS: Final = 256
_FSYNCS: Final = 8
_FSYNC_BYTES: Final = 64 << 10
_SLOW_FSYNC_S: Final = 0.1
_FEW_FILES: Final = 10_000
_UNSYNCHRONISED: Final = 5  # TIME_ERROR of adjtimex(2)
_RESOLV_CONF: Final = Path("/etc/resolv.conf")


class Machine:
    """The machine that it runs on, as the router of this configuration needs it."""

    def __init__(self, config: RouterConfig) -> None:
        self._config = config

    def subject(self) -> Subject:
        """With all its checks."""
        checks = (
            Check("ports", self.ports),
            Check("interfaces", self.interfaces),
            Check("routes", self.routes),
            Check("firewall", self.firewall),
            Check("disk", self.disk),
            Check("fsync", self.fsync, ("disk",)),
            Check("time", self.time),
            Check("names", self.names),
            Check("timezone", self.timezone),
        )
        return Subject("machine", NAME, socket.gethostname(), checks)

    def ports(self) -> Found:
        """Whether each listener of the configuration is there."""
        found = network.listeners()
        rows = tuple(Row((str(one.port), one.address, one.program)) for one in found[:_MOST_ROWS])
        table = Table(("table.port", "table.address", "table.program"), rows)
        missing = [
            f"{one.address}:{one.port}"
            for one in self._config.listeners
            if not any(_hears(there, one.address, one.port) for there in found)
        ]
        if missing:
            values = {"ports": ", ".join(missing)}
            return Found(
                "failed", (Phrase("ports.missing", values),), (Phrase("ports.advice", values),), table
            )
        wanted = ", ".join(str(one.port) for one in self._config.listeners)
        return Found("ok", (Phrase("ports.open", {"ports": wanted}),), table=table)

    def interfaces(self) -> Found:
        """Whether the listeners' addresses are this machine's."""
        found = network.interfaces()
        rows = tuple(Row((one.name, one.state, ", ".join(one.addresses))) for one in found)
        table = Table(("table.interface", "table.state", "table.addresses"), rows)
        ours = network.addresses()
        foreign = [
            one.address
            for one in self._config.listeners
            if one.address not in (EVERYWHERE, "::") and ip_address(one.address) not in ours
        ]
        if foreign:
            values = {"addresses": ", ".join(foreign)}
            return Found(
                "failed",
                (Phrase("interfaces.foreign", values),),
                (Phrase("interfaces.advice", values),),
                table,
            )
        count = {"count": str(len(found))}
        if any(one.address in (EVERYWHERE, "::") for one in self._config.listeners):
            said = (Phrase("interfaces.everywhere", count),)
            return Found("warning", said, (Phrase("interfaces.everywhere_advice"),), table)
        return Found("ok", (Phrase("interfaces.found", count),), table=table)

    def routes(self) -> Found:
        """Whether there is a way out."""
        try:
            found = network.routes()
        except (OSError, ValueError):
            return Found("skipped", (Phrase("routes.unreadable"),))
        rows = tuple(Row((one.destination, one.gateway, one.interface)) for one in found)
        table = Table(("table.network", "table.gateway", "table.interface"), rows)
        if not any(one.destination == "default" for one in found):
            return Found("warning", (Phrase("routes.no_default"),), (Phrase("routes.advice"),), table)
        return Found("ok", (Phrase("routes.found", {"count": str(len(found))}),), table=table)

    def firewall(self) -> Found:
        """Whether the listeners' ports are let through, as far as it can be read."""
        return look_at_firewall([one.port for one in self._config.listeners])

    def disk(self) -> Found:
        """Room for bytes and for files where images are kept."""
        folder = _existing(self._config.dicom_root)
        try:
            there = os.statvfs(folder)
        except OSError as error:
            values = {"folder": str(folder), "error": type(error).__name__}
            return Found("failed", (Phrase("disk.unreadable", values),), (Phrase("disk.unreadable_advice"),))
        free, size = there.f_bavail * there.f_frsize, there.f_blocks * there.f_frsize
        values = {
            "folder": str(self._config.dicom_root), "free": _gigabytes(free), "size": _gigabytes(size),
            "files": str(there.f_favail) if there.f_files else "?",
        }  # fmt: skip
        said, marks = (Phrase("disk.free", values),), self._config.disk
        if free < marks.associations_bytes or (there.f_files and there.f_favail < _FEW_FILES):
            return Found("failed", said, (Phrase("disk.full_advice"),))
        if free < marks.warning_bytes:
            return Found("warning", said, (Phrase("disk.low_advice"),))
        return Found("ok", said)

    def fsync(self) -> Found:
        """How long it takes until something small is safe on the disk, at the median of eight."""
        spool = self._config.dicom_root / FOLDER_NAME
        folder = spool if spool.is_dir() else _existing(self._config.dicom_root)
        try:
            took = _sync_times(folder)
        except OSError as error:
            values = {"folder": str(folder), "error": type(error).__name__}
            return Found(
                "failed", (Phrase("fsync.denied", values),), (Phrase("fsync.denied_advice", values),)
            )
        median = statistics.median(took)
        values = {"ms": f"{median * 1000:.1f}", "most": f"{max(took) * 1000:.1f}"}
        if median > _SLOW_FSYNC_S:
            return Found("warning", (Phrase("fsync.took", values),), (Phrase("fsync.slow_advice"),))
        return Found("ok", (Phrase("fsync.took", values),))

    def time(self) -> Found:
        """Whether the kernel's clock is kept in time by somebody (NTP)."""
        now = {"now": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())}
        state = _clock_state()
        if state is None:
            return Found("skipped", (Phrase("time.unknown", now),))
        if state == _UNSYNCHRONISED:
            return Found("warning", (Phrase("time.alone", now),), (Phrase("time.advice"),))
        return Found("ok", (Phrase("time.kept", now),))

    def names(self) -> Found:
        """Which servers resolve names, and whether this machine's own name can be."""
        servers = _nameservers()
        values = {"servers": ", ".join(servers), "host": socket.gethostname()}
        began = time.monotonic()
        try:
            socket.getaddrinfo(values["host"], None)
        except (OSError, UnicodeError):
            return Found(
                "warning", (Phrase("names.own_unknown", values),), (Phrase("names.own_advice", values),)
            )
        values["ms"] = f"{(time.monotonic() - began) * 1000:.0f}"
        if not servers:
            return Found("warning", (Phrase("names.no_servers"),), (Phrase("names.no_servers_advice"),))
        return Found("ok", (Phrase("names.found", values),))

    def timezone(self) -> Found:
        """What rules times in folders and on pages."""
        name = self._config.timezone
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            return Found(
                "failed", (Phrase("timezone.unknown", {"zone": name}),), (Phrase("timezone.advice"),)
            )
        now = datetime.now(zone)
        return Found(
            "ok", (Phrase("timezone.found", {"zone": name, "now": f"{now:%Y-%m-%d %H:%M} ({now:%z})"}),)
        )


def _hears(there: network.Listener, address: str, port: int) -> bool:
    """True where this listener takes what is sent to the address."""
    everywhere = there.address in (EVERYWHERE, "::")
    return there.port == port and (everywhere or ip_address(there.address) == ip_address(address))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f}"


def _sync_times(folder: Path) -> list[float]:
    """Of a file that has no name where the system allows that, and is gone in any case."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as stream:
        for _ in range(_FSYNCS):
            stream.write(bytes(_FSYNC_BYTES))
            stream.flush()
            began = time.monotonic()
            os.fsync(stream.fileno())
            took.append(time.monotonic() - began)
    return took


def _clock_state() -> int | None:
    """What adjtimex(2) says, which changes nothing when it is given zeros."""
    with suppress(OSError, AttributeError):
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))
        return state if state >= 0 else None
    return None


def _nameservers() -> list[str]:
    try:
        lines = _RESOLV_CONF.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"][:4]
