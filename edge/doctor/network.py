"""Interfaces, routes and listening ports of this machine, as the kernel tells them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

PROC: Final = Path("/proc")
_SBIN: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_PROGRAM_S: Final = 5.0
_LISTENING: Final = "0A"
_MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Interface:
    """`addresses` have their prefix: `10.0.0.5/24`."""

    name: str
    state: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """`gateway` is "" for a network that is reached directly."""

    destination: str
    gateway: str
    interface: str


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """`program` is "" where it may not be known."""

    port: int
    address: str
    program: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """Of a program; `problem` is "" where it ran well, else `missing`, `denied` or `failed`."""

    text: str
    problem: str


def run_program(name: str, *arguments: str) -> Output:
    """What it prints, within five seconds."""
    program = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")
    if program is None:
        return Output("", "missing")
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, timeout=_PROGRAM_S, check=False, text=True,
            errors="replace", env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return Output("", "failed")
    if done.returncode == 0:
        return Output(done.stdout, "")
    denied = any(word in done.stderr.lower() for word in ("permitted", "permission", "root", "denied"))
    return Output("", "denied" if denied else "failed")


def interfaces() -> list[Interface]:
    """By iproute2, else by what the kernel has in /proc and /sys; then IPv4 addresses have no prefix."""
    found = _json("addr")
    if found is None:
        return _interfaces_of_proc()
    return [
        Interface(
            str(one.get("ifname", "")), str(one.get("operstate", "")).lower(),
            tuple(f"{part['local']}/{part['prefixlen']}" for part in one.get("addr_info", [])
                  if "local" in part and "prefixlen" in part),
        )
        for one in found
    ]  # fmt: skip


def addresses() -> set[IPv4Address | IPv6Address]:
    """All those of this machine."""
    return {ip_address(one.partition("/")[0]) for each in interfaces() for one in each.addresses}


def routes() -> list[Route]:
    """Of IPv4: by iproute2, else by /proc/net/route."""
    found = _json("-4", "route")
    if found is None:
        return _routes_of_proc((PROC / "net/route").read_text(encoding="ascii"))
    return [
        Route(str(one.get("dst", "")), str(one.get("gateway", "")), str(one.get("dev", ""))) for one in found
    ]


def listeners() -> list[Listener]:
    """TCP ports that are listened on, of /proc/net/tcp and tcp6."""
    found: dict[tuple[int, str], str] = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENING:
                address, _, port = fields[1].partition(":")
                found[int(port, 16), _address(address)] = fields[9]
    programs = _programs(set(found.values())) if found else {}
    return sorted(Listener(*place, programs.get(inode, "")) for place, inode in found.items())


def _json(*arguments: str) -> list[dict[str, Any]] | None:
    output = run_program("ip", "-json", *arguments)
    if output.problem:
        return None
    try:
        found = json.loads(output.text or "[]")
    except ValueError:
        return None
    return [one for one in found if isinstance(one, dict)][:_MOST]


def _interfaces_of_proc() -> list[Interface]:
    found: dict[str, list[str]] = {name: [] for _, name in socket.if_nameindex()}
    for line in _lines(PROC / "net/if_inet6"):
        digits, _, prefix, _, _, name = line.split()
        found.setdefault(name, []).append(f"{IPv6Address(int(digits, 16))}/{int(prefix, 16)}")
    here = _local_addresses("\n".join(_lines(PROC / "net/fib_trie")))
    named = [Interface(name, _state(name), tuple(several)) for name, several in found.items()]
    return [*named, Interface("", "", tuple(here))] if here else named


def _local_addresses(trie: str) -> list[str]:
    """Of /proc/net/fib_trie: `|-- ADDRESS` with `/32 host LOCAL` in the next line."""
    found: list[str] = []
    lines = trie.splitlines()
    for line, following in pairwise(lines):
        if "/32 host LOCAL" in following and "|--" in line:
            found.append(line.split("|--")[1].strip())
    return list(dict.fromkeys(found))


def _routes_of_proc(table: str) -> list[Route]:
    found = []
    for line in table.splitlines()[1:]:
        name, destination, gateway, _, _, _, _, mask, *_ = line.split()
        prefix = int(mask, 16).bit_count()
        network = "default" if not prefix else f"{_ipv4(destination)}/{prefix}"
        found.append(Route(network, _ipv4(gateway) if int(gateway, 16) else "", name))
    return found[:_MOST]


def _address(digits: str) -> str:
    """As /proc has it: words of 32 bits, each in the order of this machine."""
    data = b"".join(struct.pack("=I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8))
    return str(ip_address(data))


def _ipv4(digits: str) -> str:
    return _address(digits)


def _state(name: str) -> str:
    return "".join(_lines(Path("/sys/class/net") / name / "operstate")).strip()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _programs(inodes: set[str]) -> dict[str, str]:
    """Names of the programs that have these sockets, of the processes that we may look into."""
    found: dict[str, str] = {}
    for process in PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue
        for one in descriptors:
            inode = _target(one).removeprefix("socket:[").removesuffix("]")
            if inode in inodes:
                found[inode] = name
    return found


def _target(link: Path) -> str:
    """What the link names; "" where it is gone in between."""
    try:
        return os.readlink(link)  # noqa: PTH115  (a path of a socket is none)
    except OSError:
        return ""
