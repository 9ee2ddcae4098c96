"""Enhanced images of very many frames: real ones are shown, at a cost that does not grow with all of them."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from ponte.errors import PonteError
from ponte.image import Image
from ponte.instance import open_instance
from tests.factories import encode, make_dataset, set_pixels

FRAMES = 20_000
_PLACEHOLDER = 77777
_GROUPS = b"\x00\x52\x30\x92SQ"
_PIXELS = b"\xe0\x7f\x10\x00OW"
HANG_S = 50.0  # ten times what the table allows
MEMORY_KB = 256 << 10
HOME = Path(__file__).parents[2]


def group(index: int) -> Dataset:
    """A frame's functional group with ten items and about 35 elements, as scanners write them."""
    content = _item(
        FrameAcquisitionDateTime="20260101120000",
        FrameReferenceDateTime="20260101120000",
        FrameAcquisitionDuration=1.0,
        FrameAcquisitionNumber=1,
        DimensionIndexValues=[1, 1],
        StackID="1",
        InStackPositionNumber=1,
        TemporalPositionIndex=1,
    )
    kind = _item(
        FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="T1",
    )
    return _item(
        FrameContentSequence=[content],
        MRImageFrameTypeSequence=[kind],
        PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, index])],
        PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[_item(PixelSpacing=[1, 1], SliceThickness=1, SpacingBetweenSlices=1)],
        FrameVOILUTSequence=[_item(WindowCenter=index, WindowWidth=2)],
        PixelValueTransformationSequence=[_item(RescaleIntercept=index, RescaleSlope=1, RescaleType="US")],
        MREchoSequence=[_item(EffectiveEchoTime=5.0)],
        CardiacSynchronizationSequence=[_item(NominalCardiacTriggerDelayTime=3.0)],
    )


def _item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(frames: int, *, undefined: bool = False) -> bytes:
    """Frames of 2x1 pixels, each with a rescale, a window and a place of its own.

    Written from the bytes of one group: pydicom takes half a minute for 20,000.
    """
    dataset = make_dataset(EnhancedMRImageStorage, Modality="MR")
    set_pixels(dataset, np.array([[0, 2]], np.uint16))
    dataset.NumberOfFrames, dataset.PixelData = frames, dataset.PixelData * frames
    dataset.PerFrameFunctionalGroupsSequence = [group(_PLACEHOLDER)]
    groups = dataset["PerFrameFunctionalGroupsSequence"]
    groups.is_undefined_length = undefined
    for element in groups.value[0]:
        element.is_undefined_length = undefined
    groups.value[0].is_undefined_length_sequence_item = undefined
    whole = encode(dataset)
    start, end = whole.index(_GROUPS) + 12, whole.rindex(_PIXELS)
    end -= 8 if undefined else 0
    one = whole[start:end]
    items = b"".join(one.replace(b"%d" % _PLACEHOLDER, b"%05d" % index) for index in range(frames))
    length = b"\xff" * 4 if undefined else struct.pack("<L", len(items))
    return whole[: start - 4] + length + items + whole[end:]


@pytest.mark.parametrize("undefined", [False, True])
def test_twenty_thousand_frames_each_have_their_own_group(undefined: bool, tmp_path: Path) -> None:
    data = enhanced(FRAMES, undefined=undefined)
    began = perf_counter()
    image = Image(open_instance(data))
    for index in (0, FRAMES // 2, FRAMES - 1):
        picture = image.picture(index)
        assert picture.window is not None
        assert picture.window.center == index
        assert image.slice_position_mm(index) == index
    assert perf_counter() - began < HANG_S
    path = tmp_path / "instance"
    path.write_bytes(data)
    probe = [sys.executable, "-m", "tests.hazards.probe", str(path)]
    done = subprocess.run(probe, cwd=HOME, capture_output=True, text=True, check=True, timeout=HANG_S)
    said = json.loads(done.stdout)
    assert said["code"] == ""
    assert said["grown_kb"] < MEMORY_KB


@pytest.mark.parametrize("undefined", [False, True])
def test_the_groups_are_those_that_pydicom_reads(undefined: bool) -> None:
    data = enhanced(7, undefined=undefined)
    image, read = Image(open_instance(data)), open_instance(data)
    groups = read.PerFrameFunctionalGroupsSequence
    assert len(groups) == 7
    again = Image(read)  # whose groups pydicom has read
    for index in range(7):
        assert groups[index].FrameVOILUTSequence[0].WindowCenter == index
        ours, theirs = image.picture(index), again.picture(index)
        assert ours.window == theirs.window
        assert np.array_equal(ours.pixels, theirs.pixels)
        assert image.slice_position_mm(index) == again.slice_position_mm(index) == index


def test_a_group_that_is_a_bomb_of_its_own_costs_its_frame_alone() -> None:
    data = enhanced(2)
    bomb = b"\x20\x00\x13\x00IS\0\0" * 200_000
    start = data.index(_GROUPS) + 12
    (length,) = struct.unpack_from("<L", data, start - 4)
    items = data[start : start + length] + b"\xfe\xff\x00\xe0" + struct.pack("<L", len(bomb)) + bomb
    whole = data[: start - 4] + struct.pack("<L", len(items)) + items + data[start + length :]
    three = whole.replace(b"\x28\x00\x08\x00IS\x02\x002 ", b"\x28\x00\x08\x00IS\x02\x003 ")
    image = Image(open_instance(_one_more_frame(three)))
    assert [image.picture(index).window is not None for index in range(2)] == [True, True]
    with pytest.raises(PonteError) as caught:
        image.picture(2)
    assert caught.value.code == "TOO_MANY"


def _one_more_frame(data: bytes) -> bytes:
    """The pixel data stands last: a frame of it is four bytes."""
    place = data.rindex(_PIXELS) + 8
    (length,) = struct.unpack_from("<L", data, place)
    return data[:place] + struct.pack("<L", length + 4) + data[place + 4 :] + data[-4:]
