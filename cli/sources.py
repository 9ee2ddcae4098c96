"""What the word SOURCE on the command line means: a DICOMweb address, a folder, a ZIP or another file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ponte.errors import InvalidRequest, StudyNotFound
from ponte.source import Source
from ponte.uid import is_valid_uid

if TYPE_CHECKING:
    from ponte.dicomweb import Credentials

_SCHEMES = ("http://", "https://")
_STUDIES = "/studies/"
_HEAD = 4096  # bytes that tell a ZIP


class ListedSource(Source, Protocol):
    """A source that can say which studies it has."""

    def studies(self) -> Mapping[str, int]:
        """Number of instances by Study Instance UID."""
        ...


def split_study(address: str) -> tuple[str, str | None]:
    """`https://host/dicom-web/studies/1.2` is the root `https://host/dicom-web` and the study `1.2`."""
    root, found, rest = address.rstrip("/").rpartition(_STUDIES)
    return (root, rest) if found and is_valid_uid(rest) else (address, None)


def is_address(source: str) -> bool:
    """True for what is fetched over the network."""
    return source.startswith(_SCHEMES)


def open_source(source: str, auth_file: Path | None) -> tuple[ListedSource, str | None]:
    """The source, and the study that its address names. Raises `InvalidRequest`."""
    if is_address(source):
        return _open_dicomweb(source, auth_file)
    if auth_file is not None:
        raise InvalidRequest("--auth-file is for a DICOMweb address; the source is a folder or a file")
    path = Path(source)
    if not path.exists():
        raise InvalidRequest(f"{source} does not exist; expected a folder, a file or a DICOMweb address")
    return _open_path(path), None


def _open_path(path: Path) -> ListedSource:
    """A folder, a ZIP by its name or its content, or any other file."""
    from ponte.archive import is_archive
    from ponte.folder import FolderSource
    from ponte.zipsource import ZipSource

    if path.is_file():
        with path.open("rb") as stream:
            if path.suffix.lower() == ".zip" or is_archive(stream.read(_HEAD)):
                return ZipSource(path)
    return FolderSource(path)


def _open_dicomweb(address: str, auth_file: Path | None) -> tuple[ListedSource, str | None]:
    from ponte.dicomweb import DicomWebSource

    root, study = split_study(address)
    return DicomWebSource(root, credentials=read_credentials(auth_file)), study


def read_credentials(auth_file: Path | None) -> Credentials | None:
    """Those of the file, where there is one. Raises `InvalidRequest`."""
    from ponte.dicomweb import Credentials

    return Credentials.from_json(_read_json(auth_file)) if auth_file is not None else None


def _read_json(path: Path) -> Mapping[str, object]:
    """Raises `InvalidRequest`, which never quotes the file: it holds a secret."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidRequest(f"{path} is not JSON") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} does not hold a JSON object")
    return value


def choose_study(source: ListedSource, wanted: str | None) -> str:
    """The study asked for, or the only one there is. Raises `SeveralStudies`, `StudyNotFound`."""
    if wanted is not None:
        return wanted
    studies = source.studies()
    if not studies:
        raise StudyNotFound("the source has no study")
    if len(studies) > 1:
        listed = "".join(f"\n  {uid}  ({count} instances)" for uid, count in sorted(studies.items()))
        raise SeveralStudies(f"{len(studies)} studies: choose one with --study{listed}")
    return next(iter(studies))


class SeveralStudies(InvalidRequest):
    """The source has more than one study, and none was named. The text lists them, one a line."""
