"""Two instances are the same when their elements are, however they are written; and never otherwise."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ponte.sameness import same_dataset
from tests.factories import encode, make_ct

CT = encode(make_ct(1))


def sequenced(*values: str, undefined: bool = False) -> FileDataset:
    dataset = make_ct(1)
    items = []
    for value in values:
        item, inner = Dataset(), Dataset()
        inner.CodeValue = value
        item.PurposeOfReferenceCodeSequence = Sequence([inner])
        items.append(item)
    dataset.ReferencedImageSequence = Sequence(items)
    dataset["ReferencedImageSequence"].is_undefined_length = undefined
    return dataset


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=str
)
def test_it_is_the_same_in_another_encoding(syntax: UID) -> None:
    for name in ("examples_rgb_color.dcm", "rtplan.dcm", "rtdose.dcm"):
        dataset = dcmread(str(get_testdata_file(name)))
        dataset.pop("PixelData", None)
        texts = []
        for uid in (ExplicitVRLittleEndian, syntax):
            dataset.file_meta.TransferSyntaxUID = uid
            out = BytesIO()
            dcmwrite(
                out,
                dataset,
                implicit_vr=uid == ImplicitVRLittleEndian,
                little_endian=uid != ExplicitVRBigEndian,
                force_encoding=True,
            )
            texts.append(out.getvalue())
        assert same_dataset(*texts), name


def test_lengths_of_sequences_group_lengths_and_padding_do_not_count() -> None:
    other = sequenced("A", "B", undefined=True)
    other.add_new(0x00080000, "UL", 1234)
    other.DataSetTrailingPadding = bytes(100)
    assert same_dataset(encode(sequenced("A", "B")), encode(other))


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset: setattr(dataset, "PatientID", "OTHER"),
        lambda dataset: delattr(dataset, "PatientID"),
        lambda dataset: setattr(dataset, "ImageComments", ""),
        lambda dataset: setattr(dataset.ReferencedImageSequence[1], "PatientID", "X"),
        lambda dataset: dataset.ReferencedImageSequence.pop(),
        lambda dataset: dataset.ReferencedImageSequence.reverse(),
        lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[:-1] + b" "),
        lambda dataset: setattr(dataset, "RescaleSlope", "1.1"),
    ],
)
def test_any_other_value_is_another_instance(change: Callable[[FileDataset], object]) -> None:
    one, other = sequenced("A", "B"), sequenced("A", "B")
    one.PixelData = one.PixelData[:-1] + b"\0"
    change(other)
    assert not same_dataset(encode(one), encode(other))
    assert same_dataset(encode(one), encode(one))


def test_one_code_stream_is_not_another() -> None:
    data = Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes()
    dataset = dcmread(BytesIO(data))
    at = len(data) - 200
    assert same_dataset(data, encode(dataset))
    assert not same_dataset(data, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize("other", [b"", b"<html>", CT[:1000], CT[:-2], bytes(5000)])
def test_what_cannot_be_read_is_the_same_as_nothing(other: bytes) -> None:
    assert not same_dataset(CT, other)
    assert not same_dataset(other, other) or other == CT[:-2]
