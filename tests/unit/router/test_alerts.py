"""When somebody is told, how often, and what outlives a restart. The clock is the test's."""

from __future__ import annotations

import json
import socket
import sqlite3
import ssl
import string
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ponte.errors import DestinationRefused, DestinationUnavailable, PonteError, TransientError
from router import alert_channels
from router.alert_book import CLEAR_S, QUIET_S
from router.alert_certificates import Certificates, valid_until
from router.alert_channels import Teller
from router.alert_memory import FILE_NAME, MOST_WAITING, Memory, raised, read
from router.alert_notice import KINDS, TEST, Notice, State, Values
from router.alert_texts import WORDS, Letter, letter
from router.alerts import Alerts, Sources
from router.committer import NotCommitted
from router.config import AlertsConfig, DiskConfig, ListenerConfig, RouterConfig, TlsConfig
from router.database import Database
from router.destinations import Target, read_destinations
from router.views import QueueView
from tests.authority import Authority
from tests.factories import make_ct
from tests.unit.router.store import Store

GIB = 1 << 30
DAY_S = 86400.0
T0 = 1_800_000_000.0


def queue(name: str = "pacs", **changed: Any) -> QueueView:
    return replace(QueueView(name, 0, 0, 0, 0, 0, 0, 0, None, None), **changed)


@dataclass
class Box:
    """Stands for the router: what it says, and a clock."""

    root: Path
    now: float = T0
    state: str = "up"
    failing_since: float | None = None
    free_bytes: int = 500 * GIB
    days_left: float | None = None
    started_at: float = 0.0
    refusing: str | None = None
    parts: dict[str, str] = field(default_factory=lambda: {"listeners": "running"})
    queue: QueueView = field(default_factory=queue)
    oldest_at: float | None = None
    quarantine: dict[str, int] = field(default_factory=dict)
    folders: dict[str, bool] = field(default_factory=dict)
    failures: int = 0
    can_commit: bool = True
    can_say: bool = True
    has_rows: bool = True
    probes: int = 0
    alert_after_s: float = 900.0
    send: str = "instances"
    config: AlertsConfig = field(default_factory=AlertsConfig)
    listeners: tuple[ListenerConfig, ...] = ()
    alerts: Alerts = field(init=False)

    def __post_init__(self) -> None:
        (self.root / ".spool").mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        """As after a restart: what was learnt is in the file alone."""
        config = RouterConfig(
            dicom_root=self.root, alerts=self.config, listeners=self.listeners,
            disk=DiskConfig(warning_bytes=20 * GIB),
        )  # fmt: skip
        self.alerts = Alerts(config, self._sources(), now=lambda: self.now)

    def _sources(self) -> Sources:
        def failures() -> int:
            return self.failures

        def folders() -> Mapping[str, bool]:
            return self.folders

        return Sources(self.status, self._rows, self._targets, folders, failures, self._probe)

    def _targets(self) -> Sequence[Target]:
        values = {"kind": "dicom", "name": "pacs", "host": "127.0.0.1", "ae_title": "PACS"}
        return read_destinations(
            [{**values, "send": self.send, "retry": {"alert_after_s": self.alert_after_s}}]
        )

    def _probe(self) -> None:
        self.probes += 1
        if not self.can_commit:
            self.failures += 1
            raise TransientError("It could not be made durable", code="STORAGE")

    @contextmanager
    def _rows(self) -> Iterator[Any]:
        if not self.has_rows:
            raise TransientError("The rows cannot be read", code="STORAGE")
        yield self

    def queues(self) -> list[QueueView]:
        return [self.queue]

    def status(self) -> dict[str, Any]:
        if not self.can_say:
            raise TransientError("The rows cannot be read", code="STORAGE")
        failures = 3 if self.state == "down" else 0
        return {
            "destinations": [
                {
                    "name": "pacs", "state": self.state, "since": self.failing_since, "queue": 0,
                    "failures": failures, "detail": "", "code": "PACS_ERROR" if failures else "",
                }
            ],
            "started_at": self.started_at,
            "disk": {"free_bytes": self.free_bytes, "total_bytes": 1, "days_left": self.days_left},
            "refusing": self.refusing, "quarantine": self.quarantine,
            "oldest_unforwarded_at": self.oldest_at,
            "parts": [{"name": name, "state": state} for name, state in self.parts.items()],
        }  # fmt: skip

    def look(self, after_s: float = 15.0) -> list[tuple[str, str, State]]:
        """What is told at a look so much later."""
        self.now += after_s
        told: list[Notice] = []
        learn = self.alerts.memory.learn

        def noted(update: Any) -> Sequence[Notice]:
            told.extend(found := learn(update))
            return found

        self.alerts.memory.learn = noted  # type: ignore[method-assign]
        try:
            self.alerts.step()
        finally:
            self.alerts.memory.learn = learn  # type: ignore[method-assign]
        self.told = told
        return [(one.kind, one.subject, one.state) for one in told]

    def fails(self, waiting: int = 5) -> None:
        self.state, self.failing_since = "down", self.now
        self.queue = queue(waiting=waiting, oldest_waiting_at=self.now)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path, config=AlertsConfig(unforwarded_s=10 * 3600))


