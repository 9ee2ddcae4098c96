"""`ponte classify` as a shell sees it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from classify.triage import NOTICE
from cli import classify as command_module
from cli import main as command
from ponte.destination import Outcome, Outgoing
from ponte.errors import DestinationUnavailable
from tests.factories import encode, make_ct, uid
from tests.hazards.archives import archive as make_zip
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.models import TARGETS, write_model


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit code of `ponte classify` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["ponte", "classify", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        command.main()
    return int(caught.value.code or 0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two chests of two studies, and a CT slice."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(encode(make_dx()))
    (folder / "b.dcm").write_bytes(encode(make_cr(StudyInstanceUID=uid("another study"))))
    (folder / "c.dcm").write_bytes(encode(make_ct()))
    return folder


def test_a_folder_gives_one_object_and_a_report_for_each_chest(
    folder: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, reports = tmp_path / "resultados.json", tmp_path / "sr"
    code = run(monkeypatch, folder, "--model", model, "-o", output, "--sr", reports, "--json")

    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert json.loads(output.read_text()) == said
    images = {Path(image["path"]).name: image for image in said["images"]}
    assert {name: image["verdict"] for name, image in images.items()} == {
        "a.dcm": "classified",
        "b.dcm": "classified",
        "c.dcm": "skipped",
    }
    assert images["c.dcm"]["reason"] == "NOT_A_RADIOGRAPH"
    assert set(images["a.dcm"]["findings"][0]) == {"label", "probability", "score", "threshold"}
    assert [finding["label"] for finding in images["a.dcm"]["findings"]] == list(TARGETS)
    assert said["notice"] == NOTICE
    written = {pydicom.dcmread(path).SOPInstanceUID for path in reports.glob("*.dcm")}
    assert written == {images[name]["sr"]["sop_instance_uid"] for name in ("a.dcm", "b.dcm")}


def test_a_file_and_a_zip_are_sources_too(
    folder: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = tmp_path / "exam.zip"
    archive.write_bytes(make_zip({"x/1": (folder / "b.dcm").read_bytes()}))
    code = run(monkeypatch, folder / "a.dcm", archive, "--model", model, "--json")

    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [image["verdict"] for image in said["images"]] == ["classified"] * 2
    assert [image["path"] for image in said["images"]] == [str(folder / "a.dcm"), f"{archive}/x/1"]


def test_without_json_each_image_has_a_line_and_the_notice_is_last(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, folder, "--model", model) == 0

    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "NOT_A_RADIOGRAPH" in next(line for line in lines if "c.dcm" in line)
    assert last == f"2 classified, 1 skipped or failed. {NOTICE}"


@pytest.mark.parametrize(
    ("content", "code", "reason"), [(b"no DICOM", 3, "NOT_DICOM"), (encode(make_dx())[:695], 3, "TRUNCATED")]
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_was_done(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    code: int,
    reason: str,
) -> None:
    (tmp_path / "x.dcm").write_bytes(content)

    assert run(monkeypatch, tmp_path / "x.dcm", "--model", model, "--json") == code
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert (image["verdict"], image["reason"]) == ("failed", reason)


def test_one_that_fails_among_others_is_a_part(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "d.dcm").write_bytes(encode(make_dx(number=9))[:-100])

    assert run(monkeypatch, folder, "--model", model) == 1
    assert "failed" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["--model", "/nowhere"]], ids=["none", "not_there"])
def test_without_a_model_nothing_is_done_and_it_says_so(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    assert run(monkeypatch, folder, *arguments) == 3
    assert "NO_MODEL" in capsys.readouterr().err


def test_bad_usage_is_said_before_anything_is_read(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, folder / "nothing", "--model", model) == 2
    assert run(monkeypatch, folder, "--model", model, "--send", "source") == 2
    assert run(monkeypatch, folder, "--model", model, "--sr", folder / "a.dcm") == 2


def test_without_the_extra_it_says_what_to_install(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command_module, "_NEEDED", ("highdicom", "not_there"))

    assert run(monkeypatch, folder, "--model", model) == 2
    assert "not_there is not installed: pip install 'ponte[classify]'" in capsys.readouterr().err


class Pacs:
    """A destination that keeps what it is given, or is down."""

    def __init__(self, *, down: bool = False) -> None:
        self.stored: dict[str, bytes] = {}
        self._down = down

    def check(self) -> None: ...

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        for instance in instances:
            if self._down:
                raise DestinationUnavailable("The server cannot be reached")
            self.stored[instance.sop_instance_uid] = b"".join(instance.chunks(instance.size_bytes))
            yield Outcome(instance.sop_instance_uid, "stored")


def sent(monkeypatch: pytest.MonkeyPatch, pacs: Pacs, *arguments: str | Path) -> int:
    monkeypatch.setattr(command_module, "_destination", lambda *_: pacs)
    return run(monkeypatch, *arguments, "--send", "https://pacs.invalid/dicom-web", "--json")


def test_reports_are_sent_and_a_repeat_sends_the_same(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pacs = Pacs()
    assert sent(monkeypatch, pacs, folder, "--model", model) == 0
    first = dict(pacs.stored)
    assert sent(monkeypatch, pacs, folder, "--model", model) == 0

    assert len(first) == 2
    assert pacs.stored == first
    said = json.loads(capsys.readouterr().out.splitlines()[0])
    assert [image["sr"]["sent"]["stored"] for image in said["images"] if image["sr"]] == [True, True]


def test_a_report_that_was_not_stored_is_never_called_so(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sent(monkeypatch, Pacs(down=True), folder, "--model", model) == 1

    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    outcomes = [image["sr"]["sent"] for image in said["images"] if image["sr"]]
    assert [outcome["stored"] for outcome in outcomes] == [False, False]
    assert "PACS_ERROR" in outcomes[0]["detail"]
