"""Grayscale Softcopy Presentation States as plain values (PS3.3 A.33.1): how images are to be shown.

A state replaces what the images say themselves (PS3.4 N.2): where it has no Modality LUT there is none, where
it has no VOI for an image all of its range is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.display import Lut, Modality, Stored, Voi
from ponte.grayscale import modality_of, voi_of
from ponte.quiet import quiet
from ponte.references import Reference, is_covered, referenced

MOST_ANNOTATIONS: Final = 2_000
MOST_POINTS: Final = 10_000  # of one graphic or shutter
MOST_LETTERS: Final = 1_024  # of one text
_UNSIGNED: Final = Stored(bits=16, signed=False)

Rotation = Literal[0, 90, 180, 270]
SizeMode = Literal["SCALE TO FIT", "TRUE SIZE", "MAGNIFY"]
Shape = Literal["POINT", "POLYLINE", "INTERPOLATED", "CIRCLE", "ELLIPSE"]
Units = Literal["PIXEL", "DISPLAY"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SoftcopyVoi:
    """A VOI and the images that it is for; none stands for all of the state's."""

    images: tuple[Reference, ...]
    voi: Voi


@dataclass(frozen=True, slots=True)
class DisplayedArea:
    """What of the images is seen (PS3.3 C.10.4): columns and rows from 1, the corners belong to it.

    Corners may lie outside of the image, and the second before the first.
    """

    images: tuple[Reference, ...]
    top_left: tuple[int, int]
    bottom_right: tuple[int, int]
    mode: SizeMode
    magnification: float | None


@dataclass(frozen=True, slots=True)
class Shutter:
    """What is seen of the image (PS3.3 C.7.6.11); the rest is `gray`, 0 to 1.

    Shapes are in image pixels from 1, and all of those that there are must hold a pixel that is to be seen.
    """

    rectangle: tuple[int, int, int, int] | None = None
    """Left, upper, right and lower edge, in columns and rows."""
    circle: tuple[float, float, float] | None = None
    """Column and row of the centre, radius in pixels."""
    polygon: tuple[Point, ...] = ()
    """Column and row of each vertex."""
    gray: float = 0.0


@dataclass(frozen=True, slots=True)
class Graphic:
    """A shape (PS3.3 C.10.5.1.2): points (column, row) in image pixels, or 0 to 1 of the displayed area."""

    shape: Shape
    units: Units
    points: tuple[Point, ...]
    filled: bool


@dataclass(frozen=True, slots=True)
class Text:
    """A text in its box, or at its anchor, each with its own units (PS3.3 C.10.5.1.1)."""

    text: str
    box: tuple[Point, Point] | None
    box_units: Units
    anchor: Point | None
    anchor_units: Units


@dataclass(frozen=True, slots=True)
class Annotation:
    """Texts and graphics of one layer; `order` says which layer is drawn over which."""

    images: tuple[Reference, ...]
    layer: str
    order: int
    texts: tuple[Text, ...]
    graphics: tuple[Graphic, ...]


@dataclass(frozen=True, slots=True)
class PresentationState:
    """One state. Flipping, left to right, comes after turning clockwise (PS3.3 C.10.6).

    First mapped values of LUTs are those of unsigned images: ask `modality_for` and `voi_for`.
    """

    sop_instance_uid: str
    label: str
    description: str
    images: tuple[Reference, ...]
    modality: Modality
    vois: tuple[SoftcopyVoi, ...]
    presentation_lut: Lut | None
    inverted: bool
    areas: tuple[DisplayedArea, ...]
    rotation: Rotation
    flipped: bool
    shutter: Shutter | None
    annotations: tuple[Annotation, ...]
    left: int = 0
    """How many annotations were beyond the limit."""

    def covers(self, sop_instance_uid: str, frame_number: int) -> bool:
        """True where the state is for this frame."""
        return is_covered(self.images, sop_instance_uid, frame_number)

    def modality_for(self, *, signed: bool) -> Modality:
        """The modality transformation of images whose stored values are signed, or not."""
        return _in_sign(self.modality, signed) if isinstance(self.modality, Lut) else self.modality

    def voi_for(self, sop_instance_uid: str, frame_number: int, *, signed: bool) -> Voi | None:
        """The VOI of a frame whose modality values are signed, or not; None for all of its range."""
        for chosen in self.vois:
            if not chosen.images or is_covered(chosen.images, sop_instance_uid, frame_number):
                return _in_sign(chosen.voi, signed) if isinstance(chosen.voi, Lut) else chosen.voi
        return None

    def area_for(self, sop_instance_uid: str, frame_number: int) -> DisplayedArea | None:
        """What of a frame is seen; None for all of it."""
        for area in self.areas:
            if not area.images or is_covered(area.images, sop_instance_uid, frame_number):
                return area
        return None

    def annotations_for(self, sop_instance_uid: str, frame_number: int) -> list[Annotation]:
        """What is drawn over a frame, the lowest layer first."""
        found = [
            annotation
            for annotation in self.annotations
            if not annotation.images or is_covered(annotation.images, sop_instance_uid, frame_number)
        ]
        return sorted(found, key=lambda annotation: annotation.order)


