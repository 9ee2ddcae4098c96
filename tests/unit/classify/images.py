"""Radiographs made to order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    JPEG2000Lossless,
)

from ponte.instance import open_instance
from tests.factories import encode, make_dataset, set_pixels

SIDE = 224


def picture(bits: int = 12, side: int = SIDE) -> npt.NDArray[np.uint16]:
    """A picture that uses all of `bits`, 0 and the largest value among them."""
    rows, columns = np.indices((side, side), dtype=np.int64)
    values: npt.NDArray[Any] = (rows * rows + 3 * columns * columns + rows * columns) % (1 << bits)
    values[0, 0], values[-1, -1] = 0, (1 << bits) - 1
    picture: npt.NDArray[np.uint16] = values.astype(np.uint16)
    return picture


def make_dx(
    values: npt.NDArray[Any] | None = None, *, bits: int = 12, number: int = 1, **attributes: Any
) -> FileDataset:
    """A frontal chest radiograph, DX for presentation, with `bits` stored of 16."""
    dataset = make_dataset(
        DigitalXRayImageStorageForPresentation,
        number=number,
        series=21,
        Modality="DX",
        PresentationIntentType="FOR PRESENTATION",
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        PatientOrientation=["L", "F"],
        ImageLaterality="U",
        StudyID="1",
    )
    return _with(dataset, picture(bits) if values is None else values, bits, attributes)


def make_cr(
    values: npt.NDArray[Any] | None = None, *, bits: int = 12, number: int = 1, **attributes: Any
) -> FileDataset:
    """A chest radiograph of a CR reader, which says less than DX does."""
    dataset = make_dataset(
        ComputedRadiographyImageStorage,
        number=number,
        series=22,
        Modality="CR",
        BodyPartExamined="CHEST",
        ViewPosition="AP",
    )
    return _with(dataset, picture(bits) if values is None else values, bits, attributes)


def _with(
    dataset: FileDataset, values: npt.NDArray[Any], bits: int, attributes: dict[str, Any]
) -> FileDataset:
    set_pixels(dataset, values)
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def as_jpeg2000(dataset: FileDataset, values: npt.NDArray[Any], *, precision: int) -> FileDataset:
    """The dataset with its pixels as a lossless code stream of `precision` bits."""
    from imagecodecs import jpeg2k_encode

    frame = jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k", bitspersample=precision)
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return dataset


def reopened(dataset: FileDataset) -> Any:
    """The dataset as it comes from outside."""
    return open_instance(encode(dataset))
