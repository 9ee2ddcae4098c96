"""Whatever is in an archive: a verdict in time, by a code of the list.

Nothing is accepted that others cannot read.

The long run is `make test-all`; `PONTE_FUZZ=200000` makes it longer, `PONTE_FUZZ_SEED` begins elsewhere.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from time import perf_counter

import pydicom
import pytest

from ponte import reasons
from ponte.archive import Archive
from ponte.dedup import Ledger, Policy
from ponte.errors import UnsafeArchive
from ponte.ingest import Route, ingest
from ponte.ingesting.report import Report
from ponte.memorystore import MemoryStore
from ponte.quiet import quiet
from ponte.scan import Verdict, scan
from tests.hazards.fuzz import case, instances, mutated

SEED = int(os.environ.get("PONTE_FUZZ_SEED", "1"))
LONG = int(os.environ.get("PONTE_FUZZ", "6000"))
SHORT = 250
MOST_S = 20.0
MOST_GROWTH_KB = 256 << 10
OF_A_MEMBER = reasons.ARCHIVE | reasons.INSTANCE


@pytest.fixture(scope="module")
def sources() -> Sequence[bytes]:
    return instances()


@pytest.fixture
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which nothing may appear."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_archives_that_were_spoiled(sources: Sequence[bytes], untouched: Path) -> None:
    run_archives(range(SEED, SEED + SHORT), sources, untouched)


def test_instances_that_were_spoiled(sources: Sequence[bytes]) -> None:
    run_instances(range(SEED, SEED + 4 * SHORT), sources)


@pytest.mark.exhaustive
def test_many_archives_that_were_spoiled(sources: Sequence[bytes], untouched: Path) -> None:
    run_archives(range(SEED + SHORT, SEED + SHORT + LONG), sources, untouched)


@pytest.mark.exhaustive
@pytest.mark.dcmtk
def test_many_instances_that_were_spoiled(sources: Sequence[bytes], tmp_path: Path) -> None:
    accepted = run_instances(range(SEED + 4 * SHORT, SEED + 4 * (SHORT + LONG)), sources)
    check_with_dcmtk(accepted[:: max(len(accepted) // 500, 1)], tmp_path)


def run_archives(seeds: range, sources: Sequence[bytes], untouched: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        data, began = case(seed, sources), perf_counter()
        try:
            checked = check(data)
            report = rehearse(data)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
        assert perf_counter() - began < MOST_S, f"seed {seed}"
        assert [v.accepted for _, v in checked] == [
            row["reason"] in (None, "UID_CONFLICT") for row in report.as_json()["entries"]
        ], f"seed {seed}"
        check_report(report, seed)
    assert list(untouched.iterdir()) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KB


def check(data: bytes) -> list[tuple[str, Verdict]]:
    """As `ponte check` does, and what was accepted as other readers see it."""
    try:
        archive = Archive(BytesIO(data))
    except UnsafeArchive:
        return []  # the reason is looked at in the report
    found = []
    for member in archive.members():
        pieces: list[bytes] = []
        verdict = member.scan(spool=pieces.append)
        check_verdict(verdict)
        if verdict.accepted:
            check_readable(b"".join(pieces), verdict)
            if member.position:
                check_zipfile(data, member.position, b"".join(pieces))
        found.append((member.name, verdict))
    return found


def rehearse(data: bytes) -> Report:
    """As `ponte ingest --dry-run` does."""
    report = Report("x.zip")
    route = Route(ledger=Ledger(MemoryStore(), Policy.UID_THEN_SHA256))
    try:
        for settled in ingest(Archive(BytesIO(data)), identity="x", route=route):
            report.take(settled)
    except UnsafeArchive as error:
        report.refuse(error)
    else:
        report.finish()
    return report


def check_report(report: Report, seed: int) -> None:
    said = report.as_json()
    totals = said["totals"]
    words = [totals[word] for word in ("accepted", "duplicate", "skipped", "quarantined")]
    assert sum(words) == totals["entries"] == len(said["entries"]), f"seed {seed}"
    assert (said["verdict"] == "done") <= (totals["quarantined"] == 0 and words[0] + words[1] > 0), seed
    assert {row["reason"] for row in said["entries"]} <= OF_A_MEMBER | {None}, f"seed {seed}"
    assert said["reason"] in reasons.ARCHIVE | {None}, f"seed {seed}"
    assert "<script" not in report.as_page("pt-BR")


def run_instances(seeds: range, sources: Sequence[bytes]) -> list[bytes]:
    """Scans mutated instances; returns the accepted ones."""
    accepted = []
    for seed in seeds:
        dice = random.Random(seed)
        data, began = mutated(dice.choice(sources), sources, dice), perf_counter()
        try:
            verdict = scan([data])
            check_verdict(verdict)
            if verdict.accepted:
                check_readable(data, verdict)
                accepted.append(data)
        except BaseException as error:
            raise AssertionError(f"seed {seed}") from error
        assert perf_counter() - began < MOST_S, f"seed {seed}"
    return accepted


def check_verdict(verdict: Verdict) -> None:
    assert verdict.accepted == (verdict.reason is None)
    assert verdict.accepted or verdict.reason in OF_A_MEMBER
    assert set(verdict.notes) <= reasons.NOTES
    if verdict.accepted:
        assert verdict.sop_class_uid
        assert verdict.sop_instance_uid
        assert verdict.sha256


def check_readable(data: bytes, verdict: Verdict) -> None:
    """pydicom reads what was accepted, to its last element, and finds the same instance in it.

    It does not where Specific Character Set has a NUL; the note says that much.
    """
    if "CHARSET" in verdict.notes:
        return
    with quiet():
        dataset = pydicom.dcmread(BytesIO(data), force="NO_META" in verdict.notes)
        assert str(dataset.SOPInstanceUID) == verdict.sop_instance_uid
        assert str(dataset.SOPClassUID) == verdict.sop_class_uid
        tags = [tag for tag in list(dataset.keys()) if tag.group]  # zeros at the end are padding
        assert tags == sorted(tags)


def check_zipfile(data: bytes, position: int, content: bytes) -> None:
    """Python's own reader gives the same bytes for the same member."""
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except NotImplementedError:  # it refuses all members where one is of a version that it does not know
        return
    with archive:
        assert archive.open(archive.infolist()[position - 1]).read() == content


def check_with_dcmtk(accepted: Sequence[bytes], folder: Path) -> None:
    """dcmdump reads each, too; but for zeros at the end that make no element, which are padding here, and
    for VRs that nobody knows (DC-58), whose lengths it guesses."""
    dcmdump = shutil.which("dcmdump")
    assert dcmdump
    for number, data in enumerate(accepted):
        path = folder / "x.dcm"
        path.write_bytes(data)
        done = subprocess.run([dcmdump, "+L", "-M", str(path)], capture_output=True, timeout=60, check=False)
        if done.returncode and not data.endswith(b"\0\0") and b"byte length field" not in done.stderr:
            (folder / f"refused-{number}.dcm").write_bytes(data)
    assert [path.name for path in folder.glob("refused-*")] == []
