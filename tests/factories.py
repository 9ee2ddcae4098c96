"""Instances made to order: small, valid, and different from each other only where a test says so."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

STUDY_UID = "1.2.826.0.1.3680043.8.498.1"


def uid(*parts: object) -> str:
    """The same UID for the same parts."""
    return generate_uid(entropy_srcs=[str(part) for part in parts])


def make_dataset(sop_class_uid: str, *, number: int = 1, series: int = 1, **attributes: Any) -> FileDataset:
    """A dataset with what every composite instance has (PS3.3 C.7); `attributes` are keywords to set."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = uid("instance", series, number, sop_class_uid)
    dataset.StudyInstanceUID = STUDY_UID
    dataset.SeriesInstanceUID = uid("series", series)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "CANARIO^Conceição"
    dataset.PatientID = "CANARY-ID-1"
    dataset.PatientBirthDate = "19700102"
    dataset.PatientSex = "F"
    dataset.StudyDate = "20260122"
    dataset.StudyTime = "141530"
    dataset.AccessionNumber = "CANARY-ACC"
    dataset.StudyDescription = "CANARY STUDY"
    dataset.ReferringPhysicianName = "CANARY^Doctor"
    dataset.SeriesNumber = series
    dataset.InstanceNumber = number
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def set_pixels(dataset: Dataset, values: npt.NDArray[Any], *, photometric: str = "MONOCHROME2") -> None:
    """Give the dataset native pixels of shape (rows, columns), or (rows, columns, 3)."""
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    bits = values.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = values.tobytes()
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"


def make_ct(number: int = 1, *, size: int = 64, series: int = 1, **attributes: Any) -> FileDataset:
    """A CT slice: a ramp in HU with a brighter square that moves with the slice."""
    dataset = make_dataset(CTImageStorage, number=number, series=series, Modality="CT")
    values = np.tile(np.linspace(0, 2000, size, dtype=np.int16), (size, 1))
    start = number % (size // 2)
    values[start : start + size // 8, : size // 8] = 1500
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.ImagePositionPatient = [0, 0, float(number)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.7, 0.7]
    set_pixels(dataset, values)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def make_colour(number: int = 1, *, size: int = 48, series: int = 2) -> FileDataset:
    """A colour picture: red grows to the right, green downwards."""
    dataset = make_dataset(SecondaryCaptureImageStorage, number=number, series=series, Modality="OT")
    values = np.zeros((size, size, 3), np.uint8)
    values[..., 0] = np.linspace(0, 255, size)
    values[..., 1] = np.linspace(0, 255, size)[:, None]
    set_pixels(dataset, values, photometric="RGB")
    return dataset


def make_report(number: int = 1, *, series: int = 9) -> FileDataset:
    """A structured report: an instance that is no image."""
    return make_dataset(RTPlanStorage, number=number, series=series, Modality="SR")


def encode(dataset: FileDataset) -> bytes:
    """The Part 10 stream of a dataset."""
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()
