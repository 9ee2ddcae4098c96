"""Who may connect, who may associate, and how many at a time: decided before a thread or a file exists."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from threading import Lock
from typing import Final, Protocol

from pynetdicom import sop_class

from ponte_net import negotiation
from ponte_net.contexts import VERIFICATION
from ponte_net.negotiation import Rejection, Request, Role

log = logging.getLogger(__name__)

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
_OURS: Final = frozenset({VERIFICATION, STORAGE_COMMITMENT})
_COMMITMENT_SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")

CALLING_UNKNOWN: Final = Rejection(negotiation.PERMANENT, negotiation.BY_USER, 3)
CALLED_UNKNOWN: Final = Rejection(negotiation.PERMANENT, negotiation.BY_USER, 7)
CONTEXT_UNKNOWN: Final = Rejection(negotiation.PERMANENT, negotiation.BY_USER, 2)
VERSION_UNKNOWN: Final = Rejection(negotiation.PERMANENT, negotiation.BY_ACSE, 2)
CONGESTED: Final = Rejection(negotiation.TRANSIENT, negotiation.BY_PRESENTATION, 1)
AT_LIMIT: Final = Rejection(negotiation.TRANSIENT, negotiation.BY_PRESENTATION, 2)


def _services() -> frozenset[str]:
    """The classes that are no storage, by pynetdicom's lists: queries, worklists, print and so on.

    What it does not know, private classes above all, is taken for storage: a modality is never refused for
    being newer than this.
    """
    stored = {"_STORAGE_CLASSES", "_NON_PATIENT_OBJECT_CLASSES"}
    lists = (
        classes
        for name, classes in vars(sop_class).items()
        if name.endswith("_CLASSES") and name not in stored
    )
    found = {str(uid) for classes in lists if isinstance(classes, Mapping) for uid in classes.values()}
    return frozenset(found) - _OURS


_SERVICES: Final = _services()


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who may send what; where a list is empty, anybody and anything. Addresses may be networks."""

    called_ae_titles: tuple[str, ...] = ()
    calling_ae_titles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    sop_classes: tuple[str, ...] = ()


class Access:
    """The rules, made ready. Raises `ValueError` for an address that is none: nothing is let in by chance."""

    def __init__(self, rules: AccessRules) -> None:
        self._called = frozenset(title.strip(" ") for title in rules.called_ae_titles)
        self._calling = frozenset(title.strip(" ") for title in rules.calling_ae_titles)
        self._networks = [ip_network(address, strict=False) for address in rules.addresses]
        self._classes = frozenset(rules.sop_classes)

    def admits(self, address: str) -> bool:
        """Whether this address may connect."""
        if not self._networks:
            return True
        found = ip_address(address)
        return any(found in network for network in self._networks)

    def rejection(self, asked: Request) -> Rejection | None:
        """Why an association is not to be, for good; None where it may (PS3.8 9.3.4)."""
        if not asked.protocol_version & negotiation.PROTOCOL_VERSION:
            return VERSION_UNKNOWN
        if asked.application_context not in ("", negotiation.APPLICATION_CONTEXT):
            return CONTEXT_UNKNOWN
        if self._called and asked.called_ae_title not in self._called:
            return CALLED_UNKNOWN
        if self._calling and asked.calling_ae_title not in self._calling:
            return CALLING_UNKNOWN
        return None

    def results(self, asked: Request) -> dict[int, tuple[int, str]]:
        """The result and transfer syntax of each context (PS3.8 9.3.3.2). Raises `BadNegotiation`."""
        judged = negotiation.judge(asked)
        for context in asked.contexts:
            result, syntax = judged[context.context_id]
            abstract = context.abstract_syntax
            if not self._takes(abstract):
                result = negotiation.ABSTRACT_SYNTAX_UNKNOWN
            elif not _may(abstract, asked.roles.get(abstract, Role(scu=True, scp=False))):
                result = negotiation.USER_REJECTION  # we are no SCU of anything else
            elif abstract == STORAGE_COMMITMENT and result == negotiation.ACCEPTED:
                result, syntax = _readable(context.transfer_syntaxes, syntax)
            judged[context.context_id] = (result, syntax)
        return judged

    def _takes(self, abstract_syntax: str) -> bool:
        if abstract_syntax in _OURS:
            return True
        return abstract_syntax not in _SERVICES and (not self._classes or abstract_syntax in self._classes)


