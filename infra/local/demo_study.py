"""The demo study, of one invented patient: images from pydicom's own package, and a generated CT chest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom.data
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from infra.local import phantom

NAME = "Conceição^Maria das Dores"
STUDY_DATE, STUDY_TIME = "20260122", "141530"


@dataclass(frozen=True, slots=True)
class Sample:
    """A file of pydicom's package, and the series it becomes."""

    file: str
    description: str


SAMPLES = (
    Sample("CT_small.dcm", "TC, corte original"),
    Sample("MR_small.dcm", "RM, sem compressão"),
    Sample("MR_small_RLE.dcm", "RM, RLE"),
    Sample("examples_overlay.dcm", "RM, com overlay"),
    Sample("examples_ybr_color.dcm", "US, cine JPEG"),
    Sample("examples_jpeg2k.dcm", "US, JPEG 2000"),
    Sample("examples_palette.dcm", "US, paleta de cores"),
    Sample("examples_rgb_color.dcm", "US, RGB"),
)


def uid(*parts: str) -> UID:
    """The same UID for the same parts, at each run and on each machine."""
    return generate_uid(entropy_srcs=["ponte demo study", *parts])


STUDY_INSTANCE_UID = uid("study")
FRAME_OF_REFERENCE_UID = uid("frame of reference")


def write(folder: Path) -> list[Path]:
    """Write the study's instances into the folder, one file each, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, dataset in enumerate(instances(), 1):
        path = folder / f"{number:03}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def instances() -> Iterator[FileDataset]:
    """The study's instances, samples first."""
    for number, sample in enumerate(SAMPLES, 1):
        yield _from_sample(sample, series_number=number)
    yield from _phantom_instances(series_number=len(SAMPLES) + 1)


def _from_sample(sample: Sample, *, series_number: int) -> FileDataset:
    """The sample as an instance of the study: everything that identifies is replaced, the pixels are not."""
    # Beside pydicom's own code: `get_testdata_file` may go and download.
    folder = Path(pydicom.data.__file__).parent / "test_files"
    dataset = dcmread(folder / sample.file)
    dataset.decode()
    dataset.remove_private_tags()
    _forget(dataset)
    _put_in_study(dataset, series_number=series_number, description=sample.description)
    dataset.InstanceNumber = 1
    dataset.SOPInstanceUID = uid("instance", sample.file)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


IDENTIFYING = ("PN", "DA", "DT", "TM")
IDENTIFYING_KEYWORDS = (
    "AccessionNumber",
    "DeviceSerialNumber",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "PatientAddress",
    "PatientAge",
    "PatientComments",
    "PatientTelephoneNumbers",
    "PatientWeight",
    "ReferencedStudySequence",
    "ReferencedPerformedProcedureStepSequence",
    "ReferencedImageSequence",
    "RequestAttributesSequence",
    "SourceImageSequence",
    "StationName",
    "StudyID",
)


def _forget(dataset: Dataset) -> None:
    """Drop what told of the sample's own patient, site and time."""
    for element in list(dataset):
        if element.VR in IDENTIFYING or element.keyword in IDENTIFYING_KEYWORDS:
            del dataset[element.tag]


def _put_in_study(dataset: Dataset, *, series_number: int, description: str) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = NAME
    dataset.PatientID = "PONTE-0001"
    dataset.PatientBirthDate = "19570310"
    dataset.PatientSex = "F"
    dataset.StudyInstanceUID = STUDY_INSTANCE_UID
    dataset.StudyID = "1"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = STUDY_DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = STUDY_TIME
    dataset.StudyDescription = "Demonstração: tórax e amostras"
    dataset.AccessionNumber = "DEMO-2026-01"
    dataset.ReferringPhysicianName = "Araújo^João"
    dataset.InstitutionName = "Clínica São José"
    dataset.SeriesInstanceUID = uid("series", str(series_number))
    dataset.SeriesNumber = series_number
    dataset.SeriesDescription = description


def _phantom_instances(*, series_number: int) -> Iterator[FileDataset]:
    for index, pixels in enumerate(phantom.slices()):
        dataset = _phantom_header(index)
        _put_in_study(dataset, series_number=series_number, description="TC de tórax, fantoma")
        dataset.PixelData = pixels.tobytes()
        yield dataset


def _phantom_header(index: int) -> FileDataset:
    """Geometry and pixel description of one slice (PS3.3 A.3, C.7.6.2, C.8.2.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid("phantom", str(index))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    corner = -(phantom.SIZE - 1) / 2 * phantom.PIXEL_MM
    position = round((index - (phantom.SLICES - 1) / 2) * phantom.SLICE_MM, 3)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.Manufacturer = "Ponte"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE_UID
    dataset.PositionReferenceIndicator = ""
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [corner, corner, position]
    dataset.SliceLocation = position
    dataset.SliceThickness = phantom.SLICE_MM
    dataset.SpacingBetweenSlices = phantom.SLICE_MM
    dataset.PixelSpacing = [phantom.PIXEL_MM, phantom.PIXEL_MM]
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = index + 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = phantom.SIZE
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]
    dataset.WindowCenterWidthExplanation = ["MEDIASTINO", "PULMÃO"]
    return dataset
