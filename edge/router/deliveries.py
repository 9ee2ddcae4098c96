"""From an instance that is kept to what is to be sent where; and from a destination's answer to its state."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ponte.destination import Outcome
from ponte.scan import Scanner
from router import delivery_rows
from router.committer import Committer
from router.counters import Counters
from router.database import Database
from router.delivery_rows import Candidate, Delivery, Planned, Result
from router.destinations import DicomNode, Inbox, Retries, Target
from router.rules import Facts, Matching, choose, needs_header
from router.savepoint import run_apart
from router.spool import Spool
from router.text import text_value

log = logging.getLogger(__name__)

DUPLICATES: Final = frozenset({0x0111, 0xB00E})
"""What a destination says that has an instance of this UID already (PS3.7 C.5.10, and some DICOMweb)."""
LEAST_ATTEMPTS: Final = 10
"""Before an instance is given up, however long it takes."""
_AT_A_TIME = 512
_CHARACTER_SET, _STATION_NAME, _BODY_PART = 0x00080005, 0x00081010, 0x00180015
_STUDY_DESCRIPTION, _SERIES_DESCRIPTION = 0x00081030, 0x0008103E
_HEADER_TAGS = frozenset({_CHARACTER_SET, _STATION_NAME, _BODY_PART, _STUDY_DESCRIPTION, _SERIES_DESCRIPTION})
_CHUNK = 1 << 20


class Planner:
    """Decides once for each instance which destinations it goes to. One thread's."""

    def __init__(
        self,
        committer: Committer,
        spool: Spool,
        counters: Counters,
        destinations: Sequence[Target],
        matching: Matching = "all",
    ) -> None:
        self._committer = committer
        self._spool = spool
        self._counters = counters
        self._destinations = destinations
        self._matching = matching
        self._needs_header = needs_header(destinations)

    def configure(self) -> None:
        """Make rows and configuration agree; say what is no more sent. Raises `TransientError`."""
        names = [destination.name for destination in self._destinations]
        unasked = [one.name for one in self._destinations if not asks_for_commitment(one)]
        run_apart(self._committer, lambda database: delivery_rows.ask_no_commitment(database, unasked))
        for name in run_apart(self._committer, lambda database: delivery_rows.configure(database, names)):
            extra = {"alarm": "DESTINATION_REMOVED", "destination": name}
            log.error("destination removed from the configuration with deliveries open", extra=extra)

    def step(self) -> int:
        """Decide on the next instances, and let go what waited for its study; how many instances and parts.

        Raises `TransientError`.
        """
        positions = run_apart(self._committer, delivery_rows.positions)
        if positions.keys() != {destination.name for destination in self._destinations}:
            self.configure()  # the rows were built again
            return self.step()
        if not positions:
            return 0
        after = min(positions.values())
        found = run_apart(
            self._committer, lambda database: delivery_rows.candidates(database, after, _AT_A_TIME)
        )
        if found:
            planned = [one for candidate in found for one in self._plan(candidate)]
            self._tell_unrouted(len(found) - len({one.number for one in planned}))
            up_to, now = found[-1].number, time.time()
            run_apart(
                self._committer,
                lambda database: delivery_rows.plan(database, positions, planned, up_to, now),
            )
        return len(found) + run_apart(self._committer, _release_parts)

    def _tell_unrouted(self, count: int) -> None:
        if count:
            self._counters.add("ponte_unrouted_total", count)
            extra = {"alarm": "UNROUTED", "instances": count}
            log.error("no destination wants what was received", extra=extra)

    def _plan(self, candidate: Candidate) -> list[Planned]:
        chosen = choose(self._destinations, self._facts(candidate), self._matching)
        return [
            Planned(
                candidate.number,
                candidate.sop_instance_uid,
                destination.name,
                chosen[destination.name],
                waits_for_study(destination),
                asks_for_commitment(destination),
            )
            for destination in self._destinations
            if destination.name in chosen
        ]

    def _facts(self, candidate: Candidate) -> Facts:
        header = self._header(candidate) if self._needs_header else {}

        def text(tag: int) -> str:
            return text_value(header.get(tag), header.get(_CHARACTER_SET))

        return Facts(
            calling_ae_title=candidate.calling_ae_title or "",
            called_ae_title=candidate.called_ae_title or "",
            address=candidate.address or "",
            modality=(candidate.modality or b"").decode("ascii", "replace").strip(" \0"),
            station=text(_STATION_NAME),
            body_part=text(_BODY_PART),
            description=(text(_STUDY_DESCRIPTION), text(_SERIES_DESCRIPTION)),
        )

    def _header(self, candidate: Candidate) -> Mapping[int, bytes | None]:
        """What rules read of the file; nothing where it cannot be read: a rule that asks does not fit."""
        scanner = Scanner(digest=False, keep=_HEADER_TAGS)
        try:
            with self._spool.path_of(candidate.place).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    scanner.feed(chunk)
        except OSError:
            log.warning("header not readable for rules", extra={"number": candidate.number})
            return {}
        return scanner.finish().values


