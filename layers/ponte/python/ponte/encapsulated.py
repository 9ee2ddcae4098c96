"""A PDF as an instance of the study that it shows: Encapsulated PDF Storage (PS3.3 A.45.1, C.24)."""

from __future__ import annotations

import hashlib
import shutil
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import SEEK_END
from typing import BinaryIO, Final, Self

from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ponte import attributes
from ponte.destination import Outgoing
from ponte.errors import InvalidRequest, LimitExceeded, MissingAttribute, SourceUnavailable
from ponte.filemeta import part10_head
from ponte.instance import dataset_start
from ponte.quiet import quiet
from ponte.structure import Bytes, Element, Encoding, walk
from ponte.uid import is_valid_uid

SERIES_NUMBER: Final = 9900
"""Above those of modalities, so that the document comes last."""
MOST_SOURCES: Final = 20_000
MANUFACTURER: Final = "Ponte"
MIME_TYPE: Final = "application/pdf"

_ENCAPSULATED_DOCUMENT: Final = 0x00420011
_PDF_MARK = b"%PDF-"
_LONGEST = 0xFFFFFFFE  # 32 bits, even, and not the mark of an undefined length
_LONGEST_TEXT = 0xFFFE
_CHUNK = 1 << 20
_TEXT_VRS = frozenset(
    vr.encode() for vr in ["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"]
)  # of a length of 16 bits

REQUIRED: Final = (
    "AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex",
    "ReferringPhysicianName", "StudyDate", "StudyID", "StudyTime",
)  # fmt: skip
"""Type 2: empty where the study does not say."""

