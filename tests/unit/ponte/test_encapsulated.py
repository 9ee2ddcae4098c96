"""A PDF as an instance of the study: what is taken over, what is said of it, and that it is whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from ponte.encapsulated import Document, StudyHeader, document_uid, patient_id, write_encapsulated_pdf
from ponte.errors import InvalidRequest, MissingAttribute, NotDicom, PonteError, SourceUnavailable
from ponte.instance import open_instance
from tests.corpus import CORPUS
from tests.factories import STUDY_UID, make_ct

PDF = b"%PDF-1.7\nthe pages\n%%EOF"
SOURCES = ((str(CTImageStorage), "1.2.3.1"), (str(CTImageStorage), "1.2.3.2"))
DOCUMENT = Document(
    "c0ffee", "Images of the study", datetime(2026, 1, 22, 14, 15, 30, tzinfo=UTC), "Ponte 0", SOURCES
)
SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
)  # fmt: skip

FOLDERS = sorted(path.name for path in CORPUS.iterdir() if path.is_dir()) if CORPUS else []

NAMES = {
    "latin": ("ISO_IR 100", "Conceição^João"),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "greek": ("ISO_IR 126", "Διονυσιος"),
    "hebrew": ("ISO_IR 138", "שרון^דבורה"),
    "arabic": ("ISO_IR 127", "قباني^لنزار"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "unicode": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
}  # fmt: skip


def encode(dataset: FileDataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    if "PixelData" in dataset:
        del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    stream = BytesIO()
    pydicom.dcmwrite(
        stream,
        dataset,
        enforce_file_format=True,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
    )
    return stream.getvalue()


def encapsulated(source: bytes, pdf: bytes = PDF, document: Document = DOCUMENT) -> Dataset:
    """The instance, as our own strict reader reads it."""
    out = BytesIO()
    uid = write_encapsulated_pdf(out, BytesIO(pdf), StudyHeader.read(source), document)
    dataset = open_instance(out.getvalue())
    assert dataset.SOPInstanceUID == uid
    return dataset


def code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99X", meaning
    return item


def full(**attributes: Any) -> FileDataset:
    """An instance with sequences, numbers and comments of its patient and study."""
    return make_ct(
        StudyID="S1",
        PatientAge="056Y",
        PatientWeight="71.5",
        PregnancyStatus=4,
        OtherPatientIDsSequence=[code("1", "other")],
        ProcedureCodeSequence=[code("42", "Head CT")],
        **attributes,
    )


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("script", NAMES)
def test_names_are_the_same_bytes_in_any_script_and_encoding(script: str, syntax: str) -> None:
    characters, name = NAMES[script]
    source = full()
    source.SpecificCharacterSet, source.PatientName, source.ReferringPhysicianName = characters, name, name
    data = encode(source, syntax)
    before, after = open_instance(data), encapsulated(data)
    for keyword in (
        "SpecificCharacterSet",
        "PatientName",
        "PatientID",
        "ReferringPhysicianName",
        "StudyDate",
    ):
        assert after.get_item(keyword).value == before.get_item(keyword).value
    assert str(after.PatientName) == name


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("delimited", [False, True])
def test_patient_and_study_are_taken_over_as_they_stand_sequences_included(
    syntax: str, delimited: bool
) -> None:
    source = full()
    source["ProcedureCodeSequence"].is_undefined_length = delimited
    data = encode(source, syntax)
    before, after = open_instance(data), encapsulated(data)
    for keyword in (
        "AccessionNumber", "OtherPatientIDsSequence", "PatientAge", "PatientBirthDate", "PatientSex",
        "PatientWeight", "PregnancyStatus", "ProcedureCodeSequence", "StudyDescription", "StudyID",
        "StudyInstanceUID", "StudyTime",
    ):  # fmt: skip
        assert after[keyword].value == before[keyword].value, keyword


def test_nothing_of_image_series_or_equipment_is_taken_over() -> None:
    source = full(SeriesDescription="HEAD", StationName="CT1", OperatorsName="CANARY", ProtocolName="X")
    source.add_new(0x00090010, "LO", "PRIVATE")
    source.add_new(0x00091001, "LO", "CANARY")
    after = encapsulated(encode(source))
    assert {"StationName", "OperatorsName", "ProtocolName", "Rows", "PixelSpacing"} & set(
        after.dir()
    ) == set()
    assert not [element for element in after if element.tag.is_private]
    assert after.SeriesDescription == "Images of the study"


def test_big_endian_gives_its_text_and_nothing_that_would_have_to_be_turned_round() -> None:
    after = encapsulated(encode(full(), ExplicitVRBigEndian))
    assert (after.PatientAge, after.PatientWeight, after.StudyInstanceUID) == ("056Y", 71.5, STUDY_UID)
    assert "PregnancyStatus" not in after
    assert "ProcedureCodeSequence" not in after


def test_a_value_in_a_character_set_that_nobody_knows_is_not_touched() -> None:
    name = "CANARIO^Conceição".encode()
    unknown = b"\xff\xfe\x80^\xc3\x28 \x81".ljust(len(name), b"\xa0")
    data = encode(full()).replace(name, unknown)
    assert bytes(encapsulated(data).get_item("PatientName").value).strip(b" ") == unknown


def test_what_the_study_does_not_say_is_there_and_empty() -> None:
    source = Dataset()
    source.SOPClassUID, source.SOPInstanceUID, source.StudyInstanceUID = CTImageStorage, "1.2.3", STUDY_UID
    stream = BytesIO()
    pydicom.dcmwrite(stream, source, implicit_vr=True, little_endian=True)
    after = encapsulated(stream.getvalue())
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyID", "AccessionNumber"):
        assert keyword in after
        assert not after[keyword].value


def test_what_is_empty_and_may_be_absent_is_absent() -> None:
    after = encapsulated(encode(full(SpecificCharacterSet="", PatientName="A^B", ReferencedStudySequence=[])))
    assert "ReferencedStudySequence" not in after
    assert "SpecificCharacterSet" not in after


@pytest.mark.corpus
@pytest.mark.parametrize("folder", FOLDERS)
def test_real_files_give_their_patient_and_study_as_they_stand(folder: str) -> None:
    for path in sorted(path for path in ((CORPUS or Path()) / folder).iterdir() if path.is_file())[:25]:
        data = path.read_bytes()
        try:
            header, before = StudyHeader.read(data), open_instance(data)
        except PonteError:
            continue
        out = BytesIO()
        write_encapsulated_pdf(out, BytesIO(PDF), header, DOCUMENT)
        after = open_instance(out.getvalue())
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDescription", "PatientSex"):
            if keyword in before and before.get_item(keyword).value:
                assert after.get_item(keyword).value == before.get_item(keyword).value, (path.name, keyword)


def test_the_document_says_what_it_is() -> None:
    after = encapsulated(encode(full()))
    assert after.SOPClassUID == after.file_meta.MediaStorageSOPClassUID == EncapsulatedPDFStorage
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert (after.Modality, after.ConversionType, after.BurnedInAnnotation) == ("DOC", "WSD", "YES")
    assert after.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert after.DocumentTitle == "Images of the study"
    assert (after.ContentDate, after.ContentTime) == ("20260122", "141530")
    assert [
        (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
        for item in after.SourceInstanceSequence
    ] == list(SOURCES)
    assert after.SeriesInstanceUID != open_instance(encode(full())).SeriesInstanceUID


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("extra", [0, 1, 2, (1 << 20) - len(PDF), (1 << 20) + 1])
def test_the_pdf_is_whole_padded_to_an_even_length_which_is_said(syntax: str, extra: int) -> None:
    """PS3.3 C.24.2: Encapsulated Document Length (0042,0015) is without the padding."""
    pdf = PDF + b"x" * extra
    after = encapsulated(encode(full(), syntax), pdf)
    assert after.EncapsulatedDocument == pdf + b"\0" * (len(pdf) % 2)
    assert after.EncapsulatedDocument[: after.EncapsulatedDocumentLength] == pdf
    assert after["EncapsulatedDocument"].VR == "OB"


def test_the_same_content_is_the_same_instance_and_another_one_another() -> None:
    uid = document_uid(STUDY_UID, "a", "instance")
    assert uid == document_uid(STUDY_UID, "a", "instance")
    others = {
        document_uid(STUDY_UID, "b", "instance"),
        document_uid(STUDY_UID + ".1", "a", "instance"),
        document_uid(STUDY_UID, "a", "series"),
    }
    assert len({uid, *others}) == 4
    assert uid.startswith("2.25.")
    assert len(uid) <= 44


class Counted(BytesIO):
    """A file that knows how much was asked of it at once, and how much was given to it."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.most = max(self.most, 1 << 40 if size is None or size < 0 else size)
        return super().read(size)

    def write(self, data: Any, /) -> int:
        self.most = max(self.most, len(data))
        return super().write(data)