def _release_parts(database: Database) -> int:
    return delivery_rows.release_parts(database, _AT_A_TIME)


def add_by_hand(database: Database, number: int, destination: Target, now: float) -> bool:
    """Have an instance sent where no rule sent it; False where it is not here, goes there already, or is to
    be decided on yet."""
    query = (
        "SELECT sop_instance_uid FROM instances WHERE number = ? AND state = 'kept'"
        " AND number <= (SELECT number FROM delivery_positions WHERE destination = ?)"
    )
    row = database.run(query, (number, destination.name)).fetchone()
    if row is None:
        return False
    waits, asks = waits_for_study(destination), asks_for_commitment(destination)
    planned = Planned(number, row[0], destination.name, destination.priority, waits, asks)
    return delivery_rows.add(database, planned, now)


def asks_for_commitment(destination: Target) -> bool:
    """True where nothing may go before the destination has committed to it."""
    return isinstance(destination, DicomNode) and destination.commitment


def waits_for_study(destination: Target) -> bool:
    """True where nothing of a study goes before a part of it is complete."""
    return isinstance(destination, Inbox) or destination.send == "study"


class Judge:
    """What a destination's answer means for the row, by its retry policy."""

    def __init__(self, retries: Retries, now: Callable[[], float] = time.time) -> None:
        self._retries = retries
        self._now = now

    def answered(self, delivery: Delivery, outcome: Outcome, *, sent_as: str | None = None) -> Result:
        """`sent` only for what the destination says it has stored; what it may take later waits, what it
        refuses for good is `refused`, for this destination alone."""
        if outcome.stored:
            return Result(
                delivery, "sent", outcome.detail, outcome.reason or 0, delivery.attempts + 1,
                sent_at=self._now(), sent_as=sent_as,
            )  # fmt: skip
        if outcome.reason in DUPLICATES and delivery.unclear:
            detail = f"{outcome.detail}; it was sent before, and the answer lost"
            return Result(delivery, "sent", detail, outcome.reason, delivery.attempts + 1,
                          sent_at=self._now(), sent_as=sent_as)  # fmt: skip
        if is_put_off(outcome):
            return self.failed(delivery, outcome.detail, outcome.reason, unclear=outcome.status == "unknown")
        return self.refused(delivery, outcome.detail, outcome.reason)

    def refused(self, delivery: Delivery, detail: str, status: int | None = None) -> Result:
        """Nothing helps but a person."""
        return Result(
            delivery, "refused", detail, status, delivery.attempts + 1, delivery.failing_since,
            delivery.unclear,
        )  # fmt: skip

    def skipped(self, delivery: Delivery) -> Result:
        """The destination says that it has an instance of this UID: it is not sent again."""
        return Result(delivery, "skipped", "It was there already", None, delivery.attempts)

    def failed(
        self, delivery: Delivery, detail: str, status: int | None = None, *, unclear: bool = True
    ) -> Result:
        """This very instance failed, and may do better later; after very long it is given up."""
        attempts, now = delivery.attempts + 1, self._now()
        since = delivery.failing_since or now
        is_over = attempts >= LEAST_ATTEMPTS and now - since >= self._retries.give_up_after_s
        return Result(
            delivery,
            "given_up" if is_over else "waiting",
            detail,
            status,
            attempts,
            since,
            int(unclear or delivery.unclear),
            now + pause_s(self._retries, attempts - 1),
        )

    def put_back(self, delivery: Delivery, *, unclear: bool) -> Result:
        """It did not come to that: it waits as before."""
        return Result(
            delivery, "waiting", "", None, delivery.attempts, delivery.failing_since,
            int(unclear or delivery.unclear),
        )  # fmt: skip


def is_put_off(outcome: Outcome) -> bool:
    """True where the same instance may be taken later."""
    return not outcome.stored and (outcome.retryable or outcome.status == "unknown")


def pause_s(retries: Retries, failures: int) -> float:
    """How long to wait after so many failures before this one: doubling, capped, spread."""
    longest = min(retries.first_s * 2 ** min(failures, 32), retries.longest_s)
    return random.uniform(longest / 2, longest)  # noqa: S311  (keeps no secret)
