"""Who may call: `ALLOWED_CLIENT_IPS` against the gateway's own source address, and bearer tokens."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from ponte.errors import TransientError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
SHORTEST_TOKEN = 16


class TokensUnusable(TransientError):
    """The tokens are not what they should be: nobody gets in until they are. No token is part of the text."""

    default_code = "INTERNAL"


@dataclass(frozen=True, slots=True)
class AllowedClients:
    """Addresses and networks that may call. An empty list means all."""

    networks: tuple[Network, ...]

    @classmethod
    def parse(cls, text: str) -> AllowedClients:
        """Read comma-separated addresses and CIDRs, v4 and v6; host bits are dropped.

        Raises ValueError that names the malformed entry: better no API than an open one.
        """
        entries = [entry.strip() for entry in text.split(",")]
        return cls(tuple(_network(entry) for entry in entries if entry))

    def allow(self, source_ip: str) -> bool:
        """Is `source_ip`, as the gateway gives it, one of these? False when it is no address at all."""
        if not self.networks:
            return True
        try:
            address = _unmapped(ipaddress.ip_address(source_ip))
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of those who may call, by the client's name."""

    values: Mapping[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        """Raises `TokensUnusable` for a token that could be guessed."""
        if not self.values or any(len(token) < SHORTEST_TOKEN for token in self.values.values()):
            raise TokensUnusable(f"an API token is shorter than {SHORTEST_TOKEN} characters")

    def owner(self, authorization: str) -> str | None:
        """Whose token `Authorization: Bearer ...` holds, or None.

        Digests of equal length are compared, with every token: time says neither which nor how much fits.
        """
        scheme, _, given = authorization.strip().partition(" ")
        digest, found = _digest(given.strip()), None
        for name, token in self.values.items():
            if hmac.compare_digest(digest, _digest(token)):
                found = name
        return found if scheme.lower() == "bearer" else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _network(entry: str) -> Network:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise ValueError(
            f"ALLOWED_CLIENT_IPS: {entry!r} is neither an address nor a CIDR (10.1.2.3, 10.1.0.0/16)"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        return ipaddress.ip_network(
            f"{network.network_address.ipv4_mapped}/{max(network.prefixlen - 96, 0)}", False
        )
    return network


def _unmapped(address: Address) -> Address:
    """`::ffff:10.0.0.1` as the v4 address that it is."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
