"""What can be read of this machine's firewall: nftables, else iptables; and what could not, and as whom."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from doctor.network import run_program
from doctor.steps import Found
from doctor.words import Phrase

_CLOSED: Final = ("drop", "reject")


@dataclass(frozen=True, slots=True)
class Rules:
    """What matters of them for who wants to come in."""

    tool: str
    rules: int
    is_closed: bool
    """The input is dropped where no rule lets it in."""
    ports: frozenset[int]
    """Ports that rules name."""


def look_at_firewall(ports: Sequence[int]) -> Found:
    """Of the ports that have to be open."""
    nft = run_program("nft", "-j", "list", "ruleset")
    found = _of_nft(nft.text) if not nft.problem else None
    iptables = run_program("iptables", "-S") if found is None or not found.rules else None
    if iptables is not None and not iptables.problem:
        found = _of_iptables(iptables.text)
    if found is None:
        problems = {nft.problem, iptables.problem if iptables else ""}
        key = "firewall.denied" if "denied" in problems else "firewall.unreadable"
        return Found("skipped", (Phrase(key, {"user": _user()}),), (Phrase(f"{key}_advice"),))
    return _judged(found, ports)


def _judged(found: Rules, ports: Sequence[int]) -> Found:
    values = {"tool": found.tool, "rules": str(found.rules)}
    if not found.is_closed:
        return Found("ok", (Phrase("firewall.open", values),))
    missing = [str(port) for port in ports if port not in found.ports]
    if not missing:
        return Found("ok", (Phrase("firewall.named", values),))
    named = {**values, "ports": ", ".join(missing)}
    return Found("warning", (Phrase("firewall.not_named", named),), (Phrase("firewall.advice", named),))


def _of_nft(text: str) -> Rules | None:
    try:
        items = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError):
        return None
    chains = [one["chain"] for one in items if "chain" in one]
    rules = [one["rule"] for one in items if "rule" in one]
    inputs = [one for one in chains if one.get("hook") == "input"]
    names = {(one.get("family"), one.get("table"), one.get("name")) for one in inputs}
    closed = any(one.get("policy") in _CLOSED for one in inputs) or any(
        (one.get("family"), one.get("table"), one.get("chain")) in names and _closes(one) for one in rules
    )
    return Rules("nftables", len(rules), closed, frozenset(_ports(rules)))


def _closes(rule: Mapping[str, Any]) -> bool:
    """True for a rule that drops whatever gets to it."""
    parts = [part for part in rule.get("expr", []) if isinstance(part, dict)]
    return not any("match" in part for part in parts) and any(set(part) & set(_CLOSED) for part in parts)


def _ports(rules: Iterable[dict[str, Any]]) -> Iterable[int]:
    for rule in rules:
        for part in rule.get("expr", []):
            match = part.get("match", {}) if isinstance(part, dict) else {}
            field = match.get("left", {}).get("payload", {}) if isinstance(match.get("left"), dict) else {}
            if field.get("field") == "dport":
                yield from _numbers(match.get("right"))


def _numbers(value: Any) -> Iterable[int]:
    """`104`, `{"set": [104, 4100]}`, `{"range": [104, 110]}`, one in another."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, dict) and "range" in value:
        first, last = value["range"]
        yield from range(int(first), int(last) + 1)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _numbers(one)


def _of_iptables(text: str) -> Rules:
    lines = text.splitlines()
    closed = any(
        line.startswith(("-P INPUT DROP", "-A INPUT -j DROP", "-A INPUT -j REJECT")) for line in lines
    )
    ports: set[int] = set()
    for line in lines:
        words = line.split()
        for name, value in pairwise(words):
            if name in ("--dport", "--dports"):
                ports |= {int(one) for part in value.split(",") for one in _ends(part)}
    return Rules("iptables", sum(line.startswith("-A") for line in lines), closed, frozenset(ports))


def _ends(text: str) -> Iterable[int]:
    first, _, last = text.partition(":")
    if first.isdecimal() and (last or first).isdecimal():
        yield from range(int(first), int(last or first) + 1)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
