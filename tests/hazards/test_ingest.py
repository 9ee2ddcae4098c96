"""ZB-00 to ZB-44 through `ponte ingest`, DC-72, FS-06, FS-10, and a run that is killed anywhere."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.filewriter import dcmwrite

from ponte.archive import Archive
from ponte.dedup import Ledger, Policy
from ponte.ingest import BatchLimits, Route, ingest
from ponte.memorystore import MemoryStore
from ponte.sqlitestore import SqliteStore
from tests.corpus import ROOT
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.hazards.archives import (
    END,
    GOOD,
    Builder,
    archive,
    bomb,
    deflate,
    full_overlap,
    nested,
    quoted_overlap,
    zeros_crc,
    zip64,
)
from tests.unit.cli.test_render import run as command

A, B = GOOD["a.dcm"], GOOD["b.dcm"]
OK, AGAIN = ("accepted", None), ("duplicate", None)


def bad(reason: str) -> tuple[str, str]:
    return "quarantined", reason


def passed_over(reason: str) -> tuple[str, str]:
    return "skipped", reason


def good_and(built: Builder) -> bytes:
    return built.add(b"b.dcm", B).bytes()


def link_and_devices() -> bytes:
    built = Builder().add(b"link", b"/etc/passwd", mode=stat.S_IFLNK | 0o777)
    for kind in (stat.S_IFIFO, stat.S_IFCHR):
        built.add(b"device", b"", method=0, mode=kind | 0o600)
    return built.add(b"a.dcm", A, mode=stat.S_IFREG | 0o600).bytes()


def names(*raw: bytes) -> bytes:
    built = Builder()
    for number, name in enumerate(raw):
        built.add(name, encode(make_ct(number)))
    return built.bytes()


def many_bombs() -> bytes:
    built, one = Builder(), bomb(300)
    for number in range(40):
        built.add(str(number).encode(), b"", raw=one, size=300 << 20, crc=0)
    return built.bytes()


def lying_zip64() -> bytes:
    data = bytearray(zip64(70_000))
    struct.pack_into("<Q", data, data.rindex(b"PK\x06\x07") + 8, data.rindex(b"PK\x06\x06") - 46)
    return bytes(data)


MEMBERS: dict[str, tuple[Callable[[], bytes], list[tuple[str, str | None]]]] = {
    "ZB-00": (archive, [OK, OK]),
    "ZB-01": (
        lambda: good_and(Builder().add(b"0", b"", raw=bomb(300), size=60 << 20)),
        [bad("ZIP_HEADER_MISMATCH"), OK],
    ),
    "ZB-01-large": (
        lambda: good_and(Builder().add(b"0", b"", raw=bomb(200), size=200 << 20, crc=zeros_crc(200))),
        [bad("NOT_DICOM"), OK],
    ),
    "ZB-05": (lambda: nested(12, A), [bad("ZIP_NESTED")]),
    "ZB-06": (lambda: archive({"a.dcm": A, "inner.zip": archive({"x/b.dcm": B})}), [OK, OK]),
    "ZB-07": (lambda: names(b"../../etc/passwd"), [OK]),
    "ZB-08": (lambda: names(b"/etc/passwd"), [OK]),
    "ZB-09": (lambda: names(b"..\\..\\x.dcm", b"C:\\x.dcm"), [OK, OK]),
    "ZB-10-11": (link_and_devices, [passed_over("SYMLINK"), *[passed_over("NOT_REGULAR")] * 2, OK]),
    "ZB-12": (lambda: Builder().add(b"a.dcm", A).add(b"a.dcm", A).bytes(), [OK, AGAIN]),
    "ZB-13": (lambda: names(b"a.dcm", b"a.dcm"), [OK, OK]),
    "ZB-14": (lambda: names(b"a", b"A", "\u00e9".encode(), "e\u0301".encode()), [OK] * 4),
    "ZB-15": (lambda: names(b"\x82\xa0.dcm", b"\xff\xfe.dcm"), [OK, OK]),
    "ZB-16-18": (lambda: names(b"a\0b", b"a\r\nb\x1b[31m", b"x" * 60_000, b".", b"//"), [OK] * 5),
    "ZB-20": (lambda: good_and(Builder().add(b"a.dcm", A, size=10)), [bad("ZIP_HEADER_MISMATCH"), OK]),
    "ZB-21": (
        lambda: good_and(Builder().add(b"a.dcm", A, size=len(A) + 9)),
        [bad("ZIP_HEADER_MISMATCH"), OK],
    ),
    "ZB-22": (lambda: good_and(Builder().add(b"a.dcm", A, crc=1)), [bad("ZIP_CRC"), OK]),
    "ZB-26": (lambda: b"MZ" + bytes(998) + archive(), [OK, OK]),
    "ZB-29": (lambda: good_and(Builder().add(b"a.dcm", A, flags=1)), [bad("ZIP_ENCRYPTED"), OK]),
    "ZB-30": (
        lambda: good_and(Builder().add(b"a.dcm", A, method=9, raw=deflate(A))),
        [bad("ZIP_METHOD"), OK],
    ),
    "ZB-31": (
        lambda: good_and(Builder().add(b"a.dcm", A, method=93, raw=deflate(A))),
        [bad("ZIP_METHOD"), OK],
    ),
    "ZB-32": (lambda: good_and(Builder().add(b"a.dcm", A, raw=b"\xff" * 500)), [bad("ZIP_DEFLATE"), OK]),
    "ZB-41": (
        lambda: archive(
            {"__MACOSX/._a": b"x", "Thumbs.db": b"x", "setup.exe": b"MZ", "DICOMDIR": b"x", "a": A}
        ),
        [*[passed_over("IGNORED_NAME")] * 4, OK],
    ),
    "ZB-42": (lambda: archive({"d/" * 5_000 + "a.dcm": A}), [OK]),
    "ZB-43": (lambda: archive({"x": A, "x/": b"", "x/a.dcm": B}), [OK, OK]),
}

WHOLE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "ZB-02": (many_bombs, {"ZIP_BOMB"}),
    "ZB-03": (full_overlap, {"ZIP_OVERLAP"}),
    "ZB-04": (quoted_overlap, {"ZIP_OVERLAP"}),
    "ZB-19": (lambda: Builder().add(b"a", A, local_name=b"b").bytes(), {"ZIP_HEADER_MISMATCH"}),
    "ZB-23": (lambda: archive()[:-30], {"ZIP_TRUNCATED"}),
    "ZB-24": (lambda: archive()[30:], {"ZIP_TRUNCATED", "NOT_A_ZIP", "ZIP_AMBIGUOUS"}),
    "ZB-25": (lambda: archive()[:100] + archive()[400:], {"ZIP_TRUNCATED", "ZIP_AMBIGUOUS"}),
    "ZB-27": (lambda: archive() + END + bytes(18), {"ZIP_AMBIGUOUS", "ZIP_EMPTY"}),
    "ZB-28": (lambda: archive({"a": A}) + archive({"b": B}), {"ZIP_AMBIGUOUS"}),
    "ZB-34": (lambda: Builder().add(b"a", A).add(b"b", B).bytes(count=1), {"ZIP_AMBIGUOUS", "ZIP_TRUNCATED"}),
    "ZB-35": (lying_zip64, {"ZIP_AMBIGUOUS", "ZIP_TRUNCATED"}),
    "ZB-36": (lambda: END + bytes(18), {"ZIP_EMPTY"}),
    "ZB-37": (lambda: b"", {"NOT_A_ZIP"}),
    "ZB-38": (lambda: bytes(range(256)) * 100, {"NOT_A_ZIP"}),
    "ZB-39": (lambda: b"<!DOCTYPE html><title>Login</title>", {"NOT_A_ZIP"}),
    "ZB-40": (lambda: archive({"a/": b"", "a/b/": b""}), {"ZIP_EMPTY"}),
}


def verdict_of(entries: list[tuple[str, str | None]]) -> str:
    known = any(word in ("accepted", "duplicate") for word, _ in entries)
    if not known:
        return "quarantined"
    return "partial" if any(word == "quarantined" for word, _ in entries) else "done"


@pytest.fixture
def rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[bytes], tuple[int, dict[str, Any]]]:
    """`ponte ingest --dry-run --json` of the bytes, in an empty folder that stays as it was."""

    def go(data: bytes) -> tuple[int, dict[str, Any]]:
        path = tmp_path / "CANARY.zip"
        path.write_bytes(data)
        before = sorted(tmp_path.rglob("*"))
        code = command(monkeypatch, "ingest", path, "--dry-run", "--json")
        out, err = capsys.readouterr()
        assert sorted(tmp_path.rglob("*")) == before
        assert path.read_bytes() == data
        assert err == ""
        (answer,) = json.loads(out)["archives"]
        return code, answer

    monkeypatch.chdir(tmp_path)
    return go


@pytest.mark.parametrize("row", MEMBERS)
def test_each_member_has_its_verdict(row: str, rehearsed: Any) -> None:
    make, expected = MEMBERS[row]
    code, answer = rehearsed(make())
    assert [(entry["verdict"], entry["reason"]) for entry in answer["entries"]] == expected
    assert all(entry["name"].isprintable() for entry in answer["entries"])
    assert answer["verdict"] == verdict_of(expected)
    assert code == (0 if answer["verdict"] == "done" else 1)


@pytest.mark.parametrize("row", MEMBERS)
def test_and_what_is_accepted_is_delivered_while_nothing_else_is(row: str) -> None:
    make, expected = MEMBERS[row]
    destination = Recorder()
    route = Route(destination, Ledger(MemoryStore(), Policy.UID_THEN_SHA256))
    data = make()
    settled = list(ingest(Archive(io.BytesIO(data)), identity="x", route=route))
    assert [(e.verdict, e.reason) for s in settled for e in s.entries] == expected
    assert sum(destination.asked.values()) == expected.count(OK)


@pytest.mark.parametrize("row", WHOLE)
def test_of_an_archive_that_is_refused_nothing_is_read(row: str, rehearsed: Any) -> None:
    make, reasons = WHOLE[row]
    code, answer = rehearsed(make())
    assert (code, answer["verdict"], answer["entries"]) == (1, "quarantined", [])
    assert answer["reason"] in reasons


def test_zb_33_seventy_thousand_entries_of_which_one_is_an_instance(rehearsed: Any) -> None:
    code, answer = rehearsed(zip64(70_000))
    assert (code, answer["verdict"]) == (1, "partial")
    assert answer["totals"]["accepted"] == 1
    assert answer["totals"]["reasons"] == {"NOT_DICOM": 69_999}


def test_zb_44_data_descriptors(rehearsed: Any) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: Any) -> int:
            raise OSError

    import zipfile

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.dcm", A)
    data = pipe.getvalue()
    assert data[6] & 8
    assert rehearsed(data)[1]["verdict"] == "done"


def test_litter_alone_is_nothing_to_ingest_and_no_success(rehearsed: Any) -> None:
    code, answer = rehearsed(archive({"Thumbs.db": b"x", "__MACOSX/a": b"x"}))
    assert (code, answer["verdict"], answer["reason"]) == (1, "quarantined", "ZIP_EMPTY")
    assert [entry["reason"] for entry in answer["entries"]] == ["IGNORED_NAME"] * 2


def test_a_good_archive_comes_after_every_bad_one(rehearsed: Any) -> None:
    for make, _ in (WHOLE["ZB-04"], WHOLE["ZB-38"]):
        rehearsed(make())
        assert rehearsed(archive())[1]["verdict"] == "done"


@pytest.mark.parametrize("seed", range(40))
def test_an_archive_with_bytes_that_flipped_has_verdicts_of_the_closed_list(
    seed: int, rehearsed: Any
) -> None:
    import random

    from ponte.ingesting.words import REASONS

    chance = random.Random(seed)
    data = bytearray(archive({**GOOD, "inner.zip": archive({"c": encode(make_ct(3))}), "t": b"text"}))
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    _, answer = rehearsed(bytes(data))
    reasons = {entry["reason"] for entry in answer["entries"]} | {answer["reason"]}
    assert reasons - {None} <= REASONS["en"].keys()


def pixels_of(data: bytes) -> str:
    return hashlib.sha256(pydicom.dcmread(io.BytesIO(data)).PixelData).hexdigest()


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
def test_dc_72_pixels_go_out_as_they_came_by_every_way(
    memory_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory and through a file, unchanged and behind another head; and nothing is written anew."""
    came = {
        "whole": encode(make_ct(1)),
        "bare": encode(make_ct(2))[132:],
        "program": b"MZ" + encode(make_ct(3))[2:],
    }
    digests = {pixels_of(encode(make_ct(number))) for number in (1, 2, 3)}

    def refuses(*_: Any, **__: Any) -> None:
        raise AssertionError("a dataset was written")

    for place in ("pydicom.filewriter.dcmwrite", "pydicom.dcmwrite", "pydicom.dataset.Dataset.save_as"):
        monkeypatch.setattr(place, refuses)
    destination = Recorder()
    route = Route(destination, limits=BatchLimits(memory_bytes=memory_bytes))
    entries = [
        e for s in ingest(Archive(io.BytesIO(archive(came))), identity="x", route=route) for e in s.entries
    ]
    assert {pixels_of(data) for data in destination.held.values()} == digests
    assert destination.held[str(make_ct(1).SOPInstanceUID)] == came["whole"]
    assert [e.sent_sha256 is None for e in entries] == [True, False, False]


