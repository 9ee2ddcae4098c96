"""Whether a destination has what it said it took: counted there, not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.catalogue import Catalogue
from router.committer import Committer
from router.database import Database
from router.savepoint import run_apart

_CONFIRMED = """
    SELECT coalesce(d.sent_as, i.sop_instance_uid), i.number FROM instances i
    JOIN deliveries d ON d.number = i.number AND d.destination = ?
    WHERE i.study_instance_uid = ? AND d.state IN ('sent', 'committed')
"""
_OPEN = """
    SELECT count(*) FROM instances i JOIN deliveries d ON d.number = i.number AND d.destination = ?
    WHERE i.study_instance_uid = ? AND d.state NOT IN ('sent', 'committed', 'skipped')
"""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A study at a destination. `confirmed` is what it said it took, `arrived` what of that it has;
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
    committer: Committer, catalogue: Catalogue, destination: str, study_instance_uid: str
) -> Reconciliation:
    """Ask the destination what it has of a study. Raises `PonteError` where it does not say."""

    def read(database: Database) -> tuple[list[tuple[str, int]], int]:
        values = (destination, study_instance_uid)
        (count,) = database.run(_OPEN, values).fetchone()
        return database.run(_CONFIRMED, values).fetchall(), count

    confirmed, still_open = run_apart(committer, read)
    there = catalogue.instances(study_instance_uid) if confirmed else set()
    missing = tuple(number for uid, number in confirmed if uid not in there)
    arrived = len(confirmed) - len(missing)
    return Reconciliation(destination, study_instance_uid, len(confirmed), arrived, still_open, missing)


def resend(committer: Committer, destination: str, numbers: Sequence[int]) -> int:
    """Let what is missing there wait again; how many of them are still here to be sent."""

    def apply(database: Database) -> int:
        return sum(
            database.run(
                "UPDATE deliveries SET state = 'waiting', attempts = 0, failing_since = NULL, next_at = 0,"
                " unclear = 0, transaction_uid = NULL, detail = 'It was missing there'"
                " WHERE number = ? AND destination = ? AND state IN ('sent', 'committed')"
                " AND (SELECT state FROM instances i WHERE i.number = deliveries.number) = 'kept'",
                (number, destination),
            ).rowcount
            for number in numbers
        )

    return run_apart(committer, apply)
