"""The router as it is run: a process, real peers, kill -9 and SIGTERM in the middle of what they send.

HAZARDS.md FI-01 to FI-05, FI-08, FI-09, FI-11, FI-27 to FI-29. I1: what a peer saw Success for is there, byte
for byte, once. I2: nothing that is not whole is kept.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from infra.local.process import free_port, wait_for
from ponte.destination import Outgoing
from ponte.errors import PonteError
from ponte.scan import scan
from ponte_net.association import Patience
from ponte_net.scu import Peer, Scu, ScuLimits
from router.carriers import Carriers
from router.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from router.listener import Endpoint
from router.scp import Scp
from tests.carriers import Shared, carriers
from tests.corpus import ROOT
from tests.factories import encode, make_ct
from tests.memory_intake import RawPeer, command_pdu, data_pdu, store_request
from tests.unit.router import invariants
from tests.unit.router.disk import small_disk
from tests.unit.router.powerloss import LOSSES, Loss, Recorder
from tests.unit.router.store import Store

FAILPOINTS = ["received", "written", "synced", "renamed", "folder-synced", "committed"]
ENVIRONMENT = {"HTR_IP": "127.0.0.1", "TARGET_HOST": "127.0.0.1"}


class Router:
    """`ponte router run` as a process."""

    def __init__(
        self,
        root: Path,
        port: int,
        failpoint: str,
        more: str,
        variables: Mapping[str, str] = ENVIRONMENT,
        *,
        processes: int = 1,
    ) -> None:
        settings = root.parent / f"{root.name}.yaml"
        settings.write_text(
            f"disk: {{associations_bytes: 0, instances_bytes: 0}}\ngrace_s: 5\n"
            f"limits: {{processes: {processes}}}\n{more}"
        )
        environment = {**os.environ, **variables, "DICOM_ROOT": str(root), "SCP_PORT": str(port)}
        environment |= {"FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.port = port
        self.log: list[dict[str, object]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "router", "run", "--config", str(settings)],
            stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_started(self) -> None:
        wait_for(lambda: self._has_said("router started"), timeout_s=30, msg="the router does not start")

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        code = self._process.wait(30)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        return code

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def carriers(self) -> list[int]:
        """The processes that carry associations: those that came of the one that it started."""
        return [one for stem in children_of(self._process.pid) for one in children_of(stem)]

    def has_alarmed(self, alarm: str) -> bool:
        return any(line.get("alarm") == alarm for line in self.log)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(json.loads(line) if line.startswith("{") else {"message": line})

    def _has_said(self, message: str) -> bool:
        assert self.is_running, self.log
        return any(line["message"] == message for line in self.log)


def children_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
    return found


@contextmanager
def running(root: Path, *, processes: int = 1, failpoint: str = "", settings: str = "") -> Iterator[Router]:
    router = Router(root, free_port(), failpoint, settings, processes=processes)
    try:
        router.wait_until_started()
        yield router
    finally:
        if router.is_running:
            router.kill()


def outgoing(number: int, series: int = 1, *, size: int = 64) -> Outgoing:
    instance = make_ct(number, series=series, size=size)
    data = encode(instance)
    return Outgoing(
        instance.SOPInstanceUID, data, instance.SOPClassUID, "1.2.840.10008.1.2.1",
        scan([data]).dataset_start or 0,
    )  # fmt: skip


def datasets(*sent: Outgoing) -> dict[str, bytes]:
    return {one.sop_instance_uid: b"".join(one.dataset_chunks(one.dataset_bytes)) for one in sent}


def send(port: int, instances: list[Outgoing], stored: set[str]) -> None:
    """By our own SCU; `stored` gets what was answered, as it is answered, whatever comes then."""
    patience = Patience(connect_s=5, acse_s=5, dimse_s=10)
    scu = Scu(Peer("127.0.0.1", port, "STORESCP"), limits=ScuLimits(retries=0, patience=patience))
    try:
        for outcome in scu.store(instances):
            if outcome.stored:
                stored.add(outcome.sop_instance_uid)
    except PonteError:
        pass


@pytest.mark.parametrize(
    ("failpoint", "processes"),
    [*((name, 1) for name in FAILPOINTS), *((name, 2) for name in FAILPOINTS[3:])],
)
def test_a_router_killed_at_any_step_has_what_it_answered_and_takes_the_rest_again(
    failpoint: str, processes: int, tmp_path: Path
) -> None:
    """FI-01 to FI-05, with our SCU; of several processes the one that commits."""
    root = tmp_path / "root"
    instances = [outgoing(number) for number in range(8)]
    stored: set[str] = set()
    with running(root, processes=processes, failpoint=f"{failpoint}:4") as router:
        carriers = router.carriers()
        send(router.port, instances, stored)
        assert router.wait() == 137
        wait_for(lambda: not any(map(is_there, carriers)), timeout_s=30, msg="a carrier is left")
    assert len(stored) == 3
    invariants.check(root, {uid: data for uid, data in datasets(*instances).items() if uid in stored})
    with running(root) as router:
        send(router.port, instances, stored)
        router.end()
        assert router.wait() == 0
    assert len(stored) == 8
    invariants.check(root, datasets(*instances))
    assert len(list((root / ".spool/kept").glob("*/*"))) == 8


def is_there(pid: int) -> bool:
    return Path("/proc", str(pid)).exists()


@pytest.mark.parametrize("failpoint", FAILPOINTS[:3])
def test_a_carrier_killed_at_any_step_leaves_what_was_answered_and_nothing_else(
    failpoint: str, tmp_path: Path
) -> None:
    """FI-01 to FI-03 in one of several processes: the router goes on, with another in its place."""
    root = tmp_path / "root"
    instances = [outgoing(number) for number in range(8)]
    stored: set[str] = set()
    with running(root, processes=2, failpoint=f"{failpoint}:4") as router:
        before = router.carriers()
        send(router.port, instances, stored)
        wait_for(lambda: router.has_alarmed("CARRIER_LOST"), timeout_s=30, msg="nobody says so")
        wait_for(lambda: not partials(root), timeout_s=30, msg="a partial file is left")
        wait_for(lambda: len(set(router.carriers()) - set(before)) == 1, timeout_s=30, msg="none follows")
        assert len(stored) == 3
        send(router.port, instances[5:7], stored)  # to the other one
        router.end()
        assert router.wait() == 0
    assert len(stored) == 5
    invariants.check(root, {uid: data for uid, data in datasets(*instances).items() if uid in stored})
    assert len(list((root / ".spool/kept").glob("*/*"))) == 5


def has(stored: set[str], count: int) -> bool:
    return len(stored) >= count


def partials(root: Path) -> list[Path]:
    return list((root / ".spool/incoming").iterdir())


def test_carriers_that_are_killed_take_nothing_with_them_that_was_answered(tmp_path: Path) -> None:
    """I1, I2: kill -9 of one carrier after the other, with four peers that come again, as modalities do."""
    root = tmp_path / "root"
    sent = [[outgoing(number, series, size=256) for number in range(25)] for series in range(1, 5)]
    stored: set[str] = set()

    def send_all(port: int, instances: list[Outgoing]) -> None:
        uids = {one.sop_instance_uid for one in instances}

        def sent_now() -> bool:
            send(port, instances, stored)
            return uids <= stored

        wait_for(sent_now, timeout_s=60, msg="not all is taken")

    with running(root, processes=2, settings="studies: {quiet_s: 1}") as router:
        peers = [Thread(target=send_all, args=(router.port, instances)) for instances in sent]
        for peer in peers:
            peer.start()
        for count in (10, 40):
            wait_for(partial(has, stored, count), timeout_s=30, msg="nothing is stored")
            os.kill(router.carriers()[0], signal.SIGKILL)
        for peer in peers:
            peer.join()
        router.end()
        assert router.wait() == 0
        assert router.has_alarmed("CARRIER_LOST")
    invariants.check(root, datasets(*(one for instances in sent for one in instances)))
    assert not partials(root)
    with closing(sqlite3.connect(root / ".spool/router.db")) as rows:
        assert rows.execute("SELECT count(*) FROM associations WHERE ended_at IS NULL").fetchone() == (0,)
        endings = {how for (how,) in rows.execute("SELECT ending FROM associations")}
    assert endings == {"lost", "released"}


def test_carriers_of_a_router_that_is_gone_end_at_once(tmp_path: Path) -> None:
    """kill -9 of the first process, in the middle of a dataset: no carrier is left, and none answers."""
    root = tmp_path / "root"
    with running(root, processes=2) as router, RawPeer(router.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()), data_pdu(bytes(1000), last=False))
        wait_for(lambda: bool(partials(root)), timeout_s=30, msg="nothing arrives")
        carriers = router.carriers()
        assert len(carriers) == 2
        router.kill()
        with suppress(OSError):
            peer.send(data_pdu(bytes(10)))
        assert peer.ends() == []
        wait_for(lambda: not any(map(is_there, carriers)), timeout_s=30, msg="a carrier is left")
    invariants.check(root, {})


def test_sixteen_associations_of_several_processes_keep_what_they_bring_once(tmp_path: Path) -> None:
    """The same instances from all of them at once: each is kept once, all are answered Success."""
    root = tmp_path / "root"
    instances = [outgoing(number) for number in range(6)]
    answers: list[set[str]] = [set() for _ in range(16)]
    with running(root, processes=3) as router:
        peers = [Thread(target=send, args=(router.port, instances, stored)) for stored in answers]
        for peer in peers:
            peer.start()
        for peer in peers:
            peer.join()
        router.end()
        assert router.wait() == 0
    assert all(len(stored) == 6 for stored in answers)
    invariants.check(root, datasets(*instances))
    assert len(list((root / ".spool/kept").glob("*/*"))) == 6


@pytest.mark.dcmtk
@pytest.mark.parametrize("failpoint", ["written", "renamed", "committed"])
def test_dcmsend_sends_again_what_a_killed_router_did_not_answer(failpoint: str, tmp_path: Path) -> None:
    """FI-02, FI-04, FI-05 with DCMTK's sender and its own report."""
    root, folder = tmp_path / "root", tmp_path / "study"
    folder.mkdir()
    instances = [outgoing(number) for number in range(8)]
    for number, instance in enumerate(instances):
        assert isinstance(instance.content, bytes)
        (folder / f"{number}.dcm").write_bytes(instance.content)
    with running(root, failpoint=f"{failpoint}:5") as router:
        code, answered = dcmsend(router.port, folder)
        assert code
        assert router.wait() == 137
    invariants.check(root, {})
    kept = len(list((root / ".spool/kept").glob("*/*")))
    assert (answered, kept) == (4, 4 if failpoint == "written" else 5)
    with running(root) as router:
        assert dcmsend(router.port, folder) == (0, 8)
    invariants.check(root, datasets(*instances))
    assert len(list((root / ".spool/kept").glob("*/*"))) == 8


