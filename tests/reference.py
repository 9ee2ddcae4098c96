"""Pipelines that share no code with Ponte: the same frame through the same window, by others.

- DCMTK: `dcmj2pnm`, where it reads the syntax.
- gdcm: `gdcmconv --raw` decodes, the display is computed here with numpy.
- Decoders called directly: OpenJPEG for JPEG 2000, with OpenJPH for HTJ2K, zlib for deflated frames, and
  Pillow for JPEG whose colour space the dataset mislabels.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import openjpeg.utils
import pydicom
from PIL import Image as PillowImage
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from ponte.display import Window
from ponte.image import Picture

Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]

HTJ2K = frozenset({"1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"})
JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
NARROW = 2.0
"""dcmj2pnm rounds modality values to whole numbers: narrower windows are left to the others."""


def references(path: Path, frame_index: int, picture: Picture) -> Iterator[tuple[str, Pixels]]:
    """The name of each pipeline that can show this frame, and what it shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True)
        for name, make in _pipelines(dataset, picture.notes):
            try:
                pixels = make(dataset, path, frame_index, picture)
            except Exception:  # noqa: BLE001  (a file that this pipeline cannot read: the next one)
                continue
            if pixels is not None and pixels.shape == picture.pixels.shape:
                yield name, pixels


_Make = Callable[[Dataset, Path, int, Picture], Pixels | None]


def _pipelines(dataset: Dataset, notes: tuple[str, ...]) -> list[tuple[str, _Make]]:
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", "")) if hasattr(dataset, "file_meta") else ""
    if syntax in HTJ2K:
        return [("OpenJPEG", _by(openjpeg.utils.decode)), ("OpenJPH", _by(imagecodecs.htj2k_decode))]
    if syntax == DEFLATED_FRAMES:
        return [("zlib", _inflated)]
    native = not pydicom.uid.UID(syntax).is_encapsulated if syntax else True
    if syntax in JPEG_2000:
        return [("gdcm", _gdcm), ("OpenJPEG", _by(openjpeg.utils.decode))]
    computed: tuple[str, _Make] = ("numpy", _native) if native else ("gdcm", _gdcm)
    mislabelled = "colour space of the code stream used" in notes
    return [("DCMTK", _dcmtk), computed, *([("Pillow", _by(_pillow))] if mislabelled else [])]