def test_dc_72_no_code_of_ours_writes_a_dataset_or_reads_one_without_its_pixels() -> None:
    """The guard: what cannot be written cannot be written without pixels.

    The self-test makes its own; the router's transcoding reads whole instances, and scans what it wrote.
    """
    allowed = {"selftest.py", "transcoding.py"}
    names, wrong = {"dcmwrite", "save_as", "stop_before_pixels", "write_file"}, []
    for folder in ("layers/ponte/python", "functions", "edge", "cli"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                said = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "arg", None)
                if isinstance(said, str) and said in names and path.name not in allowed:
                    wrong.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert wrong == []
    assert dcmwrite.__name__ in names


OTHER_BYTES = encode(make_ct(1, PatientComments="another"))
OTHER_PREAMBLE = b"MZ" + A[2:]
NO_UID = A.replace(str(make_ct(1).SOPInstanceUID).encode(), b"\0" * len(make_ct(1).SOPInstanceUID))
"""FS-10: same UID and bytes, same UID and other bytes, other UID and bytes, no UID."""


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy.UID_THEN_SHA256, [AGAIN, AGAIN, bad("UID_CONFLICT"), OK, bad("MISSING_UID")]),
        (Policy.SHA256_ONLY, [AGAIN, AGAIN, OK, OK, bad("MISSING_UID")]),
        (Policy.UID_ONLY, [AGAIN, AGAIN, AGAIN, OK, bad("MISSING_UID")]),
    ],
)
def test_fs_10_the_policies_over_two_archives(
    policy: Policy, expected: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path / "ledger")
    second = archive(
        {"same": A, "preamble": OTHER_PREAMBLE, "other": OTHER_BYTES, "new": B, "no uid": NO_UID}
    )
    words = []
    for number, data in enumerate((archive({"a": A}), second)):
        route = Route(Recorder(), Ledger(store, policy))
        parts = ingest(Archive(io.BytesIO(data)), identity=str(number), route=route)
        words = [(e.verdict, e.reason) for s in parts for e in s.entries]
    store.close()
    assert words == expected


