from __future__ import annotations

import pytest

from render.access import AllowedClients


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1", "255.255.255.255"])
def test_an_empty_list_means_all(address: str) -> None:
    assert AllowedClients.parse(" , ").allow(address)


@pytest.mark.parametrize(
    ("entries", "address", "expected"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.7/24", "10.0.0.200", True),
        ("10.0.0.7/24", "10.0.1.1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("::ffff:10.0.0.0/120", "10.0.0.9", True),
        ("2001:db8::/32", "2001:db8:1::5", True),
        ("2001:db8::/32", "2001:db9::5", False),
        ("10.0.0.0/8,2001:db8::1", "2001:db8::1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("10.0.0.1", "not an address", False),
        ("10.0.0.1", "", False),
    ],
)
def test_addresses_and_networks_of_both_families(entries: str, address: str, expected: bool) -> None:
    assert AllowedClients.parse(entries).allow(address) is expected


@pytest.mark.parametrize("entry", ["10.0.0.300", "10.0.0.0/33", "hospital.example", "10.0.0.1;10.0.0.2", "*"])
def test_a_malformed_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="ALLOWED_CLIENT_IPS"):
        AllowedClients.parse(f"10.0.0.1,{entry}")
