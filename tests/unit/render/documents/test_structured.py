"""Structured reports on paper: everything that the tree says, in words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, CTImageStorage

from render.documents import content, structured
from render.layout import free_area
from tests.corpus import CORPUS
from tests.factories import make_dataset, uid
from tests.unit.render.documents.paper import put, text_of, tool

pytestmark = pytest.mark.pdftools


def code(value: str, scheme: str, meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    if meaning:
        item.CodeMeaning = meaning
    return [item]


def item(kind: str, name: str = "", relation: str = "CONTAINS", **attributes: Any) -> Dataset:
    made = Dataset()
    made.RelationshipType, made.ValueType = relation, kind
    if name:
        made.ConceptNameCodeSequence = code("1", "TEST", name)
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def number(name: str, value: str, unit: list[Dataset]) -> Dataset:
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = value, unit
    return item("NUM", name, MeasuredValueSequence=[measured])


def report(*items: Dataset, **attributes: Any) -> Dataset:
    dataset = make_dataset(ComprehensiveSRStorage, Modality="SR", **attributes)
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ConceptNameCodeSequence = code("18748-4", "LN", "Diagnostic imaging report")
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ContentDate, dataset.ContentTime = "20260122", "141530"
    dataset.ContentSequence = list(items)
    return dataset


def said(tmp_path: Path, *items: Dataset, **options: Any) -> str:
    put(tmp_path / "report.pdf", report(*items), **options)
    return text_of(tmp_path / "report.pdf")


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (item("TEXT", "Finding", TextValue="A nodule"), "Finding: A nodule"),
        (item("CODE", "Site", ConceptCodeSequence=code("39607008", "SCT", "Lung")), "Site: Lung"),
        (item("CODE", "Site", ConceptCodeSequence=code("39607008", "SCT")), "Site: 39607008 (SCT)"),
        (number("Diameter", "12.50", code("mm", "UCUM", "millimeter")), "Diameter: 12,50 mm"),
        (number("Area", "3", code("cm2", "UCUM", "square centimeter")), "Area: 3 cm²"),
        (number("Density", "-7", code("[hnsf'U]", "UCUM", "Hounsfield unit")), "Density: -7 Hounsfield unit"),
        (number("Ratio", "0.5", code("1", "UCUM", "no units")), "Ratio: 0,5"),
        (number("Length", "3", code("cm", "99X", "Length Unit")), "Length: 3 Length Unit (cm)"),
        (
            item("NUM", "Depth", NumericValueQualifierCodeSequence=code("114000", "DCM", "Not a number")),
            "Depth: Not a number",
        ),
        (item("PNAME", "Reader", PersonName="Souza^Conceição"), "Reader: Souza Conceição"),
        (item("DATE", "On", Date="20260122"), "On: 22/01/2026"),
        (item("TIME", "At", Time="141530"), "At: 14:15:30"),
        (item("DATETIME", "When", DateTime="20260122141530-0300"), "When: 22/01/2026 14:15 (UTC-03:00)"),
        (item("UIDREF", "Frame", UID="1.2.3"), "Frame: 1.2.3"),
        (item("SCOORD", "Where", GraphicType="POINT", GraphicData=[10.5, 20.0]), "Where: Ponto (10,5; 20)"),
        (
            item("SCOORD", "Edge", GraphicType="CIRCLE", GraphicData=[1.0, 2, 3, 4]),
            "Edge: Círculo, pontos: 2",
        ),
        (item("SCOORD3D", "In", GraphicType="POINT", GraphicData=[1.0, 2, 3]), "In: Ponto (1; 2; 3)"),
        (
            item("TCOORD", "Beat", TemporalRangeType="POINT", ReferencedSamplePositions=[7]),
            "Beat: Ponto, amostras 7",
        ),
        (item("NEWTYPE", "Something"), "Something: NEWTYPE"),
        (item("TEXT", "Nothing"), "Nothing: (sem valor)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_value_type_is_said_in_words(tmp_path: Path, one: Dataset, expected: str) -> None:
    assert expected in said(tmp_path, one, language="pt-BR")


def test_a_reference_names_class_instance_frames_and_series(tmp_path: Path) -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3"
    reference.ReferencedFrameNumber = [2, 5]
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = "1.2.9", [reference]
    study = Dataset()
    study.ReferencedSeriesSequence = [series]
    dataset = report(item("IMAGE", "Source", ReferencedSOPSequence=[reference]))
    dataset.CurrentRequestedProcedureEvidenceSequence = [study]
    put(tmp_path / "report.pdf", dataset)
    assert "Source: CT Image 1.2.3 (frames 2, 5, series 1.2.9)" in text_of(tmp_path / "report.pdf")


def test_a_long_run_of_bare_references_is_counted(tmp_path: Path) -> None:
    def image(index: int) -> Dataset:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
            CTImageStorage,
            uid("ref", index),
        )
        return item("IMAGE", ReferencedSOPSequence=[reference])

    assert "CT Image × 40" in said(tmp_path, *map(image, range(40)))


def test_a_reference_within_the_tree_names_what_it_refers_to(tmp_path: Path) -> None:
    pointer = item("", relation="INFERRED FROM")
    del pointer.ValueType
    pointer.ReferencedContentItemIdentifier = [1, 1]
    finding = item("TEXT", "Finding", TextValue="A nodule")
    conclusion = item("TEXT", "Conclusion", TextValue="Benign", ContentSequence=[pointer])
    assert "inferred from: see: Finding: A nodule" in said(tmp_path, finding, conclusion)


def test_flags_observers_and_dates_head_the_report(tmp_path: Path) -> None:
    dataset = report(item("TEXT", "Finding", TextValue="said"))
    verifier = Dataset()
    verifier.VerifyingObserverName, verifier.VerifyingOrganization = "Lima^Ana", "Clínica Sul"
    verifier.VerificationDateTime = "20260123090000"
    dataset.VerifyingObserverSequence, dataset.VerificationFlag = [verifier], "VERIFIED"
    put(tmp_path / "report.pdf", dataset, language="pt-BR")
    text = text_of(tmp_path / "report.pdf")
    assert "Diagnostic imaging report Situação Completo Verificação Verificado" in text
    assert "Verificado por Lima Ana, Clínica Sul, 23/01/2026 09:00 Data do conteúdo 22/01/2026 14:15" in text


def test_long_text_goes_on_over_sheets_with_a_running_head(tmp_path: Path) -> None:
    words = [f"word{index}" for index in range(3_000)]
    path = tmp_path / "report.pdf"
    document = put(path, report(item("TEXT", "Findings", TextValue=" ".join(words))))
    assert len(document.sheets) > 1
    heads = tool("pdftotext", path, "-").split("\f")[1 : len(document.sheets)]
    assert all(head.startswith("Diagnostic imaging report (continued)") for head in heads)
    assert re.findall(r"word\d+", text_of(path)) == words


def test_nothing_is_set_outside_the_free_area(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    nested = item("TEXT", "Deep", TextValue="x" * 4_000)
    for depth in range(20):
        nested = item("CONTAINER", f"Section {depth}", ContentSequence=[nested])
    document = put(path, report(nested))
    left, bottom, width, height = free_area(document.sheets[0].size)
    boxes = re.findall(
        r'<word xMin="(.+?)" yMin="(.+?)" xMax="(.+?)" yMax="(.+?)"', tool("pdftotext", "-bbox", path, "-")
    )
    assert boxes
    page = document.sheets[0].size[1]
    for x1, y1, x2, y2 in (map(float, box) for box in boxes):
        assert left - 1 <= x1 <= x2 <= left + width + 1
        assert page - bottom - height - 2 <= y1 <= y2 <= page - bottom + 2


def test_items_beyond_the_limit_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_ITEMS", 10)
    lines = [item("TEXT", f"Line {index}", TextValue="said") for index in range(25)]
    document = put(tmp_path / "report.pdf", report(*lines))
    assert document.left_out == "The report goes on. Items beyond the limit of this document: 15."
    assert document.left_out in text_of(tmp_path / "report.pdf")


def test_items_below_those_beyond_the_limit_are_counted_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MOST_ITEMS", 2)
    lines = [item("TEXT", f"Line {index}", TextValue="said") for index in range(6)]
    section = item("CONTAINER", "Section", ContentSequence=lines)
    document = put(tmp_path / "report.pdf", report(section, section))
    assert document.left_out.endswith(": 12.")


def test_a_text_beyond_the_limit_is_cut_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_LETTERS", 10)
    document = put(tmp_path / "report.pdf", report(item("TEXT", "Finding", TextValue="0123456789abc")))
    assert document.left_out.endswith(": 1.")
    assert "0123456789…" in text_of(tmp_path / "report.pdf")


def test_sheets_beyond_the_limit_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structured, "MOST_SHEETS", 2)
    lines = [item("TEXT", f"Line {index}", TextValue="said") for index in range(500)]
    document = put(tmp_path / "report.pdf", report(*lines))
    assert len(document.sheets) == 3
    shown = len(re.findall(r"Line \d+", text_of(tmp_path / "report.pdf")))
    assert str(500 - shown) in document.left_out
    assert document.left_out in text_of(tmp_path / "report.pdf")


def test_anonymous_reports_have_no_pages_and_say_so(tmp_path: Path) -> None:
    dataset = report(item("TEXT", "Finding", TextValue="CANARY"), DocumentTitle="CANARY")
    dataset.ConceptNameCodeSequence = code("1", "TEST", "CANARY")
    document = put(tmp_path / "report.pdf", dataset, anonymize=True)
    assert not document.sheets
    assert document.left_out
    assert "CANARY" not in document.title + document.left_out


def test_a_report_without_content_is_named(tmp_path: Path) -> None:
    document = put(tmp_path / "report.pdf", make_dataset(ComprehensiveSRStorage))
    assert not document.sheets
    assert document.left_out == "The object came without its content."


REPORTS = [get_testdata_file(name) for name in ("test-SR.dcm", "reportsi.dcm")]
if CORPUS is not None:
    REPORTS += [*sorted(map(str, CORPUS.glob("sr*/*.dcm"))), str(CORPUS / "seg-dcmqi" / "dcmqi__sr.dcm")]


@pytest.mark.dcmtk
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: Path(path).name)
def test_what_dsrdump_reads_is_on_the_page(tmp_path: Path, path: str) -> None:
    """An independent reader: every text, meaning and number that it prints stands on our pages too."""
    options = ["-q", "-Ph", "+Pl", "-Er", "-Ev", "-Ec", "-Ee", "-Ei"]
    answer = subprocess.run(["dsrdump", *options, path], capture_output=True)
    printed = answer.stdout.decode("latin-1")
    if "CONTAINER" not in printed:
        pytest.skip("dsrdump refuses this file")
    put(tmp_path / "report.pdf", dcmread(path), language="en")
    text = _letters(text_of(tmp_path / "report.pdf"))
    for line in printed.splitlines():
        if re.search(r"(DATE|TIME|DATETIME|PNAME):", line):
            continue  # written in the language's own way
        for quoted in re.findall(r'"((?:[^"]|"(?=!))*)"', line):
            for part in re.split(r"\\[nr]", quoted):
                unit = re.search(r"\([^()]+,UCUM(\[[^]]*\])?,\"" + re.escape(part), line)
                assert unit or _letters(part) in text, line


def _letters(text: str) -> str:
    """What remains when white space and what the face lacks is taken out."""
    return re.sub(r"[^\x21-\x7e]", "", text)
