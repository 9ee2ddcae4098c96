"""Small studies for these tests, made in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
)

from ponte.source import Fetched

STUDY = "1.2.826.0.1.3680043.10.1"
SERIES = STUDY + ".3"


@dataclass
class Instances:
    """A source that has just these; raises `failure` after the last where there is one."""

    items: Iterable[bytes]
    failure: Exception | None = None

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        for number, data in enumerate(self.items):
            yield Fetched(data, f"part {number}")
        if self.failure is not None:
            raise self.failure


def plain(sop_class: str, number: int, **attributes: Any) -> Dataset:
    """An instance of the study without pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"{SERIES}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 3, number
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def encoded(dataset: Dataset) -> bytes:
    """The dataset as a Part 10 stream."""
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def gray(number: int = 1, pixels: npt.NDArray[np.uint16] | None = None, **attributes: Any) -> bytes:
    """A CT of 16 bits, shown as stored: the window is the values 0 to 255."""
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 4 if pixels is None else pixels
    dataset = plain(CTImageStorage, number)
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = values.astype("<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return encoded(dataset)


def color(number: int = 1, pixels: npt.NDArray[np.uint8] | None = None, **attributes: Any) -> bytes:
    """An RGB image of 8 bits."""
    if pixels is None:
        pixels = np.arange(8 * 12 * 3, dtype=np.uint8).reshape(8, 12, 3)
    dataset = plain(SecondaryCaptureImageStorage, number)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = dataset.PixelRepresentation = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return encoded(dataset)


def damaged(number: int = 1, **attributes: Any) -> bytes:
    """An image whose pixels are too few."""
    return gray(number, PixelData=b"\0\0", **attributes)


def report(number: int = 1, **attributes: Any) -> bytes:
    """A structured report: no image."""
    return encoded(plain(RTPlanStorage, number, **{"Modality": "SR", **attributes}))
