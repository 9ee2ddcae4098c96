"""Waveforms on paper: every point where an independent computation of millivolts and seconds puts it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    AmbulatoryECGWaveformStorage,
    GeneralECGWaveformStorage,
    HemodynamicWaveformStorage,
    RoutineScalpElectroencephalogramWaveformStorage,
)

from ponte.errors import CannotDecode, InvalidAttribute, MissingAttribute, PonteError
from ponte.instance import open_instance
from render.documents import drawer_of, tracing
from render.documents import waveform as reading
from render.documents.waveform import read_group
from render.layout import free_area
from render.pdf import PdfWriter
from render.sheet import Document
from render.texts import TEXTS
from tests.factories import encode, make_dataset
from tests.unit.render.documents.paper import put, text_of

MM = 72 / 25.4
RATE = 250


def coded(meaning: str, value: str = "1", scheme: str = "TEST") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def channel(name: str, unit: str = "uV", sensitivity: float | None = 2.5, **attributes: Any) -> Dataset:
    item = Dataset()
    item.ChannelSourceSequence = coded(name)
    if sensitivity is not None:
        item.ChannelSensitivity = sensitivity
        item.ChannelSensitivityUnitsSequence = coded(unit, unit, "UCUM")
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def group(samples: npt.NDArray[np.int16], channels: Sequence[Dataset], **attributes: Any) -> Dataset:
    """`samples` has shape (samples, channels)."""
    item = Dataset()
    item.NumberOfWaveformSamples, item.NumberOfWaveformChannels = samples.shape
    item.SamplingFrequency, item.WaveformOriginality = RATE, "ORIGINAL"
    item.ChannelDefinitionSequence = list(channels)
    item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
    item.WaveformData = samples.astype("<i2").tobytes()
    item["WaveformData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def waveform(*groups: Dataset, uid: str = GeneralECGWaveformStorage, **attributes: Any) -> Dataset:
    dataset = make_dataset(uid, Modality="ECG", AcquisitionDateTime="20260122141530", **attributes)
    dataset.WaveformSequence = list(groups)
    return open_instance(encode(dataset))


def wave(seconds: float = 4, channels: int = 1) -> npt.NDArray[np.int16]:
    moments = np.arange(int(seconds * RATE)) / RATE
    one = 300 * np.sin(2 * np.pi * moments) + 150 * np.sin(2 * np.pi * 7 * moments)
    return np.repeat(one.astype(np.int16)[:, None], channels, axis=1)


class Recorder(PdfWriter):
    """Keeps the streams that were written, by their number."""

    def __init__(self) -> None:
        self.streams: dict[int, bytes] = {}
        super().__init__(BytesIO())

    def add_stream(self, dictionary: bytes, data: bytes) -> int:
        number = super().add_stream(dictionary, data)
        self.streams[number] = data
        return number


@dataclass
class Drawn:
    """A document, and the lines of each of its sheets on millimetre paper."""

    document: Document
    strokes: list[bytes]

    @property
    def texts(self) -> bytes:
        return b"".join(sheet.canvas.content() for sheet in self.document.sheets)

    def traces(self, sheet: int = 0) -> list[npt.NDArray[np.float64]]:
        """The traces of a sheet, each as points (x, y) in PDF points, with their matrix applied."""
        found = []
        pattern = rb"([-\d.]+) 0 0 ([-\d.]+) ([-\d.]+) ([-\d.]+) cm [\d.e+-]+ w 1 J 1 j\n(.*?) S Q"
        for match in re.finditer(pattern, self.strokes[sheet], re.DOTALL):
            across, up, x, y = map(float, match.groups()[:4])
            numbers = np.array([float(word) for word in match[5].split() if word not in (b"m", b"l")])
            found.append(numbers.reshape(-1, 2) * (across, up) + (x, y))
        return found


def drawn(dataset: Dataset, *, anonymize: bool = False) -> Drawn:
    recorder, drawer = Recorder(), drawer_of(dataset.SOPClassUID)
    document = drawer(dataset, recorder, TEXTS["en"], anonymize=anonymize)
    assert document is not None
    forms = [number for sheet in document.sheets for _, number in sheet.resources]
    return Drawn(document, [zlib.decompress(recorder.streams[number]) for number in forms])


def test_a_trace_is_true_to_scale_in_points() -> None:
    values = wave(4)
    (trace,) = drawn(waveform(group(values, [channel("Lead I")]))).traces()
    millivolts = values[:, 0] * 2.5 / 1000
    expected_x = np.arange(len(values)) / RATE * 25 * MM
    assert len(trace) == len(values)
    np.testing.assert_allclose(trace[:, 0] - trace[0, 0], expected_x, atol=0.02)
    expected_y = (millivolts - millivolts[0]) * 10 * MM
    np.testing.assert_allclose(trace[:, 1] - trace[0, 1], expected_y, atol=0.03)


def test_sensitivity_correction_and_baseline_are_applied_in_this_order() -> None:
    values = np.array([[100], [-100], [0]], np.int16)
    described = channel("Lead I", "mV", 0.01, ChannelSensitivityCorrectionFactor=1.5, ChannelBaseline=0.25)
    dataset = waveform(group(values, [described]))
    read = read_group(dataset, dataset.WaveformSequence[0]).channels[0]
    np.testing.assert_allclose(read.values, [1.75, -1.25, 0.25])
    assert read.unit == "mV"


@pytest.mark.parametrize(("unit", "expected"), [("nV", 1e-6), ("uV", 1e-3), ("mV", 1.0), ("V", 1e3)])
def test_every_unit_of_voltage_becomes_millivolts(unit: str, expected: float) -> None:
    dataset = waveform(group(np.ones((2, 1), np.int16), [channel("Lead I", unit, 1)]))
    read = read_group(dataset, dataset.WaveformSequence[0]).channels[0]
    assert (read.unit, read.values[0]) == ("mV", pytest.approx(expected))


@pytest.mark.parametrize(
    ("interpretation", "bits", "kind"),
    [
        ("SB", 8, "i1"),
        ("UB", 8, "u1"),
        ("SS", 16, "<i2"),
        ("US", 16, "<u2"),
        ("SL", 32, "<i4"),
        ("UL", 32, "<u4"),
    ],
)
def test_samples_of_every_linear_kind_are_read(interpretation: str, bits: int, kind: str) -> None:
    values = np.array([[1, 200], [100, 7]])
    item = group(np.zeros((2, 2), np.int16), [channel("Lead I", "mV", 1), channel("Lead II", "mV", 1)])
    item.WaveformSampleInterpretation, item.WaveformBitsAllocated = interpretation, bits
    item.WaveformData = values.astype(kind).tobytes()
    item["WaveformData"].VR = "OB" if bits == 8 else "OW"
    dataset = waveform(item)
    channels = read_group(dataset, dataset.WaveformSequence[0]).channels
    read = np.stack([channel.values for channel in channels], axis=1)
    np.testing.assert_array_equal(read, values.astype(kind))


def test_the_file_of_a_real_electrocardiograph_is_where_pydicom_computes_it() -> None:
    dataset = dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    expected = dataset.waveform_array(0) / 1000  # µV
    paper = drawn(dataset)
    found = [trace for sheet in range(len(paper.strokes)) for trace in paper.traces(sheet)][:12]
    assert len(found) == 12
    for index, trace in enumerate(found):
        at = (trace[:, 0] - trace[0, 0]) / MM / 25 * 1000
        samples = np.rint(at).astype(int)
        assert np.abs(at - samples).max() < 0.3
        millivolts = (trace[:, 1] - trace[0, 1]) / MM / 10 + expected[0, index]
        np.testing.assert_allclose(millivolts, expected[samples, index], atol=0.002)
        assert expected[samples, index].max() == expected[:, index].max()
        assert expected[samples, index].min() == expected[:, index].min()


def test_padding_is_a_gap() -> None:
    values = wave(2)
    values[100:150] = -32768
    item = group(values, [channel("Lead I")])
    item.add_new("WaveformPaddingValue", "OW", b"\x00\x80")
    paper = drawn(waveform(item))
    (trace,) = paper.traces()
    assert len(trace) == len(values) - 50
    assert re.search(rb"l\n-?\d+ -?\d+ m ", paper.strokes[0])


def test_a_pulse_of_one_millivolt_stands_before_a_voltage() -> None:
    paper = drawn(waveform(group(wave(), [channel("Lead I")])))
    pulse = re.search(rb"RG [\d.]+ w ([-\d.]+) ([-\d.]+) m (.*?) S Q", paper.strokes[0])
    assert pulse
    numbers = [float(word) for word in pulse[0].split()[3:-2] if word not in (b"m", b"l")]
    heights = numbers[1::2]
    assert max(heights) - min(heights) == pytest.approx(10 * MM, abs=0.02)


@pytest.mark.pdftools
def test_leads_scale_filters_measures_and_statements_are_text(tmp_path: Path) -> None:
    statement, measure = Dataset(), Dataset()
    statement.UnformattedTextValue, statement.ReferencedWaveformChannels = "Sinus rhythm", [1, 0]
    measure.ConceptNameCodeSequence, measure.NumericValue = coded("QT Interval"), "368"
    measure.MeasurementUnitsCodeSequence = coded("milliseconds", "ms", "UCUM")
    described = [
        channel(f"Lead {name}", FilterLowFrequency=0.05, FilterHighFrequency=150, NotchFilterFrequency=60)
        for name in ("I", "aVR")
    ]
    item = group(wave(4, 2), described, MultiplexGroupLabel="RHYTHM")
    dataset = waveform(item, WaveformAnnotationSequence=[statement, measure])
    put(tmp_path / "ecg.pdf", dataset, language="pt-BR")
    text = text_of(tmp_path / "ecg.pdf")
    for expected in (
        "ECG · RHYTHM", "25 mm/s · 10 mm/mV", "250 amostras/s", "Filtro 0,05 a 150 Hz", "Rejeição 60 Hz",
        "Aquisição 22/01/2026 14:15", "Sinus rhythm", "QT Interval 368 ms", "aVR",
    ):  # fmt: skip
        assert expected in text


def said(text: str) -> Dataset:
    item = Dataset()
    item.UnformattedTextValue = text
    return item


def test_statements_that_the_head_cannot_hold_have_sheets_of_their_own() -> None:
    item = group(wave(), [channel("Lead I")])
    few = waveform(item, WaveformAnnotationSequence=[said("Sinus rhythm")])
    many = waveform(item, WaveformAnnotationSequence=[said(f"Statement {n} of many") for n in range(40)])
    assert len(drawn(few).document.sheets) == 1
    paper = drawn(many)
    assert len(paper.document.sheets) == 2
    assert b"(Statement 39 of many)" in paper.texts


def test_annotations_beyond_their_sheets_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_ANNOTATION_SHEETS", 1)
    many = [said(f"Statement {n} of many") for n in range(400)]
    paper = drawn(waveform(group(wave(), [channel("Lead I")]), WaveformAnnotationSequence=many))
    assert paper.document.left_out == "Not all annotations were within the limit of this document."


@pytest.mark.pdftools
def test_marks_in_time_are_listed_in_seconds(tmp_path: Path) -> None:
    mark = Dataset()
    mark.ConceptNameCodeSequence, mark.ReferencedWaveformChannels = coded("QRS Onset"), [1, 0]
    mark.TemporalRangeType, mark.ReferencedSamplePositions = "POINT", [126]
    put(tmp_path / "ecg.pdf", waveform(group(wave(), [channel("Lead I")]), WaveformAnnotationSequence=[mark]))
    assert "QRS Onset (1): 0.500 s" in text_of(tmp_path / "ecg.pdf")


def test_anonymous_tracings_have_nothing_that_people_wrote() -> None:
    statement, mark, measure = Dataset(), Dataset(), Dataset()
    statement.UnformattedTextValue = "CANARY said"
    mark.ConceptNameCodeSequence, mark.ReferencedSamplePositions = coded("CANARY mark"), [3]
    measure.ConceptNameCodeSequence, measure.NumericValue = coded("QT Interval"), "368"
    odd = channel("CANARY", "CANARY", ChannelLabel="CANARY", ChannelStatus=["CANARY"])
    item = group(wave(4, 2), [odd, channel("Lead II")])
    item.MultiplexGroupLabel = "CANARY"
    other = Dataset()
    other.ConceptNameCodeSequence, other.NumericValue = coded("PR Interval"), "160"
    other.MeasurementUnitsCodeSequence = coded("CANARY", "CANARY")
    dataset = waveform(item, WaveformAnnotationSequence=[statement, mark, measure, other])
    paper = drawn(dataset, anonymize=True)
    document, written = paper.document, paper.texts
    assert b"CANARY" not in written
    assert b"2026" not in written
    assert b"(II)" in written
    assert b"QT Interval 368" in written
    assert "left out" in document.left_out
    assert "CANARY" not in document.title + document.left_out


def test_long_recordings_are_cut_in_strips_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_SHEETS", 2)
    item = group(wave(300), [channel("Lead I")])
    paper = drawn(waveform(item, uid=AmbulatoryECGWaveformStorage))
    assert len(paper.strokes) == 2
    rows = sum(len(paper.traces(sheet)) for sheet in range(2))
    assert paper.document.left_out == f"The first {rows * 10} s of 300 s are shown."


def test_other_units_have_a_scale_of_their_own() -> None:
    pressure = channel("Arterial pressure", "mm[Hg]", 0.5)
    paper = drawn(waveform(group(wave(), [pressure]), uid=HemodynamicWaveformStorage))
    assert b"10 mm = 200 mmHg" in paper.texts
    (trace,) = paper.traces()
    span = np.ptp(wave()[:, 0] * 0.5) / 200 * 10 * MM
    assert np.ptp(trace[:, 1]) == pytest.approx(span, abs=0.05)


def test_channels_of_one_moment_stay_together_on_a_sheet() -> None:
    """Three pressures for 30 s: two strips on the first sheet, the third on the next."""
    pressures = [channel(name, "mm[Hg]", 0.1) for name in ("Aorta", "Atrium", "Ventricle")]
    paper = drawn(waveform(group(wave(30, 3), pressures), uid=HemodynamicWaveformStorage))
    assert [len(paper.traces(sheet)) for sheet in range(len(paper.strokes))] == [6, 3]


def test_voltages_of_the_brain_have_one_scale_of_their_own() -> None:
    values = wave(4, 2)
    values[:, 1] //= 10
    described = [channel("EEG Fp1", sensitivity=0.1), channel("EEG Fp2", sensitivity=0.1)]
    paper = drawn(waveform(group(values, described), uid=RoutineScalpElectroencephalogramWaveformStorage))
    assert paper.texts.count(b"10 mm = 0.05 mV") == 2
    first, second = paper.traces()
    span = np.ptp(values * 0.1 / 1000, axis=0) / 0.05 * 10 * MM
    assert np.ptp(first[:, 1]) == pytest.approx(span[0], abs=0.05)
    assert np.ptp(second[:, 1]) == pytest.approx(span[1], abs=0.05)


def test_a_channel_without_sensitivity_is_called_not_calibrated() -> None:
    paper = drawn(waveform(group(wave(), [channel("Lead I", sensitivity=None)])))
    assert b"not calibrated" in paper.texts


def test_traces_stay_within_the_free_area_whatever_their_height() -> None:
    values = wave(10, 3)
    values[:, 1] *= 60
    values[:, 2] += 20_000
    paper = drawn(waveform(group(values, [channel(f"Lead {name}") for name in ("I", "II", "III")])))
    for sheet, lines in zip(paper.document.sheets, paper.strokes, strict=True):
        left, bottom, width, height = free_area(sheet.size)
        for match in re.finditer(rb"q ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re W n", lines):
            x, y, wide, high = map(float, match.groups())
            assert left <= x <= x + wide <= left + width + 1
            assert bottom - 1 <= y <= y + high <= bottom + height
    assert b"beyond the paper" in paper.texts
    assert b"centred on 50" in paper.texts


def test_a_group_that_cannot_be_read_is_counted_beside_the_others() -> None:
    good, bad = group(wave(), [channel("Lead I")]), group(wave(), [channel("Lead I")], SamplingFrequency=0)
    document = drawn(waveform(bad, good)).document
    assert len(document.sheets) == 1
    assert document.left_out == "Groups of channels not shown: 1."


def test_no_more_samples_are_converted_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_SAMPLES", 1_000)
    paper = drawn(waveform(group(wave(8, 2), [channel("Lead I"), channel("Lead II")])))
    assert [len(trace) for trace in paper.traces()] == [500, 500]
    assert paper.document.left_out == "The first 2 s of 8 s are shown."


def test_a_waveform_without_any_is_named() -> None:
    document = drawn(make_dataset(GeneralECGWaveformStorage)).document
    assert not document.sheets
    assert document.left_out == "The object came without its content."


def _broken(**attributes: Any) -> Dataset:
    item = group(wave(), [channel("Lead I")])
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return waveform(item)


@pytest.mark.parametrize(
    ("dataset", "error", "code"),
    [
        (_broken(NumberOfWaveformSamples=2_000_000_000), CannotDecode, "TRUNCATED"),
        (_broken(NumberOfWaveformChannels=2), CannotDecode, "TRUNCATED"),
        (_broken(NumberOfWaveformSamples=0), InvalidAttribute, "CANNOT_DECODE"),
        (_broken(SamplingFrequency=0), InvalidAttribute, "CANNOT_DECODE"),
        (_broken(WaveformSampleInterpretation="MB"), InvalidAttribute, "CANNOT_DECODE"),
        (_broken(ChannelDefinitionSequence=[]), InvalidAttribute, "CANNOT_DECODE"),
        (_broken(WaveformData=b""), MissingAttribute, "CANNOT_DECODE"),
    ],
    ids=[
        "too many samples",
        "too many channels",
        "no samples",
        "no rate",
        "audio",
        "no channels",
        "no data",
    ],
)
def test_what_cannot_be_drawn_has_a_reason(dataset: Dataset, error: type[PonteError], code: str) -> None:
    with pytest.raises(error) as raised:
        drawn(dataset)
    assert raised.value.code == code
