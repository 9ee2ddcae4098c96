from __future__ import annotations

import ipaddress

import pytest

from ponte_aws.callback_url import CallbackRefused, Policy

NONE = Policy.parse("", "prod")


@pytest.mark.parametrize(
    "url", ["https://client.example/cb", "https://client.example:443/cb?a=b", "https://8.8.8.8/"]
)
def test_https_to_a_public_host_is_allowed(url: str) -> None:
    assert NONE.check_url(url).port == 443


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://017700000001/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
        "https://[fec0::1]/", "https://0.0.0.0/", "https://169.254.169.254/latest", "https://168.63.129.16/",
        "https://10.1.2.3/", "https://224.0.0.1/", "http://client.example/", "ftp://client.example/",
        "file:///etc/passwd", "https://user@client.example/", "https://client.example#@evil.example/",
        "https://client.example/\n", "https://client.example/\tx", "https://client.example:25/",
        "https://client.example:9001/", "https://", "client.example/cb", "https://client.example\\@evil/",
        "https://exa mple/", "https://[::1", "https://client.example:99999/",
        "https://client.example/" + "x" * 3000,
    ],
)  # fmt: skip
def test_every_other_form_is_refused_before_anything_is_resolved(url: str) -> None:
    with pytest.raises(CallbackRefused):
        NONE.check_url(url)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.170.2", "100.64.0.1", "192.0.0.192",
     "224.0.0.1", "240.0.0.1", "168.63.129.16", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
     "2002:a00:1::", "fd00::1", "fe80::1", "fec0::1", "ff02::1", "3fff::1", "2001:db8::1"],
)  # fmt: skip
def test_no_name_may_lead_to_a_private_address(address: str) -> None:
    target = NONE.check_url("https://client.example/")
    with pytest.raises(CallbackRefused):
        NONE.check_addresses(target, [ipaddress.ip_address(address)])


def test_a_name_without_an_answer_is_refused() -> None:
    with pytest.raises(CallbackRefused):
        NONE.check_addresses(NONE.check_url("https://client.example/"), [])


def test_a_listed_origin_is_exempt_and_its_neighbours_are_not() -> None:
    policy = Policy.parse("http://billing.intranet.example:8080", "prod")
    target = policy.check_url("http://billing.intranet.example:8080/cb")
    policy.check_addresses(target, [ipaddress.ip_address("10.0.0.5")])
    for url in ("http://billing.intranet.example:8081/", "http://other.intranet.example:8080/"):
        with pytest.raises(CallbackRefused):
            policy.check_url(url)


def test_a_listed_network_is_exempt_from_the_address_rule() -> None:
    policy = Policy.parse("10.20.0.0/16", "prod")
    policy.check_addresses(policy.check_url("https://client.example/"), [ipaddress.ip_address("10.20.1.1")])
    with pytest.raises(CallbackRefused):
        policy.check_addresses(
            policy.check_url("https://client.example/"), [ipaddress.ip_address("10.21.1.1")]
        )


@pytest.mark.parametrize("text", ["nonsense", "10.0.0.0/99", "https://user@host", "ftp://host"])
def test_a_malformed_list_is_an_error_that_stops(text: str) -> None:
    with pytest.raises((ValueError, CallbackRefused)):
        Policy.parse(text, "prod")
