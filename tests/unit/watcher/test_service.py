"""The watcher as a whole, over real folders, with a destination that does as it is told."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from ponte.destination import Outcome, Outgoing
from ponte.errors import AccessRefused, DestinationUnavailable, InvalidRequest
from tests.factories import encode, make_ct
from tests.hazards.archives import Builder, archive, zeros_crc
from tests.stub_pacs import Answer, stub_pacs
from tests.unit.watcher.helpers import Box, exam, uids
from watcher.folder import Folder, Odd, Ready
from watcher.webhook import Webhook as Word

QUICKLY = {"poll_interval_seconds": 0.05, "wait_zip_complete_seconds": 0.05}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| (DEBUG|INFO|WARNING|ERROR) \| .+")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_zips_that_are_there_and_zips_that_come_are_ingested_reported_and_archived(box: Box) -> None:
    first, second = exam(1, 2), exam(3)
    box.drop("antes.zip", first)
    with box.run():
        assert box.reported("antes.zip")["verdict"] == "done"
        box.drop("depois.zip", second)
        assert box.reported("depois.zip")["totals"]["delivered"] == 1
    assert box.pacs.stores == uids(1, 2, 3)
    assert names(box.incoming) == []
    assert (box.archive / "antes.zip").read_bytes() == first
    assert (box.archive / "depois.zip").read_bytes() == second
    page = (box.archive / "antes.zip.report.html").read_text(encoding="utf-8")
    assert '<html lang="pt-BR"' in page


def test_the_log_has_the_lines_that_its_readers_know(box: Box) -> None:
    box.drop("a.zip", exam(1))
    with box.run():
        box.reported("a.zip")
    lines = box.lines().splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    (uid,) = uids(1)
    assert any(line.endswith(f" | INFO | C-STORE OK: IM1.dcm (UID={uid})") for line in lines)
    assert any(line.endswith(" | INFO | C-ECHO OK: PACS@pacs:104") for line in lines)


def test_fs_03_nothing_in_a_name_begins_a_line_or_commands_a_terminal(box: Box) -> None:
    forged = "x\n2026-01-01 00:00:00,000 | INFO | C-STORE OK: forged (UID=1.2).zip"
    box.drop(forged, archive({"a\r\n\x1b[2J.dcm": exam(1), "\u2028.dcm": b"no instance"}))
    with box.run():
        box.until(lambda: box.archive.exists() and names(box.archive), "no report")
        box.until(lambda: not box.queued(), "not done")
    lines = box.lines().split("\n")
    assert all(LINE.fullmatch(line) for line in lines if line)
    assert not any(re.match(r"[^|]+\| INFO \| C-STORE OK: forged", line) for line in lines)
    assert "\x1b" not in box.lines()
    assert not any("\n" in name for name in names(box.archive))


def test_fs_06_the_same_archive_twice_is_delivered_once(box: Box) -> None:
    with box.run():
        box.drop("a.zip", exam(1, 2))
        box.reported("a.zip")
        box.drop("b.zip", exam(1, 2))
        report = box.reported("b.zip")
    assert (report["verdict"], report["totals"]["duplicate"]) == ("done", 2)
    assert box.pacs.stores == uids(1, 2)


def test_an_archive_of_the_same_name_takes_no_place(box: Box) -> None:
    with box.run():
        box.drop("a.zip", exam(1))
        box.reported("a.zip")
        box.drop("a.zip", exam(2))
        box.until(lambda: len(list(box.archive.glob("a.*.zip"))) == 1, "no second archive")
        box.until(lambda: not box.queued(), "not done")
    assert (box.archive / "a.zip").read_bytes() == exam(1)
    (other,) = box.archive.glob("a.*.zip")
    assert other.read_bytes() == exam(2)
    assert Path(f"{other}.report.json").exists()


def test_what_was_taken_is_never_seen_by_another_watcher(tmp_path: Path) -> None:
    """Two of them on one folder: each archive is delivered by one."""
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    one, two = Box(tmp_path / "1"), Box(tmp_path / "2")
    two.configure(paths={"watch_dir": str(one.incoming)})
    with one.run(), two.run():
        for number in range(20):
            one.drop(f"{number}.zip", exam(number))
        one.until(lambda: len(one.pacs.stores) + len(two.pacs.stores) == 20, "not all delivered")
        one.until(lambda: not one.queued() and not two.queued(), "not done")
    assert sorted(one.pacs.stores + two.pacs.stores) == sorted(uids(*range(20)))


def test_one_watcher_for_a_work_folder(box: Box) -> None:
    with box.run(), pytest.raises(InvalidRequest, match=r"paths\.work_dir: another watcher"), box.run():
        pytest.fail("it began")


def test_fs_07_a_folder_that_vanishes_is_an_alert_and_not_the_end(box: Box) -> None:
    with box.run():
        box.drop("a.zip", exam(1))
        box.reported("a.zip")
        box.incoming.rename(box.root / "gone")
        box.until(lambda: "| ERROR | The watched folder" in box.lines(), "no alert")
        (box.root / "gone").rename(box.incoming)
        box.drop("b.zip", exam(2))
        assert box.reported("b.zip")["verdict"] == "done"
    assert "can be read again" in box.lines()
    assert box.lines().count("| ERROR | The watched folder") == 1


def test_fs_07_a_folder_that_cannot_be_written_is_an_alert_and_nothing_is_sent(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.parent == box.incoming and path.suffix == ".zip":
            raise OSError(errno.EROFS, "Read-only file system")
        return rename(path, target)

    box.drop("a.zip", exam(1))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with box.run():
            box.until(lambda: "a.zip cannot be moved" in box.lines(), "no alert")
    assert (box.pacs.stores, names(box.incoming), box.queued()) == ([], ["a.zip"], [])
    with box.run():
        assert box.reported("a.zip")["verdict"] == "done"


@pytest.mark.parametrize("error", [DestinationUnavailable("gone"), AccessRefused("403")])
def test_fi_26_while_the_destination_is_down_archives_wait_and_go_oldest_first(
    box: Box, error: DestinationUnavailable
) -> None:
    box.pacs.down = error
    with box.run():
        for number in (1, 2, 3):
            box.drop(f"{number}.zip", exam(number))
            box.until(lambda: len(box.queued()) == number, "not taken")  # noqa: B023
        box.until(lambda: box.pacs.checks > 5, "not tried again")
        box.until(lambda: "3 archives wait" in box.lines(), "no alert")
        assert box.pacs.stores == []
        box.pacs.down = None
        assert box.reported("3.zip")["verdict"] == "done"
    assert box.pacs.stores == uids(1, 2, 3)


def test_one_archive_that_fails_holds_up_no_other(box: Box) -> None:
    """FI-15: the destination breaks off at one instance, again and again."""
    bad, good = uids(1)[0], uids(2)[0]

    def on_store(instance: Outgoing) -> None:
        if instance.sop_instance_uid == bad:
            raise DestinationUnavailable("It broke the association off")

    box.pacs.on_store = on_store
    with box.run():
        box.drop("bad.zip", exam(1))
        box.until(lambda: "try 2 failed" in box.lines(), "not tried again")
        box.drop("good.zip", exam(2))
        box.until(lambda: (box.archive / "good.zip").exists(), "held up")
        assert box.pacs.stores == [good]
        box.pacs.on_store = lambda instance: None
        assert box.reported("bad.zip")["verdict"] == "done"


def test_what_the_destination_refuses_for_good_is_quarantined_and_the_others_go(box: Box) -> None:
    bad = uids(1)[0]
    box.pacs.answers[bad] = Outcome(bad, "refused", "A900H", 0xA900)
    with box.run():
        box.drop("a.zip", exam(1, 2))
        report = box.reported("a.zip")
    assert (report["verdict"], report["totals"]["accepted"], report["totals"]["quarantined"]) == (
        "partial",
        1,
        1,
    )
    (kept,) = (box.archive / "_QUARANTINE").glob("*/*.dcm")
    assert kept.parent.name == "DESTINATION_REFUSED"


def test_what_one_destination_has_does_not_count_for_another(box: Box) -> None:
    with box.run():
        box.drop("a.zip", exam(1))
        assert box.reported("a.zip")["totals"]["accepted"] == 1
    with box.run(address="dicom://OTHER@pacs:104"):
        box.drop("b.zip", exam(1))
        assert box.reported("b.zip")["totals"]["accepted"] == 1
    assert box.pacs.stores == uids(1) * 2


def test_i4_an_archive_is_removed_only_when_all_is_confirmed(box: Box) -> None:
    box.configure(behavior={"move_zip_to_archive": False, **QUICKLY})
    there: list[bool] = []
    box.pacs.on_store = lambda instance: there.append((box.queued()[0] / "archive.zip").exists())
    with box.run():
        box.drop("a.zip", exam(1))
        assert box.reported("a.zip")["verdict"] == "done"
    assert there == [True]
    assert not (box.archive / "a.zip").exists()
    assert box.queued() == []


def test_i4_an_archive_stays_where_the_destination_keeps_something_else(box: Box) -> None:
    box.configure(behavior={"move_zip_to_archive": False, **QUICKLY})
    (uid,) = uids(1)
    box.pacs.answers[uid] = Outcome(uid, "stored_with_warning", "0111H: it had another", 0x0111)
    with box.run():
        box.drop("a.zip", exam(1))
        box.reported("a.zip")
    assert (box.archive / "a.zip").read_bytes() == exam(1)


def test_accepted_members_are_kept_where_that_is_asked_for(box: Box) -> None:
    box.configure(behavior={"delete_extracted_after_upload": False, **QUICKLY})
    with box.run():
        box.drop("a.zip", archive({"../../evil.dcm": encode(make_ct(1)), "x.txt": b"text"}))
        box.reported("a.zip")
    (kept,) = (box.work / "extracted").rglob("*.dcm")
    assert kept.read_bytes() == encode(make_ct(1))
    assert re.fullmatch(r"[0-9a-f]{32}\.dcm", kept.name)
    assert not (box.root.parent / "evil.dcm").exists()


def test_i3_what_never_becomes_a_zip_is_quarantined_whole_with_its_reason(box: Box) -> None:
    box.configure(ponte={"give_up_seconds": 0.1})
    data = b"<html>404</html>"
    with box.run():
        box.drop("page.zip", data)
        report = box.reported("page.zip")
    assert (report["verdict"], report["reason"]) == ("quarantined", "NOT_A_ZIP")
    (kept,) = (box.archive / "_QUARANTINE" / "NOT_A_ZIP").glob("*.zip")
    assert kept.read_bytes() == data
    assert kept.stem == report["quarantine_id"]
    assert not (box.archive / "page.zip").exists()
    assert names(box.incoming) == []


def test_an_archive_with_nothing_in_it_is_no_success(box: Box) -> None:
    with box.run():
        box.drop("a.zip", archive({"Thumbs.db": b"x", "__MACOSX/._a": b"y"}))
        report = box.reported("a.zip")
    assert (report["verdict"], report["reason"]) == ("quarantined", "ZIP_EMPTY")
    assert len(list((box.archive / "_QUARANTINE" / "ZIP_EMPTY").glob("*.zip"))) == 1


def test_fs_05_an_archive_that_changes_while_it_is_read_is_read_anew(box: Box) -> None:
    """Somebody who has it open still writes: what is there at the end is what counts."""
    once = threading.Event()

    def on_store(instance: Outgoing) -> None:
        if not once.is_set():
            once.set()
            (folder,) = box.queued()
            (folder / "archive.zip").write_bytes(exam(1, 2))

    box.pacs.on_store = on_store
    with box.run():
        box.drop("a.zip", exam(1))
        report = box.reported("a.zip")
    assert "SOURCE_CHANGED" in box.lines()
    assert (report["verdict"], report["totals"]["entries"]) == ("done", 2)
    assert sorted(box.pacs.kept) == sorted(uids(1, 2))
    assert (box.archive / "a.zip").read_bytes() == exam(1, 2)


def test_another_file_system_is_no_hindrance(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work and archive folders elsewhere: set aside by renaming, copied, and then removed."""
    rename, link = Path.rename, os.link

    def renamed(path: Path, target: Path) -> Path:
        _same_system(path, Path(target))
        return rename(path, target)

    def linked(source: Path, target: Path) -> None:
        _same_system(Path(source), Path(target))
        link(source, target)

    def _same_system(source: Path, target: Path) -> None:
        if {part for part in ("incoming", "work", "archive") if part in source.parts} != {
            part for part in ("incoming", "work", "archive") if part in target.parts
        }:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", renamed)
    monkeypatch.setattr("watcher.files.os.link", linked)
    with box.run():
        box.drop("a.zip", exam(1))
        assert box.reported("a.zip")["verdict"] == "done"
    assert names(box.incoming) == []
    assert names(box.archive) == ["a.zip", "a.zip.report.html", "a.zip.report.json"]
    assert (box.archive / "a.zip").read_bytes() == exam(1)


