"""What machines ask of the dashboard: alive, ready, metrics; and who may read those."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.datastructures import Headers

from dashboard.app import create
from dashboard.config import DashboardConfig, read
from dashboard.passwords import hashed
from dashboard.situation import Pulse
from ponte.errors import TransientError
from router.config import RouterConfig
from router.configfile import BadConfiguration
from router.controlclient import NotRunning
from tests.asynchronous import finished
from tests.factories import make_ct
from tests.unit.router.store import Store

TOKEN = "a token of some length"
NEAR, FAR = ("127.0.0.1", 5000), ("192.168.10.9", 5000)
HERE = "127.0.0.1:8501"


def running(**changed: Any) -> dict[str, Any]:
    return {
        "version": "0.1.0", "pid": 1, "started_at": 1.0, "draining": False, "refusing": None,
        "associations": [], "destinations": [], "parts": [{"name": "listeners", "state": "running"}],
        "disk": {"free_bytes": 1, "total_bytes": 2, "days_left": None}, "oldest_unforwarded_at": None,
        "quarantine": {}, "counters": {}, **changed,
    }  # fmt: skip


@dataclass
class Answer:
    """What came back."""

    status_code: int
    headers: Headers
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Client:
    """Asks the application as a server would: `peer` is who connected."""

    app: Starlette
    peer: tuple[str, int]
    host: str

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return finished(self._get(path, {"host": self.host, **(headers or {})}))

    async def _get(self, path: str, headers: Mapping[str, str]) -> Answer:
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": self.peer, "server": ("127.0.0.1", 8501), "scheme": "http", "http_version": "1.1",
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], Headers(raw=sent[0]["headers"]), body.decode())


def asked(
    root: Path,
    answer: Callable[[], dict[str, Any]],
    *,
    peer: tuple[str, int] = NEAR,
    host: str = HERE,
    password: str = "",
    token: str = TOKEN,
) -> Client:
    """A client at `peer`, of a dashboard whose router gives this answer."""
    router = RouterConfig(dicom_root=root)
    listening = "0.0.0.0" if password else "127.0.0.1"
    hashes = hashed(password) if password else ""
    app = create(DashboardConfig(router, host=listening, password_hash=hashes, metrics_token=token))

    def control(*_: Any, **__: Any) -> dict[str, Any]:
        return answer()

    app.state.control = control
    app.state.pulse = Pulse(router, app.state.views, control)
    return Client(app, peer, host)


def stopped() -> dict[str, Any]:
    raise NotRunning("No router runs")


def silent() -> dict[str, Any]:
    raise TransientError("It does not answer", code="TIMEOUT")


def samples(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_alive_is_this_process_whatever_the_router_does(tmp_path: Path) -> None:
    answer = asked(tmp_path, stopped, peer=FAR, host="box:8501", password="secret word").get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"alive": True})


@pytest.mark.parametrize(
    ("answer", "code", "reasons"),
    [
        (running, 200, []),
        (lambda: running(refusing="disk"), 503, ["REFUSING_DISK"]),
        (lambda: running(refusing="queue"), 503, ["REFUSING_QUEUE"]),
        (lambda: running(refusing="draining", draining=True), 503, ["DRAINING"]),
        (stopped, 503, ["ROUTER_NOT_RUNNING"]),
        (silent, 503, ["ROUTER_SILENT"]),
    ],
    ids=["running", "disk", "queue", "draining", "stopped", "silent"],
)
def test_ready_says_why_not_by_code_and_needs_no_password(
    answer: Callable[[], dict[str, Any]], code: int, reasons: list[str], tmp_path: Path
) -> None:
    client = asked(tmp_path, answer, peer=FAR, host="box:8501", password="secret word")
    found = client.get("/readyz")
    assert (found.status_code, found.json()) == (code, {"ready": not reasons, "reasons": reasons})


def test_ready_is_not_said_where_the_rows_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / ".spool"
    folder.mkdir()
    (folder / "router.db").write_bytes(b"no database at all" * 100)
    found = asked(tmp_path, running).get("/readyz")
    assert (found.status_code, found.json()["reasons"]) == (503, ["ROWS_UNREADABLE"])


@pytest.mark.parametrize(
    ("peer", "host", "headers", "code"),
    [
        (NEAR, HERE, {}, 200),
        (NEAR, "localhost:8501", {}, 200),
        (("::1", 5000), "[::1]:8501", {}, 200),
        (FAR, "box:8501", {}, 401),
        (FAR, HERE, {}, 401),
        (NEAR, "box:8501", {}, 401),
        (NEAR, HERE, {"X-Forwarded-For": "192.168.10.9"}, 401),
        (NEAR, HERE, {"Forwarded": "for=192.168.10.9"}, 401),
        (FAR, "box:8501", {"Authorization": f"Bearer {TOKEN}"}, 200),
        (NEAR, "box:8501", {"Authorization": f"bearer {TOKEN}", "X-Forwarded-For": "10.0.0.1"}, 200),
        (FAR, "box:8501", {"Authorization": f"Bearer {TOKEN}x"}, 401),
        (FAR, "box:8501", {"Authorization": f"Basic {TOKEN}"}, 401),
        (FAR, "box:8501", {"Authorization": TOKEN}, 401),
        (NEAR, HERE, {"Authorization": "Bearer wrong"}, 401),
    ],
    ids=[
        "this machine", "by its name", "IPv6", "the network", "a loopback name from the network",
        "a name that was made to point here", "a proxy", "another proxy", "the token",
        "the token through a proxy", "a wrong token", "another scheme", "no scheme",
        "a wrong token from here",
    ],
)  # fmt: skip
def test_metrics_are_for_this_machine_and_for_who_has_the_token(
    peer: tuple[str, int], host: str, headers: dict[str, str], code: int, tmp_path: Path
) -> None:
    client = asked(tmp_path, running, peer=peer, host=host, password="secret word")
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == code
    assert ("ponte_router_up" in answer.text) == (code == 200)
    if code == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("given", ["Bearer ", "Bearer x", "Bearer"])
def test_without_a_token_no_token_opens_them(given: str, tmp_path: Path) -> None:
    client = asked(tmp_path, running, peer=FAR, host="box:8501", password="secret word", token="")
    assert client.get("/metrics", headers={"Authorization": given}).status_code == 401


def test_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    store = Store(tmp_path)
    try:
        assert store.send(make_ct()) == 0
        answer = asked(tmp_path, running).get("/metrics")
    finally:
        store.close()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.text)
    assert (found["ponte_router_up"], found["ponte_rows_up"]) == (1, 1)
    assert found["ponte_instances_kept"] == 1


@pytest.mark.parametrize("answer", [stopped, silent], ids=["stopped", "silent"])
def test_without_the_router_they_say_so_and_what_the_rows_know(
    answer: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    store.send(make_ct())
    store.close()
    found = samples(asked(tmp_path, answer).get("/metrics").text)
    assert (found["ponte_router_up"], found["ponte_instances_kept"]) == (0, 1)


def test_rows_that_cannot_be_read_leave_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / ".spool"
    folder.mkdir()
    (folder / "router.db").write_bytes(b"no database at all" * 100)
    found = samples(asked(tmp_path, running).get("/metrics").text)
    assert (found["ponte_router_up"], found["ponte_rows_up"]) == (1, 0)


def test_a_token_of_no_use_is_refused_and_not_quoted() -> None:
    with pytest.raises(BadConfiguration) as bad:
        read(None, {"DASHBOARD_METRICS_TOKEN": "short-canary"})
    assert any("DASHBOARD_METRICS_TOKEN" in one for one in bad.value.problems)
    assert "canary" not in str(bad.value)


def test_the_token_is_in_no_picture_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = read(None, {"DASHBOARD_METRICS_TOKEN_FILE": str(tmp_path / "token")})
    assert found.metrics_token == TOKEN
    assert TOKEN not in repr(found)
