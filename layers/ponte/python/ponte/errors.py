"""What can go wrong, as one tree.

- PonteError
    - PermanentError: a retry cannot help
        - InvalidRequest
        - StudyNotFound
        - NotDicom
        - MissingAttribute
        - InvalidAttribute
        - NotAnImage
        - UnsupportedTransferSyntax
        - CannotDecode
        - LimitExceeded
        - NothingToShow
        - UnsafeArchive
        - BadMember
        - AccessRefused
        - SourceRefused
        - DestinationRefused
    - TransientError: a retry may help
        - SourceUnavailable
        - SourceTimeout
        - BadAnswer
        - DestinationUnavailable
        - DestinationTimeout
        - StorageFull
        - SecretUnusable

Each error has a `code`, one of the closed list of reason codes, and a text that says attribute, value and
expectation. No text holds a patient's data: it may go to a log, a job row or a callback.
"""

from __future__ import annotations

from typing import ClassVar


class PonteError(Exception):
    """Root of all errors that Ponte raises on purpose."""

    default_code: ClassVar[str] = "INTERNAL"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code


class PermanentError(PonteError):
    """A retry cannot help."""


class TransientError(PonteError):
    """A retry may help."""


class InvalidRequest(PermanentError):
    """The caller asked for something that cannot be."""

    default_code = "INVALID_REQUEST"


class StudyNotFound(PermanentError):
    """The source answers, and has no such study."""

    default_code = "STUDY_NOT_FOUND"


class NotDicom(PermanentError):
    """The bytes are not a DICOM instance (PS3.10 7.1)."""

    default_code = "NOT_DICOM"


class MissingAttribute(PermanentError):
    """An attribute that the operation needs is absent or empty."""

    default_code = "CANNOT_DECODE"


class InvalidAttribute(PermanentError):
    """An attribute has a value that the standard, or the operation, does not allow."""

    default_code = "CANNOT_DECODE"


class NotAnImage(PermanentError):
    """A DICOM instance without pixels by its nature: report, presentation state, plan."""

    default_code = "NOT_AN_IMAGE"


class UnsupportedTransferSyntax(PermanentError):
    """No decoder for this transfer syntax is installed."""

    default_code = "UNSUPPORTED_SYNTAX"


class CannotDecode(PermanentError):
    """The decoder refused the pixel data."""

    default_code = "CANNOT_DECODE"


class LimitExceeded(PermanentError):
    """A limit on size, count, memory or time was reached."""

    default_code = "MEMORY"


class NothingToShow(PermanentError):
    """The study arrived, and nothing in it could be put on a page."""

    default_code = "NOT_AN_IMAGE"


class UnsafeArchive(PermanentError):
    """Nothing of the archive is read: it is damaged, or different readers would see different members."""

    default_code = "NOT_A_ZIP"


class BadMember(PermanentError):
    """A member of an archive cannot be had; the others can."""

    default_code = "ZIP_DEFLATE"


class AccessRefused(PermanentError):
    """The source, or the destination, refuses our credentials (HTTP 401 or 403)."""

    default_code = "PACS_ERROR"


class SourceRefused(PermanentError):
    """The source refuses the request itself, or sends us where we will not go."""

    default_code = "PACS_ERROR"


class DestinationRefused(PermanentError):
    """The destination refuses the request itself, or sends us where we will not go."""

    default_code = "PACS_ERROR"


class SourceUnavailable(TransientError):
    """The source cannot be reached, or answers with a server error."""

    default_code = "PACS_ERROR"


class SourceTimeout(TransientError):
    """The source did not answer in time."""

    default_code = "PACS_TIMEOUT"


class BadAnswer(TransientError):
    """The answer is cut, or is not what was asked for: a truncated multipart, a login page."""

    default_code = "PACS_ERROR"


class DestinationUnavailable(TransientError):
    """The destination cannot be reached, breaks off, or answers with a server error."""

    default_code = "PACS_ERROR"


class DestinationTimeout(TransientError):
    """The destination did not answer in time; what was sent may have been stored or not."""

    default_code = "PACS_TIMEOUT"


class StorageFull(TransientError):
    """What must be kept cannot be written: a disk or a budget is full, a folder is shut."""

    default_code = "STORAGE_FULL"


class SecretUnusable(TransientError):
    """A secret of the operator is not what it should be. Its value is never part of the text."""

    default_code = "INTERNAL"