def test_fi_27_a_stop_ends_after_the_batch_and_the_next_start_goes_on(box: Box) -> None:
    box.configure(behavior={"send_batch_size": 2, **QUICKLY})
    with box.run() as stop:
        box.pacs.on_store = lambda instance: stop.set()
        box.drop("a.zip", exam(*range(1, 8)))
        box.until(stop.is_set, "nothing was sent")
    first = list(box.pacs.stores)
    assert first == uids(1, 2)
    assert len(box.queued()) == 1
    box.pacs.on_store = lambda instance: None
    with box.run():
        report = box.reported("a.zip")
    assert box.pacs.stores == uids(*range(1, 8))
    assert (report["verdict"], report["totals"]["accepted"], report["totals"]["duplicate"]) == ("done", 7, 0)
    assert [entry["name"] for entry in report["entries"]] == [f"IM{number}.dcm" for number in range(1, 8)]


def test_a_database_of_another_program_is_refused_by_name_and_left_as_it_is(box: Box) -> None:
    path = box.root / "state" / "state.sqlite"
    path.parent.mkdir()
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE processed (uid TEXT)")
    old.close()
    before = path.read_bytes()
    said = r"paths\.state_db: .*another program.*another name"
    with pytest.raises(InvalidRequest, match=said), box.run():
        pytest.fail("it began")
    assert path.read_bytes() == before