def roles_for(asked: Request) -> dict[str, Role]:
    """The answer to role selection: the peer is SCU, as it asked, and SCP of Storage Commitment alone, to
    report what it commits to (PS3.7 D.3.3.4)."""
    proposed = {context.abstract_syntax for context in asked.contexts}
    return {
        uid: Role(role.scu, role.scp and uid == STORAGE_COMMITMENT)
        for uid, role in asked.roles.items()
        if uid in proposed
    }


def _may(abstract_syntax: str, role: Role) -> bool:
    return role.scu or (role.scp and abstract_syntax == STORAGE_COMMITMENT)


def is_echo_alone(asked: Request) -> bool:
    """Whether it only wants to know if we are there: that is always answered."""
    return bool(asked.contexts) and all(one.abstract_syntax == VERIFICATION for one in asked.contexts)


def plain_address(address: str) -> str:
    """Of a peer, as it is written in lists: IPv4 that came by an IPv6 socket as IPv4, no scope."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _readable(proposed: Iterable[str], syntax: str) -> tuple[int, str]:
    """For what we read ourselves: a syntax that we do."""
    found = next((one for one in _COMMITMENT_SYNTAXES if one in proposed), None)
    return (negotiation.ACCEPTED, found) if found else (negotiation.TRANSFER_SYNTAXES_UNKNOWN, syntax)


@dataclass(slots=True, eq=False)
class Slot:
    """A connection's place among those that there may be."""

    address: str
    connection: socket.socket
    is_associated: bool = False


class Places(Protocol):
    """Who gives a connection its slot, as far as the connection knows."""

    def associate(self, slot: Slot) -> bool:
        """The connection has become an association, unless its place is taken already."""
        ...

    def give_back(self, slot: Slot) -> None:
        """The connection is over. Harmless when repeated."""
        ...


class Slots:
    """How many connections there are, in all and from each address.

    Who has connected and said nothing yet makes room for who comes after, the oldest first: a flood of silent
    connections keeps nobody out.
    """

    def __init__(self, *, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._lock = Lock()
        self._taken: dict[Slot, None] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, address: str, connection: socket.socket) -> Slot | None:
        """A place for a new connection, or None where associations have them all."""
        with self._lock:
            crowded = self._by_address[address] >= self._most_per_address
            if (crowded or len(self._taken) >= self._most) and not self._make_room(
                address if crowded else None
            ):
                return None
            slot = Slot(address, connection)
            self._taken[slot] = None
            self._by_address[address] += 1
            return slot

    def associate(self, slot: Slot) -> bool:
        """The connection has become an association, unless its place is taken already."""
        with self._lock:
            slot.is_associated = slot in self._taken
            return slot.is_associated

    def give_back(self, slot: Slot) -> None:
        """The connection is over. Harmless when repeated."""
        with self._lock:
            self._remove(slot)

    def _make_room(self, address: str | None) -> bool:
        silent = (slot for slot in self._taken if not slot.is_associated and address in (None, slot.address))
        oldest = next(silent, None)
        if oldest is None:
            return False
        self._remove(oldest)
        with suppress(OSError):  # not by an SSLSocket's own, which would take TLS from its thread
            socket.socket.shutdown(oldest.connection, socket.SHUT_RDWR)
        return True

    def _remove(self, slot: Slot) -> None:
        if self._taken.pop(slot, slot) is None:
            self._by_address[slot.address] -= 1
            if not self._by_address[slot.address]:
                del self._by_address[slot.address]
