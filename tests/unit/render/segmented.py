"""Segmentations for these tests, with the images they lie on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.utils import pack_bits

from tests.unit.render.studies import SERIES, encoded, gray, plain

FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.10.9"
AXIAL = [1, 0, 0, 0, 1, 0]
SPACING = [0.5, 0.5]
LIVER = [41661, 41167, 40792]
"""The words of CIELab that files of 3D Slicer have for a liver."""

Pixels = npt.NDArray[np.uint8]


def source(number: int, z: float, size: int = 16, **attributes: Any) -> bytes:
    """A slice of a CT, all of it of the gray level 40."""
    placed = {
        "FrameOfReferenceUID": FRAME_OF_REFERENCE,
        "ImagePositionPatient": [-4, -4, z],
        "ImageOrientationPatient": AXIAL,
        "PixelSpacing": SPACING,
    }
    return gray(number, np.full((size, size), 40, np.uint16), **{**placed, **attributes})


def group(source_number: int | None, z: float | None, segment: int | None, frame: int = 0) -> Dataset:
    """The functional groups of a frame; None leaves out what the argument is for."""
    item = Dataset()
    if source_number is not None:
        image, derivation = Dataset(), Dataset()
        image.ReferencedSOPInstanceUID = f"{SERIES}.{source_number}"
        if frame:
            image.ReferencedFrameNumber = frame
        derivation.SourceImageSequence = [image]
        item.DerivationImageSequence = [derivation]
    if z is not None:
        position = Dataset()
        position.ImagePositionPatient = [-4, -4, z]
        item.PlanePositionSequence = [position]
    if segment is not None:
        identification = Dataset()
        identification.ReferencedSegmentNumber = segment
        item.SegmentIdentificationSequence = [identification]
    return item


def segmentation(frames: Pixels, groups: Sequence[Dataset], kind: str = "BINARY", **attributes: Any) -> bytes:
    """A segmentation of (frames, rows, columns), in a series of its own; its first segment is the liver."""
    label_map = kind == "LABELMAP"
    dataset = plain(f"1.2.840.10008.5.1.4.1.1.66.{7 if label_map else 4}", 90, Modality="SEG")
    dataset.SeriesInstanceUID, dataset.SeriesNumber = SERIES + ".90", 9
    dataset.SegmentationType, dataset.FrameOfReferenceUID = kind, FRAME_OF_REFERENCE
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 1 if kind == "BINARY" else 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    if kind == "FRACTIONAL":
        dataset.MaximumFractionalValue = 100
    dataset.SegmentSequence = [_segment(1, "Fígado de MARIA", "Liver", LIVER), _segment(2, "Baço", "Spleen")]
    dataset.SharedFunctionalGroupsSequence = [_shared()]
    dataset.PerFrameFunctionalGroupsSequence = list(groups)
    dataset.PixelData = pack_bits(frames) if bits == 1 else frames.tobytes() + b"\0" * (frames.size % 2)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return encoded(dataset)


def _segment(number: int, label: str, meaning: str, colour: list[int] | None = None) -> Dataset:
    item, kind = Dataset(), Dataset()
    item.SegmentNumber, item.SegmentLabel = number, label
    kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = "1", "99TEST", meaning
    item.SegmentedPropertyTypeCodeSequence = [kind]
    if colour is not None:
        item.RecommendedDisplayCIELabValue = colour
    return item


def _shared() -> Dataset:
    item, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing = AXIAL, SPACING
    item.PlaneOrientationSequence, item.PixelMeasuresSequence = [orientation], [measures]
    return item
