"""What the verbs do to rows, files and lanes; over the socket they are tried by the integration tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from ponte.errors import InvalidRequest, TransientError
from ponte.quarantine import QuarantineRecord
from router.box import Box
from router.config import DiskConfig, RouterConfig, StudiesConfig
from router.control_verbs import verbs
from router.controlclient import Refused
from router.counters import Counters
from router.destinations import read_destinations
from router.reception import Asked, Intake
from router.removal import NotSent
from router.savepoint import run_apart
from router.spool import Spool
from router.views import Views
from tests.factories import STUDY_UID, encode, make_ct
from tests.told_scp import Conversation, Stored, told_scp
from tests.unit.router.forwarding import dicom, recorder, wait_for
from tests.unit.router.store import FACTS, LITTLE, dataset_of

CLOSED = 9  # the discard port: nothing listens there
OTHER = "1.2.3.4.5"


class Silent:
    """Stands for the listeners."""

    is_alive = True

    def start(self) -> None:
        pass

    def stop(self, grace_s: float) -> bool:
        return True


def listen(config: RouterConfig, intake: Intake, counters: Counters) -> Silent:
    return Silent()


class Router:
    """A box with its parts, and a configuration that a test may change."""

    def __init__(self, root: Path, *destinations: Mapping[str, Any]) -> None:
        self.config = RouterConfig(
            dicom_root=root, disk=DiskConfig(0, 0), destinations=read_destinations(destinations),
            studies=StudiesConfig(keep_s=3600),
        )  # fmt: skip
        self.ended = 0
        spool = Spool(root)
        spool.make()
        self.box = Box(self.config, spool, listen, Counters(), read_config=lambda: self.config, end=self._end)
        self.box.parts.start()

    def _end(self) -> None:
        self.ended += 1

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        found = verbs(self.box)[verb]
        assert set(arguments) <= set(found.arguments)
        return dict(found.apply(**arguments))

    def receive(self, *numbers: int, size: int = 64) -> None:
        for number in numbers:
            self.take(make_ct(number, size=size))

    def take(self, instance: FileDataset) -> None:
        asked = Asked(FACTS, instance.SOPClassUID, instance.SOPInstanceUID, LITTLE)
        reception = self.box.intake.begin(asked)
        reception.write(dataset_of(instance))
        assert reception.finish() == 0

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return run_apart(self.box.committer, lambda database: database.run(query, values).fetchall())

    def states(self, destination: str) -> list[str]:
        query = "SELECT state FROM deliveries WHERE destination = ? ORDER BY number"
        return [state for (state,) in self.rows(query, destination)]

    def wait(self, destination: str, *states: str) -> None:
        wait_for(lambda: self.states(destination) == list(states), f"{destination}: {states}")

    def change(self, destination: str, state: str) -> None:
        self.rows("UPDATE deliveries SET state = ? WHERE destination = ?", state, destination)

    def stop(self) -> None:
        assert self.box.parts.stop(lambda _: 10)
        self.box.committer.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Router]]:
    """Start a router with some destinations."""
    routers: list[Router] = []

    def start(*destinations: Mapping[str, Any]) -> Router:
        routers.append(Router(tmp_path / "dicom", *destinations))
        return routers[-1]

    yield start
    if routers:
        routers[-1].stop()


def dead(name: str, **options: Any) -> dict[str, Any]:
    return dicom(name, CLOSED, **options)


@pytest.fixture
def taken() -> list[Stored]:
    return []


@pytest.fixture
def peer(taken: list[Stored]) -> Iterator[int]:
    """The port of an SCP that takes everything."""
    with told_scp(recorder(taken)) as scp:
        yield scp.port


def test_what_is_paused_is_sent_nothing_until_it_is_resumed_also_after_a_restart(
    started: Callable[..., Router], peer: int, taken: list[Stored]
) -> None:
    router = started(dicom("pacs", peer))
    assert router.ask("pause", destination="pacs") == {"destination": "pacs", "paused": True}
    router.receive(1)
    router.wait("pacs", "waiting")
    router.ask("restart", part="forwarder")
    assert router.box.forwarder.lanes["pacs"].health.is_held
    router.stop()
    router = started(dicom("pacs", peer))
    assert router.box.forwarder.lanes["pacs"].health.is_held
    assert (router.states("pacs"), taken) == (["waiting"], [])
    assert router.ask("resume", destination="pacs") == {"destination": "pacs", "paused": False}
    router.wait("pacs", "sent")
    router.ask("restart", part="forwarder")
    assert not router.box.forwarder.lanes["pacs"].health.is_held


@pytest.mark.parametrize("verb", ["pause", "resume", "retry"])
def test_a_destination_that_is_none_is_said(verb: str, started: Callable[..., Router]) -> None:
    router = started(dead("pacs"))
    with pytest.raises(InvalidRequest, match="expected one of pacs"):
        router.ask(verb, destination="pasc")


def test_while_it_drains_nobody_is_let_in(started: Callable[..., Router]) -> None:
    router = started(dead("pacs"))
    assert router.ask("drain") == {"draining": True, "associations": 0}
    assert router.box.intake.refuses_associations() == "draining"
    assert router.ask("status")["draining"]
    assert router.ask("undrain") == {"draining": False, "associations": 0}
    assert router.box.intake.refuses_associations() is None


def test_what_was_refused_or_given_up_is_tried_again(started: Callable[..., Router]) -> None:
    router = started(dead("pacs"), dead("archive"))
    router.ask("pause", destination="pacs")
    router.ask("pause", destination="archive")
    router.receive(1, 2)
    router.wait("pacs", "waiting", "waiting")
    router.change("pacs", "refused")
    router.change("archive", "given_up")
    assert router.ask("retry", number=1) == {"retried": 2, "destinations": {"archive": 1, "pacs": 1}}
    assert router.ask("retry", destination="pacs") == {"retried": 1, "destinations": {"pacs": 1}}
    assert router.ask("retry", study=STUDY_UID) == {"retried": 1, "destinations": {"archive": 1}}
    assert router.ask("retry") == {"retried": 0, "destinations": {}}
    router.rows("UPDATE deliveries SET next_at = 9e9 WHERE destination = 'pacs'")
    assert router.ask("retry") == {"retried": 2, "destinations": {"pacs": 2}}


def test_a_retry_reaches_a_destination_within_its_pause(started: Callable[..., Router], peer: int) -> None:
    slow = {"first_s": 600, "longest_s": 600, "alert_after_s": 600, "give_up_after_s": 6000}
    router = started(dicom("pacs", peer, retry=slow))
    lane = router.box.forwarder.lanes["pacs"]
    lane.failed(TransientError("away"))
    router.receive(1)
    router.wait("pacs", "waiting")
    assert router.ask("retry", destination="pacs") == {"retried": 0, "destinations": {}}
    router.wait("pacs", "sent")


def test_what_is_dismissed_is_nobodys_success(started: Callable[..., Router]) -> None:
    """It counts no more for that destination; where no other has it, it stays until it is deleted by hand."""
    router = started(dead("pacs"))
    router.ask("pause", destination="pacs")
    router.receive(1)
    router.wait("pacs", "waiting")
    assert router.ask("dismiss", destination="pacs") == {"dismissed": 0, "destinations": {}}
    router.change("pacs", "refused")
    with pytest.raises(InvalidRequest, match="dismiss needs"):
        router.ask("dismiss")
    assert router.ask("dismiss", study=STUDY_UID) == {"dismissed": 1, "destinations": {"pacs": 1}}
    assert router.states("pacs") == ["skipped"]
    with Views(router.config.dicom_root) as views:
        (queue,), found = views.queues(), views.study(STUDY_UID)
        assert (queue.skipped, queue.dismissed) == (0, 1), "it is not there"
        assert found is not None
        assert (found.destinations[0].skipped, found.destinations[0].dismissed) == (0, 1)
        assert "dismissed" in [event.kind for event in views.timeline(STUDY_UID)]
    assert router.ask("resend", study=STUDY_UID)["resent"] == 1
    with Views(router.config.dicom_root) as views:
        assert (views.queues()[0].waiting, views.queues()[0].dismissed) == (1, 0)
    with pytest.raises(NotSent):
        router.ask("delete", study=STUDY_UID)


def test_a_study_is_sent_again_and_stays_until_that_is_done(
    started: Callable[..., Router], peer: int, taken: list[Stored]
) -> None:
    router = started(dicom("pacs", peer))
    router.receive(1, 2)
    router.wait("pacs", "sent", "sent")
    wait_for(lambda: router.rows("SELECT count(confirmed_at) FROM organised") == [(2,)], "confirmed")
    router.ask("pause", destination="pacs")
    assert router.ask("resend", study=STUDY_UID) == {
        "resent": 2, "destinations": {"pacs": 2}, "gone": 0,
    }  # fmt: skip
    assert router.rows("SELECT count(confirmed_at) FROM organised") == [(0,)]
    assert router.states("pacs") == ["waiting", "waiting"]
    router.ask("resume", destination="pacs")
    router.wait("pacs", "sent", "sent")
    assert len(taken) == 4


def test_by_hand_it_is_sent_also_where_no_rule_sends_it(
    started: Callable[..., Router], peer: int, taken: list[Stored]
) -> None:
    router = started(dicom("pacs", peer, rules=[{"include": {"modality": ["MR"]}}]), dead("archive"))
    router.receive(1)
    router.wait("archive", "waiting")
    assert router.states("pacs") == []
    answer = router.ask("resend", study=STUDY_UID, destination="pacs")
    assert answer == {"resent": 1, "destinations": {"pacs": 1}, "gone": 0}
    router.wait("pacs", "sent")
    assert len(taken) == 1
    with pytest.raises(InvalidRequest, match="resend needs"):
        router.ask("resend")


def test_what_is_not_here_any_more_is_not_said_to_be_sent_again(
    started: Callable[..., Router], peer: int
) -> None:
    router = started(dicom("pacs", peer))
    router.receive(1)
    router.wait("pacs", "sent")
    router.ask("delete", study=STUDY_UID)
    assert router.ask("resend", study=STUDY_UID) == {"resent": 0, "destinations": {}, "gone": 1}


@pytest.mark.parametrize("verb", ["complete", "prioritise", "delete", "resend", "retry"])
def test_a_study_that_never_came_is_said(verb: str, started: Callable[..., Router]) -> None:
    router = started(dead("pacs"))
    with pytest.raises(Refused, match="ever came"):
        router.ask(verb, study="1.2.3")
    with pytest.raises(InvalidRequest, match="no Study Instance UID"):
        router.ask(verb, study="1.2.3; DROP")


def test_a_study_is_completed_by_hand(started: Callable[..., Router], peer: int) -> None:
    router = started(dicom("pacs", peer, send="study"))
    router.receive(1)
    wait_for(lambda: router.rows("SELECT 1 FROM study_parts"), "the part of the study")
    assert router.ask("complete", study=STUDY_UID) == {"completed": True}
    router.wait("pacs", "sent")
    with pytest.raises(Refused, match="it is complete"):
        router.ask("complete", study=STUDY_UID)


def test_an_urgent_study_goes_before_all_others_by_index(
    started: Callable[..., Router], taken: list[Stored]
) -> None:
    router = started(dead("pacs", priority=0))
    router.ask("pause", destination="pacs")
    router.receive(1, 2)
    urgent = make_ct(3)
    urgent.StudyInstanceUID = OTHER
    router.take(urgent)
    router.wait("pacs", "waiting", "waiting", "waiting")
    assert router.ask("prioritise", study=OTHER) == {"waiting": 1, "destinations": {"pacs": 1}}
    assert router.ask("prioritise", study=OTHER) == {"waiting": 0, "destinations": {}}
    late = make_ct(4)
    late.StudyInstanceUID = OTHER
    router.take(late)
    router.wait("pacs", *["waiting"] * 4)
    order = (
        "SELECT number FROM deliveries WHERE destination = 'pacs' AND state = 'waiting'"
        " AND part IS NOT NULL AND (next_at <= 0 OR next_at > 9) ORDER BY priority, number"
    )
    assert router.rows(order) == [(3,), (4,), (1,), (2,)]
    plan = " ".join(str(row[3]) for row in router.rows(f"EXPLAIN QUERY PLAN {order}"))
    assert "waiting_deliveries" in plan
    assert "B-TREE" not in plan


def test_nothing_unsent_is_deleted_unless_that_is_said(
    started: Callable[..., Router], caplog: pytest.LogCaptureFixture
) -> None:
    router = started(dead("pacs"))
    router.ask("pause", destination="pacs")
    router.receive(1, 2)
    router.wait("pacs", "waiting", "waiting")
    with pytest.raises(NotSent, match="2 of 2 images were not sent; nothing was deleted"):
        router.ask("delete", study=STUDY_UID)
    assert len(list(router.box.spool.places())) == 2
    wait_for(lambda: len(list(router.config.dicom_root.glob("*/*.dcm"))) == 2, "the names in the folder")
    answer = router.ask("delete", study=STUDY_UID, force=True)
    assert (answer["deleted"], answer["unsent"], answer["files_left"]) == (2, 2, 0)
    assert list(router.box.spool.places()) == []
    assert router.rows("SELECT DISTINCT state FROM instances") == [("removed",)]
    assert router.rows("SELECT DISTINCT state, detail FROM deliveries") == [("skipped", "Deleted by hand")]
    assert not list(router.config.dicom_root.glob("*/*.dcm"))
    assert STUDY_UID not in caplog.text
    (line,) = [one for one in caplog.records if one.message == "study deleted by hand"]
    assert (line.instances, line.unsent) == (2, 2)  # type: ignore[attr-defined]
    with pytest.raises(InvalidRequest, match="Nothing of this study is here"):
        router.ask("delete", study=STUDY_UID, force=True)
    metadata = router.config.dicom_root / ".metadata.json"
    wait_for(lambda: '"image_count": 2' in metadata.read_text(), "the study's entry stays")
    assert '"sent": false' in metadata.read_text()


def test_what_is_being_sent_is_not_deleted_under_it(started: Callable[..., Router]) -> None:
    router = started(dead("pacs"))
    router.ask("pause", destination="pacs")
    router.receive(1)
    router.wait("pacs", "waiting")
    router.change("pacs", "sending")
    with pytest.raises(TransientError, match="being sent just now"):
        router.ask("delete", study=STUDY_UID, force=True)
    assert len(list(router.box.spool.places())) == 1


def test_what_was_sent_is_deleted_and_its_row_says_so_first(
    started: Callable[..., Router], peer: int
) -> None:
    router = started(dicom("pacs", peer))
    router.receive(1)
    router.wait("pacs", "sent")
    answer = router.ask("delete", study=STUDY_UID)
    assert (answer["deleted"], answer["unsent"]) == (1, 0)
    assert router.states("pacs") == ["sent"]


def test_what_is_let_go_from_quarantine_is_received_and_forwarded_by_the_same_rules(
    started: Callable[..., Router], peer: int
) -> None:
    """Here a conflict that is none any more: the other content was sent and deleted."""
    only = [{"include": {"calling_ae_title": ["MODALITY"]}}]
    router = started(dicom("pacs", peer, rules=only))
    router.receive(1)
    router.wait("pacs", "sent")
    router.receive(1, size=32)
    (kept,) = router.box.quarantine.list()
    assert kept.record.reason == "UID_CONFLICT"
    answer = router.ask("release", quarantine=kept.id)
    assert (answer["released"], answer["status"]) == (False, "refused")
    assert "UID_CONFLICT" in answer["detail"]
    router.ask("delete", study=STUDY_UID)
    assert router.ask("release", quarantine=kept.id) == {"released": True, "status": "kept", "detail": ""}
    router.wait("pacs", "sent", "sent")
    assert router.box.quarantine.show(kept.id).released is not None
    assert router.rows("SELECT count(*) FROM quarantined") == [(0,)]


def test_what_is_still_wrong_stays_in_quarantine_and_says_so(started: Callable[..., Router]) -> None:
    router = started(dead("pacs"))
    instance = make_ct(1)
    del instance.PixelData
    broken = router.box.quarantine.keep(QuarantineRecord("NO_PIXEL_DATA", "none"), [encode(instance)])
    answer = router.ask("release", quarantine=broken)
    assert answer["released"] is False
    assert "NO_PIXEL_DATA" in answer["detail"]
    other = router.box.quarantine.keep(QuarantineRecord("COMMAND_MISMATCH", "x"), [encode(make_ct(2))])
    with pytest.raises(Refused, match="announced"):
        router.ask("release", quarantine=other)
    with pytest.raises(InvalidRequest):
        router.ask("release", quarantine="0" * 32)
    assert router.rows("SELECT count(*) FROM instances") == [(0,)]


def test_a_reload_touches_the_changed_destinations_alone(
    started: Callable[..., Router], peer: int, caplog: pytest.LogCaptureFixture
) -> None:
    router = started(dicom("pacs", peer), dead("archive"), dead("old"))
    router.ask("pause", destination="old")
    router.receive(1)
    router.wait("old", "waiting")
    lane = router.box.forwarder.lanes["pacs"]
    targets = read_destinations([dicom("pacs", peer), dicom("archive", peer), dicom("new", peer)])
    router.config = RouterConfig(
        dicom_root=router.config.dicom_root, disk=DiskConfig(0, 0), destinations=targets,
        studies=StudiesConfig(keep_s=3600), grace_s=1,
    )  # fmt: skip
    answer = router.ask("reload")
    assert (answer["added"], answer["removed"]) == (("new",), ("old",))
    assert (answer["changed"], answer["unchanged"]) == (("archive",), ("pacs",))
    assert answer["left_waiting"] == {"old": 1}
    assert answer["needs_restart"] == ["grace_s"]
    assert router.box.forwarder.lanes["pacs"] is lane
    router.wait("archive", "sent")
    router.wait("new", "sent")
    assert router.states("old") == ["waiting"]
    assert "DESTINATION_REMOVED" in [getattr(one, "alarm", "") for one in caplog.records]
    assert router.ask("dismiss", destination="old") == {"dismissed": 1, "destinations": {"old": 1}}


def test_a_bad_configuration_changes_nothing(started: Callable[..., Router], tmp_path: Path) -> None:
    router = started(dead("pacs"))
    lane = router.box.forwarder.lanes["pacs"]
    missing = {"kind": "dicomweb", "name": "archive", "url": "https://192.0.2.1/", "username": "a"}
    targets = read_destinations([dead("other"), {**missing, "password_file": str(tmp_path / "none")}])
    router.config = RouterConfig(dicom_root=router.config.dicom_root, destinations=targets)
    with pytest.raises(InvalidRequest, match="archive: the password_file cannot be read"):
        router.ask("reload")
    assert list(router.box.forwarder.lanes) == ["pacs"]
    assert router.box.forwarder.lanes["pacs"] is lane
    assert router.box.parts.states()["forwarder"] == "running"


def test_a_destination_that_hangs_ends_what_it_has_in_hand_after_a_reload(
    started: Callable[..., Router], taken: list[Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others do not wait for it, and nothing is sent twice."""
    monkeypatch.setattr("router.box._GRACE_S", 0.1)
    go_on: list[bool] = []

    def slow(peer: Conversation) -> None:
        peer.accept()
        while (stored := peer.message()) is not None:
            wait_for(lambda: go_on, "the test")
            taken.append(stored)
            peer.answer(stored)

    with told_scp(slow, recorder(taken)) as scp:
        router = started(dicom("pacs", scp.port))
        router.receive(1)
        router.wait("pacs", "sending")
        router.config = RouterConfig(
            dicom_root=router.config.dicom_root,
            destinations=read_destinations([dicom("pacs", scp.port, priority=1)]),
        )
        answer = router.ask("reload")
        assert (answer["changed"], answer["still_sending"]) == (("pacs",), ("pacs",))
        assert router.states("pacs") == ["sending"]
        go_on.append(True)
        router.wait("pacs", "sent")
        assert len(taken) == 1