def test_the_pdf_passes_in_pieces() -> None:
    pdf, out = Counted(PDF + bytes(5 << 20)), Counted()
    write_encapsulated_pdf(out, pdf, StudyHeader.read(encode(full())), DOCUMENT)
    assert max(pdf.most, out.most) <= 1 << 20


def test_a_pdf_that_changes_meanwhile_is_an_error() -> None:
    class Growing(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if size and size > 100:
                self.truncate(10)
            return super().read(size)

    with pytest.raises(SourceUnavailable):
        write_encapsulated_pdf(BytesIO(), Growing(PDF), StudyHeader.read(encode(full())), DOCUMENT)


@pytest.mark.parametrize("content", [b"", b"%PDX", b"<html>"])
def test_what_is_no_pdf_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a PDF"):
        encapsulated(encode(full()), content)


def test_a_title_that_a_character_set_may_not_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="ASCII"):
        encapsulated(encode(full()), document=Document("c", "Relatório", DOCUMENT.created, "Ponte"))


@pytest.mark.parametrize("uid", ["", "not a UID"])
def test_without_a_study_there_is_nothing_to_file_it_under(uid: str) -> None:
    data = encode(full()).replace(STUDY_UID.encode(), uid.encode().ljust(len(STUDY_UID)))
    with pytest.raises(MissingAttribute):
        StudyHeader.read(data)


