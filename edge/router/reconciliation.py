"""Whether a destination has what it said it took: counted there, not here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ponte.errors import InvalidRequest, TransientError
from router import controlclient
from router.catalogue import Catalogue
from router.controlclient import NotRunning
from router.database import FILE_NAME, Database
from router.delivery_rows import DISMISSED
from router.spool import Spool
from router.startup import SpoolLock
from router.views import Views


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A study at a destination. `confirmed` is what it said it has, `arrived` what of that it has;
    `missing` are numbers of instances. `open` were not confirmed yet."""

    destination: str
    study_instance_uid: str
    confirmed: int
    arrived: int
    open: int
    missing: tuple[int, ...]

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.open

    @property
    def words(self) -> str:
        """`172 of 180 arrived`: of all that is to be there."""
        return f"{self.arrived} of {self.confirmed + self.open} arrived"


def reconcile(
    views: Views, catalogue: Catalogue, destination: str, study_instance_uid: str
) -> Reconciliation:
    """Ask the destination what it has of a study. Raises `PonteError` where it does not say."""
    expected = views.expected(study_instance_uid, destination)
    confirmed = {uid: number for uid, number, is_confirmed in expected if is_confirmed}
    still_open = {uid for uid, _, is_confirmed in expected if not is_confirmed} - confirmed.keys()
    there = catalogue.instances(study_instance_uid) if confirmed else set()
    missing = tuple(sorted(number for uid, number in confirmed.items() if uid not in there))
    arrived = len(confirmed) - len(missing)
    return Reconciliation(destination, study_instance_uid, len(confirmed), arrived, len(still_open), missing)


def send_again(root: Path, destination: str, numbers: Sequence[int]) -> int:
    """Let what is missing there go once more: told to the router that runs, or written where none does; how
    many of them are still here to be sent.

    Raises `InvalidRequest`, `Refused`, and `TransientError` where a router runs and cannot be asked.
    """
    spool = Spool(root)
    try:
        lock = SpoolLock(spool)
    except InvalidRequest:
        return sum(_asked(root, destination, number) for number in numbers)
    try:
        with closing(Database(spool.folder / FILE_NAME)) as database:
            database.begin()
            found = resend(database, destination, numbers)
            database.commit()
            return found
    finally:
        lock.release()


def _asked(root: Path, destination: str, number: int) -> int:
    try:
        answer = controlclient.call(root, "resend", number=number, destination=destination)
    except NotRunning as error:
        raise TransientError(
            "A router runs on this DICOM_ROOT and does not answer; expected one of this version: try again,"
            " or stop it first",
            code="NOT_ASKED",
        ) from error
    return int(answer.get("resent", 0))


def resend(database: Database, destination: str, numbers: Sequence[int]) -> int:
    """Let them wait again, and stay until they are sent; how many of them are still here."""
    found = 0
    for number in numbers:
        found += database.run(
            "UPDATE deliveries SET state = 'waiting', attempts = 0, failing_since = NULL, next_at = 0,"
            " unclear = 0, transaction_uid = NULL, detail = 'It was missing there', planned_at = ?"
            " WHERE number = ? AND destination = ? AND state IN ('sent', 'committed', 'skipped')"
            " AND detail <> ? AND EXISTS (SELECT 1 FROM instances i"
            " WHERE i.number = deliveries.number AND i.state = 'kept')",
            (time.time(), number, destination, DISMISSED),
        ).rowcount
        database.run("UPDATE organised SET confirmed_at = NULL WHERE number = ?", (number,))
    return found
