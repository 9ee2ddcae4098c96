"""Every verb over the socket of a real router process, by the client and by the command line."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.process import free_port, wait_for
from ponte.destination import Outgoing
from ponte.errors import InvalidRequest, TransientError
from ponte.quarantine import FolderQuarantine
from router.controlclient import SOCKET_NAME, NotRunning, Refused, call
from router.views import Search, StudyView, Views
from tests.factories import STUDY_UID, encode, make_ct
from tests.hazards.test_router_service import Router, outgoing, send
from tests.told_scp import Stored, ToldScp, told_scp
from tests.unit.cli.test_render import run
from tests.unit.router.forwarding import dicom, recorder

DEAD = {**dicom("pacs", 9), "retry": {"first_s": 600, "longest_s": 600}}


def settings(*destinations: dict[str, Any], **more: Any) -> str:
    """A part of the YAML file."""
    return yaml.safe_dump({"destinations": list(destinations), **more})


@contextmanager
def running(root: Path, *, settings: str = "", failpoint: str = "") -> Iterator[Router]:
    """With the destinations of the YAML file alone."""
    router = Router(root, free_port(), failpoint, settings, {"HTR_IP": "127.0.0.1"})
    try:
        router.wait_until_started()
        yield router
    finally:
        if router.is_running:
            router.kill()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dicom"


@pytest.fixture
def peer() -> Iterator[ToldScp]:
    taken: list[Stored] = []
    with told_scp(recorder(taken)) as scp:
        scp.taken = taken
        yield scp


@contextmanager
def sent_to(root: Path, *numbers: int, yaml_text: str) -> Iterator[Router]:
    """A router that has received these."""
    with running(root, settings=yaml_text) as router:
        stored: set[str] = set()
        send(router.port, [outgoing(number) for number in numbers], stored)
        assert len(stored) == len(numbers)
        wait_for(lambda: study(root) is not None, timeout_s=10, msg="the study is not organised")
        yield router


def study(root: Path) -> StudyView | None:
    with Views(root) as views:
        found = views.study(STUDY_UID)
    return found if found is not None and found.folder else None


def states(root: Path, destination: str = "pacs") -> list[str]:
    with Views(root) as views:
        return [
            delivery.state
            for instance in views.instances(STUDY_UID)
            for delivery in instance.deliveries
            if delivery.destination == destination
        ]


def wait(root: Path, *expected: str, destination: str = "pacs") -> None:
    wait_for(lambda: states(root, destination) == list(expected), timeout_s=20, msg=f"never {expected}")


@pytest.fixture
def ponte(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path) -> Any:
    """`ponte router ... --root ROOT`: its exit code, and what it printed."""

    def go(*arguments: str) -> tuple[int, str]:
        code = run(monkeypatch, "router", *arguments, "--root", str(root))
        return code, capsys.readouterr().out

    return go


Ponte = Callable[..., tuple[int, str]]


def test_the_status_of_a_router_that_runs(root: Path, ponte: Ponte) -> None:
    with running(root) as router:
        assert stat.S_IMODE((root / ".spool" / SOCKET_NAME).stat().st_mode) == 0o600
        status = call(root, "status")
        assert status["pid"] != os.getpid()
        assert {part["state"] for part in status["parts"]} == {"running"}
        assert [one["name"] for one in status["destinations"]] == ["target"]
        code, out = ponte("status", "--json")
        assert (code, json.loads(out)["running"]) == (0, True)
        code, out = ponte("status")
        assert code == 0
        assert "target" in out
        router.end()
        assert router.wait() == 0
    with pytest.raises(NotRunning):
        call(root, "status")
    code, out = ponte("status", "--json")
    assert (code, json.loads(out)["running"]) == (3, False)


def test_paused_and_resumed_and_paused_again_over_a_restart(root: Path, peer: ToldScp, ponte: Ponte) -> None:
    config = settings(dicom("pacs", peer.port))
    with running(root, settings=config) as router:
        assert ponte("pause", "pacs")[0] == 0
        send(router.port, [outgoing(1)], set())
        router.end()
        assert router.wait() == 0
    with running(root, settings=config):
        assert call(root, "status")["destinations"][0]["state"] == "paused"
        assert (states(root), peer.taken) == (["waiting"], [])
        assert ponte("resume", "pacs")[0] == 0
        wait(root, "sent")
        with pytest.raises(InvalidRequest, match="expected one of pacs"):
            call(root, "pause", destination="scap")


def test_drained_it_lets_nobody_in_and_goes_on_sending(root: Path, peer: ToldScp, ponte: Ponte) -> None:
    with sent_to(root, 1, yaml_text=settings(dicom("pacs", peer.port))) as router:
        assert ponte("drain")[0] == 0
        stored: set[str] = set()
        send(router.port, [outgoing(2)], stored)
        assert stored == set()
        wait(root, "sent")
        assert call(root, "status")["refusing"] == "draining"
        assert ponte("drain", "--end")[0] == 0
        send(router.port, [outgoing(2)], stored)
        assert len(stored) == 1


def test_refused_then_retried_dismissed_resent(root: Path, ponte: Ponte) -> None:
    statuses = [0xA900, 0xA900]

    def moody(conversation: Any) -> None:
        conversation.accept()
        while (stored := conversation.message()) is not None:
            conversation.answer(stored, statuses.pop() if statuses else 0)

    keep = {"keep_s": 3600}
    with (
        told_scp(moody) as scp,
        sent_to(root, 1, 2, yaml_text=settings(dicom("pacs", scp.port), studies=keep)),
    ):
        wait(root, "refused", "refused")
        code, out = ponte("retry", "--number", "1", "--json")
        assert (code, json.loads(out)) == (0, {"retried": 1, "destinations": {"pacs": 1}})
        wait(root, "sent", "refused")
        assert ponte("dismiss", "--study", STUDY_UID)[0] == 0
        wait(root, "sent", "skipped")
        assert ponte("dismiss", "--study", STUDY_UID)[0] == 3
        code, out = ponte("resend", "--study", STUDY_UID, "--json")
        assert (code, json.loads(out)["resent"]) == (0, 2)
        wait(root, "sent", "sent")
        assert ponte("retry")[0] == 3


def test_completed_by_hand(root: Path, peer: ToldScp, ponte: Ponte) -> None:
    with sent_to(root, 1, yaml_text=settings(dicom("pacs", peer.port, send="study"))):
        assert states(root) in ([], ["waiting"])
        assert ponte("complete", STUDY_UID)[0] == 0
        wait(root, "sent")
        assert ponte("complete", STUDY_UID)[0] == 3


def test_an_urgent_study_goes_first(root: Path, ponte: Ponte) -> None:
    with running(root, settings=settings(DEAD)) as router:
        call(root, "pause", destination="pacs")
        urgent = make_ct(9)
        urgent.StudyInstanceUID = "1.2.3.4"
        data = Outgoing(urgent.SOPInstanceUID, encode(urgent), urgent.SOPClassUID, "1.2.840.10008.1.2.1",
                        outgoing(1).dataset_start)  # fmt: skip
        send(router.port, [outgoing(1), outgoing(2), data], set())
        wait(root, "waiting", "waiting")
        code, out = ponte("prioritise", "1.2.3.4", "--json")
        assert (code, json.loads(out)) == (0, {"waiting": 1, "destinations": {"pacs": 1}})
        with pytest.raises(Refused, match="ever came"):
            call(root, "prioritise", study="1.2.3.4.5")
        router.end()
        router.wait()
    taken: list[Stored] = []
    with told_scp(recorder(taken)) as scp, running(root, settings=settings(dicom("pacs", scp.port))):
        call(root, "resume", destination="pacs")
        wait(root, "sent", "sent")
        assert b"1.2.3.4\0" in taken[0].dataset


def test_deleted_only_what_was_sent_unless_by_force(root: Path, ponte: Ponte) -> None:
    with sent_to(root, 1, 2, yaml_text=settings(DEAD)) as router:
        wait_for(lambda: "sending" not in states(root), timeout_s=20, msg="still sending")
        assert ponte("delete", STUDY_UID, "--yes")[0] == 3
        assert len(list((root / ".spool/kept").glob("*/*"))) == 2
        code, out = ponte("delete", STUDY_UID, "--yes", "--force", "--json")
        assert (code, json.loads(out)["deleted"], json.loads(out)["unsent"]) == (0, 2, 2)
        assert not list((root / ".spool/kept").glob("*/*"))
        assert not list(root.glob("*/*.dcm"))
        lines = [line for line in router.log if line["message"] == "study deleted by hand"]
        assert [(line["instances"], line["unsent"]) for line in lines] == [(2, 2)]
        assert STUDY_UID not in str(router.log)
        router.kill()
    with running(root, settings=settings(DEAD)):
        found = study(root)
        assert found is not None
        assert (found.images, found.kept) == (2, 0)


@pytest.mark.parametrize("failpoint", ["deletion-marked", "removal-unlinked"])
def test_killed_while_it_deletes_it_deletes_the_rest_at_the_next_start(failpoint: str, root: Path) -> None:
    with running(root, settings=settings(DEAD), failpoint=failpoint) as router:
        send(router.port, [outgoing(1), outgoing(2)], set())
        wait_for(lambda: len(list(root.glob("*/*.dcm"))) == 2, timeout_s=10, msg="not organised")
        wait_for(lambda: "sending" not in states(root), timeout_s=20, msg="still sending")
        with pytest.raises(TransientError, match="may have done it"):
            call(root, "delete", study=STUDY_UID, force=True)
        assert router.wait() == 137
    with running(root, settings=settings(DEAD)):
        wait_for(lambda: not list(root.glob("*/*.dcm")), timeout_s=20, msg="names are left")
        assert not list((root / ".spool/kept").glob("*/*"))


def test_let_go_from_quarantine(root: Path, peer: ToldScp, ponte: Ponte) -> None:
    """A conflict with what was sent and deleted since."""
    with sent_to(root, 1, yaml_text=settings(dicom("pacs", peer.port), studies={"keep_s": 3600})) as router:
        wait(root, "sent")
        stored: set[str] = set()
        send(router.port, [outgoing(1, size=32)], stored)
        assert len(stored) == 1
        (kept,) = FolderQuarantine(root).list()
        code, out = ponte("quarantine", "list")
        assert (code, "UID_CONFLICT" in out) == (0, True)
        code, out = ponte("quarantine", "release", kept.id)
        assert (code, "UID_CONFLICT" in out) == (3, True)
        assert ponte("delete", STUDY_UID, "--yes")[0] == 0
        code, out = ponte("quarantine", "release", kept.id, "--json")
        assert (code, json.loads(out)["released"][0]["status"]) == (0, "kept")
        wait(root, "sent", "sent")
        assert ponte("quarantine", "show", kept.id)[0] == 0
        assert ponte("quarantine", "purge", kept.id, "--yes")[0] == 0
        assert list(FolderQuarantine(root).list()) == []


def test_reloaded_by_the_socket_and_by_sighup(root: Path, peer: ToldScp, ponte: Ponte) -> None:
    base = "disk: {associations_bytes: 0, instances_bytes: 0}\ngrace_s: 5\n"
    file = root.parent / "dicom.yaml"
    with sent_to(root, 1, yaml_text=settings(DEAD, dicom("old", 9))) as router:
        call(root, "pause", destination="old")
        wait_for(lambda: states(root, "old") == ["waiting"], timeout_s=20, msg="not planned")
        file.write_text(base + "destinations: [{kind: dicom, name: x}]\nlimits: {associations: 0}\n")
        with pytest.raises(InvalidRequest, match=r"limits\.associations: 0 is not above 0") as wrong:
            call(root, "reload")
        assert "destinations[0].host" in wrong.value.detail
        assert [one["name"] for one in call(root, "status")["destinations"]] == ["pacs", "old"]
        file.write_text(base + settings(dicom("pacs", peer.port), dicom("new", peer.port)))
        code, out = ponte("reload")
        assert code == 0
        assert "added: new" in out
        assert "old is sent to no more; 1 wait for it" in out
        wait(root, "sent")
        wait(root, "sent", destination="new")
        assert states(root, "old") == ["waiting"]
        file.write_text(base + settings(dicom("pacs", peer.port)))
        os.kill(call(root, "status")["pid"], signal.SIGHUP)
        wait_for(
            lambda: [one["name"] for one in call(root, "status")["destinations"]] == ["pacs"],
            timeout_s=20, msg="not reloaded",
        )  # fmt: skip
        file.write_text("- nonsense")
        os.kill(call(root, "status")["pid"], signal.SIGHUP)
        wait_for(
            lambda: any(line.get("alarm") == "NOT_RELOADED" for line in router.log),
            timeout_s=20, msg="nothing was said",
        )  # fmt: skip


def test_parts_begin_anew_and_the_whole_router_ends_to_be_started_again(
    root: Path, peer: ToldScp, ponte: Ponte
) -> None:
    with running(root, settings=settings(dicom("pacs", peer.port))) as router:
        for part in ("listeners", "forwarder", "organiser"):
            assert ponte("restart", part)[0] == 0
        stored: set[str] = set()
        send(router.port, [outgoing(1)], stored)
        assert len(stored) == 1
        wait(root, "sent")
        assert ponte("restart", "nothing")[0] == 2
        assert ponte("restart", "router")[0] == 0
        assert router.wait() == 75


def test_what_only_reads_works_while_no_router_runs(root: Path, ponte: Ponte) -> None:
    with sent_to(root, 1, 2, yaml_text=settings(DEAD)) as router:
        wait_for(lambda: len(states(root)) == 2, timeout_s=20, msg="not planned")
        router.end()
        router.wait()
    code, out = ponte("queue", "--json")
    assert (code, json.loads(out)["queues"][0]["waiting"]) == (0, 2)
    code, out = ponte("queue")
    assert (code, out.splitlines()[1].split()[:2]) == (0, ["pacs", "2"])
    code, out = ponte("studies", "--json")
    assert (code, json.loads(out)["studies"][0]["study_instance_uid"]) == (0, STUDY_UID)
    assert STUDY_UID in ponte("studies")[1]
    assert STUDY_UID not in ponte("studies", "--name", "NOBODY OF THIS NAME")[1]
    with Views(root) as views:
        assert len(views.studies(Search(), 5).studies) == 1
    assert ponte("pause", "pacs")[0] == 3


def test_the_log_is_in_its_file_without_a_word_of_a_patient(root: Path) -> None:
    with sent_to(root, 1, yaml_text=settings(DEAD)):
        call(root, "prioritise", study=STUDY_UID)
    path = root / ".spool/log/router.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert "router started" in text
    assert '"verb": "prioritise"' in text
    assert STUDY_UID not in text
    assert str(make_ct(1).PatientName) not in text
