"""Presentation states and key objects as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, KeyObjectSelectionDocumentStorage

from ponte.display import Lut, Rescale, Window
from ponte.instance import open_instance
from ponte.presentation import (
    MOST_ANNOTATIONS,
    Graphic,
    PresentationState,
    Shutter,
    Text,
    read_presentation_state,
)
from ponte.references import Reference, is_covered, read_key_objects
from tests.corpus import CORPUS
from tests.factories import encode, make_dataset

FIRST, SECOND = "1.2.3.1", "1.2.3.2"


def of(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def reference(uid: str, *frames: int) -> Dataset:
    item = of(ReferencedSOPInstanceUID=uid)
    if frames:
        item.ReferencedFrameNumber = list(frames)
    return item


def state(**attributes: Any) -> PresentationState:
    series = of(ReferencedImageSequence=[reference(FIRST), reference(SECOND, 2, 3)])
    said = {"ContentLabel": "NODULE", "ReferencedSeriesSequence": [series], **attributes}
    dataset = make_dataset(GrayscaleSoftcopyPresentationStateStorage, Modality="PR", **said)
    return read_presentation_state(open_instance(encode(dataset)))


def lut(first: int, *entries: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first & 0xFFFF, 16])
    item.add_new("LUTData", "US", list(entries))
    return item


def test_a_state_is_for_the_images_that_it_names() -> None:
    read = state()
    assert read.label == "NODULE"
    assert read.images == (Reference(FIRST), Reference(SECOND, frozenset({2, 3})))
    assert read.covers(FIRST, 7)
    assert read.covers(SECOND, 2)
    assert not read.covers(SECOND, 1)
    assert not read.covers("1.2.3.9", 1)


def test_a_state_that_says_nothing_shows_all_as_it_is() -> None:
    read = state()
    assert read.modality_for(signed=True) == Rescale()
    assert read.voi_for(FIRST, 1, signed=True) is None
    assert read.area_for(FIRST, 1) is None
    assert (read.rotation, read.flipped, read.inverted, read.shutter) == (0, False, False, None)
    assert read.annotations_for(FIRST, 1) == []


def test_rescale_and_windows_of_the_state_are_read_for_each_image() -> None:
    one = of(WindowCenter=40, WindowWidth=400, ReferencedImageSequence=[reference(FIRST)])
    other = of(WindowCenter=-600, WindowWidth=1500, ReferencedImageSequence=[reference(SECOND, 3)])
    read = state(
        RescaleSlope=2, RescaleIntercept=-1024, RescaleType="HU", SoftcopyVOILUTSequence=[one, other]
    )
    assert read.modality_for(signed=False) == Rescale(2, -1024)
    assert read.voi_for(FIRST, 9, signed=True) == Window(40, 400)
    assert read.voi_for(SECOND, 3, signed=True) == Window(-600, 1500)
    assert read.voi_for(SECOND, 2, signed=True) is None


def test_a_window_without_images_is_for_all() -> None:
    read = state(SoftcopyVOILUTSequence=[of(WindowCenter=1, WindowWidth=2)])
    assert read.voi_for(SECOND, 3, signed=False) == Window(1, 2)


@pytest.mark.parametrize(("signed", "first"), [(True, -2), (False, 65534)])
def test_the_first_mapped_value_is_of_the_sign_of_the_image(signed: bool, first: int) -> None:
    read = state(
        ModalityLUTSequence=[lut(-2, 10, 20, 30)],
        SoftcopyVOILUTSequence=[of(VOILUTSequence=[lut(-2, 1, 2, 3)])],
    )
    modality, voi = read.modality_for(signed=signed), read.voi_for(FIRST, 1, signed=signed)
    assert isinstance(modality, Lut)
    assert isinstance(voi, Lut)
    assert modality.first_mapped == voi.first_mapped == first
    np.testing.assert_array_equal(modality.entries(), [10, 20, 30])
    np.testing.assert_array_equal(voi.entries(), [1, 2, 3])


def test_the_presentation_lut_is_a_shape_or_a_table() -> None:
    assert state(PresentationLUTShape="INVERSE").inverted
    assert not state(PresentationLUTShape="IDENTITY").inverted
    table = state(PresentationLUTSequence=[lut(0, 7, 8, 9)]).presentation_lut
    assert table is not None
    np.testing.assert_array_equal(table.entries(), [7, 8, 9])


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_images_are_turned_and_flipped(turn: int) -> None:
    read = state(ImageRotation=turn, ImageHorizontalFlip="Y")
    assert (read.rotation, read.flipped) == (turn, True)


def test_a_turn_by_no_right_angle_is_none() -> None:
    assert state(ImageRotation=45, ImageHorizontalFlip="N").rotation == 0


def test_the_displayed_area_has_columns_before_rows() -> None:
    area = of(
        DisplayedAreaTopLeftHandCorner=[-10, 5],
        DisplayedAreaBottomRightHandCorner=[100, 80],
        PresentationSizeMode="MAGNIFY",
        PresentationPixelMagnificationRatio=2.5,
        ReferencedImageSequence=[reference(FIRST)],
    )
    read = state(DisplayedAreaSelectionSequence=[area])
    found = read.area_for(FIRST, 1)
    assert found is not None
    assert (found.top_left, found.bottom_right) == ((-10, 5), (100, 80))
    assert (found.mode, found.magnification) == ("MAGNIFY", 2.5)
    assert read.area_for(SECOND, 2) is None


def test_shutters_of_every_shape_are_read() -> None:
    read = state(
        ShutterShape=["RECTANGULAR", "CIRCULAR", "POLYGONAL"],
        ShutterLeftVerticalEdge=10,
        ShutterRightVerticalEdge=200,
        ShutterUpperHorizontalEdge=20,
        ShutterLowerHorizontalEdge=180,
        CenterOfCircularShutter=[100, 90],
        RadiusOfCircularShutter=70,
        VerticesOfThePolygonalShutter=[1, 2, 3, 4, 5, 6],
        ShutterPresentationValue=0xFFFF,
    )
    assert read.shutter == Shutter((10, 20, 200, 180), (90, 100, 70), ((2, 1), (4, 3), (6, 5)), 1.0)


def test_a_shutter_without_a_shape_that_can_be_is_none() -> None:
    assert state(ShutterShape=["BITMAP"]).shutter is None
    assert state(ShutterShape=["CIRCULAR"], RadiusOfCircularShutter=0).shutter is None


def test_annotations_are_vectors_in_the_order_of_their_layers() -> None:
    line = of(
        GraphicType="POLYLINE",
        GraphicAnnotationUnits="PIXEL",
        GraphicDimensions=2,
        NumberOfGraphicPoints=2,
        GraphicData=[1.5, 2.5, 30.0, 40.0],
        GraphicFilled="N",
    )
    words = of(
        UnformattedTextValue="Nódulo 4 mm",
        BoundingBoxAnnotationUnits="DISPLAY",
        BoundingBoxTopLeftHandCorner=[0.125, 0.25],
        BoundingBoxBottomRightHandCorner=[0.5, 0.375],
        AnchorPoint=[30.0, 40.0],
        AnchorPointAnnotationUnits="PIXEL",
    )
    over = of(GraphicLayer="OVER", GraphicObjectSequence=[line])
    under = of(GraphicLayer="UNDER", TextObjectSequence=[words], ReferencedImageSequence=[reference(FIRST)])
    layers = [of(GraphicLayer="OVER", GraphicLayerOrder=2), of(GraphicLayer="UNDER", GraphicLayerOrder=1)]
    read = state(GraphicAnnotationSequence=[over, under], GraphicLayerSequence=layers)
    first, second = read.annotations_for(FIRST, 1)
    assert first.texts == (Text("Nódulo 4 mm", ((0.125, 0.25), (0.5, 0.375)), "DISPLAY", (30, 40), "PIXEL"),)
    assert second.graphics == (Graphic("POLYLINE", "PIXEL", ((1.5, 2.5), (30, 40)), filled=False),)
    assert [annotation.layer for annotation in read.annotations_for(SECOND, 2)] == ["OVER"]


@pytest.mark.parametrize(
    "broken",
    [
        of(GraphicType="SPIRAL", GraphicData=[1.0, 2.0]),
        of(GraphicType="POINT"),
        of(GraphicType="POINT", GraphicDimensions=3, GraphicData=[1.0, 2.0, 3.0]),
    ],
    ids=["shape", "no data", "three dimensions"],
)
def test_graphics_that_cannot_be_drawn_are_left_out(broken: Dataset) -> None:
    (annotation,) = state(GraphicAnnotationSequence=[of(GraphicObjectSequence=[broken])]).annotations
    assert annotation.graphics == ()


def test_annotations_beyond_the_limit_are_counted() -> None:
    read = state(GraphicAnnotationSequence=[of(GraphicLayer="L") for _ in range(MOST_ANNOTATIONS + 3)])
    assert (len(read.annotations), read.left) == (MOST_ANNOTATIONS, 3)


@pytest.mark.corpus
def test_the_state_of_the_corpus_has_its_three_tables() -> None:
    assert CORPUS is not None
    path = CORPUS / "gsps" / "weasis-dicom-tools__prLUTs.dcm"
    dataset, read = dcmread(path), read_presentation_state(open_instance(path.read_bytes()))
    image = dcmread(CORPUS / "gsps" / "weasis-dicom-tools__imageForPrLUTs.dcm", stop_before_pixels=True)
    assert read.covers(image.SOPInstanceUID, 1)
    modality, voi = read.modality_for(signed=False), read.voi_for(image.SOPInstanceUID, 1, signed=False)
    expected = (
        (modality, dataset.ModalityLUTSequence[0]),
        (voi, dataset.SoftcopyVOILUTSequence[0].VOILUTSequence[0]),
        (read.presentation_lut, dataset.PresentationLUTSequence[0]),
    )
    for found, item in expected:
        assert isinstance(found, Lut)
        assert (found.first_mapped, found.bits) == (0, 8)
        np.testing.assert_array_equal(found.entries(), item.LUTData)
    area = read.area_for(image.SOPInstanceUID, 1)
    assert area is not None
    assert (area.top_left, area.bottom_right, area.mode) == ((1, 1), (512, 512), "SCALE TO FIT")


def test_key_objects_are_title_description_and_references() -> None:
    nested = of(
        ValueType="CONTAINER",
        ContentSequence=[of(ValueType="IMAGE", ReferencedSOPSequence=[reference(SECOND, 2, 5)])],
    )
    dataset = make_dataset(
        KeyObjectSelectionDocumentStorage,
        Modality="KO",
        ConceptNameCodeSequence=[of(CodeMeaning="Of Interest")],
        ContentSequence=[
            of(ValueType="TEXT", TextValue="Look here"),
            of(ValueType="IMAGE", ReferencedSOPSequence=[reference(FIRST)]),
            of(ValueType="IMAGE", ReferencedSOPSequence=[reference(FIRST)]),
            nested,
        ],
    )
    read = read_key_objects(open_instance(encode(dataset)))
    assert (read.title, read.description) == ("Of Interest", "Look here")
    assert read.references == (Reference(FIRST), Reference(SECOND, frozenset({2, 5})))
    assert is_covered(read.references, FIRST, 12)
    assert is_covered(read.references, SECOND, 5)
    assert not is_covered(read.references, SECOND, 1)


def test_an_empty_selection_chooses_nothing() -> None:
    read = read_key_objects(make_dataset(KeyObjectSelectionDocumentStorage))
    assert read.references == ()
