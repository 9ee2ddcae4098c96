"""`ponte render --store`: the PDF goes back to the PACS, as an instance of the study that it shows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.sources import is_address, read_credentials, split_study
from ponte.destination import Outgoing
from ponte.encapsulated import Document, StudyHeader, document_uid, patient_id, write_encapsulated_pdf
from ponte.errors import InvalidRequest, PonteError
from ponte.source import Fetched, Source
from ponte.stow import StowDestination
from render.options import RenderOptions
from render.report import RenderReport
from render.version import PRODUCT

SOURCE: Final = "source"
_TITLES: Final = {"pt-BR": "Imagens do exame", "en": "Images of the study"}
_SENTENCES: Final = {"stored": "stored as {}", "stored_with_warning": "stored with a warning as {}"}


@dataclass(frozen=True, slots=True)
class Filed:
    """What became of the PDF. `status` is that of an `Outcome`, or `failed`: nothing was answered."""

    sop_instance_uid: str
    status: str
    detail: str = ""

    @property
    def stored(self) -> bool:
        return self.status in _SENTENCES

    @property
    def sentence(self) -> str:
        said = _SENTENCES.get(self.status, f"NOT stored ({self.status})").format(self.sop_instance_uid)
        return f"{said}: {self.detail}" if self.detail else said


def open_filing(
    store: str | None,
    source: str,
    auth_file: Path | None,
    store_auth_file: Path | None,
    options: RenderOptions,
) -> Filing | None:
    """What `--store` asks for, if anything. Raises `InvalidRequest`, before anything is rendered."""
    if store is None:
        if store_auth_file is not None:
            raise InvalidRequest("--store-auth-file is for --store, which is not given")
        return None
    if options.anonymize:
        raise InvalidRequest(
            "--store and --anonymize exclude each other: an anonymous PDF must not be filed under the patient"
        )
    address = source if store == SOURCE else store
    if not is_address(address):
        raise InvalidRequest("--store is a DICOMweb address, or `source` where the study comes from one")
    if store == SOURCE and store_auth_file is not None:
        raise InvalidRequest("--store source uses --auth-file; --store-auth-file is for another address")
    root, _ = split_study(address)
    credentials = read_credentials(auth_file if store == SOURCE else store_auth_file)
    return Filing(StowDestination(root, credentials=credentials), _TITLES[options.language])


class Filing:
    """Watches a study go by, and files its PDF."""

    def __init__(self, destination: StowDestination, title: str) -> None:
        self._destination = destination
        self._title = title
        self._header: StudyHeader | None = None
        self._patients: set[bytes] = set()

    def watch(self, source: Source) -> Source:
        """The same source; what its instances say of patient and study is kept on the way."""
        return _Watched(source, self)

    def see(self, fetched: Fetched, study_instance_uid: str) -> None:
        """Keep what the PDF is filed under, if this is of the study asked for.

        What cannot be read has its own word in the report.
        """
        try:
            data = fetched.read()
            self._patients.add(patient_id(data))
            if self._header is None:
                header = StudyHeader.read(data)
                self._header = header if header.study_instance_uid == study_instance_uid else None
        except PonteError:
            return

    def file(self, pdf: Path, report: RenderReport) -> Filed:
        """Store the PDF, which is whole, and say what became of it; no server can make this raise."""
        header = self._header
        if header is None:
            return Filed("", "failed", "No instance says which study the PDF belongs to")
        if len(self._patients - {b""}) > 1:
            return Filed("", "failed", "The study's instances do not agree on Patient ID (0010,0020)")
        created = datetime.now(UTC).astimezone()
        document = Document(report.content, self._title, created, PRODUCT, report.sources)
        uid = document_uid(header.study_instance_uid, report.content, "instance")
        try:
            return self._send(pdf, header, document)
        except PonteError as error:
            return Filed(uid, "failed", f"{error.code}: {error.detail}")
        except OSError as error:
            return Filed(uid, "failed", f"The instance cannot be written: {error.strerror}")

    def _send(self, pdf: Path, header: StudyHeader, document: Document) -> Filed:
        """By way of a file beside the PDF: a folder for temporary files may be memory."""
        with pdf.open("rb") as stream, tempfile.TemporaryFile(dir=pdf.parent) as instance:
            uid = write_encapsulated_pdf(instance, stream, header, document)
            (outcome,) = self._destination.store([Outgoing(uid, instance)])
        return Filed(outcome.sop_instance_uid, outcome.status, outcome.detail)


class _Watched:
    """A source whose instances are seen on their way."""

    def __init__(self, source: Source, filing: Filing) -> None:
        self._source = source
        self._filing = filing

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        for fetched in self._source.instances(study_instance_uid):
            self._filing.see(fetched, study_instance_uid)
            yield fetched
            del fetched