DOWN = ("DESTINATION_DOWN", "pacs")


def test_nobody_is_told_of_a_box_that_is_well(box: Box) -> None:
    assert box.look() == []
    assert box.look(3600) == []
    assert not (box.root / ".spool" / FILE_NAME).exists()


def test_a_destination_is_down_when_it_was_for_as_long_as_was_set(box: Box) -> None:
    box.fails()
    assert box.look(15) == []
    assert box.look(870) == []
    assert box.look(20) == [(*DOWN, "raised")]
    assert box.told[0].since == T0
    assert box.told[0].values == {"failures": 3, "code": "PACS_ERROR", "waiting": 5}


def test_it_is_told_once_then_reminded_of_then_told_over(box: Box) -> None:
    box.fails()
    assert box.look(901) == [(*DOWN, "raised")]
    assert [box.look(3600) for _ in range(3)] == [[], [], []]
    assert box.look(3600) == [(*DOWN, "reminder")]
    box.state, box.queue = "up", queue(sent=5, last_sent_at=box.now)
    assert box.look() == []
    assert box.look(CLEAR_S) == [(*DOWN, "over")]
    assert box.look(10 * 3600) == []


def test_one_that_comes_back_for_a_moment_is_not_over(box: Box) -> None:
    box.fails()
    box.look(901)
    box.state, box.queue = "up", queue(waiting=1, last_sent_at=box.now)
    assert box.look() == []
    box.state = "down"
    assert box.look(CLEAR_S) == []
    box.state = "up"
    assert box.look() == []
    assert box.look(CLEAR_S) == [(*DOWN, "over")]


def test_after_a_restart_it_is_not_told_again_and_not_over_because_nothing_failed_yet(box: Box) -> None:
    box.fails()
    assert box.look(901) == [(*DOWN, "raised")]
    box.start()
    box.state, box.failing_since = "up", None
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]
    box.state, box.failing_since = "down", box.now
    assert box.look() == []
    box.state, box.queue = "up", queue(last_sent_at=box.now)
    box.look()
    assert box.look(CLEAR_S) == [(*DOWN, "over")]


def test_a_router_that_is_restarted_again_and_again_still_tells(box: Box) -> None:
    box.fails()
    for _ in range(3):
        assert box.look(290) == []
        box.start()
        box.failing_since = box.now
    assert box.look(290) == [(*DOWN, "raised")]
    assert box.told[0].since == T0


def test_one_that_is_paused_is_nobodys_alarm_and_an_alarm_does_not_end_by_a_pause(box: Box) -> None:
    box.fails()
    box.look(300)
    box.state = "paused"
    assert box.look(901) == []
    box.fails()
    assert box.look(901) == [(*DOWN, "raised")]
    box.state = "paused"
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]


