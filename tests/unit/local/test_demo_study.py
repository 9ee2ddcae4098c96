from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID, CTImageStorage

from infra.local import demo_study, phantom
from infra.local.demo_study import SAMPLES

BUNDLED = Path(pydicom.data.__file__).parent / "test_files"


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> list[FileDataset]:
    paths = demo_study.write(tmp_path_factory.mktemp("demo"))
    return [dcmread(path) for path in paths]


def test_it_is_one_study_of_one_patient(instances: list[FileDataset]) -> None:
    assert {ds.StudyInstanceUID for ds in instances} == {demo_study.STUDY_INSTANCE_UID}
    assert {str(ds.PatientName) for ds in instances} == {"Conceição^Maria das Dores"}
    assert {ds.SpecificCharacterSet for ds in instances} == {"ISO_IR 192"}
    assert len({ds.SeriesInstanceUID for ds in instances}) == len(SAMPLES) + 1


def test_each_instance_has_a_valid_uid_of_its_own(instances: list[FileDataset]) -> None:
    uids = [UID(ds.SOPInstanceUID) for ds in instances]

    assert all(uid.is_valid for uid in uids)
    assert len(set(uids)) == len(SAMPLES) + phantom.SLICES
    assert [ds.file_meta.MediaStorageSOPInstanceUID for ds in instances] == uids


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_the_pixels_of_a_sample_are_untouched(instances: list[FileDataset], number: int) -> None:
    original = dcmread(BUNDLED / SAMPLES[number].file)

    assert instances[number].PixelData == original.PixelData
    assert instances[number].file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_nothing_tells_of_a_samples_own_patient(instances: list[FileDataset], number: int) -> None:
    original = dcmread(BUNDLED / SAMPLES[number].file)
    written = "\n".join(str(element) for element in instances[number].iterall())

    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert str(original[keyword].value) not in written
    assert not any(element.tag.is_private for element in instances[number].iterall())


def test_it_is_the_same_at_every_run(tmp_path: Path) -> None:
    first = demo_study.write(tmp_path / "first")[-1].read_bytes()
    second = demo_study.write(tmp_path / "second")[-1].read_bytes()

    assert first == second


def test_the_phantoms_slices_are_evenly_spaced_along_the_patient(instances: list[FileDataset]) -> None:
    slices = [
        ds for ds in instances if ds.SOPClassUID == CTImageStorage and ds.get("Manufacturer") == "Ponte"
    ]
    positions = [float(ds.ImagePositionPatient[2]) for ds in slices]

    assert len(slices) == 60
    assert np.allclose(np.diff(positions), 5.0)
    assert [ds.InstanceNumber for ds in slices] == list(range(1, 61))
    assert len({ds.FrameOfReferenceUID for ds in slices}) == 1


def test_the_phantom_is_a_chest_in_hounsfield_units(instances: list[FileDataset]) -> None:
    middle = instances[len(SAMPLES) + 30]
    values = middle.pixel_array.astype(int) + int(middle.RescaleIntercept)

    def mean(x_mm: float, y_mm: float) -> float:
        column, row = (round(256 + mm / phantom.PIXEL_MM) for mm in (x_mm, y_mm))
        return float(values[row - 3 : row + 4, column - 3 : column + 4].mean())

    assert values.shape == (512, 512)
    assert mean(-185, -185) == pytest.approx(-1000, abs=20)
    assert mean(-75, 30) < -700
    assert mean(0, 66) > 300
    assert 20 < mean(30, -30) < 120