_KILLS = """
import os, shutil, signal, sys
from pathlib import Path
import cli.destinations
from cli import main as command
from ponte import archive, ingest, quarantine, sqlitestore
from ponte.destination import Outcome
from ponte.ingesting import report

root = Path(sys.argv[1])
stop = step = 0

def here():
    global step
    step += 1
    if step == stop:
        os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name):
    real = getattr(owner, name)
    def wrapped(*args, **named):
        here()
        done = real(*args, **named)
        here()
        return done
    setattr(owner, name, wrapped)

for owner, name in (
    (sqlitestore.SqliteStore, "together"), (sqlitestore.SqliteStore, "swap"),
    (quarantine.FolderQuarantine, "keep"), (quarantine, "_write_record"), (os, "fsync"),
):
    around(owner, name)

class Folder:
    def __init__(self, folder):
        self.folder = folder
    def check(self):
        here()
    def store(self, instances):
        for instance in instances:
            path = self.folder / "pacs" / instance.sop_instance_uid
            here()
            path.with_suffix(".part").write_bytes(b"".join(instance.chunks(instance.size_bytes)))
            path.with_suffix(".part").replace(path)
            with (self.folder / "log").open("a") as log:
                log.write(instance.sop_instance_uid + "\\n")
            here()
            yield Outcome(instance.sop_instance_uid, "stored")

def run(folder, at):
    global stop
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stop = at
    cli.destinations.open_destination = lambda *_, **__: Folder(folder)
    sys.stdout = (folder / "answer").open("w")
    sys.argv = ["ponte", "ingest", str(folder / "exam.zip"), "--to", "x", "--json",
                "--state-db", str(folder / "state"), "--quarantine", str(folder / "kept")]
    try:
        command.main()
    except SystemExit as end:
        sys.stdout.close()
        os._exit(end.code)
    finally:
        os._exit(99)

at, code = 0, -signal.SIGKILL
while code == -signal.SIGKILL:
    at += 1
    folder = root / str(at)
    (folder / "pacs").mkdir(parents=True)
    shutil.copy(root / "exam.zip", folder)
    code = run(folder, at)
    again = run(folder, 0) if code == -signal.SIGKILL else code
    (folder / "code").write_text(str(again))
"""