def _dcmtk(dataset: Dataset, path: Path, frame_index: int, picture: Picture) -> Pixels | None:
    window = picture.window
    if window is not None and (window.width < NARROW or window.function == "SIGMOID"):
        return None
    if picture.pixels.ndim == 2 and "SharedFunctionalGroupsSequence" in dataset:
        return None  # it does not merge functional groups
    voi = ["+Wl", "1"] if window is None else ["+Ww", *map(repr, _linear(window))]
    voi = [] if picture.pixels.ndim == 3 else voi
    command = ["dcmj2pnm", "+op", "--no-overlays", "+F", str(frame_index + 1), *voi, str(path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return None if done.returncode or not done.stdout else np.asarray(PillowImage.open(BytesIO(done.stdout)))


def _linear(window: Window) -> tuple[float, float]:
    """The LINEAR window that is the same line: PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2."""
    exact = window.function == "LINEAR_EXACT"
    return (window.center + 0.5, window.width + 1) if exact else (window.center, window.width)


def _gdcm(dataset: Dataset, path: Path, frame_index: int, picture: Picture) -> Pixels | None:
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.dcm"
        command = ["gdcmconv", "--raw", str(path), str(raw)]
        if subprocess.run(command, capture_output=True, check=False, timeout=120).returncode:
            return None
        return _native(pydicom.dcmread(raw), raw, frame_index, picture)


def _native(dataset: Dataset, path: Path, frame_index: int, picture: Picture) -> Pixels | None:
    return _displayed(dataset, _stored(dataset, frame_index), frame_index, picture)


def _pillow(data: bytes) -> Numbers:
    """By the rules of libjpeg, which knows nothing of DICOM."""
    return np.asarray(PillowImage.open(BytesIO(data)).convert("RGB"))


def _by(decode: Callable[[bytes], Numbers]) -> _Make:
    def make(dataset: Dataset, path: Path, frame_index: int, picture: Picture) -> Pixels | None:
        frames = list(generate_frames(dataset.PixelData, number_of_frames=_frames(dataset)))
        samples = np.asarray(decode(frames[frame_index]))
        if samples.ndim == 3:  # the code stream's own transform is undone
            return samples.astype(np.uint8)
        return _displayed(dataset, _in_sign(dataset, samples), frame_index, picture)

    return make


def _inflated(dataset: Dataset, path: Path, frame_index: int, picture: Picture) -> Pixels | None:
    frames = list(generate_frames(dataset.PixelData, number_of_frames=_frames(dataset)))
    single = dataset.copy()
    single.PixelData = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frames[frame_index])
    return _displayed(dataset, _stored(single, 0), frame_index, picture)


def _frames(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _stored(dataset: Dataset, frame_index: int) -> Numbers:
    """The numbers of a native frame: (rows, columns), or (rows, columns, 3)."""
    samples, bits = int(dataset.SamplesPerPixel), int(dataset.get("BitsAllocated", 32))
    shape = (int(dataset.Rows), int(dataset.Columns), samples)[: 3 if samples > 1 else 2]
    count = int(np.prod(shape))
    for keyword, kind in (("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")):
        if keyword in dataset:
            start = frame_index * count * int(kind[-1])
            return np.frombuffer(dataset[keyword].value, kind, count, start).reshape(shape)
    big = dataset.original_encoding[1] is False
    data = dataset.PixelData
    if bits == 1:
        flat = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return flat[frame_index * count :][:count].reshape(shape)
    if big and bits == 8 and dataset["PixelData"].VR == "OW":
        data = np.frombuffer(data, "<u2").byteswap().tobytes()
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        cells = np.frombuffer(data, np.uint8, count // 3 * 2, frame_index * count // 3 * 2).reshape(-1, 4)
        return cells[:, [0, 2, 3, 1, 2, 3]].reshape(shape)
    kind = f"{'>' if big else '<'}u{bits // 8}"
    values = np.frombuffer(data, kind, count, frame_index * count * bits // 8)
    if samples > 1 and dataset.get("PlanarConfiguration"):
        return np.moveaxis(values.reshape(samples, *shape[:2]), 0, -1)
    return _in_sign(dataset, values.reshape(shape)) if samples == 1 else values.reshape(shape)


def _in_sign(dataset: Dataset, values: Numbers) -> Numbers:
    stored, high = int(dataset.BitsStored), int(dataset.get("HighBit", dataset.BitsStored - 1))
    if values.dtype.kind == "i":
        return values.astype(np.int64)
    numbers = (values.astype(np.int64) >> max(high + 1 - stored, 0)) & ((1 << stored) - 1)
    negative = (numbers >> (stored - 1) == 1) & bool(dataset.PixelRepresentation)
    return np.where(negative, numbers - (1 << stored), numbers)


def _displayed(dataset: Dataset, values: Numbers, frame_index: int, picture: Picture) -> Pixels | None:
    if values.ndim == 3:
        return _colour(dataset, values)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(values, dataset)
        return (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    numbers = _modality(dataset, values, frame_index)
    shown = apply_voi(numbers.astype(np.int64), dataset) if picture.window is None else None
    if shown is not None:
        gray = shown / float((1 << int(dataset.VOILUTSequence[0].LUTDescriptor[2])) - 1)
    else:
        gray = _windowed(numbers, picture.window)
    shape = str(dataset.get("PresentationLUTShape", ""))
    if dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE":
        gray = 1 - gray
    levels = np.floor(np.clip(np.nan_to_num(gray), 0, 1) * 255 + 0.5).astype(np.uint8)
    levels[_padding(dataset, values)] = 0
    return levels if picture.pixels.ndim == 2 else _supplemented(dataset, values, levels)


def _supplemented(dataset: Dataset, values: Numbers, levels: Pixels) -> Pixels:
    """Colours for what a supplemental palette maps; pydicom refuses a dataset that speaks of it."""
    plain = dataset.copy()
    del plain.PixelPresentation
    colours = apply_color_lut(values, plain) >> 8
    coloured = values >= int(dataset.RedPaletteColorLookupTableDescriptor[1])
    return np.where(coloured[..., None], colours, levels[..., None]).astype(np.uint8)


def _windowed(numbers: Numbers, window: Window | None) -> Numbers:
    assert window is not None
    if window.function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (numbers - window.center) / window.width)))
    if window.function == "LINEAR_EXACT":
        return np.clip((numbers - window.center) / window.width + 0.5, 0, 1)
    low, high = window.center - 0.5 - (window.width - 1) / 2, window.center - 0.5 + (window.width - 1) / 2
    if low == high:
        return (numbers > low).astype(np.float64)
    return np.clip((numbers - low) / (high - low), 0, 1)


def _modality(dataset: Dataset, values: Numbers, frame_index: int) -> Numbers:
    """Rescale of the frame's group, of the shared one, or of the dataset; a Modality LUT by pydicom."""
    groups = [*dataset.get("PerFrameFunctionalGroupsSequence", [])[frame_index : frame_index + 1]]
    groups += dataset.get("SharedFunctionalGroupsSequence", [])
    for group in groups:
        for item in group.get("PixelValueTransformationSequence", []):
            return values * float(item.RescaleSlope) + float(item.RescaleIntercept)
    if str(dataset.get("PixelIntensityRelationship", "")) in ("LOG", "DISP") and dataset.Modality == "XA":
        return values
    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(values, dataset)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    return values * float(1 if slope in (None, 0) else slope) + float(intercept or 0)


def _padding(dataset: Dataset, values: Numbers) -> Numbers:
    value = dataset.get("PixelPaddingValue")
    if value in (None, ""):
        return np.zeros(values.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = [int(value), int(value if limit in (None, "") else limit)]
    span = 1 << int(dataset.BitsAllocated)
    ends = [end - span if dataset.PixelRepresentation and end >= span // 2 else end for end in ends]
    ends = [end + span if not dataset.PixelRepresentation and end < 0 else end for end in ends]
    return (values >= min(ends)) & (values <= max(ends))


def _colour(dataset: Dataset, values: Numbers) -> Pixels:
    """To RGB by the formula of PS3.3 C.7.6.3.1.2, in floats."""
    samples = (values >> max(int(dataset.BitsStored) - 8, 0)).astype(np.float64)
    if not str(dataset.PhotometricInterpretation).startswith("YBR_FULL"):
        return samples.astype(np.uint8)
    luma, blue, red = samples[..., 0], samples[..., 1] - 128, samples[..., 2] - 128
    green = luma - 0.3441 * blue - 0.7141 * red
    colours = np.stack([luma + 1.4020 * red, green, luma + 1.7720 * blue], axis=-1)
    return np.clip(np.floor(colours + 0.5), 0, 255).astype(np.uint8)
