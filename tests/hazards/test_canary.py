"""Canaries in names, attributes and answers: none sings in a log, a message, a file name or the ledger.

The cloud's side is in `tests/unit/zip_ingest/test_handler.py`.
"""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ponte.destination import Outcome
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.hazards.archives import GOOD, archive
from tests.stub_pacs import Answer, stub_pacs
from tests.unit.cli.test_render import run as command
from tests.unit.watcher.helpers import Box

SENT, REFUSED, CUT = (make_ct(number) for number in (1, 2, 3))
MEMBERS = {
    "CANARIO^JOSE/Conceição.dcm": encode(SENT),
    "CANARIO/refused.dcm": encode(REFUSED),
    "CANARIO/cut.dcm": encode(CUT)[:-9],
    "CANARIO/again.dcm": encode(make_ct(1, PatientID="CANARY-2")),
    "CANARIO.txt": b"CANARY text",
    "CANARIO/Thumbs.db": b"x",
}
CANARIES = ("CANAR", "Concei", SENT.SOPInstanceUID, REFUSED.SOPInstanceUID, SENT.StudyInstanceUID)
REFUSAL = Outcome(REFUSED.SOPInstanceUID, "refused", "The server refuses it", 0xC000)


def names_below(root: Path) -> str:
    return "\n".join(str(path.relative_to(root)) for path in root.rglob("*"))


def check_silent(*texts: str) -> None:
    for canary in CANARIES:
        assert all(canary not in text for text in texts), canary


def check_private(folder: Path) -> None:
    """What holds names by its nature can be read by its owner alone."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_of_the_folder_watcher(box: Box, capfd: pytest.CaptureFixture[str]) -> None:
    box.pacs.answers[REFUSED.SOPInstanceUID] = REFUSAL
    with stub_pacs() as receiver:
        receiver.routes["/hook"] = Answer(200)
        box.configure(ponte={"webhook_url": f"{receiver.url}/hook"})
        with box.run():
            box.drop("exam.zip", archive(MEMBERS))
            said = box.reported("exam.zip")
            box.until(lambda: receiver.asked, "not told")
            box.drop("cut.zip", archive(MEMBERS)[:-9])
    assert (said["totals"]["accepted"], said["totals"]["quarantined"]) == (1, 4)
    assert SENT.SOPInstanceUID not in str(said)
    assert SENT.SOPInstanceUID in box.lines()  # the one place where it is wanted
    printed, (asked,) = capfd.readouterr(), receiver.asked
    ledger = "".join(path.read_bytes().decode("latin-1") for path in (box.root / "state").iterdir())
    check_silent(printed.out, printed.err, repr(asked), names_below(box.root), ledger)
    check_private(box.archive / "_QUARANTINE")


def test_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = Recorder({REFUSED.SOPInstanceUID: [REFUSAL]})
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: destination)
    path = tmp_path / "exam.zip"
    path.write_bytes(archive({**MEMBERS, **GOOD}))
    places = {name: tmp_path / name for name in ("state-db", "quarantine", "report")}
    options = [str(text) for name, place in places.items() for text in (f"--{name}", place)]
    assert command(monkeypatch, "ingest", path, "--to", "x", *options) == 1
    shown = capsys.readouterr()
    assert "CANARIO" in shown.out  # of who runs it, on his own terminal
    kept = "".join(file.read_text() for file in places["report"].iterdir())
    assert "CANARIO^JOSE" in kept  # the names of members, which it warns of
    ledger = places["state-db"].read_bytes().decode("latin-1")
    for canary in CANARIES[2:]:
        assert canary not in kept
    check_silent(shown.err, names_below(tmp_path), ledger)
    check_private(places["quarantine"])


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)
