"""Who gets in, what a role may, and what every answer says (FS-09)."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from dashboard.access import ANY_ROLE, LONGEST_BODY, PUBLIC, SECURITY_HEADERS
from dashboard.app import create
from dashboard.audit import AuditLog, Line
from dashboard.config import DashboardConfig
from dashboard.passwords import TooManyTries, Tries
from dashboard.routes import routes
from dashboard.sessions import MOST_SESSIONS, Sessions
from router.config import RouterConfig
from router.controlclient import NotRunning
from tests.unit.dashboard.client import FORM, Client
from tests.unit.dashboard.conftest import OPERATOR, VIEWER


def paths(method: str) -> set[str]:
    """Of all routes, with something in the place of each parameter."""
    given = {"{uid}": "1.2.3", "{id}": "0" * 32, "{number:int}": "1", "{size}": "small"}
    found = [route.path for route in routes() if isinstance(route, Route) and method in (route.methods or ())]
    for name, value in given.items():
        found = [path.replace(name, value) for path in found]
    return set(found)


PAGES = sorted(paths("GET") - PUBLIC)
ACTIONS = sorted(paths("POST") - ANY_ROLE)


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def client(guarded: DashboardConfig) -> Client:
    return Client(create(guarded), host="10.0.0.5:8501", address="10.0.0.9")


def audit(config: DashboardConfig) -> list[dict[str, Any]]:
    path = config.router.dicom_root / ".spool" / "log" / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_shown_to_who_is_not_logged_in(path: str, client: Client) -> None:
    """FS-09."""
    answer = client.get(path)
    assert answer.status == 303
    assert answer.location.startswith("/login?next=")
    assert client.get(path, accept="text/event-stream").status == 401


@pytest.mark.parametrize("path", ACTIONS)
def test_no_button_works_for_who_is_not_logged_in_for_a_viewer_and_without_its_token(
    path: str, client: Client, guarded: DashboardConfig
) -> None:
    """FS-09: CSRF on retry and delete."""
    assert client.post(path).status == 401
    client.log_in(VIEWER)
    assert client.post(path).status == 403
    client.cookies.clear()
    client.log_in(OPERATOR)
    assert client.post(path, {"csrf": ""}).status == 403
    assert client.post(path, {"csrf": "0" * 64}).status == 403
    assert client.post(path, {"csrf": "é"}).status == 403
    assert client.post(path, sec_fetch_site="cross-site").status == 403
    assert client.post(path, origin="http://evil.example").status == 403
    assert client.post(path, origin="null").status == 403
    assert client.post(path, content_type="text/plain").status == 415
    assert [line["action"] for line in audit(guarded) if line["action"] != "login"] == []
    if path.startswith(("/destinations", "/studies", "/quarantine")):
        assert client.post(path).status in (303, 404, 503)


def test_the_token_of_another_visitor_is_of_no_use(guarded: DashboardConfig) -> None:
    app = create(guarded)
    mine, other = Client(app, host="10.0.0.5:8501"), Client(app, host="10.0.0.5:8501")
    mine.log_in(OPERATOR)
    other.log_in(OPERATOR)
    assert mine.post("/logout", {"csrf": other.token()}).status == 403


def test_a_session_has_a_new_id_and_a_cookie_that_no_script_reads(client: Client) -> None:
    client.get("/login")
    before = client.cookies["ponte"]
    answer = client.log_in(OPERATOR)
    assert (answer.status, answer.location) == (303, "/")
    assert client.cookies["ponte"] != before
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(client.set_cookies[-1].split("; "))
    assert client.get("/").status == 200


def test_with_tls_the_cookie_is_secure_and_of_this_host_alone(
    guarded: DashboardConfig, tmp_path: Path
) -> None:
    from dataclasses import replace

    with_tls = replace(guarded, tls_certificate=tmp_path, tls_key=tmp_path)
    client = Client(create(with_tls), host="10.0.0.5:8501", scheme="https")
    client.log_in(OPERATOR)
    assert all(one.startswith("__Host-ponte=") and "Secure" in one for one in client.set_cookies)
    assert client.get("/").status == 200


def test_logged_out_is_logged_out_whatever_the_browser_still_sends(client: Client) -> None:
    client.log_in(OPERATOR)
    kept = dict(client.cookies)
    assert client.post("/logout").location == "/login"
    client.cookies = kept
    assert client.get("/").status == 303


def test_a_session_ends_when_it_is_idle_and_at_the_latest_after_so_long() -> None:
    clock = Clock()
    sessions = Sessions(60, 300, clock)
    idle, used = sessions.begin("viewer"), sessions.begin("operator")
    for _ in range(5):
        clock.at += 50
        assert sessions.role_of(idle, touch=False) == ("viewer" if clock.at <= 1060 else None)
        assert sessions.role_of(used) == "operator"
    clock.at += 51
    assert sessions.role_of(used) is None


def test_there_are_never_too_many_sessions() -> None:
    sessions = Sessions(60, 300)
    first = sessions.begin("operator")
    for _ in range(MOST_SESSIONS):
        sessions.begin("viewer")
    assert sessions.role_of(first) is None


def test_who_guesses_waits_and_the_right_password_does_not_help_meanwhile(
    client: Client, guarded: DashboardConfig
) -> None:
    assert [client.log_in(f"guess {number}").status for number in range(5)] == [401] * 5
    answer = client.log_in(OPERATOR)
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= 301
    other = Client(client.app, host=client.host, address="10.0.0.10")
    assert other.log_in(OPERATOR).status == 303
    said = [(line["role"], line["outcome"]) for line in audit(guarded)]
    assert said == [("nobody", "WRONG_PASSWORD")] * 5 + [("operator", "done")]


def test_many_addresses_together_are_slowed_down_too() -> None:
    clock = Clock()
    tries = Tries(per_address=2, in_all=4, window_s=10, now=clock)
    for number in range(4):
        tries.take(f"10.0.0.{number}")
    with pytest.raises(TooManyTries):
        tries.take("10.0.0.99")
    clock.at += 11
    tries.take("10.0.0.99")


@pytest.mark.parametrize("password", ["", "x" * 2000, OPERATOR.upper(), VIEWER + " "])
def test_what_is_not_the_password_opens_nothing(password: str, client: Client) -> None:
    assert client.log_in(password).status == 401
    assert client.get("/").status == 303


def test_the_role_is_that_of_the_password(client: Client) -> None:
    client.log_in(VIEWER)
    assert "Somente ver" in client.get("/").text
    client.post("/logout")
    client.log_in(OPERATOR)
    assert "Operador" in client.get("/").text


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", ""]
)
def test_nobody_is_sent_to_another_site(to: str, client: Client) -> None:
    assert client.post("/login", {"password": OPERATOR, "next": to}).location == "/"
    assert client.post("/language", {"language": "en", "back": to}).location == "/"


@pytest.mark.parametrize("path", ["/login", "/nothing", "/static/style.css", "/studies"])
def test_every_answer_has_the_headers_that_keep_others_out(path: str, client: Client) -> None:
    answer = client.get(path)
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == (
        "no-store" if "static" not in path else answer.headers["cache-control"]
    )


def test_what_is_too_large_goes_no_further(client: Client) -> None:
    client.log_in(OPERATOR)
    assert client.get("/studies?text=" + "x" * 3000).status == 414
    assert client.get("/" + "x" * 2000).status == 414
    assert client.get("/", cookie="a=" + "x" * 20000).status == 431
    body = b"csrf=" + b"x" * LONGEST_BODY
    assert client.ask("POST", "/logout", body, {"content-type": FORM}).status == 413
    fields = b"&".join(b"a=1" for _ in range(200))
    assert client.ask("POST", "/logout", fields, {"content-type": FORM}).status == 400
    assert client.ask("PUT", "/", b"", {}).status == 405


def test_without_a_password_it_answers_to_this_machines_own_names_alone(router: RouterConfig) -> None:
    """A name that was made to point to 127.0.0.1 (DNS rebinding) is not answered."""
    app = create(DashboardConfig(router))
    for host in ("127.0.0.1:8501", "localhost", "[::1]:8501"):
        assert Client(app, host=host).get("/").status == 200
    for host in ("evil.example", "127.0.0.1.evil.example:8501", "", "[", "10.0.0.5"):
        assert Client(app, host=host).get("/").status == 421


def test_without_a_password_every_page_says_so(router: RouterConfig) -> None:
    """FS-09."""
    client = Client(create(DashboardConfig(router)))
    assert "Sem senha" in client.get("/").text
    assert "No password" in client.get("/", accept_language="en-GB,pt;q=0.5").text


def test_without_a_password_forms_need_their_token_all_the_same(router: RouterConfig) -> None:
    client = Client(create(DashboardConfig(router)))
    assert client.post("/destinations/pause", {"destination": "target", "csrf": "0" * 64}).status == 403
    assert client.post("/destinations/pause", {"destination": "target"}).status == 303


@pytest.mark.parametrize("path", [
    "/static/../config.py", "/static/%2e%2e/config.py", "/static/..%2fconfig.py", "/quarantine/..%2f..%2fetc",
    "/quarantine/../../etc/passwd/export", "/quarantine/0/export", "/studies/..%2f..%2fetc/pictures/1/small",
])  # fmt: skip
def test_no_path_in_an_address_leads_anywhere(path: str, router: RouterConfig) -> None:
    """FS-09: path in a download's parameter."""
    from urllib.parse import unquote

    client = Client(create(DashboardConfig(router)))
    assert client.get(unquote(path)).status in (404, 503)


