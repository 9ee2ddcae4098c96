"""This machine, as the kernel tells it, and where it does not."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from doctor import firewall, machine, network
from doctor.machine import Machine
from doctor.network import Output
from tests.unit.doctor.found import ask, configured, keys, states

ROUTE = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
"""
TRIE = """\
Local:
        |-- 10.0.0.5
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
        |-- 127.0.0.1
           /32 host LOCAL
"""


def nothing(*_: str) -> Output:
    return Output("", "missing")


def test_a_listener_is_found_with_its_program_and_a_missing_one_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        there = next(one for one in network.listeners() if one.port == port)
        assert there.address == "127.0.0.1"
        assert there.program
        config = configured(tmp_path, f"listeners: [{{port: {port}, address: 127.0.0.1}}]")
        assert Machine(config).ports().state == "ok"
    config = configured(tmp_path, "listeners: [{port: 9, address: 127.0.0.1}]")
    found = Machine(config).ports()
    assert found.state == "failed"
    assert "127.0.0.1:9" in found.said[0].text("en")


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    config = configured(tmp_path, "listeners: [{port: 11112, address: 192.0.2.99}]")
    found = Machine(config).interfaces()
    assert (found.state, found.said[0].key) == ("failed", "interfaces.foreign")


def test_without_iproute2_the_kernel_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_program = network.addresses()
    monkeypatch.setattr(network, "run_program", nothing)
    assert with_program <= network.addresses()
    (tmp_path / "net").mkdir()
    (tmp_path / "net/route").write_text(ROUTE)
    (tmp_path / "net/fib_trie").write_text(TRIE)
    monkeypatch.setattr(network, "PROC", tmp_path)
    assert network.routes() == [
        network.Route("default", "192.0.2.1", "eth0"),
        network.Route("192.0.2.0/24", "", "eth0"),
    ]
    assert {"10.0.0.5", "127.0.0.1"} == set(network._local_addresses(TRIE))


def test_a_firewall_that_may_not_be_read_is_said_so_and_as_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "run_program", lambda *_: Output("", "denied"))
    found = firewall.look_at_firewall([104])
    assert (found.state, found.said[0].key) == ("skipped", "firewall.denied")
    assert found.said[0].values["user"]
    monkeypatch.setattr(firewall, "run_program", nothing)
    assert firewall.look_at_firewall([104]).said[0].key == "firewall.unreadable"


def ruleset(policy: str, *ports: object, last: str = "") -> str:
    match = [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": port}}
        for port in ports
    ]
    chain = {
        "chain": {"family": "inet", "table": "filter", "name": "input", "hook": "input", "policy": policy}
    }
    ends: list[object] = [{"counter": {}}, {last: None}] if last else []
    place = {"family": "inet", "table": "filter", "chain": "input"}
    rules = [{**place, "expr": [one, {"drop": None}]} for one in match] + [{**place, "expr": ends}]
    return json.dumps({"nftables": [{"metainfo": {}}, chain, *({"rule": one} for one in rules)]})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (ruleset("accept", 22), "firewall.open"),
        (ruleset("drop", 22), "firewall.not_named"),
        (ruleset("drop", 22, {"set": [104, 4100]}), "firewall.named"),
        (ruleset("drop", {"range": [100, 5000]}), "firewall.named"),
        (ruleset("accept", 22, last="drop"), "firewall.not_named"),
        (ruleset("accept", 104, 4100, last="reject"), "firewall.named"),
    ],
)
def test_nftables_rules_name_our_ports_or_not(text: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "run_program", lambda *_: Output(text, ""))
    assert firewall.look_at_firewall([104, 4100]).said[0].key == key


def test_iptables_is_read_where_nftables_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "-P INPUT DROP\n-A INPUT -p tcp -m multiport --dports 104,4100:4110 -j ACCEPT\n"
    outputs = {"nft": Output('{"nftables": []}', ""), "iptables": Output(text, "")}
    monkeypatch.setattr(firewall, "run_program", lambda name, *_: outputs[name])
    assert firewall.look_at_firewall([104, 4105]).said[0].key == "firewall.named"
    assert firewall.look_at_firewall([11112]).said[0].key == "firewall.not_named"
    text = "-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 23 -j DROP\n"
    outputs["iptables"] = Output(text, "")
    assert firewall.look_at_firewall([11112]).said[0].key == "firewall.open"


def test_the_disk_is_measured_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    config = configured(tmp_path, "disk: {associations_bytes: 1, warning_bytes: 1}")
    root = tmp_path / "root"
    root.mkdir()
    steps = ask([Machine(config).subject()])["machine"]
    assert states(steps)["disk"] == "ok"
    assert keys(steps, "fsync")[0] == "fsync.took"
    assert list(root.iterdir()) == []


def test_a_full_disk_has_failed(tmp_path: Path) -> None:
    config = configured(tmp_path, "disk: {associations_bytes: 99999999999999999}")
    assert Machine(config).disk().state == "failed"
    config = configured(tmp_path, "disk: {warning_bytes: 99999999999999999}")
    assert Machine(config).disk().state == "warning"


def test_a_clock_that_nobody_keeps_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {None: "skipped", 0: "ok", 5: "warning"}
    for state, expected in known.items():
        monkeypatch.setattr(machine, "_clock_state", lambda state=state: state)
        assert Machine(configured(tmp_path, "")).time().state == expected


def test_without_dns_servers_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_RESOLV_CONF", tmp_path / "none")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [])
    assert Machine(configured(tmp_path, "")).names().said[0].key == "names.no_servers"