def dcmsend(port: int, folder: Path) -> tuple[int, int]:
    """Its exit code, and how often it was answered Success."""
    command = ["dcmsend", "-v", "--scan-directories", "127.0.0.1", str(port), str(folder)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.returncode, found.stderr.count("Received C-STORE Response (Success)")


def seeds() -> list[object]:
    return [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 25))]


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_any_moment_two_associations_find_what_they_saw_stored(
    seed: int, processes: int, tmp_path: Path
) -> None:
    """I1 and I2, kill -9 at random: many instances, two associations, small and large ones."""
    root, moments = tmp_path / "root", random.Random(seed)
    sent = [
        [outgoing(number, series, size=moments.choice([32, 64, 512])) for number in range(40)]
        for series in (1, 2)
    ]
    stored: set[str] = set()
    for _ in range(3):
        with running(root, processes=processes) as router:
            peers = [Thread(target=send, args=(router.port, instances, stored)) for instances in sent]
            for peer in peers:
                peer.start()
            time.sleep(moments.uniform(0, 0.4))  # the moment is the test's input, nothing is waited for
            router.kill()
            for peer in peers:
                peer.join()
        known = datasets(*sent[0], *sent[1])
        invariants.check(root, {uid: known[uid] for uid in stored})


@pytest.mark.parametrize("processes", [1, 2])
def test_asked_to_end_it_finishes_who_is_being_served_and_lets_nobody_in(
    processes: int, tmp_path: Path
) -> None:
    """FI-27, intake: SIGTERM during a C-STORE."""
    root = tmp_path / "root"
    instances = [outgoing(number, size=256) for number in range(200)]
    stored: set[str] = set()
    with running(root, processes=processes) as router:
        peer = Thread(target=send, args=(router.port, instances, stored))
        peer.start()
        wait_for(lambda: bool(stored), timeout_s=30, msg="nothing was answered")
        router.end()
        peer.join()
        assert router.wait() == 0
    assert len(stored) == 200
    invariants.check(root, datasets(*instances))