def test_a_page_that_fails_says_so_and_tells_nobody_of_what(
    router: RouterConfig, caplog: pytest.LogCaptureFixture
) -> None:
    app = create(DashboardConfig(router))

    def fail() -> None:
        raise RuntimeError("CANARY^Name")

    app.state.views = fail
    with caplog.at_level(logging.INFO):
        answer = Client(app).get("/studies")
    assert answer.status == 500
    assert "Esta página falhou" in answer.text
    assert "CANARY" not in answer.text + caplog.text
    assert answer.headers["x-frame-options"] == "DENY"


def test_a_failed_button_is_said_and_noted(guarded: DashboardConfig) -> None:
    app = create(guarded)

    def control(verb: str, **_: Any) -> dict[str, Any]:
        raise NotRunning("No router runs")

    app.state.control = control
    client = Client(app, host="10.0.0.5:8501", address="10.0.0.9")
    client.log_in(OPERATOR)
    assert client.post("/destinations/pause", {"destination": "target"}).location == "/"
    assert "Não foi feito: o roteador não está em execução." in client.get("/").text
    assert "Não foi feito:" not in client.get("/").text
    last = audit(guarded)[-1]
    assert last.pop("time").endswith("Z")
    assert last == {
        "role": "operator", "address": "10.0.0.9", "action": "pause", "target": "target",
        "outcome": "NOT_RUNNING",
    }  # fmt: skip


def test_a_destination_that_there_is_not_is_not_asked_for(router: RouterConfig) -> None:
    client = Client(create(DashboardConfig(router)))
    assert client.post("/destinations/pause", {"destination": "<script>"}).status == 404


def test_the_audit_log_is_its_owners_alone_and_never_grows_without_end(router: RouterConfig) -> None:
    log = AuditLog(router.dicom_root, most_bytes=1000)
    for _ in range(100):
        log.write(Line("operator", "10.0.0.9", "delete", "0" * 32, "done"))
    files = sorted((router.dicom_root / ".spool" / "log").iterdir())
    assert 1 < len(files) <= 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert all(path.stat().st_size < 1300 for path in files)


def test_a_full_disk_stops_no_button(router: RouterConfig, caplog: pytest.LogCaptureFixture) -> None:
    (router.dicom_root / ".spool" / "log").write_text("a file in the place of the folder")
    AuditLog(router.dicom_root).write(Line("operator", "10.0.0.9", "delete", "0" * 32, "done"))
    assert "audit line not written" in caplog.text
