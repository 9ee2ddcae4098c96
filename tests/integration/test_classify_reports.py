"""What other programs say of our reports: dicom3tools, DCMTK, Orthanc."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import urllib3

from classify.overlay import make_overlay
from classify.sr import NOTICE, SERIES_DESCRIPTION, SrClass, make_report
from infra.local.orthanc import Orthanc
from ponte import attributes
from ponte.destination import Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import PonteError
from ponte.stow import StowDestination
from render.study import RenderOptions, render_study
from tests.corpus import CORPUS, rows
from tests.factories import encode, make_ct, uid
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.models import CELLS, TARGETS, write_model
from tests.unit.classify.reports import reported, reported_of
from tests.unit.render.studies import Instances

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


@pytest.mark.corpus
@pytest.mark.dicom3tools
def test_dciodvfy_finds_no_error_of_ours_in_pictures_over_the_corpus(tmp_path: Path) -> None:
    """Of gray images, which are all that the gate lets in."""
    assert CORPUS is not None
    cam = np.ones((len(TARGETS), CELLS, CELLS), np.float32)
    sound, ours = 0, {}
    for name in sources():
        try:
            said = reported_of((CORPUS / name).read_bytes())
            if not attributes.text(said.dataset, "PhotometricInterpretation").startswith("MONOCHROME"):
                continue
            overlay = make_overlay(said, cam)
        except PonteError:
            continue
        errors = errors_of(write(overlay, tmp_path / "sc.dcm"))
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


@pytest.mark.pdftools
@pytest.mark.parametrize(("language", "unverified"), [("pt-BR", "Não verificado"), ("en", "Not verified")])
def test_every_page_of_a_report_in_a_pdf_says_that_nobody_verified_it(
    tmp_path: Path, language: Literal["pt-BR", "en"], unverified: str
) -> None:
    image = make_dx()
    report = make_report(reported(image)).content
    assert isinstance(report, bytes)
    pdf = tmp_path / "study.pdf"
    with pdf.open("wb") as stream:
        source = Instances([encode(image), report])
        done = render_study(source, image.StudyInstanceUID, stream, RenderOptions(language=language))
    assert (done.documents, done.partial) == (1, False)

    whole = subprocess.run(
        ["pdftotext", "-layout", str(pdf), "-"], capture_output=True, text=True, check=True
    )
    pages = [page for page in whole.stdout.split("\f") if "Tracking Identifier" in page]
    assert pages
    assert all(SERIES_DESCRIPTION in page for page in pages)
    assert unverified in pages[0]
    assert NOTICE in whole.stdout


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


@pytest.mark.orthanc
def test_the_command_classifies_what_an_orthanc_has_and_sends_it_back(tmp_path: Path) -> None:
    orthanc = Orthanc(tmp_path / "orthanc")
    orthanc.start()
    try:
        for instance in (make_dx(), make_cr(StudyInstanceUID=uid("another study")), make_ct()):
            orthanc.upload(encode(instance))
        auth = tmp_path / "auth.json"
        auth.write_text(json.dumps(orthanc.credentials))
        command = [sys.executable, "-m", "cli.main", "classify", orthanc.dicomweb_url, "--json"]
        command += [
            "--model",
            str(write_model(tmp_path / "model")),
            "--auth-file",
            str(auth),
            "--send",
            "source",
        ]
        for verdicts in (["classified"] * 2, ["classified"] * 2):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            images = json.loads(done.stdout)["images"]
            radiographs = [image for image in images if image["verdict"] == "classified"]
            assert [image["verdict"] for image in radiographs] == verdicts
            assert all(image["sr"]["sent"]["stored"] for image in radiographs)
        again = {image["reason"] for image in images if image["verdict"] == "skipped"}
        assert again == {"NOT_A_RADIOGRAPH", "OWN_RESULT"}  # the CT of a study, and what we sent before
        headers = urllib3.make_headers(basic_auth=f"{orthanc.username}:{orthanc.password}")
        stored = urllib3.request("GET", f"{orthanc.url}/statistics", headers=headers, retries=False).json()
        assert stored["CountInstances"] == 5
    finally:
        orthanc.stop()