def test_a_destination_that_is_configured_no_more_is_over(box: Box) -> None:
    box.fails()
    box.look(901)
    status = box.status()
    box.status = lambda: {**status, "destinations": []}  # type: ignore[method-assign]
    box.start()
    box.look()
    assert box.look(CLEAR_S) == [(*DOWN, "over")]


def test_images_that_wait_too_long_are_told_though_the_destination_takes_some(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.queue = queue(waiting=7, oldest_waiting_at=T0, last_sent_at=T0)
    assert box.look(3500) == []
    assert box.look(200) == [("IMAGES_WAIT", "pacs", "raised")]
    assert box.told[0].values == {"minutes": 61, "waiting": 7}
    box.queue = queue(waiting=7, oldest_waiting_at=box.now - 3000)
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]  # not below four fifths yet
    box.queue = queue(waiting=7, oldest_waiting_at=box.now)
    box.look()
    assert box.look(CLEAR_S) == [("IMAGES_WAIT", "pacs", "over")]


def test_where_whole_studies_go_images_may_wait_for_the_end_of_theirs(tmp_path: Path) -> None:
    box = Box(tmp_path, send="study")
    box.queue = queue(waiting=7, oldest_waiting_at=T0)
    assert box.look(3600 + 7000) == []
    assert box.look(300) == [("IMAGES_WAIT", "pacs", "raised")]


def test_images_may_wait_for_the_hours_of_their_destination(tmp_path: Path) -> None:
    box = Box(tmp_path, state="closed")
    box.queue = queue(waiting=7, oldest_waiting_at=T0)
    assert box.look(8 * 3600) == []


def test_images_for_which_nobody_decides_are_told(box: Box) -> None:
    box.oldest_at, box.queue = T0, queue(waiting=1, oldest_waiting_at=T0)
    assert box.look(1000) == []  # it waits in a queue
    box.queue = queue(waiting=1, oldest_waiting_at=T0 + 500)
    assert box.look() == [("NOT_PLANNED", "", "raised")]
    box.oldest_at = None
    box.look()
    assert box.look(CLEAR_S) == [("NOT_PLANNED", "", "over")]


@pytest.mark.parametrize(
    ("free", "days"), [(19 * GIB, None), (-1, None), (500 * GIB, 2.9)], ids=["bytes", "not asked", "days"]
)
def test_a_disk_is_low_by_its_space_or_by_its_days_and_well_with_a_quarter_more(
    free: int, days: float | None, box: Box
) -> None:
    box.free_bytes, box.days_left = free, days
    assert box.look() == [("DISK_LOW", "", "raised")]
    box.free_bytes, box.days_left = 24 * GIB, 3.5
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]
    box.free_bytes, box.days_left = 26 * GIB, 4.0
    box.look()
    assert box.look(CLEAR_S) == [("DISK_LOW", "", "over")]


def test_a_disk_whose_days_nobody_knows_since_the_restart_is_not_well_by_that(box: Box) -> None:
    box.days_left = 2.0
    assert box.look() == [("DISK_LOW", "", "raised")]
    box.start()
    box.days_left, box.started_at = None, box.now
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]
    box.look(2 * 3600)
    assert box.look(CLEAR_S) == [("DISK_LOW", "", "over")]


@pytest.mark.parametrize("reason", ["disk", "queue"])
def test_a_box_that_takes_nothing_is_told_at_once(reason: str, box: Box) -> None:
    box.refusing = reason
    assert box.look() == [("NOT_RECEIVING", "", "raised")]
    assert box.told[0].values == {"reason": reason}


def test_draining_is_told_when_it_seems_forgotten(box: Box) -> None:
    box.refusing = "draining"
    assert box.look() == []
    assert box.look(3600) == [("NOT_RECEIVING", "draining", "raised")]