def test_word_of_each_archive_goes_to_the_webhook_without_names_and_waits_while_it_is_down(box: Box) -> None:
    with stub_pacs() as receiver:
        receiver.routes["/hook"] = [Answer(500), Answer(200)]
        box.configure(ponte={"webhook_url": f"{receiver.url}/hook"})
        with box.run():
            box.drop("CANARIO Maria.zip", exam(1))
            box.until(lambda: receiver.asked, "not told")
            box.until(lambda: not box.queued(), "not done")
        assert len(list((box.work / "outbox").glob("*.json"))) == 1
        with box.run():
            box.until(lambda: not list((box.work / "outbox").glob("*.json")), "not told again")
    first, second = receiver.asked
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    said = json.loads(first.body)
    assert (said["verdict"], said["totals"]["accepted"]) == ("done", 1)
    assert b"CANARIO" not in first.body
    assert "webhook-signature" not in first.headers


@pytest.mark.parametrize("how", ["file", "environment"])
def test_word_is_signed_with_each_secret_in_use(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    secrets = ["whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]
    ours = {}
    if how == "file":
        (tmp_path / "secret").write_text("\n".join(secrets) + "\n")
        ours = {"webhook_secret_file": str(tmp_path / "secret")}
    else:
        monkeypatch.setenv("PONTE_WEBHOOK_SECRET", " ".join(secrets))
    with stub_pacs() as receiver:
        receiver.routes["/hook"] = Answer(200)
        box.configure(ponte={"webhook_url": f"{receiver.url}/hook", **ours})
        with box.run():
            box.drop("exam.zip", exam(1))
            box.until(lambda: receiver.asked, "not told")
    for secret in secrets:
        Webhook(secret).verify(receiver.asked[0].body, dict(receiver.asked[0].headers))


@pytest.mark.parametrize("text", ["", "too short", None])
def test_a_secret_that_signs_nothing_is_said_before_anything_begins(
    box: Box, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
    box.configure(ponte={"webhook_url": "http://127.0.0.1:9/hook", "webhook_secret_file": str(path)})
    with pytest.raises(InvalidRequest, match=r"ponte\.webhook_secret_file"), box.run():
        pytest.fail("it began")


def test_nothing_goes_out_unsigned_when_the_secret_vanishes(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    with stub_pacs() as receiver:
        receiver.routes["/hook"] = Answer(200)
        box.configure(ponte={"webhook_url": f"{receiver.url}/hook", "webhook_secret_file": str(path)})
        with box.run():
            path.unlink()
            box.drop("exam.zip", exam(1))
            box.until(lambda: "the webhook's secret cannot be read" in box.lines(), "not said")
    assert not receiver.asked


def test_without_a_log_file_nothing_that_names_a_member_is_printed(
    box: Box, capfd: pytest.CaptureFixture[str]
) -> None:
    box.configure(logging={"file": None})
    box.drop("CANARIO Maria.zip", archive({"CANARIO^JOSE.dcm": encode(make_ct(1)), "CANARIO.txt": b"text"}))
    (box.incoming / "CANARIO link.zip").symlink_to("/nowhere")
    with box.run():
        box.until(lambda: list(box.archive.glob("*.json")), "not done")
    printed = capfd.readouterr()
    assert "CANARIO" not in printed.out + printed.err
    assert "1 quarantined" in printed.err
    assert "A file in the watched folder" in printed.err


def test_a_fault_of_ours_ends_neither_the_work_nor_the_word_of_it(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = iter([ZeroDivisionError("CANARIO"), KeyError("CANARIO")])
    check, post = box.pacs.check, Word._post

    def failing() -> None:
        if (fault := next(faults, None)) is not None:
            raise fault
        check()

    def failing_once(word: Word, path: Path) -> None:
        monkeypatch.setattr(Word, "_post", post)
        raise ZeroDivisionError("CANARIO")

    monkeypatch.setattr(box.pacs, "check", failing)
    monkeypatch.setattr(Word, "_post", failing_once)
    monkeypatch.setattr("watcher.webhook._FIRST_S", 0.01)
    with stub_pacs() as receiver:
        receiver.routes["/hook"] = Answer(200)
        box.configure(ponte={"webhook_url": f"{receiver.url}/hook"})
        with box.run():
            box.drop("exam.zip", exam(1))
            assert box.reported("exam.zip")["verdict"] == "done"
            box.until(lambda: receiver.asked, "not told")
    assert "INTERNAL: ZeroDivisionError" in box.lines()
    assert "CANARIO" not in box.lines()


def test_the_watched_folder_is_never_made(box: Box) -> None:
    box.incoming.rmdir()
    with box.run():
        box.until(lambda: "| ERROR | The watched folder" in box.lines(), "no alert")
    assert not box.incoming.exists()


def test_fs_01_a_copy_of_2_gb_that_stalls_is_not_touched_before_it_is_whole(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written in pieces by a thread that stalls with the file shut, as a share that hangs looks from here."""
    looks: list[Path] = []
    look = Folder.look

    def counted(folder: Folder) -> Iterator[Ready | Odd]:
        looks.append(path)
        return look(folder)

    monkeypatch.setattr(Folder, "look", counted)
    size, piece = 2 << 30, 256 << 20
    built = Builder().add(
        b"Thumbs.db", b"", raw=b"", method=0, size=size, compressed=size, crc=zeros_crc(size >> 20)
    )
    head = built.body
    tail = built.add(b"IM1.dcm", encode(make_ct(1)), offset=len(head) + size).bytes(shift=size)[len(head) :]
    path, stalled, go_on = box.incoming / "grande.zip", threading.Event(), threading.Event()

    def copy() -> None:
        path.write_bytes(head)
        for done in range(piece, size + 1, piece):
            os.truncate(path, len(head) + done)
            if done == size // 2:
                stalled.set()
                go_on.wait()
        with path.open("ab") as stream:
            stream.write(tail)

    thread = threading.Thread(target=copy)
    with box.run():
        thread.start()
        stalled.wait()
        before = len(looks)
        box.until(lambda: len(looks) > before + 10, "nobody looks")
        assert (box.queued(), box.pacs.checks) == ([], 0)
        go_on.set()
        thread.join()
        report = box.reported("grande.zip")
    assert (report["verdict"], report["totals"]["accepted"], report["totals"]["skipped"]) == ("done", 1, 1)
    assert box.pacs.stores == uids(1)
