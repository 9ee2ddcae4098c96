"""`DICOM_ROOT/.metadata.json`: what studies came, for people and old scripts; it outlives the images.

One object, keyed by Study Instance UID, with the keys and formats of the router that this one replaces. It
is written from the rows, whole, beside the old file, synced, and renamed over it: whoever reads finds the old
one or the new one. The folder is not synced: every start writes the file anew. JSON in ASCII, so that a
script reads it under any locale.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from ponte.errors import InvalidRequest, TransientError
from ponte.uid import is_valid_uid
from router.committer import Committer
from router.failpoint import failpoint
from router.folders import TIME_FORMAT
from router.organiser_rows import entries_after
from router.savepoint import run_apart

log = logging.getLogger(__name__)

FILE_NAME: Final = ".metadata.json"
_PARTIAL = ".metadata.json.part"
_MOST_BYTES = 512 << 20
_PAGE = 500
_SPARE_LEVELS = 50
_LEAST_INTERVAL_S = 1.0
_SHARE = 20  # of the time, one part at most goes into writing a file that has grown large
_AFTER_FAILURE_S = 5.0

Entry = dict[str, Any]


def new_entry(
    *, folder: str, study_uid: str, values: Mapping[str, str], modality: str, created_at: datetime
) -> Entry:
    """Of a study that begins. `values` are patient_id, patient_name, study_date, study_time and
    study_description, as text; `created_at` is in the time zone of the place."""
    return {
        "folder": folder,
        "patient_id": values["patient_id"],
        "patient_name": values["patient_name"],
        "study_uid": study_uid,
        "study_date": values["study_date"],
        "study_time": values["study_time"],
        "modality": modality,
        "created_at": created_at.strftime(TIME_FORMAT),
        "image_count": 0,
        "study_description": values["study_description"],
        "sent": False,
        "sent_at": None,
    }


def _deeper(found: object) -> object:
    """The same with some levels around it: what can be written can be written further down the stack too."""
    for _ in range(_SPARE_LEVELS):
        found = [found]
    return found


def dumped(entry: Entry) -> str:
    """As a row keeps it, and as it stands in the file but for the margin."""
    return json.dumps(entry, indent=2)


class MetadataFile:
    """The file. One thread writes it; any may say that there is something to write."""

    def __init__(
        self, root: Path, committer: Committer, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = root / FILE_NAME
        self._committer = committer
        self._clock = clock
        self._is_stale = True
        self._is_failing = False
        self._next_at = 0.0

    def touch(self) -> None:
        """The rows say something new."""
        self._is_stale = True

    def read(self) -> dict[str, Entry]:
        """What the file says; none is nothing. Raises `InvalidRequest` for what is no such file."""
        try:
            if self.path.stat().st_size > _MOST_BYTES:
                raise InvalidRequest(f"{FILE_NAME} has more than {_MOST_BYTES} bytes")
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
            json.dumps(_deeper(found), indent=2)  # what can be read may be too deep to be written
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{FILE_NAME} is no JSON") from error
        if not isinstance(found, dict) or not all(
            is_valid_uid(study_uid) and isinstance(entry, dict) for study_uid, entry in found.items()
        ):
            raise InvalidRequest(f"{FILE_NAME} does not have an object for each Study Instance UID")
        return found

    def set_aside(self) -> None:
        """Give a file that cannot be read another name: somebody may still find in it what they need."""
        self.path.rename(self.path.with_name(f"{FILE_NAME}.damaged-{time.time_ns():016x}"))

    def write_if_due(self) -> bool:
        """Write it where there is news, and long enough after the last time. False where it was to be written
        and could not be, which is tried again."""
        began = self._clock()
        if not self._is_stale or began < self._next_at:
            return True
        self._is_stale = False
        try:
            self._write()
        except (OSError, TransientError) as error:
            self._is_stale = True
            self._next_at = self._clock() + _AFTER_FAILURE_S
            if not self._is_failing:
                why = error.code if isinstance(error, TransientError) else f"errno {error.errno}"
                log.error("metadata not written", extra={"alarm": "METADATA_NOT_WRITTEN", "code": why})
            self._is_failing = True
            return False
        if self._is_failing:
            log.info("metadata written again")
        self._is_failing = False
        now = self._clock()
        self._next_at = now + max(_LEAST_INTERVAL_S, _SHARE * (now - began))
        return True

    def _write(self) -> None:
        partial = self.path.with_name(_PARTIAL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(partial, flags, 0o600), "w", encoding="ascii") as stream:
                for piece in self._pieces():
                    stream.write(piece)
                stream.flush()
                failpoint("metadata-written")
                os.fsync(stream.fileno())
            failpoint("metadata-synced")
            partial.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        failpoint("metadata-renamed")

    def _pieces(self) -> Iterator[str]:
        """The same as `json.dumps(..., indent=2)`, a page of rows at a time."""
        before = "{\n  "
        for page in self._pages():
            for study_uid, entry in page:
                yield f"{before}{json.dumps(study_uid)}: {entry.replace('\n', '\n  ')}"
                before = ",\n  "
        yield "{}" if before.startswith("{") else "\n}"

    def _pages(self) -> Iterator[list[tuple[str, str]]]:
        """Entries in the order of their studies' UIDs; a study without an entry is passed over."""
        last = ""
        while page := run_apart(self._committer, lambda database: entries_after(database, last, _PAGE)):  # noqa: B023
            yield [(study_uid, entry) for study_uid, entry in page if entry]
            last = page[-1][0]