def test_commits_that_fail_are_told_until_one_does_not(box: Box) -> None:
    box.failures, box.can_commit = 1, False
    assert box.look() == []
    assert box.look() == [("CANNOT_COMMIT", "", "raised")]
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]  # nobody sends: it is asked, not believed
    box.can_commit = True
    assert (box.look(), box.look()) == ([], [])  # the last failure was seen at the first of these
    assert box.look(CLEAR_S) == [("CANNOT_COMMIT", "", "over")]


def test_a_single_commit_that_failed_wakes_nobody_and_a_well_box_is_not_probed(box: Box) -> None:
    box.look()
    assert box.probes == 0
    box.failures = 1
    assert [box.look() for _ in range(4)] == [[], [], [], []]
    assert box.probes == 2


def test_commits_are_looked_after_where_the_router_cannot_even_say_its_status(box: Box) -> None:
    box.fails()
    box.look(901)
    box.failures, box.can_commit, box.can_say, box.has_rows = 1, False, False, False
    box.look()
    assert box.look() == [("CANNOT_COMMIT", "", "raised")]
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]  # what cannot be seen is not over


def test_quarantine_is_told_when_it_grows_and_not_again_while_it_does(box: Box) -> None:
    box.quarantine = {"NO_PIXEL_DATA": 2}
    assert box.look() == [("QUARANTINE_GREW", "", "raised")]
    assert box.told[0].values == {"reasons": "NO_PIXEL_DATA 2", "count": 2, "more": 2}
    box.quarantine = {"NO_PIXEL_DATA": 3, "UID_CONFLICT": 5}
    assert box.look() == []
    assert box.look(QUIET_S) == []
    assert box.look(CLEAR_S) == [("QUARANTINE_GREW", "", "reminder")]  # what has come since; nothing is over
    assert box.told[0].values == {"reasons": "UID_CONFLICT 5, NO_PIXEL_DATA 3", "count": 8, "more": 8}
    box.start()
    assert box.look() == []
    box.quarantine = {"UID_CONFLICT": 9}
    assert box.look() == [("QUARANTINE_GREW", "", "raised")]
    assert box.told[0].values == {"reasons": "UID_CONFLICT 9", "count": 9, "more": 1}


def test_quarantine_of_which_all_was_told_is_not_told_again(box: Box) -> None:
    box.quarantine = {"NO_PIXEL_DATA": 2}
    box.look()
    assert [box.look(QUIET_S), box.look(CLEAR_S), box.look(CLEAR_S)] == [[], [], []]


def test_quarantine_that_shrinks_is_nobodys_alarm_and_grows_anew_from_there(box: Box) -> None:
    box.quarantine = {"NO_PIXEL_DATA": 9}
    box.look()
    box.quarantine = {}
    assert (box.look(CLEAR_S), box.look(CLEAR_S)) == ([], [])
    box.quarantine = {"NO_PIXEL_DATA": 1}
    assert box.look() == [("QUARANTINE_GREW", "", "raised")]
    assert box.told[0].values["more"] == 1


def test_what_a_destination_refuses_is_told(box: Box) -> None:
    box.queue = queue(refused=2, given_up=1)
    assert box.look() == [("UNDELIVERED", "pacs", "raised")]
    assert box.told[0].values == {"count": 3, "more": 3}


def test_rows_that_cannot_be_read_neither_raise_nor_end_anything(box: Box) -> None:
    box.queue = queue(waiting=1, oldest_waiting_at=T0 - 1e6, refused=1)
    assert len(box.look()) == 2
    box.has_rows = False
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]


def test_a_part_that_failed_and_a_folder_that_is_gone_are_told(box: Box) -> None:
    box.parts["watcher"], box.folders = "failed", {"incoming": False}
    assert box.look() == [("PART_FAILED", "watcher", "raised")]
    assert box.look(60) == [("WATCH_FOLDER_GONE", "incoming", "raised")]


