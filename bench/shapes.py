"""Studies to measure on: the old system's four shapes, generated, so that everybody measures the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    MRImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

Gray = npt.NDArray[np.uint16]


def phantom(rows: int, columns: int, phase: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A body-like shape with structure and noise, from 0 to 1: soft tissue about 0.5, air about 0."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    body = (x**2 / 0.7 + y**2 / 0.5) < 1
    organs = 0.45 + 0.08 * np.sin(9 * x + phase) * np.cos(7 * y - phase) + 0.3 * (np.hypot(x, y - 0.4) < 0.1)
    noisy = np.where(body, organs, 0.02) + rng.normal(0, 0.008, (rows, columns))
    return np.clip(noisy, 0, 1)


def _dataset(sop_class: UID, syntax: UID, modality: str, study: str, series: str, number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientName, dataset.PatientID = "Bench^Phantom", "B1"
    dataset.StudyDate, dataset.Modality = "20260102", modality
    dataset.StudyDescription, dataset.SeriesDescription = "Bench", f"{modality} phantom"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    return dataset


def _set_gray(dataset: Dataset, pixels: Gray, bits_stored: int, photometric: str) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits_stored, bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.astype("<u2").tobytes()


def _ct(number: int, study: str, series: str, rng: np.random.Generator) -> Dataset:
    dataset = _dataset(CTImageStorage, ExplicitVRLittleEndian, "CT", study, series, number)
    _set_gray(dataset, (phantom(512, 512, number / 20, rng) * 2500).astype(np.uint16), 12, "MONOCHROME2")
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.ImagePositionPatient = [0, 0, number * 2.5]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    return dataset


def _compress(dataset: Dataset, syntax: UID, frame: bytes) -> Dataset:
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _ct_jpeg(number: int, study: str, series: str, rng: np.random.Generator) -> Dataset:
    dataset = _ct(number, study, series, rng)
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(512, 512)
    frame = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=12)
    return _compress(dataset, JPEGLosslessSV1, bytes(frame))


def _ct_j2k(number: int, study: str, series: str, rng: np.random.Generator) -> Dataset:
    dataset = _ct(number, study, series, rng)
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(512, 512)
    return _compress(dataset, JPEG2000Lossless, _j2k(pixels, 12))


def _j2k(pixels: Gray, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="J2K", reversible=True, bitspersample=bits))


@cache
def _mammogram() -> bytes:
    """One for all ten: to make it takes longer than to measure it."""
    pixels = phantom(4096, 3328, 0.3, np.random.default_rng(7)) * 4095
    return _j2k(pixels.astype(np.uint16), 12)


def _mg(number: int, study: str, series: str, _: np.random.Generator) -> Dataset:
    sop_class = DigitalMammographyXRayImageStorageForPresentation
    dataset = _dataset(sop_class, JPEG2000Lossless, "MG", study, series, number)
    _set_gray(dataset, np.zeros((1, 1), np.uint16), 12, "MONOCHROME2")
    dataset.Rows, dataset.Columns = 4096, 3328
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    return _compress(dataset, JPEG2000Lossless, _mammogram())


def _mr(number: int, study: str, series: str, rng: np.random.Generator) -> Dataset:
    dataset = _dataset(MRImageStorage, ExplicitVRLittleEndian, "MR", study, series, number)
    _set_gray(dataset, (phantom(512, 512, number / 20, rng) * 1800).astype(np.uint16), 12, "MONOCHROME2")
    dataset.WindowCenter, dataset.WindowWidth = 600, 1200
    return dataset


def _cr(number: int, study: str, series: str, rng: np.random.Generator) -> Dataset:
    dataset = _dataset(ComputedRadiographyImageStorage, ExplicitVRLittleEndian, "CR", study, series, number)
    _set_gray(dataset, (phantom(2500, 2048, 0.3, rng) * 4095).astype(np.uint16), 12, "MONOCHROME1")
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    return dataset


def _us(number: int, study: str, series: str, rng: np.random.Generator, repeats: int = 1) -> Dataset:
    """A cine of 50 JPEG baseline frames in colour, `repeats` times over."""
    dataset = _dataset(UltrasoundMultiFrameImageStorage, JPEGBaseline8Bit, "US", study, series, number)
    frames = []
    for index in range(50):
        gray = (phantom(600, 800, index / 10, rng) * 255).astype(np.uint8)
        color = np.stack([gray, (gray * 0.8).astype(np.uint8), (gray * 0.6).astype(np.uint8)], axis=-1)
        frames.append(bytes(imagecodecs.jpeg8_encode(color, level=90, subsampling="422")))
    frames *= repeats
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 600, 800, len(frames)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_FULL_422"
    dataset.PlanarConfiguration = dataset.PixelRepresentation = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    return dataset


_MAKERS: Mapping[str, tuple[Callable[[int, str, str, np.random.Generator], Dataset], int]] = {
    "ct": (_ct, 150),
    "mr": (_mr, 200),
    "cr": (_cr, 1),
    "us": (_us, 1),
    "us-long": (partial(_us, repeats=40), 1),
    "ct-jpeg": (_ct_jpeg, 150),
    "ct-j2k": (_ct_j2k, 150),
    "mg": (_mg, 10),
}
SHAPES: Mapping[str, str] = {
    "ct": "CT, 150 x 512x512, uncompressed",
    "mr": "MR, 200 x 512x512, uncompressed",
    "cr": "CR, 1 x 2048x2500, uncompressed",
    "us": "US, 50 frames 800x600, JPEG colour",
    "us-long": "US, 2,000 frames 800x600, JPEG colour",
    "ct-jpeg": "CT, 150 x 512x512, JPEG lossless",
    "ct-j2k": "CT, 150 x 512x512, JPEG 2000 lossless",
    "mg": "MG, 10 x 3328x4096, JPEG 2000 lossless",
}


def make_study(shape: str, folder: Path, instances: int | None = None) -> str:
    """Write the shape's study, or as many of its instances, into `folder` and return its UID.

    The same pixels every time.
    """
    make, usual = _MAKERS[shape]
    rng = np.random.default_rng(7)
    study, series = generate_uid(), generate_uid()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, (instances or usual) + 1):
        dataset = make(number, study, series, rng)
        dataset.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)
    return str(study)