def read_presentation_state(dataset: Dataset) -> PresentationState:
    """The state that an instance holds. Never raises on a broken value: that is as if it was absent."""
    with quiet():
        series = attributes.items(dataset, "ReferencedSeriesSequence")
        annotations = attributes.items(dataset, "GraphicAnnotationSequence")
        rotation, flipped = _transformation(dataset)
        lut, inverted = _presentation_lut(dataset)
        orders = _layer_orders(dataset)
        return PresentationState(
            sop_instance_uid=attributes.text(dataset, "SOPInstanceUID"),
            label=attributes.text(dataset, "ContentLabel"),
            description=attributes.text(dataset, "ContentDescription"),
            images=tuple(one for item in series for one in referenced(item, "ReferencedImageSequence")),
            modality=modality_of(dataset, 0, _UNSIGNED),
            vois=_vois(dataset),
            presentation_lut=lut,
            inverted=inverted,
            areas=tuple(_areas(dataset)),
            rotation=rotation,
            flipped=flipped,
            shutter=_shutter(dataset),
            annotations=tuple(_annotation(item, orders) for item in annotations[:MOST_ANNOTATIONS]),
            left=max(0, len(annotations) - MOST_ANNOTATIONS),
        )


def _in_sign(lut: Lut, signed: bool) -> Lut:
    """The LUT with its first mapped value as a signed or an unsigned number of 16 bits."""
    first = lut.first_mapped & 0xFFFF
    return replace(lut, first_mapped=first - (1 << 16) if signed and first > 0x7FFF else first)


def _vois(dataset: Dataset) -> tuple[SoftcopyVoi, ...]:
    """Softcopy VOI LUT (PS3.3 C.11.8)."""
    found = list[SoftcopyVoi]()
    for item in attributes.items(dataset, "SoftcopyVOILUTSequence"):
        voi, _ = voi_of(item, 0, signed=False)
        if voi is not None:
            found.append(SoftcopyVoi(referenced(item, "ReferencedImageSequence"), voi))
    return tuple(found)


def _presentation_lut(dataset: Dataset) -> tuple[Lut | None, bool]:
    """The LUT, or whether the shape inverts (PS3.3 C.11.6)."""
    for item in attributes.items(dataset, "PresentationLUTSequence")[:1]:
        wrapped = Dataset()
        wrapped.VOILUTSequence = [item]
        lut, _ = voi_of(wrapped, 0, signed=False)
        return (lut if isinstance(lut, Lut) else None), False
    return None, attributes.text(dataset, "PresentationLUTShape").upper() == "INVERSE"


def _areas(dataset: Dataset) -> list[DisplayedArea]:
    areas = list[DisplayedArea]()
    for item in attributes.items(dataset, "DisplayedAreaSelectionSequence"):
        first = _integers(item, "DisplayedAreaTopLeftHandCorner")
        last = _integers(item, "DisplayedAreaBottomRightHandCorner")
        if len(first) != 2 or len(last) != 2:
            continue
        mode = attributes.text(item, "PresentationSizeMode").upper()
        areas.append(
            DisplayedArea(
                images=referenced(item, "ReferencedImageSequence"),
                top_left=(first[0], first[1]),
                bottom_right=(last[0], last[1]),
                mode=_MODES.get(mode, "SCALE TO FIT"),
                magnification=_positive(item, "PresentationPixelMagnificationRatio"),
            )
        )
    return areas


def _positive(dataset: Dataset, keyword: str) -> float | None:
    number = attributes.to_float(attributes.first(dataset, keyword))
    return number if number is not None and number > 0 else None


def _integers(dataset: Dataset, keyword: str) -> list[int]:
    numbers = [attributes.to_int(value) for value in attributes.values(dataset, keyword)]
    return [number for number in numbers if number is not None]


def _transformation(dataset: Dataset) -> tuple[Rotation, bool]:
    """Clockwise degrees, and whether left and right are changed after it (PS3.3 C.10.6)."""
    turn = attributes.to_int(attributes.first(dataset, "ImageRotation")) or 0
    flipped = attributes.text(dataset, "ImageHorizontalFlip").upper() == "Y"
    return _TURNS.get(turn % 360, 0), flipped


