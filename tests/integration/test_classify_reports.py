"""What other programs say of our reports: dicom3tools, DCMTK, Orthanc."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import urllib3

from classify.overlay import make_overlay
from classify.sr import NOTICE, SrClass, make_report
from infra.local.orthanc import Orthanc
from ponte.destination import Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import PonteError
from ponte.stow import StowDestination
from tests.corpus import CORPUS, rows
from tests.factories import encode
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.models import CELLS, TARGETS
from tests.unit.classify.reports import reported, reported_of

CLASSES: tuple[SrClass, ...] = ("comprehensive3d", "comprehensive", "enhanced")
MOST_OF_A_FOLDER = 3
AT_LEAST = 30
COPIED = re.compile(
    r"\(0x0010,"  # the patient
    r"|\(0x0008,0x(0020|0030|0050|0090|1030)\)|\(0x0020,0x(000d|0010)\)"  # the study
    r"|\(0x0008,0x(1150|1155)\)|\(0x0020,0x000e\)"  # the image and its series
)
"""What stands in the report as it stands in the image, right or wrong."""


def errors_of(path: Path) -> list[str]:
    """The lines that dciodvfy calls errors, without its summary of them."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False)
    lines = done.stderr.decode("latin-1").splitlines()
    return [line for line in lines if "Error" in line and "Dicom dataset contains invalid" not in line]


def write(outgoing: Outgoing | None, path: Path) -> Path:
    assert outgoing is not None
    assert isinstance(outgoing.content, bytes)
    path.write_bytes(outgoing.content)
    return path


def sources() -> Iterator[str]:
    """A few files of each folder of the corpus that have pixels and are meant to be whole."""
    taken: dict[str, int] = {}
    for row in rows():
        folder = row["file"].partition("/")[0]
        if row["rows"] and folder != "malformed-synthetic" and taken.get(folder, 0) < MOST_OF_A_FOLDER:
            taken[folder] = taken.get(folder, 0) + 1
            yield row["file"]


@pytest.mark.dicom3tools
@pytest.mark.parametrize("sr_class", CLASSES)
@pytest.mark.parametrize("image", [make_dx(), make_cr()], ids=["dx", "cr"])
def test_dciodvfy_finds_no_error_in_a_report(tmp_path: Path, image: object, sr_class: SrClass) -> None:
    said = reported(image)  # type: ignore[arg-type]

    assert errors_of(write(make_report(said, sr_class), tmp_path / "sr.dcm")) == []


@pytest.mark.dicom3tools
@pytest.mark.parametrize("image", [make_dx(), make_cr()], ids=["dx", "cr"])
def test_dciodvfy_finds_no_error_in_a_saliency_picture(tmp_path: Path, image: object) -> None:
    cam = np.ones((len(TARGETS), CELLS, CELLS), np.float32)
    said = reported(image)  # type: ignore[arg-type]

    assert errors_of(write(make_overlay(said, cam), tmp_path / "sc.dcm")) == []


@pytest.mark.corpus
@pytest.mark.dicom3tools
def test_dciodvfy_finds_no_error_of_ours_over_the_corpus(tmp_path: Path) -> None:
    """Values that are copied from an image may be wrong as they are there; nothing else may."""
    assert CORPUS is not None
    sound, ours = 0, {}
    for name in sources():
        try:
            report = make_report(reported_of((CORPUS / name).read_bytes()))
        except PonteError:
            continue  # no UIDs, or not whole: such an image never comes as far as a report
        errors = errors_of(write(report, tmp_path / "sr.dcm"))
        sound += not errors
        strange = [line for line in errors if not COPIED.search(line)]
        if strange:
            ours[name] = strange
    assert ours == {}
    assert sound >= AT_LEAST


@pytest.mark.dcmtk
@pytest.mark.parametrize("sr_class", CLASSES)
def test_dcmtk_reads_the_report_and_shows_what_it_is_not(tmp_path: Path, sr_class: SrClass) -> None:
    path = write(make_report(reported(make_dx()), sr_class), tmp_path / "sr.dcm")

    dumped = subprocess.run(["dsrdump", "+Pl", str(path)], capture_output=True, check=True)
    page = subprocess.run(["dsr2html", str(path)], capture_output=True, check=True)

    for text in (dumped.stdout.decode(), page.stdout.decode()):
        assert NOTICE in text
        assert "Pneumothorax" in text
        assert "UNVERIFIED" in text.upper()


@pytest.mark.orthanc
def test_orthanc_stores_a_report_and_a_repeat_creates_nothing_new(tmp_path: Path) -> None:
    orthanc = Orthanc(tmp_path / "orthanc")
    orthanc.start()
    try:
        image = make_dx()
        orthanc.upload(encode(image))
        credentials = Credentials.from_json(orthanc.credentials or {})
        destination = StowDestination(orthanc.dicomweb_url, credentials=credentials)
        for _ in range(2):
            (outcome,) = destination.store([make_report(reported(image))])
            assert outcome.stored
        study = f"{orthanc.dicomweb_url}/studies/{image.StudyInstanceUID}/instances"
        answer = urllib3.request(
            "GET", study, headers={**credentials.headers, "Accept": "application/dicom+json"}, retries=False
        )
        assert sorted(entry["00080060"]["Value"][0] for entry in answer.json()) == ["DX", "SR"]
    finally:
        orthanc.stop()
