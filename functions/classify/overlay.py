"""Where in the picture the model's number came from, as a Secondary Capture: coarse, and only on request.

The map has a few cells for the whole radiograph; it is a hint, no contour. Drawn for the finding of the
highest score at or above its threshold; without such a finding there is no picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from classify.findings import Finding
from classify.manifest import Manifest
from classify.resizing import center_crop
from classify.sr import FLAG_DESCRIPTION, NOTICE, VERSION, Reported
from ponte import attributes
from ponte.destination import Outgoing
from ponte.encapsulated import MANUFACTURER, REQUIRED, document_uid, whole_instance
from ponte.image import Image
from ponte.quiet import quiet
from ponte.uid import is_valid_uid

SERIES_NUMBER: Final = 9902
SERIES_DESCRIPTION: Final = "AI saliency, UNVERIFIED, not a medical device"

_MOST_SIDE: Final = 1024  # a full-size picture of three samples takes half a gigabyte to make
_STRONGEST: Final = 0.5
_MARGIN, _BAR = 8, 20

Rgb = npt.NDArray[np.uint8]


def make_overlay(reported: Reported, cam: npt.NDArray[np.float32]) -> Outgoing | None:
    """The picture, in a series of its own; None where nothing is at its threshold.

    `cam` is (targets, rows, columns), as `Model.run` gives it. Raises as `ponte.image.Image`.
    """
    finding = _chosen(reported.findings)
    if finding is None:
        return None
    cells = cam[reported.manifest.targets.index(finding.label)]
    picture = _drawn(_square(reported.dataset), cells, finding)
    with quiet():  # values of the image may be wrong; they are copied all the same
        return whole_instance(_described(reported, picture), reported.header)


def _chosen(findings: Sequence[Finding]) -> Finding | None:
    reached = [finding for finding in findings if finding.at_threshold]
    return max(reached, key=lambda finding: finding.score or 0.0, default=None)


def _square(dataset: Dataset) -> Rgb:
    """What the model saw, as people are shown it, and no larger than need be."""
    from PIL import Image as PillowImage

    square = PillowImage.fromarray(np.ascontiguousarray(center_crop(Image(dataset).picture(0).pixels)))
    side = min(square.width, _MOST_SIDE)
    return np.asarray(square.resize((side, side), PillowImage.Resampling.BOX).convert("RGB"))


def _drawn(picture: Rgb, cells: npt.NDArray[np.float32], finding: Finding) -> Rgb:
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    side = picture.shape[0]
    positive = cells.clip(min=0) / max(float(cells.max()), 1e-6)
    heat = PillowImage.fromarray((positive * 255).astype(np.uint8))
    strength = np.asarray(heat.resize((side, side), PillowImage.Resampling.BILINEAR)) / 255.0 * _STRONGEST
    red = np.array([255.0, 0.0, 0.0])
    blended = picture * (1 - strength[..., np.newaxis]) + red * strength[..., np.newaxis]
    drawn = PillowImage.fromarray(blended.astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    for line, text in enumerate((finding.label, *NOTICE.split(". "))):
        pen.text((_MARGIN, _MARGIN + line * _BAR), text, fill=(255, 255, 0))
    return np.asarray(drawn)


def _described(reported: Reported, picture: Rgb) -> Dataset:
    source, model = reported.dataset, reported.manifest
    own = Dataset()
    for keyword in REQUIRED:
        setattr(own, keyword, "")
    source_uid = attributes.text(source, "SOPInstanceUID")
    source_class = attributes.text(source, "SOPClassUID")
    own.InstanceNumber = attributes.to_int(attributes.first(source, "InstanceNumber")) or 1
    own.SOPClassUID, own.SOPInstanceUID = SecondaryCaptureImageStorage, _uid(source_uid, model, "overlay")
    own.SeriesInstanceUID = _uid(reported.header.study_instance_uid, model, "overlay-series")
    own.SeriesNumber, own.SeriesDescription = SERIES_NUMBER, SERIES_DESCRIPTION
    own.Modality, own.ConversionType, own.Laterality = "OT", "WSD", ""
    own.Manufacturer, own.ManufacturerModelName = MANUFACTURER, "classify"
    own.SoftwareVersions, own.DeviceSerialNumber = VERSION, "1"
    own.ImageType, own.PatientOrientation = ["DERIVED", "SECONDARY"], ""
    own.DerivationDescription, own.ImageComments = FLAG_DESCRIPTION, NOTICE
    own.BurnedInAnnotation = "YES"
    if is_valid_uid(source_uid) and is_valid_uid(source_class):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source_class, source_uid
        own.SourceImageSequence = [item]
    _put_pixels(own, picture)
    return own


def _put_pixels(own: Dataset, picture: Rgb) -> None:
    own.SamplesPerPixel, own.PhotometricInterpretation, own.PlanarConfiguration = 3, "RGB", 0
    own.Rows, own.Columns = picture.shape[:2]
    own.BitsAllocated, own.BitsStored, own.HighBit, own.PixelRepresentation = 8, 8, 7, 0
    pixels = picture.tobytes()
    own.PixelData = pixels + b"\0" * (len(pixels) % 2)
    own["PixelData"].VR = "OB"


def _uid(of: str, model: Manifest, role: str) -> str:
    return document_uid(of, model.identity, f"ai-{role}")