def test_killed_between_any_two_steps_and_run_again_each_is_delivered_and_none_reported_wrongly(
    tmp_path: Path,
) -> None:
    """SIGKILL before and after every claim, answer, write and fsync; then once more to the end."""
    members = {"a": A, "cut": A[:-10], "b": B, "b again": B, "text": b"text"}
    (tmp_path / "exam.zip").write_bytes(archive(members))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", _KILLS, str(tmp_path)], timeout=300, check=True, env=environment)
    runs = [folder for folder in tmp_path.iterdir() if folder.is_dir()]
    assert len(runs) > 40
    for folder in runs:
        assert (folder / "code").read_text() == "1"
        (answer,) = json.loads((folder / "answer").read_text())["archives"]
        found = [(entry["verdict"], entry["reason"]) for entry in answer["entries"]]
        assert found in (
            [OK, bad("TRUNCATED"), OK, AGAIN, bad("NOT_DICOM")],
            [AGAIN, bad("TRUNCATED"), AGAIN, AGAIN, bad("NOT_DICOM")],  # killed when all was done
        )
        accepted = [entry for entry in answer["entries"] if entry["verdict"] == "accepted"]
        assert all(entry["destination"]["status"] == "stored" for entry in accepted)
        held = {
            path.name: path.read_bytes() for path in (folder / "pacs").iterdir() if path.suffix != ".part"
        }
        assert held == {str(make_ct(n).SOPInstanceUID): data for n, data in ((1, A), (2, B))}
        assert len(list((folder / "kept").rglob("*.json"))) == 2
        assert len((folder / "log").read_text().split()) <= 4  # in flight: twice, which does no harm


def test_fs_06_the_same_archive_twice_is_known_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = Recorder()
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: destination)
    answers = []
    for name in ("one.zip", "two.zip"):
        (tmp_path / name).write_bytes(archive())
        arguments = ("--to", "x", "--state-db", tmp_path / "state", "--json")
        assert command(monkeypatch, "ingest", tmp_path / name, *arguments) == 0
        answers.append(json.loads(capsys.readouterr().out)["archives"][0])
    assert [[e["verdict"] for e in a["entries"]] for a in answers] == [["accepted"] * 2, ["duplicate"] * 2]
    assert set(destination.asked.values()) == {1}
