"""`ponte ingest` into a real Orthanc, by each of the three ways: what comes back is what went in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.orthanc import AE_TITLE, Orthanc
from ponte.dicomweb import DicomWebSource
from ponte.scan import scan
from tests.factories import encode, make_colour, make_ct, make_report, uid
from tests.hazards.archives import archive
from tests.unit.cli.test_render import run

pytestmark = pytest.mark.orthanc


@pytest.fixture(scope="module")
def open_orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One that takes instances by DIMSE too, and asks for no password."""
    with Orthanc(tmp_path_factory.mktemp("ingest"), authenticate=False, dimse=True) as running:
        yield running


@pytest.mark.parametrize("way", ["stow", "orthanc", "dicom"])
def test_dc_72_datasets_come_back_as_they_went_in_and_nothing_goes_twice(
    way: str,
    open_orthanc: Orthanc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = {
        "stow": open_orthanc.dicomweb_url,
        "orthanc": f"orthanc+{open_orthanc.url}",
        "dicom": f"dicom://{AE_TITLE}@127.0.0.1:{open_orthanc.dicom_port}",
    }[way]
    study = uid("ingest", way)
    series = {"stow": 701, "orthanc": 702, "dicom": 703}[way]
    instances = [make_ct(number, series=series, StudyInstanceUID=study) for number in range(1, 6)]
    for dataset in (make_colour(1, series=20), make_report(1, series=21)):
        dataset.StudyInstanceUID, dataset.SOPInstanceUID = study, uid(way, dataset.SOPClassUID)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        instances.append(dataset)
    members = {f"IM{number}": encode(dataset) for number, dataset in enumerate(instances)}
    members["IM0"] = members["IM0"][132:]  # without preamble
    members["IM1"] = b"MZ" + members["IM1"][2:]
    (tmp_path / "exam.zip").write_bytes(archive({**members, "cut": members["IM2"][:-100]}))
    verdicts = []
    for _ in range(2):
        options = ("--to", to, "--state-db", tmp_path / "db", "--json")
        assert run(monkeypatch, "ingest", tmp_path / "exam.zip", *options) == 1
        (answer,) = json.loads(capsys.readouterr().out)["archives"]
        verdicts.append([entry["verdict"] for entry in answer["entries"]])
    assert verdicts == [["accepted"] * 7 + ["quarantined"], ["duplicate"] * 7 + ["quarantined"]]
    source = DicomWebSource(open_orthanc.dicomweb_url)
    held = {scan([one.data]).sha256 for one in source.instances(study)}
    assert held == {scan([data]).sha256 for data in members.values()}