def test_a_certificate_of_ours_is_told_before_it_expires_and_over_when_it_was_renewed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("127.0.0.1", days=29)
    tls = TlsConfig(issued.certificate_file, issued.key_file)
    end = valid_until(issued.certificate_file.read_bytes())
    box = Box(tmp_path, now=end - 29 * DAY_S - 15, listeners=(ListenerConfig(2762, tls=tls),))
    assert box.look(0) == []  # nobody has looked at it
    box.alerts._certificates.look()
    assert box.look() == [("CERTIFICATE_EXPIRES", "listener 2762", "raised")]
    assert box.told[0].values == {"days": 29, "expires_at": end}
    issued.certificate_file.write_bytes(b"not readable for now")
    box.alerts._certificates.look()
    assert [box.look(CLEAR_S) for _ in range(2)] == [[], []]
    issued.certificate_file.write_bytes(authority.issue("127.0.0.1", days=400).certificate_file.read_bytes())
    box.alerts._certificates.look()
    box.look()
    assert box.look(CLEAR_S) == [("CERTIFICATE_EXPIRES", "listener 2762", "over")]


def test_a_certificate_that_was_told_of_is_not_over_because_nobody_has_looked_since_the_restart(
    tmp_path: Path,
) -> None:
    issued = Authority(tmp_path).issue("127.0.0.1", days=5)
    tls = TlsConfig(issued.certificate_file, issued.key_file)
    end = valid_until(issued.certificate_file.read_bytes())
    box = Box(tmp_path, now=end - 5 * DAY_S, listeners=(ListenerConfig(2762, tls=tls),))
    box.alerts._certificates.look()
    assert box.look() == [("CERTIFICATE_EXPIRES", "listener 2762", "raised")]
    box.start()
    assert [box.look(CLEAR_S) for _ in range(3)] == [[], [], []]


def test_a_chain_is_valid_as_long_as_the_first_of_it_to_expire(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    long, short = (authority.issue("box", days=days).certificate_file.read_bytes() for days in (90, 3))
    assert valid_until(long + short) == valid_until(short) < valid_until(long)


def test_a_destination_that_does_not_answer_has_no_certificate_to_speak_of() -> None:
    values = {"kind": "dicom", "name": "pacs", "host": "127.0.0.1", "port": 1, "ae_title": "P", "tls": True}
    certificates = Certificates([], lambda: read_destinations([values]))
    certificates.look()
    assert certificates.found == {"pacs": None}


def test_the_certificate_that_a_destination_shows_is_read_and_nothing_is_sent(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue("127.0.0.1", days=-2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate_file, issued.key_file)
    said: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            said.append(tls.recv(1))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        values = {"kind": "dicomweb", "name": "cloud", "url": f"https://127.0.0.1:{port}/dicom-web"}
        certificates = Certificates([], lambda: read_destinations([values]))
        certificates.look()
        thread.join()
    assert certificates.found == {"cloud": valid_until(issued.certificate_file.read_bytes())}
    assert said in ([], [b""])  # whether it ends by FIN or RST


# what is kept


def notice(number: int = 1, kind: str = "DISK_LOW", at: float = T0) -> Notice:
    return Notice(f"alert_{number}", kind, "", "raised", at, at, {"free_gib": 1.5, "days": "-"})


def test_what_was_not_sent_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    memory = Memory(path, {"email": ("a@x", "b@x"), "webhook": ("receiver",)}, remind_s=1)
    memory.learn(lambda _: [notice(1), notice(2)])
    first = memory.first("email")
    assert first is not None
    memory.put_off(first, ("b@x",), T0 + 9)
    other = memory.first("webhook")
    assert other is not None
    memory.settle("webhook", other)
    again = Memory(path, {"email": ("a@x", "b@x"), "webhook": ("receiver",)}, remind_s=1)
    found, rest = again.first("email"), again.first("webhook")
    assert found is not None
    assert (found.notice, found.to, found.tries, found.next_at) == (notice(1), ("b@x",), 1, T0 + 9)
    assert rest is not None
    assert rest.notice == notice(2)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"book": 5}', b'{"book": {"alerts": [{}]}}', b"[" * 100_000, b"\xff" * 10]
)
def test_a_memory_that_is_damaged_is_put_aside_and_said(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    memory = Memory(tmp_path / FILE_NAME, {"email": ("a@x",)}, remind_s=1)
    assert memory.first("email") is None
    assert [one.alarm for one in caplog.records if hasattr(one, "alarm")] == ["ALERTS_FORGOTTEN"]
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_a_channel_that_is_dead_for_long_fills_neither_memory_nor_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(tmp_path / FILE_NAME, {"email": ("a@x",)}, remind_s=1)
    memory.learn(lambda _: [notice(number) for number in range(MOST_WAITING + 3)])
    first = memory.first("email")
    assert first is not None
    assert first.notice.id == "alert_3"
    assert sum(getattr(one, "alarm", "") == "ALERT_NOT_SENT" for one in caplog.records) == 3
    assert len(read(tmp_path / FILE_NAME)["waiting"]["email"]) == MOST_WAITING


def test_where_nothing_can_be_written_it_is_told_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(tmp_path / "nowhere" / FILE_NAME, {"email": ("a@x",)}, remind_s=1)
    memory.learn(lambda _: [notice(1)])
    memory.learn(lambda _: [notice(2)])
    assert memory.first("email") is not None
    assert [one.alarm for one in caplog.records if hasattr(one, "alarm")] == ["ALERTS_NOT_NOTED"]


def test_others_can_read_what_is_raised(box: Box) -> None:
    assert raised(box.root) == []
    box.free_bytes = 0
    box.look()
    assert [(one.kind, one.subject) for one in raised(box.root)] == [("DISK_LOW", "")]


# who is told


class Wire:
    """A channel that answers as it is told."""

    name = "email"
    addressees = ("a@x", "b@x")

    def __init__(self, *answers: PonteError | tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, tuple[str, ...]]] = []

    def send(self, notice: Notice, words: Letter, to: tuple[str, ...]) -> tuple[str, ...]:
        self.sent.append((notice.id, to))
        answer = self.answers.pop(0) if self.answers else ()
        if isinstance(answer, PonteError):
            raise answer
        return answer