def _shutter(dataset: Dataset) -> Shutter | None:
    """Display Shutter; None where there is none, or only one of a bitmap."""
    shapes = {str(value).upper() for value in attributes.values(dataset, "ShutterShape")}
    rectangle, circle, polygon = None, None, tuple[Point, ...]()
    if "RECTANGULAR" in shapes:
        edges = [attributes.to_int(attributes.first(dataset, keyword)) for keyword in _EDGES]
        left, upper, right, lower = edges
        if left is not None and upper is not None and right is not None and lower is not None:
            rectangle = left, upper, right, lower
    if "CIRCULAR" in shapes:
        centre, radius = attributes.floats(dataset, "CenterOfCircularShutter"), _radius(dataset)
        if len(centre) == 2 and radius is not None:
            circle = centre[1], centre[0], radius
    if "POLYGONAL" in shapes:
        polygon = tuple((column, row) for row, column in _points(dataset, "VerticesOfThePolygonalShutter"))
    if rectangle is None and circle is None and len(polygon) < _TRIANGLE:
        return None
    value = attributes.to_int(attributes.first(dataset, "ShutterPresentationValue")) or 0
    return Shutter(rectangle, circle, polygon, min(max(value, 0), 0xFFFF) / 0xFFFF)


def _radius(dataset: Dataset) -> float | None:
    return _positive(dataset, "RadiusOfCircularShutter")


def _points(dataset: Dataset, keyword: str) -> tuple[Point, ...]:
    """Pairs of numbers as they stand there; what has no partner is left out."""
    numbers = attributes.floats(dataset, keyword)[: 2 * MOST_POINTS]
    return tuple(zip(numbers[::2], numbers[1::2], strict=False))


def _layer_orders(dataset: Dataset) -> dict[str, int]:
    """The order of each layer by its name (PS3.3 C.10.7)."""
    layers = attributes.items(dataset, "GraphicLayerSequence")
    return {
        attributes.text(item, "GraphicLayer"): attributes.to_int(attributes.first(item, "GraphicLayerOrder"))
        or 0
        for item in layers
    }


def _annotation(item: Dataset, orders: dict[str, int]) -> Annotation:
    layer = attributes.text(item, "GraphicLayer")
    graphics = (_graphic(one) for one in attributes.items(item, "GraphicObjectSequence")[:MOST_ANNOTATIONS])
    texts = (_text(one) for one in attributes.items(item, "TextObjectSequence")[:MOST_ANNOTATIONS])
    return Annotation(
        images=referenced(item, "ReferencedImageSequence"),
        layer=layer,
        order=orders.get(layer, 0),
        texts=tuple(text for text in texts if text is not None),
        graphics=tuple(graphic for graphic in graphics if graphic is not None),
    )


def _graphic(item: Dataset) -> Graphic | None:
    shape = _SHAPES.get(attributes.text(item, "GraphicType").upper())
    points = _points(item, "GraphicData")
    if shape is None or not points or attributes.first(item, "GraphicDimensions") not in (2, None):
        return None
    filled = attributes.text(item, "GraphicFilled").upper() == "Y"
    return Graphic(shape, _units(item, "GraphicAnnotationUnits"), points, filled)


def _text(item: Dataset) -> Text | None:
    """None without words, or without a place."""
    text = attributes.text(item, "UnformattedTextValue")[:MOST_LETTERS]
    corners = (
        *_corner(item, "BoundingBoxTopLeftHandCorner"),
        *_corner(item, "BoundingBoxBottomRightHandCorner"),
    )
    anchor = _corner(item, "AnchorPoint")
    if not text or (len(corners) != 2 and not anchor):
        return None
    return Text(
        text=text,
        box=(corners[0], corners[1]) if len(corners) == 2 else None,
        box_units=_units(item, "BoundingBoxAnnotationUnits"),
        anchor=anchor[0] if anchor else None,
        anchor_units=_units(item, "AnchorPointAnnotationUnits"),
    )


def _corner(item: Dataset, keyword: str) -> Sequence[Point]:
    return _points(item, keyword)[:1]


def _units(item: Dataset, keyword: str) -> Units:
    return "DISPLAY" if attributes.text(item, keyword).upper() == "DISPLAY" else "PIXEL"


_MODES: Final[dict[str, SizeMode]] = {"TRUE SIZE": "TRUE SIZE", "MAGNIFY": "MAGNIFY"}
_TURNS: Final[dict[int, Rotation]] = {90: 90, 180: 180, 270: 270}
_SHAPES: Final[dict[str, Shape]] = {
    "POINT": "POINT",
    "POLYLINE": "POLYLINE",
    "INTERPOLATED": "INTERPOLATED",
    "CIRCLE": "CIRCLE",
    "ELLIPSE": "ELLIPSE",
}
_EDGES: Final = (
    "ShutterLeftVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterRightVerticalEdge",
    "ShutterLowerHorizontalEdge",
)
_TRIANGLE: Final = 3
