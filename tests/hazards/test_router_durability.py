"""What the router promised outlives its death, the loss of power, full disks and damaged databases.

HAZARDS.md FI-01 to FI-05, FI-07 to FI-12, FI-16, FI-28 to FI-30. The invariants: I1, who saw Success finds
the bytes; I2, nothing that is not whole is kept.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from ponte.errors import InvalidRequest
from router import database as database_module
from router import spool
from router.database import FILE_NAME, MIGRATIONS, Database
from router.reception import OUT_OF_RESOURCES, SUCCESS, Asked, RefusedInstance
from tests.corpus import ROOT
from tests.factories import make_ct
from tests.unit.router import invariants
from tests.unit.router.disk import small_disk
from tests.unit.router.powerloss import LOSSES, Loss, Recorder
from tests.unit.router.store import FACTS, LITTLE, Store, dataset_of

BEFORE_IT_COUNTS = ["received", "written", "synced"]
BEFORE_THE_ANSWER = ["renamed", "folder-synced", "committed"]


@contextmanager
def child(
    root: Path, *, threads: int = 1, count: int = 1, failpoint: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """A process that keeps instances; killed at the end if it still is there."""
    environment = {**os.environ, "FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.unit.router.child", str(root), str(threads), str(count)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def answered(process: subprocess.Popen[str]) -> list[str]:
    """The UIDs for which it said Success, to its end."""
    assert process.stdout is not None
    lines = [line.split() for line in process.stdout.read().splitlines()]
    return [line[1] for line in lines if line[0] == "0000"]


def datasets(series: int, count: int) -> dict[str, bytes]:
    """What `child` sends, by UID."""
    instances = [make_ct(number, series=each) for each in range(series) for number in range(count)]
    return {instance.SOPInstanceUID: dataset_of(instance) for instance in instances}


@pytest.mark.parametrize("failpoint", BEFORE_IT_COUNTS)
def test_killed_before_it_counts_an_instance_leaves_nothing(failpoint: str, tmp_path: Path) -> None:
    """FI-01, FI-02, FI-03."""
    with child(tmp_path, failpoint=failpoint) as process:
        assert answered(process) == []
        assert process.wait() == 137
    left = list((tmp_path / ".spool/incoming").iterdir())
    assert len(left) == 1
    store = Store(tmp_path)
    assert store.findings.partial == 1
    assert (store.files(), store.count()) == ([], 0)
    assert store.send(make_ct(0, series=0)) == SUCCESS
    store.close()
    invariants.check(tmp_path, datasets(1, 1))


@pytest.mark.parametrize("failpoint", BEFORE_THE_ANSWER)
def test_killed_before_the_answer_an_instance_is_there_once(failpoint: str, tmp_path: Path) -> None:
    """FI-04, FI-05."""
    with child(tmp_path, failpoint=failpoint) as process:
        assert answered(process) == []
        assert process.wait() == 137
    store = Store(tmp_path)
    assert store.findings.adopted == (0 if failpoint == "committed" else 1)
    assert (len(store.files()), store.count()) == (1, 1)
    assert store.send(make_ct(0, series=0)) == SUCCESS
    assert (len(store.files()), store.count()) == (1, 1)
    store.close()
    invariants.check(tmp_path, datasets(1, 1))


@pytest.mark.parametrize("failpoint", ["received", "renamed", "committed"])
def test_killed_among_others_those_answered_are_all_there(failpoint: str, tmp_path: Path) -> None:
    """FI-01 to FI-05 in the middle of two associations."""
    with child(tmp_path, threads=2, count=20, failpoint=f"{failpoint}:25") as process:
        done = answered(process)
        assert process.wait() == 137
    sent = datasets(2, 20)
    assert len(done) >= 10
    invariants.check(tmp_path, {uid: sent[uid] for uid in done})


def test_killed_between_the_row_and_the_file_a_removed_instance_is_cleared_away(tmp_path: Path) -> None:
    """FI-07."""
    store = Store(tmp_path)
    instance = make_ct()
    store.send(instance)
    store.committer.run(lambda rows: rows.change_state(instance.SOPInstanceUID, "removed"))
    store.close()
    again = Store(tmp_path)
    assert again.findings.removed == 1
    assert again.files() == []
    assert again.send(instance) == SUCCESS  # sent again on purpose: it is here again
    assert len(again.files()) == 1
    assert again.committer.remove(instance.SOPInstanceUID)
    assert again.files() == []
    again.close()


def kills() -> list[object]:
    seeds = [pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(2, 40)]
    return [0, 1, *seeds]


@pytest.mark.parametrize("seed", kills())
def test_killed_at_any_moment_those_answered_are_all_there(seed: int, tmp_path: Path) -> None:
    """I1 and I2 after kill -9 at random, again and again on the same spool."""
    moments = random.Random(seed)
    sent, done = datasets(2, 60), set[str]()
    for _ in range(3):
        with child(tmp_path, threads=2, count=60) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.25))  # the moment is the test's input, nothing is waited for
            process.send_signal(signal.SIGKILL)
            done |= set(answered(process))
        invariants.check(tmp_path, {uid: sent[uid] for uid in done})


def test_everything_is_durable_in_order_before_the_answer(tmp_path: Path) -> None:
    """FI-08: file fsync < rename < folder fsync < commit < answer; the answer on the wire is B's to prove."""
    store = Store(tmp_path)
    recorder = Recorder(tmp_path)
    store.send(make_ct(7))  # makes the first folder
    with recorder.recording():
        assert store.send(make_ct()) == SUCCESS
        recorder.acknowledge("it")
    store.close()
    assert [moment.event for moment in recorder.moments] == [
        "fsync file", "rename", "fsync folder", "commit", "answer",
    ]  # fmt: skip
    file, moved = recorder.moments[0], recorder.moments[1]
    assert file.detail.startswith(str(tmp_path / ".spool/incoming"))
    assert moved.detail.startswith(str(tmp_path / ".spool/kept"))
    assert recorder.moments[2].detail == str(Path(moved.detail).parent)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recorder, dict[str, bytes]]:
    """A day's work: two associations at once, a duplicate, a conflict, an instance that is removed."""
    root = tmp_path_factory.mktemp("recorded")
    recorder = Recorder(root)
    sent = datasets(2, 3)
    with recorder.recording():
        store = Store(root)

        def send(series: int) -> None:
            for number in range(3):
                instance = make_ct(number, series=series)
                if store.send(instance) == SUCCESS:
                    recorder.acknowledge(instance.SOPInstanceUID)

        workers = [Thread(target=send, args=(series,)) for series in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        other = make_ct(0, series=0, PatientID="OTHER")
        assert [store.send(make_ct(0, series=0)), store.send(other)] == [SUCCESS] * 2
        recorder.acknowledge("conflict")
        store.close()
    sent["conflict"] = dataset_of(other)
    return recorder, sent


@pytest.mark.parametrize("has_rows", [True, False], ids=["rows", "no rows"])
@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_loss_of_power_all_that_was_answered_is_there(
    recorded: tuple[Recorder, dict[str, bytes]], loss: Loss, has_rows: bool, tmp_path: Path
) -> None:
    """FI-16: at every moment, what was not synced is lost."""
    recorder, sent = recorded
    assert len(recorder.moments) > 30
    for number, moment in enumerate(recorder.moments):
        found = tmp_path / str(number)
        recorder.survive(moment, loss, found, database=has_rows)
        done = {uid: sent[uid] for uid in moment.acknowledged}
        conflict = {uid: done.pop(uid) for uid in ("conflict",) if uid in done}
        invariants.check(found, done, conflict)


def test_the_model_of_a_power_loss_finds_a_missing_fsync(tmp_path: Path) -> None:
    """The model itself: without the fsync of the folder an answered instance is lost, and that is seen."""
    recorder = Recorder(tmp_path / "store")
    recorder.root.mkdir()
    instance = make_ct()
    with pytest.MonkeyPatch.context() as patch, recorder.recording():
        store = Store(recorder.root)
        patch.setattr("router.spool.sync_folder", lambda folder: None)
        assert store.send(instance) == SUCCESS
        recorder.acknowledge(instance.SOPInstanceUID)
        store.close()
    recorder.survive(recorder.moments[-1], "all that was not synced", tmp_path / "found", database=True)
    with pytest.raises(AssertionError):
        invariants.check(tmp_path / "found", {instance.SOPInstanceUID: dataset_of(instance)})


def test_a_full_disk_is_said_and_leaves_nothing_partial(tmp_path: Path) -> None:
    """FI-09: ENOSPC on a real file system; it goes on when there is room again."""
    root = tmp_path / "disk"
    with small_disk(root, "3m"):
        store = Store(root)
        small, large = make_ct(1, size=128), make_ct(2, size=1024)
        ballast = root / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        assert store.send(small) == SUCCESS
        with pytest.raises(RefusedInstance) as refused:
            store.send(large)
        assert refused.value.status == OUT_OF_RESOURCES
        assert len(store.files()) == 1
        ballast.unlink()
        assert store.send(make_ct(3, size=256)) == SUCCESS
        store.close()
        done = {one.SOPInstanceUID: dataset_of(one) for one in (small, make_ct(3, size=256))}
        invariants.check(root, done)


def test_a_file_that_may_not_grow_is_said_and_leaves_nothing_partial(tmp_path: Path) -> None:
    """FI-09 by RLIMIT_FSIZE."""
    store = Store(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    instance = make_ct(size=1024)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(RefusedInstance) as refused:
            store.send(instance)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused.value.status == OUT_OF_RESOURCES
    assert store.files() == []
    assert store.send(instance) == SUCCESS
    store.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("which", [1, 2, 3], ids=["file", "new folder", "folder"])
def test_an_fsync_that_fails_loses_the_file_and_is_never_tried_again(
    which: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-09, FI-10: the which-th fsync fails."""
    store = Store(tmp_path)
    fsync, synced = os.fsync, list[str]()

    def failing(file: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{file}").readlink()))
        if len(synced) == which:
            raise OSError(code, os.strerror(code))
        fsync(file)

    instance = make_ct()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        assert store.send(instance) == OUT_OF_RESOURCES
        assert len(synced) == which
    assert (store.files(), store.count()) == ([], 0)
    assert store.send(instance) == SUCCESS
    store.close()
    invariants.check(tmp_path, {instance.SOPInstanceUID: dataset_of(instance)})


def test_a_folder_whose_fsync_failed_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-10: nobody knows what of it, or of its name, is on the disk."""
    store = Store(tmp_path)
    sync_folder = spool.sync_folder
    for failing in (tmp_path / ".spool/kept", None):  # the folder of folders, then the folder itself

        def fail(folder: Path, failing: Path | None = failing) -> None:
            if failing is None or folder == failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            sync_folder(folder)

        before = {path.name for path in (tmp_path / ".spool/kept").iterdir()}
        with monkeypatch.context() as patch:
            patch.setattr(spool, "sync_folder", fail)
            assert store.send(make_ct(1)) == OUT_OF_RESOURCES
        tried = {path.name for path in (tmp_path / ".spool/kept").iterdir()} - before
        assert store.send(make_ct(2 if failing else 3)) == SUCCESS
        row = store.kept(make_ct(2 if failing else 3).SOPInstanceUID)
        assert row is not None
        assert row.place.split("/")[0] not in tried
    store.close()


def test_what_somebody_else_put_into_the_spool_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    kept = tmp_path / ".spool/kept"
    (kept / "note.txt").write_text("by hand")
    (kept / "folder/inner").mkdir(parents=True)
    (kept / "folder/link").symlink_to("/etc/hostname")
    (tmp_path / ".spool/incoming/folder").mkdir()
    store = Store(tmp_path)
    assert store.count() == 0
    store.close()
    assert (kept / "folder/link").is_symlink()


def test_a_database_without_room_is_said_and_recovers(tmp_path: Path) -> None:
    """FI-09: SQLite itself says that it is full."""
    store = Store(tmp_path)
    first = make_ct(1)
    assert store.send(first) == SUCCESS
    (pages,) = store.committer._database.run("PRAGMA page_count").fetchone()
    store.committer._database.run(f"PRAGMA max_page_count = {pages}")
    results = [store.send(make_ct(number)) for number in range(2, 40)]
    assert OUT_OF_RESOURCES in results
    assert results[-1] == SUCCESS  # opened anew, it has room again
    done = [make_ct(n) for n, status in enumerate(results, 2) if status == SUCCESS]
    assert store.count() == len(done) + 1 == len(store.files())
    store.close()
    invariants.check(tmp_path, {one.SOPInstanceUID: dataset_of(one) for one in [first, *done]})


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_of_which_nobody_knows_is_no_success(
    committed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-10 within SQLite: the rows may be there or not; the peer sends again and there is one copy."""
    store = Store(tmp_path)
    commit = Database.commit

    def failing(database: Database) -> None:
        if committed:
            commit(database)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "commit", failing)
        assert store.send(make_ct()) == OUT_OF_RESOURCES
    assert store.intake.refuses_associations() is None  # it was opened anew, and is sound
    assert len(store.files()) == int(committed)
    assert store.send(make_ct()) == SUCCESS
    assert (len(store.files()), store.count()) == (1, 1)
    store.close()


DAMAGE = ["deleted", "overwritten", "not a database"]


def damage(path: Path, how: str) -> None:
    for name in (path, *(Path(f"{path}{suffix}") for suffix in ("-wal", "-shm"))):
        if how == "deleted":
            name.unlink(missing_ok=True)
        elif name.exists():
            noise = random.Random(1).randbytes(4096)
            name.write_bytes(noise * 20 if how == "not a database" else path.read_bytes()[:4096] + noise * 20)


@pytest.mark.parametrize("how", DAMAGE)
def test_rows_that_are_lost_while_the_router_is_down_are_built_again(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FI-11."""
    sent = [make_ct(number) for number in range(5)]
    store = Store(tmp_path)
    assert {store.send(one) for one in sent} == {SUCCESS}
    store.close()
    damage(tmp_path / ".spool" / FILE_NAME, how)
    again = Store(tmp_path)
    assert again.findings.rebuilt
    assert again.findings.adopted == 5
    assert any(
        getattr(record, "alarm", "") in ("DATABASE_LOST", "DATABASE_REBUILT") for record in caplog.records
    )
    assert again.send(sent[0]) == SUCCESS
    assert len(again.files()) == 5
    again.close()
    invariants.check(tmp_path, {one.SOPInstanceUID: dataset_of(one) for one in sent})


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_rows_that_are_lost_while_it_runs_are_built_again(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FI-11: between two instances; nothing answered is lost, and it is said."""
    sent = [make_ct(number) for number in range(60)]
    store = Store(tmp_path)
    path = tmp_path / ".spool" / FILE_NAME
    assert {store.send(one) for one in sent[:50]} == {SUCCESS}
    store.committer.checkpoint()
    if how == "deleted":
        path.unlink()
    else:
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.write(whole[:100] + bytes(len(whole) - 100))
    results = [store.send(one) for one in sent[50:]]
    assert set(results) <= {SUCCESS, OUT_OF_RESOURCES}
    assert results[-1] == SUCCESS
    store.close()
    done = sent[:50] + [one for one, status in zip(sent[50:], results, strict=True) if status == SUCCESS]
    invariants.check(tmp_path, {one.SOPInstanceUID: dataset_of(one) for one in done})
    assert any(getattr(record, "alarm", "") == "DATABASE_LOST" for record in caplog.records)


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_rows_that_are_lost_with_a_commit_are_built_again_however_often_that_fails(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-11: half built rows are never taken for all of them."""
    store = Store(tmp_path)
    sent = [make_ct(number) for number in range(4)]
    assert {store.send(one) for one in sent} == {SUCCESS}
    path = tmp_path / ".spool" / FILE_NAME

    def failing(database: Database) -> None:
        path.unlink()
        if how == "emptied":
            path.touch()
        raise sqlite3.OperationalError("disk I/O error")

    def half(*_: object) -> Database:
        raise OSError(errno.ENOSPC, "full")

    recover = store.committer._recover
    with monkeypatch.context() as patch:
        patch.setattr(store.committer, "_recover", half)
        with monkeypatch.context() as once:
            once.setattr(Database, "commit", failing)
            assert store.send(make_ct(9)) == OUT_OF_RESOURCES
        Database(path).close()  # what a rebuilding that was broken off may leave
        assert store.send(make_ct(9)) == OUT_OF_RESOURCES
        assert store.intake.refuses_associations() == "queue"
    assert store.committer._recover == recover
    assert store.send(sent[0]) == SUCCESS
    assert store.count() == 5 == len(store.files())  # the one that failed was whole, and is adopted
    assert store.send(make_ct(9)) == SUCCESS
    assert store.count() == 5
    store.close()
    invariants.check(tmp_path, {one.SOPInstanceUID: dataset_of(one) for one in [*sent, make_ct(9)]})


def test_a_database_that_is_busy_is_said_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-11: locked by somebody else for longer than anybody waits."""
    monkeypatch.setattr(database_module, "_BUSY_S", 0.1)
    store = Store(tmp_path)
    other = sqlite3.connect(tmp_path / ".spool" / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert store.send(make_ct()) == OUT_OF_RESOURCES
    assert store.files() == []
    other.execute("ROLLBACK")
    other.close()
    assert store.send(make_ct()) == SUCCESS
    store.close()


def test_without_file_handles_it_refuses_and_recovers(tmp_path: Path) -> None:
    """FI-12."""
    store = Store(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    instance = make_ct()
    asked = Asked(FACTS, instance.SOPClassUID, instance.SOPInstanceUID, LITTLE)
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    receptions = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 8, limits[1]))
    try:
        with pytest.raises(RefusedInstance) as refused:
            receptions += [store.intake.begin(asked) for _ in range(64)]
        assert refused.value.status == OUT_OF_RESOURCES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for reception in receptions:
        reception.abandon()
    assert store.send(instance) == SUCCESS
    store.close()


@pytest.mark.parametrize("jump", [86_400, -86_400])
def test_a_clock_that_jumps_changes_nothing(
    jump: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-28."""
    store = Store(tmp_path)
    first, second = make_ct(1), make_ct(2)
    store.send(first)
    now, now_ns = time.time, time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + jump)
        patch.setattr(time, "time_ns", lambda: now_ns() + jump * 10**9)
        assert store.send(second) == SUCCESS
        assert store.send(first) == SUCCESS
        rows = store.committer.run(lambda database: database.after(0, 10))
        assert isinstance(rows, list)
        assert [row.sop_instance_uid for row in rows] == [first.SOPInstanceUID, second.SOPInstanceUID]
        store.close()
        invariants.check(tmp_path, {one.SOPInstanceUID: dataset_of(one) for one in (first, second)})


def test_a_second_router_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    """FI-29, and the lock of one that was killed is free at once."""
    with child(tmp_path, count=10_000) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(InvalidRequest) as refused:
            Store(tmp_path)
        assert refused.value.code == "SPOOL_IN_USE"
        process.kill()
        process.wait()
    Store(tmp_path).close()


def test_a_database_of_version_1_is_taken_over(tmp_path: Path) -> None:
    """FI-30: rows of an older version are all there after the update."""
    folder = tmp_path / ".spool"
    folder.mkdir()
    script = (Path(__file__).parent.parent / "unit/router/schema_1.sql").read_text(encoding="utf-8")
    old = sqlite3.connect(folder / FILE_NAME)
    old.executescript(script)
    old.close()
    database = Database(folder / FILE_NAME)
    kept = database.kept("1.2.3.4")
    former = database.former("1.2.3.5")
    assert kept is not None
    assert (kept.sha256, kept.state, kept.place) == (bytes(range(32)), "kept", "0/a.dcm")
    assert former is not None
    assert former.state == "removed"
    assert database.run("SELECT patient_name FROM studies").fetchall() == [(b"CANARIO^Conceicao",)]
    assert database.run("SELECT transaction_uid, state FROM commitments").fetchall() == [("1.2.9", "asked")]
    assert database.run("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    database.close()


def test_a_migration_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    """FI-30."""
    path = tmp_path / FILE_NAME
    Database(path).close()
    broken = (*MIGRATIONS, "CREATE TABLE more (a TEXT); INSERT INTO nowhere VALUES (1)")
    with pytest.raises(sqlite3.OperationalError):
        Database(path, migrations=broken)
    database = Database(path)
    assert database.run("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert not database.run("SELECT 1 FROM sqlite_master WHERE name = 'more'").fetchall()
    database.close()


def test_a_database_of_a_later_version_or_another_program_is_refused_and_left(tmp_path: Path) -> None:
    """FI-30."""
    later, foreign = tmp_path / "later.db", tmp_path / "foreign.db"
    Database(later, migrations=(*MIGRATIONS, "CREATE TABLE more (a TEXT)")).close()
    other = sqlite3.connect(foreign)
    other.execute("CREATE TABLE theirs (a TEXT)")
    other.close()
    for path, said in ((later, "later version"), (foreign, "another program")):
        before = path.read_bytes()
        with pytest.raises(InvalidRequest, match=said):
            Database(path)
        assert path.read_bytes() == before