def test_a_second_router_says_why_it_does_not_start(tmp_path: Path) -> None:
    """FI-29."""
    root = tmp_path / "root"
    with running(root) as router:
        environment = {**os.environ, **ENVIRONMENT, "DICOM_ROOT": str(root), "SCP_PORT": str(free_port())}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        second = subprocess.run(
            [sys.executable, "-m", "cli.main", "router", "run"],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert "Another router works on this DICOM_ROOT" in second.stderr
        assert router.is_running


@contextmanager
def served(root: Path, processes: int) -> Iterator[tuple[Store, Scp | Carriers]]:
    """The same in this process, for what can be seen from within alone."""
    store = Store(root)
    endpoints = (Endpoint(0, "127.0.0.1"),)
    scp: Scp | Carriers = Scp(endpoints, store.intake)
    if processes > 1:
        scp = carriers(store.intake, endpoints, Shared(), root=root, processes=processes)
    scp.start()
    try:
        yield store, scp
    finally:
        scp.stop(5)
        store.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_on_the_wire_the_answer_comes_after_all_that_it_promises(processes: int, tmp_path: Path) -> None:
    """FI-08: file fsync < rename < folder fsync < commit < C-STORE-RSP, for each of several associations."""
    recorder = Recorder(tmp_path / "root")
    sent = [[outgoing(number, series) for number in range(5)] for series in (1, 2)]
    with recorder.recording(), served(recorder.root, processes) as (store, scp), recorder.answers():
        peers = [Thread(target=send, args=(scp.ports[0], instances, set())) for instances in sent]
        for peer in peers:
            peer.start()
        for peer in peers:
            peer.join()
        rows = [store.kept(one.sop_instance_uid) for instances in sent for one in instances]
    events = [(moment.event, moment.detail) for moment in recorder.moments]
    for row in rows:
        assert row is not None
        place = tmp_path / "root/.spool/kept" / row.place
        synced = events.index(("fsync file", str(tmp_path / "root/.spool/incoming" / place.stem)))
        moved = events.index(("rename", str(place)), synced)
        listed = events.index(("fsync folder", str(place.parent)), moved)
        committed = events.index(("commit", ""), listed)
        answered = events.index(("answer", row.sop_instance_uid))
        assert synced < moved < listed < committed < answered
        rows_then = recorder.moments[answered].database
        assert rows_then is not None
        assert row.sop_instance_uid.encode() in rows_then


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("processes", [1, 2])
def test_after_a_loss_of_power_what_peers_saw_stored_is_there(
    loss: Loss, processes: int, tmp_path: Path
) -> None:
    """FI-16 from the wire."""
    recorder = Recorder(tmp_path / "root")
    sent = [[outgoing(number, series) for number in range(2)] for series in (1, 2)]
    with recorder.recording(), served(recorder.root, processes) as (_, scp), recorder.answers():
        peers = [Thread(target=send, args=(scp.ports[0], instances, set())) for instances in sent]
        for peer in peers:
            peer.start()
        for peer in peers:
            peer.join()
    known = datasets(*sent[0], *sent[1])
    assert recorder.moments[-1].acknowledged
    for number, moment in enumerate(recorder.moments):
        for has_rows in (True, False):
            found = tmp_path / f"{number}-{has_rows}"
            recorder.survive(moment, loss, found, database=has_rows)
            invariants.check(found, {uid: known[uid] for uid in moment.acknowledged})
            shutil.rmtree(found)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_is_told_to_the_peer_and_its_instance_can_be_sent_later(
    processes: int, tmp_path: Path
) -> None:
    """FI-09 on the wire: 0xA700, nothing partial, and the association goes on."""
    root = tmp_path / "disk"
    with small_disk(root, "3m"):
        ballast = root / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        with served(root, processes) as (store, scp):
            instances = [outgoing(1), outgoing(2, size=1024), outgoing(3)]
            scu = Scu(Peer("127.0.0.1", scp.ports[0], "STORESCP"), limits=ScuLimits(retries=0))
            first, large, last = scu.store(instances)
            assert (first.stored, last.stored) == (True, True)
            assert (large.status, large.reason, large.retryable) == ("refused", 0xA700, True)
            assert len(store.files()) == 2
            ballast.unlink()
            (again,) = scu.store([outgoing(2, size=512)])
            assert again.stored
        invariants.check(root, datasets(instances[0], outgoing(2, size=512), instances[2]))


@pytest.mark.parametrize("processes", [1, 2])
def test_rows_that_are_deleted_while_peers_send_are_built_again(processes: int, tmp_path: Path) -> None:
    """FI-11 on the wire."""
    root = tmp_path / "root"
    instances = [outgoing(number) for number in range(60)]
    stored: set[str] = set()
    with running(root, processes=processes) as router:
        send(router.port, instances[:20], stored)
        (root / ".spool/router.db").unlink()

        def sent() -> bool:
            """As a modality does: an association may be rejected for now, while rows are built again."""
            send(router.port, instances, stored)
            return len(stored) == 60

        wait_for(sent, timeout_s=30, msg="not all is taken")
        wait_for(lambda: router.has_alarmed("DATABASE_LOST"), timeout_s=30, msg="no alarm")
        router.kill()
    invariants.check(root, datasets(*instances))


@pytest.mark.parametrize("processes", [1, 2])
def test_storage_commitment_is_asked_and_reported_over_the_wire(processes: int, tmp_path: Path) -> None:
    """Asked on one association, answered at once; reported on another, that the router opens (PS3.4 J)."""
    reports: list[Dataset] = []

    def on_report(event: evt.Event) -> tuple[int, None]:
        reports.append(event.event_information)
        return 0, None

    modality = AE("PONTE")
    modality.add_supported_context(PUSH_MODEL, scu_role=False, scp_role=True)
    modality.add_requested_context(PUSH_MODEL)
    listening = modality.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)]
    )
    assert listening is not None
    kept, absent = outgoing(1), outgoing(2)
    request = Dataset()
    request.TransactionUID = "1.2.3"
    request.ReferencedSOPSequence = [item_of(kept), item_of(absent)]
    settings = f"commitment: {{port: {listening.server_address[1]}}}\n"
    with running(tmp_path / "root", processes=processes, settings=settings) as router:
        send(router.port, [kept], set())
        association = modality.associate("127.0.0.1", router.port)
        status, _ = association.send_n_action(request, 1, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        association.release()
        assert status.Status == 0
        wait_for(lambda: len(reports) == 1, timeout_s=30, msg="no report came")
        router.end()
        assert router.wait() == 0
    listening.shutdown()
    (report,) = reports
    assert [one.ReferencedSOPInstanceUID for one in report.ReferencedSOPSequence] == [kept.sop_instance_uid]
    assert [one.FailureReason for one in report.FailedSOPSequence] == [0x0112]


def item_of(instance: Outgoing) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.sop_class_uid
    item.ReferencedSOPInstanceUID = instance.sop_instance_uid
    return item