@dataclass
class Clock:
    now: float = T0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(alert_channels, "time", found)
    return found


def telling(tmp_path: Path, *answers: PonteError | tuple[str, ...]) -> tuple[Teller, Wire, Memory]:
    wire = Wire(*answers)
    memory = Memory(tmp_path / FILE_NAME, {"email": wire.addressees}, remind_s=1)
    memory.learn(lambda _: [notice(1), notice(2)])
    return Teller(wire, memory, AlertsConfig(), ZoneInfo("UTC")), wire, memory


DEAD = DestinationUnavailable("The mail server cannot be reached", code="SMTP")
UNWANTED = DestinationRefused("The mail server answers 550", code="SMTP_REFUSED")


def test_each_is_told_once_in_order(tmp_path: Path, clock: Clock) -> None:
    teller, wire, _ = telling(tmp_path)
    assert (teller.step(), teller.step(), teller.step()) == (True, True, False)
    assert wire.sent == [("alert_1", ("a@x", "b@x")), ("alert_2", ("a@x", "b@x"))]


def test_a_dead_server_is_tried_again_at_growing_distances_and_everything_arrives(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    teller, wire, _ = telling(tmp_path, *[DEAD] * 20)
    while len(wire.sent) < 22:
        teller.step()
        clock.now += 5
    assert clock.now - T0 > 1.5 * 3600
    assert [one for one, _ in wire.sent][-2:] == ["alert_1", "alert_2"]
    alarms = [one for one in caplog.records if hasattr(one, "alarm")]
    assert len(alarms) == 1  # not for each attempt


def test_those_who_were_not_reached_are_told_alone(tmp_path: Path, clock: Clock) -> None:
    teller, wire, _ = telling(tmp_path, ("b@x",))
    teller.step()
    clock.now += 60
    teller.step()
    assert wire.sent == [("alert_1", ("a@x", "b@x")), ("alert_1", ("b@x",))]


def test_what_nobody_wants_is_given_up_soon_and_what_nobody_takes_after_a_day(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    teller, wire, memory = telling(tmp_path, *[UNWANTED] * 5, *[DEAD] * 1000)
    while memory.first("email") is not None:
        teller.step()
        clock.now += 60
    assert [one for one, _ in wire.sent].count("alert_1") == 5
    assert DAY_S <= clock.now - T0 < DAY_S + 3600
    given_up = [one for one in caplog.records if one.message == "alert given up"]
    assert [one.__dict__["code"] for one in given_up] == ["SMTP_REFUSED", "SMTP"]


def test_a_message_that_we_cannot_make_is_not_in_the_way_of_the_others(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller, wire, memory = telling(tmp_path)
    monkeypatch.setattr(wire, "send", broken := Broken(wire.send))
    while memory.first("email") is not None:
        teller.step()
        clock.now += 60
    assert broken.calls == 5
    assert [one for one, _ in wire.sent] == ["alert_2"]


@dataclass
class Broken:
    """Cannot send the first."""

    send: Any
    calls: int = 0

    def __call__(self, notice: Notice, words: Letter, to: tuple[str, ...]) -> Any:
        if notice.id == "alert_1":
            self.calls += 1
            raise UnicodeError("canary")
        return self.send(notice, words, to)


def test_a_clock_that_was_set_back_does_not_stop_the_telling(tmp_path: Path, clock: Clock) -> None:
    teller, wire, _ = telling(tmp_path, DEAD)
    teller.step()
    clock.now -= 30 * DAY_S
    assert teller.step()
    assert len(wire.sent) == 2


# in words


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("kind", [*KINDS, TEST])
def test_each_alert_has_words_in_each_language(kind: str, language: str) -> None:
    text = WORDS[language][kind]
    assert len(text.strip().split("\n\n")) == 3
    names = {name for _, name, _, _ in string.Formatter().parse(text) if name}
    other = WORDS["en" if language == "pt-BR" else "pt-BR"][kind]
    assert names == {name for _, name, _, _ in string.Formatter().parse(other) if name}


def test_a_letter_says_what_since_when_and_what_to_do(box: Box) -> None:
    box.fails()
    box.look(901)
    found = letter(box.told[0], language="pt-BR", site="Clínica Sol", zone=ZoneInfo("America/Sao_Paulo"))
    assert found.title == "[Ponte Clínica Sol] ALERTA: O destino pacs não recebe imagens"
    assert "Desde: 15/01/2027 05:00" in found.text
    assert "ponte doctor pacs" in found.text
    assert "{" not in found.text


def test_a_value_cannot_break_a_title(tmp_path: Path) -> None:
    values: Values = {"more": "1\r\nBcc: evil@x\n\nx", "count": 1}
    wrong = Notice("alert_1", "UNDELIVERED", "pacs", "raised", T0, T0, values)
    for language in WORDS:
        found = letter(wrong, language=language, site="", zone=ZoneInfo("UTC"))
        assert "\n" not in found.title
        assert "\r" not in found.text


def test_a_notice_survives_json() -> None:
    found = notice()
    assert Notice.read(json.loads(json.dumps(found.plain()))) == found


# whether rows can be written


def test_a_probe_really_writes_and_counts_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    try:
        log = tmp_path / ".spool/router.db-wal"
        store.committer.run(lambda database: database.touch())
        checkpointed = sqlite3.connect(tmp_path / ".spool/router.db", isolation_level=None)
        checkpointed.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        checkpointed.close()
        assert log.stat().st_size == 0
        store.committer.probe()
        assert log.stat().st_size > 0
        assert store.committer.failures == 0

        def full(_: Database) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(Database, "commit", full)
        with pytest.raises(NotCommitted):
            store.committer.probe()
        assert store.committer.failures == 1
        monkeypatch.undo()
        store.committer.probe()
        assert store.send(make_ct()) == 0
    finally:
        store.close()