@pytest.mark.parametrize("data", [b"", b"no", encode(full())[:600]])
def test_what_is_not_dicom_is_said_so(data: bytes) -> None:
    with pytest.raises((NotDicom, MissingAttribute)):
        StudyHeader.read(data)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_patients_id_is_read_without_its_padding(syntax: str) -> None:
    assert patient_id(encode(full(PatientID="ODD"), syntax)) == b"ODD"


def test_no_patient_id_is_none() -> None:
    source = full()
    del source.PatientID
    assert patient_id(encode(source)) == b""


@pytest.fixture
def validated(tmp_path: Path) -> Callable[[bytes, bytes], list[str]]:
    """The errors that dciodvfy reports on the instance."""

    def errors(source: bytes, pdf: bytes) -> list[str]:
        path = tmp_path / "instance.dcm"
        with path.open("wb") as out:
            write_encapsulated_pdf(out, BytesIO(pdf), StudyHeader.read(source), DOCUMENT)
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "EncapsulatedPDF" in done.stderr + done.stdout
        return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]

    return errors


@pytest.mark.dicom3tools
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("pdf", [PDF, PDF + b"x"])
def test_dciodvfy_reports_no_error(
    validated: Callable[[bytes, bytes], list[str]], syntax: str, pdf: bytes
) -> None:
    source = full()
    del source.OtherPatientIDsSequence
    assert validated(encode(source, syntax), pdf) == []