_COPIED: Final = frozenset(
    keyword_dict[keyword]
    for keyword in (
        *REQUIRED, "SpecificCharacterSet", "StudyInstanceUID",
        # Patient (C.7.1.1)
        "DeidentificationMethod", "DeidentificationMethodCodeSequence", "EthnicGroup",
        "GroupOfPatientsIdentificationSequence", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence",
        "OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "PatientAlternativeCalendar",
        "PatientBirthDateInAlternativeCalendar", "PatientBirthTime", "PatientBreedCodeSequence",
        "PatientBreedDescription", "PatientComments", "PatientDeathDateInAlternativeCalendar",
        "PatientIdentityRemoved", "PatientSpeciesCodeSequence", "PatientSpeciesDescription",
        "QualityControlSubject", "ReferencedPatientSequence", "ResponsibleOrganization", "ResponsiblePerson",
        "ResponsiblePersonRole", "SourcePatientGroupIdentificationSequence", "TypeOfPatientID",
        # Clinical Trial Subject and Study (C.7.1.3, C.7.2.3)
        "ClinicalTrialProtocolEthicsCommitteeApprovalNumber", "ClinicalTrialProtocolEthicsCommitteeName",
        "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID",
        "ClinicalTrialSiteName", "ClinicalTrialSponsorName", "ClinicalTrialSubjectID",
        "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointDescription", "ClinicalTrialTimePointID",
        "ConsentForClinicalTrialUseSequence",
        # General Study (C.7.2.1)
        "ConsultingPhysicianIdentificationSequence", "ConsultingPhysicianName",
        "IssuerOfAccessionNumberSequence", "NameOfPhysiciansReadingStudy", "PhysiciansOfRecord",
        "PhysiciansOfRecordIdentificationSequence", "PhysiciansReadingStudyIdentificationSequence",
        "ProcedureCodeSequence", "ReasonForPerformedProcedureCodeSequence", "ReferencedStudySequence",
        "ReferringPhysicianIdentificationSequence", "RequestingService", "RequestingServiceCodeSequence",
        "StudyDescription",
        # Patient Study (C.7.2.2)
        "AdditionalPatientHistory", "AdmissionID", "AdmittingDiagnosesCodeSequence",
        "AdmittingDiagnosesDescription", "Allergies", "IssuerOfAdmissionIDSequence",
        "IssuerOfServiceEpisodeIDSequence", "LastMenstrualDate", "MedicalAlerts", "Occupation", "PatientAge",
        "PatientBodyMassIndex", "PatientSexNeutered", "PatientSize", "PatientState", "PatientWeight",
        "PregnancyStatus", "ReasonForVisit", "ReasonForVisitCodeSequence", "ServiceEpisodeDescription",
        "ServiceEpisodeID", "SmokingStatus",
    )
)  # fmt: skip
_LAST = max(_COPIED)
_PATIENT_ID, _STUDY_INSTANCE_UID = keyword_dict["PatientID"], keyword_dict["StudyInstanceUID"]

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What an instance says of its patient and study: encoded elements by tag, as they stand there.

    No value is decoded, so that names are intact in any script and in a character set that nobody knows.
    From a big-endian dataset only text is taken: everything else would have to be turned round.
    """

    study_instance_uid: str
    implicit: bool
    elements: Mapping[int, bytes]

    @classmethod
    def read(cls, data: Bytes) -> Self:
        """Raises `NotDicom`, `MissingAttribute` where there is no Study Instance UID."""
        body, end, encoding = dataset_start(data)
        elements: dict[int, bytes] = {}
        study_instance_uid = ""
        for element in walk(body, end, encoding):
            header, end = end, element.start + element.length
            if element.tag > _LAST:
                break
            if element.length and element.tag in _COPIED and element.tag not in elements:
                elements[element.tag] = _as_it_stands(body, header, element, encoding)
            if element.tag == _STUDY_INSTANCE_UID:
                study_instance_uid = _stripped(body, element).decode("ascii", "replace")
        if not is_valid_uid(study_instance_uid):
            raise MissingAttribute("Study Instance UID (0020,000D) is absent or no UID")
        return cls(study_instance_uid, encoding.implicit, {tag: e for tag, e in elements.items() if e})


def patient_id(data: Bytes) -> bytes:
    """Patient ID (0010,0020) as it stands, without padding; b"" where there is none. Raises `NotDicom`."""
    body, start, encoding = dataset_start(data)
    for element in walk(body, start, encoding):
        if element.tag >= _PATIENT_ID:
            return _stripped(body, element) if element.tag == _PATIENT_ID else b""
    return b""


@dataclass(frozen=True, slots=True)
class Document:
    """What is said of the PDF. `title` is of ASCII, which every character set of the study can hold.

    `content` identifies what the PDF shows: the same content makes the same instance. `producer` is the
    program with its version; `sources` are the instances that it was made of.
    """

    content: str
    title: str
    created: datetime
    producer: str
    sources: Sequence[Reference] = ()


def is_own_document(dataset: Dataset) -> bool:
    """True for what `write_encapsulated_pdf` made: a rendering of the study, not a part of it."""
    with quiet():
        return (
            attributes.text(dataset, "SOPClassUID") == EncapsulatedPDFStorage
            and attributes.text(dataset, "Manufacturer") == MANUFACTURER
        )


def document_uid(study_instance_uid: str, content: str, role: str) -> str:
    """The same UID for the same study, content and role (PS3.5 B.2: the number of a UUID below 2.25)."""
    digest = hashlib.sha256(f"{role}\n{study_instance_uid}\n{content}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def write_encapsulated_pdf(out: BinaryIO, pdf: BinaryIO, header: StudyHeader, document: Document) -> str:
    """Write the instance into `out`, piece by piece, and return its SOP Instance UID.

    `pdf` is a file that can seek. It is in a new series of the study, in the study's own encoding. Raises
    `InvalidRequest` for what is no PDF, `LimitExceeded` for more than an element holds, `SourceUnavailable`
    where the file changes meanwhile.
    """
    length = pdf.seek(0, SEEK_END)
    pdf.seek(0)
    if pdf.read(len(_PDF_MARK)) != _PDF_MARK:
        raise InvalidRequest("The file to be stored is not a PDF")
    if length > _LONGEST:
        raise LimitExceeded(f"The PDF has {length} bytes; an element holds {_LONGEST}")
    with quiet():
        own = _own_elements(header, document, length)
    encoded = {int(element.tag): _encode(own, element.tag, implicit=header.implicit) for element in own}
    encoded.update(header.elements)
    syntax = ImplicitVRLittleEndian if header.implicit else ExplicitVRLittleEndian
    out.write(part10_head(EncapsulatedPDFStorage, own.SOPInstanceUID, syntax))
    for tag in sorted(tag for tag in encoded if tag < _ENCAPSULATED_DOCUMENT):
        out.write(encoded[tag])
    _write_document(out, pdf, length, implicit=header.implicit)
    for tag in sorted(tag for tag in encoded if tag > _ENCAPSULATED_DOCUMENT):
        out.write(encoded[tag])
    return str(own.SOPInstanceUID)


def whole_instance(own: Dataset, header: StudyHeader) -> Outgoing:
    """A small instance of the study: what `own` says, and what `header` says of patient and study.

    `own` has its class and UIDs, and text of ASCII alone; it is written in the study's own encoding.
    """
    with quiet():
        encoded = {int(element.tag): _encode(own, element.tag, implicit=header.implicit) for element in own}
    encoded.update(header.elements)
    syntax = ImplicitVRLittleEndian if header.implicit else ExplicitVRLittleEndian
    head = part10_head(own.SOPClassUID, own.SOPInstanceUID, syntax)
    return Outgoing(
        str(own.SOPInstanceUID),
        b"".join([head, *(encoded[tag] for tag in sorted(encoded))]),
        sop_class_uid=str(own.SOPClassUID),
        transfer_syntax_uid=str(syntax),
        dataset_start=len(head),
    )


def _own_elements(header: StudyHeader, document: Document, length: int) -> Dataset:
    """All but the document itself; those of `header` take the place of the empty ones."""
    if not document.title.isascii() or len(document.title) > 64:
        raise InvalidRequest("The title of a document is at most 64 characters of ASCII")
    study, content = header.study_instance_uid, document.content
    own = Dataset()
    for keyword in REQUIRED:
        setattr(own, keyword, "")
    own.SOPClassUID = EncapsulatedPDFStorage
    own.SOPInstanceUID = document_uid(study, content, "instance")
    own.SeriesInstanceUID = document_uid(study, content, "series")
    own.SeriesNumber, own.InstanceNumber = SERIES_NUMBER, 1
    own.Modality, own.ConversionType = "DOC", "WSD"
    own.SeriesDescription = own.DocumentTitle = document.title
    own.Manufacturer, own.SoftwareVersions = MANUFACTURER, document.producer
    own.InstanceCreationDate = own.ContentDate = document.created.strftime("%Y%m%d")
    own.InstanceCreationTime = own.ContentTime = document.created.strftime("%H%M%S")
    own.AcquisitionDateTime = ""
    own.BurnedInAnnotation = "YES"
    own.ConceptNameCodeSequence = []
    own.MIMETypeOfEncapsulatedDocument = MIME_TYPE
    own.EncapsulatedDocumentLength = length
    if document.sources:
        own.SourceInstanceSequence = _references(document.sources)
    return own


def _references(sources: Sequence[Reference]) -> list[Dataset]:
    items = []
    for sop_class_uid, sop_instance_uid in sources[:MOST_SOURCES]:
        if is_valid_uid(sop_class_uid) and is_valid_uid(sop_instance_uid):
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
            items.append(item)
    return items


def _write_document(out: BinaryIO, pdf: BinaryIO, length: int, *, implicit: bool) -> None:
    """(0042,0011), padded to an even length; (0042,0015) says how much of it is the PDF."""
    group, number = _ENCAPSULATED_DOCUMENT >> 16, _ENCAPSULATED_DOCUMENT & 0xFFFF
    padding = length % 2
    vr = b"" if implicit else b"OB\0\0"
    out.write(struct.pack("<HH", group, number) + vr + struct.pack("<L", length + padding))
    pdf.seek(0)
    shutil.copyfileobj(pdf, out, _CHUNK)
    if pdf.tell() != length:
        raise SourceUnavailable("The PDF changed while it was written into an instance")
    out.write(b"\0" * padding)


def _encode(dataset: Dataset, tag: int, *, implicit: bool) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, implicit
    with quiet():
        write_data_element(stream, dataset[tag])
    return stream.getvalue()


def _as_it_stands(data: Bytes, header: int, element: Element, encoding: Encoding) -> bytes:
    """The element with its tag and length; b"" for what is written in another way and is no text."""
    value = bytes(data[element.start : element.start + element.length])
    if encoding.little_endian and (encoding.implicit or element.vr):
        return bytes(data[header : element.start]) + value
    vr = element.vr or dictionary_VR(element.tag).encode()
    if vr not in _TEXT_VRS or len(value) > _LONGEST_TEXT:
        return b""
    return struct.pack("<HH2sH", element.tag >> 16, element.tag & 0xFFFF, vr, len(value)) + value


def _stripped(data: Bytes, element: Element) -> bytes:
    return bytes(data[element.start : element.start + element.length]).strip(b" \0")
