"""The marked object: a Secondary Capture of nobody, that says in every place that it is a test.

Its study is the same each time and everywhere, so that whoever wants it gone has one study to delete; its
instance is another each time.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from ponte.destination import Outgoing
from ponte.filemeta import IMPLEMENTATION_CLASS_UID, part10_head
from ponte_net.contexts import Kind

MARK: Final = "PONTE^DOCTOR"
STUDY_UID: Final = f"{IMPLEMENTATION_CLASS_UID}.1.1"
SERIES_UID: Final = f"{IMPLEMENTATION_CLASS_UID}.1.2"
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
KIND: Final = Kind(_SECONDARY_CAPTURE, _EXPLICIT_VR_LITTLE_ENDIAN)
_SIZE: Final = 16


def marked_object() -> Outgoing:
    """A new one: 16 by 16 gray pixels."""
    uid = f"{IMPLEMENTATION_CLASS_UID}.2.{int(time.time())}.{secrets.randbelow(99999) + 1}"
    head = part10_head(_SECONDARY_CAPTURE, uid, _EXPLICIT_VR_LITTLE_ENDIAN)
    return Outgoing(
        uid, head + _encoded(_dataset(uid)), _SECONDARY_CAPTURE, _EXPLICIT_VR_LITTLE_ENDIAN, len(head)
    )


def _dataset(uid: str) -> Dataset:
    """PS3.3 A.8.1."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = _SECONDARY_CAPTURE, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    dataset.PatientName = dataset.PatientID = MARK
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate = dataset.StudyTime = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyID = "PONTE"
    dataset.StudyDescription = dataset.SeriesDescription = "PONTE TEST: DELETE"
    dataset.Modality, dataset.ConversionType = "OT", "SYN"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PatientOrientation = ""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = _SIZE
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes(range(256))
    dataset["PixelData"].VR = "OB"
    return dataset


def _encoded(dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())