def test_parts_are_made_anew_by_hand(started: Callable[..., Router], peer: int) -> None:
    router = started(dicom("pacs", peer))
    for part in ("organiser", "commitments", "forwarder", "listeners"):
        assert router.ask("restart", part=part) == {"part": part, "restarted": True}
        assert set(router.box.parts.states().values()) == {"running"}
    router.receive(1)
    router.wait("pacs", "sent")
    wait_for(lambda: list(router.config.dicom_root.glob("*/*.dcm")), "the name in the folder")
    with pytest.raises(InvalidRequest, match="router makes all of it anew"):
        router.ask("restart", part="control")
    router.ask("restart", part="router")
    assert router.ended == 1


def _fares(router: Router) -> dict[str, Any]:
    (found,) = router.ask("status")["destinations"]
    return dict(found)


def test_the_status_says_how_a_destination_fares(started: Callable[..., Router], peer: int) -> None:
    router = started(dicom("pacs", peer))
    assert _fares(router)["state"] == "idle"
    router.receive(1)
    router.wait("pacs", "sent")
    assert (_fares(router)["state"], _fares(router)["queue"]) == ("up", 0)
    router.ask("pause", destination="pacs")
    router.receive(2)
    router.wait("pacs", "sent", "waiting")
    assert (_fares(router)["state"], _fares(router)["queue"]) == ("paused", 1)
    lane = router.box.forwarder.lanes["pacs"]
    router.rows("UPDATE instances SET durable_at = durable_at - 1000")
    router.rows("UPDATE deliveries SET next_at = ? WHERE state = 'waiting'", time.time() + 1000)
    router.ask("resume", destination="pacs")
    assert _fares(router)["state"] == "slow"
    lane.failed(TransientError("no route to it", code="PACS_ERROR"))
    fares = _fares(router)
    assert (fares["state"], fares["failures"], fares["code"]) == ("down", 1, "PACS_ERROR")
    assert fares["detail"] == "no route to it"


def test_the_status_knows_hours_queues_quarantine_and_disk(started: Callable[..., Router]) -> None:
    closed = "mon 00:00-00:01"
    router = started(dead("pacs", schedule=[closed]))
    router.receive(1)
    router.receive(1, size=32)
    router.wait("pacs", "waiting")
    status = router.ask("status")
    assert status["destinations"][0]["state"] == "closed"
    assert status["oldest_unforwarded_at"] == pytest.approx(time.time(), abs=60)
    assert status["quarantine"] == {"UID_CONFLICT": 1}
    assert status["disk"]["free_bytes"] > 0
    assert status["disk"]["days_left"] is None
