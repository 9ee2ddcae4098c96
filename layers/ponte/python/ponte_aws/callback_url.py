"""Which addresses a callback may go to: checked as text here, and as addresses when connecting.

The caller of the API names the address; inside a cloud account that makes it an attack on everything near
the function. So: https on port 443 to a public address, unless the operator lists the origin.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from ponte.errors import InvalidRequest

MAX_LENGTH = 2048
_PORTS = {"http": 80, "https": 443}
# The last label of a public name is no number, in whatever notation a resolver would read one.
_PUBLIC_NAME = re.compile(r"\.(?!0x[0-9a-f]*$)[0-9-]*[a-z][a-z0-9-]*$")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Never public, whatever a version of `ipaddress` says of them.
_DENIED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
        "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
_NEAR: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text) for text in ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10")
)


class CallbackRefused(InvalidRequest):
    """The callback address is one that Ponte does not go to."""

    default_code = "CALLBACK_REFUSED"


@dataclass(frozen=True, slots=True)
class Target:
    """A callback address, parsed once and by one parser."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Policy:
    """`CALLBACK_ALLOW_ORIGINS`: the origins and networks for which the operator lifts the rules.

    Loopback and link-local addresses stay refused, listed or not, except in stage `local`.
    """

    origins: frozenset[str]
    networks: tuple[Network, ...]
    stage: str

    @classmethod
    def parse(cls, text: str, stage: str) -> Policy:
        """Read comma-separated `scheme://host:port` origins and CIDRs. Raises ValueError naming the entry."""
        origins, networks = set(), []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            if "://" in entry:
                origins.add(_target(entry).origin)
                continue
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                raise ValueError(
                    f"CALLBACK_ALLOW_ORIGINS: {entry!r} is neither an origin nor a CIDR"
                ) from None
        return cls(frozenset(origins), tuple(networks), stage)

    def check_url(self, url: str) -> Target:
        """Parse a callback address. Raises `CallbackRefused` with what is wrong; nothing is resolved yet."""
        target = _target(url)
        literal = _as_address(target.host)
        if target.origin in self.origins or (literal and self._listed(literal)):
            return target
        if target.scheme != "https":
            raise CallbackRefused("UrlCallback must begin with https://")
        if target.port != _PORTS["https"]:
            raise CallbackRefused("UrlCallback must use port 443")
        if literal or not _PUBLIC_NAME.search(target.host):
            self.check_addresses(target, [literal] if literal else [])
        return target

    def check_addresses(self, target: Target, addresses: Iterable[Address]) -> None:
        """Every address that the name resolves to must be allowed. Raises `CallbackRefused`."""
        known = [_unmapped(address) for address in addresses]
        if not known or not all(self._allowed(target, address) for address in known):
            raise CallbackRefused("UrlCallback does not lead to a public address")

    def _allowed(self, target: Target, address: Address) -> bool:
        if _inside(address, _NEAR) and self.stage != "local":
            return False
        if target.origin in self.origins or self._listed(address):
            return True
        return address.is_global and not address.is_multicast and not _inside(address, _DENIED)

    def _listed(self, address: Address) -> bool:
        return _inside(_unmapped(address), self.networks)


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _as_address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _target(url: str) -> Target:
    if len(url) > MAX_LENGTH or not _VISIBLE.fullmatch(url) or "\\" in url:
        raise CallbackRefused(f"UrlCallback must be at most {MAX_LENGTH} visible ASCII characters")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise CallbackRefused("UrlCallback is not a URL") from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise CallbackRefused("UrlCallback must be https://host/path")
    if "@" in parts.netloc or "#" in url:
        raise CallbackRefused("UrlCallback must hold neither user nor fragment")
    host = host.rstrip(".").lower()
    if not re.fullmatch(r"[a-z0-9._-]{1,253}", host) and _as_address(host) is None:
        raise CallbackRefused("UrlCallback has no valid host name")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], _path(parts))


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
