"""Where carriers ask: one thread takes what waits on all their channels, and commits it together.

So instances that arrive in several processes share a commit as those of one process do, and the order stays:
synced by the carrier, renamed, listed and committed here, and only then answered (PS3.4 B.2.3).
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ponte.errors import TransientError
from router.access import Slot, Slots
from router.channel import Channel, ChannelBroken
from router.committer import Arrival, Change
from router.database import Database
from router.intake import SpoolIntake
from router.messages import (
    Answer,
    Arrived,
    Associates,
    Closed,
    CommitmentAsked,
    CommitmentReported,
    Failed,
    Opened,
    Quarantined,
    Refuses,
    Settled,
)
from router.reception import AssociationFacts
from router.spool import Incoming

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Seat:
    """A connection that a carrier serves. `mark` ends the names of that carrier's files; `left` is called
    when the connection is over; `facts` are there while it is an association."""

    slot: Slot
    channel: Channel
    mark: str
    left: Callable[[], None]
    facts: AssociationFacts | None = field(default=None, init=False)


class Desk:
    """`seat` is for any thread, `serve` for one."""

    def __init__(self, intake: SpoolIntake, slots: Slots) -> None:
        self._intake = intake
        self._slots = slots
        self._ready = select.epoll()
        self._seats: dict[int, Seat] = {}
        self._others: dict[int, Callable[[], None]] = {}

    def seat(self, seat: Seat) -> None:
        """Hear what is asked for this connection from now on."""
        file = seat.channel.fileno()
        self._seats[file] = seat
        self._ready.register(file, select.EPOLLIN)

    def watch(self, file: int, call: Callable[[], None]) -> None:
        """Call this whenever there is something to read."""
        self._others[file] = call
        self._ready.register(file, select.EPOLLIN)

    def forget(self, file: int) -> None:
        """Wait for it no more; to be called before it is closed."""
        self._ready.unregister(file)
        self._seats.pop(file, None)
        self._others.pop(file, None)

    def close(self) -> None:
        """Hear nobody any more."""
        for seat in list(self._seats.values()):
            self._leave(seat)
        self._ready.close()

    def serve(self, timeout_s: float) -> None:
        """Answer all that is asked now; wait for so long where nothing is."""
        ready = [file for file, _ in self._ready.poll(timeout_s)]
        self._answer([self._seats[file] for file in ready if file in self._seats])
        for file in ready:
            if file in self._others:
                self._others[file]()

    def _answer(self, seats: Sequence[Seat]) -> None:
        asked: list[tuple[Seat, Change | Answer | Failed]] = []
        for seat in seats:
            try:
                question = seat.channel.heard()
                if question is not None:
                    asked.append((seat, self._begun(seat, question)))
            except ChannelBroken:
                self._leave(seat)
            except Exception as error:  # noqa: BLE001  whoever asked, others wait for their answers
                log.error("question failed", extra={"code": type(error).__name__})
                self._leave(seat)
        self._intake.committer.run_all([found for _, found in asked if isinstance(found, Change)])
        for seat, found in asked:
            try:
                seat.channel.say(self._answer_of(found) if isinstance(found, Change) else found)
            except ChannelBroken:
                self._leave(seat)

    def _begun(self, seat: Seat, question: Any) -> Change | Answer | Failed:
        """The answer, or what has to be committed before there is one. Raises `ChannelBroken`."""
        match question:
            case Arrived():
                return self._arrival(seat, question)
            case Quarantined():
                row, study, facts = question.row, question.study_instance_uid, question.facts
                return Change(lambda database: database.note_quarantined(row, study, facts))
            case Closed():
                seat.facts = None
                self._intake.live.closed(question.association_id)
                return Change(_closing(question))
            case Associates():
                return Answer(self._associate(seat))
            case Refuses():
                return Answer(self._intake.refuses_associations())
            case Opened():
                seat.facts = question.facts
                self._intake.live.opened(question.facts)
                return Answer()
            case CommitmentAsked() | CommitmentReported():
                return self._commitment(question)
        raise ChannelBroken("What came is no question")

    def _arrival(self, seat: Seat, arrived: Arrived) -> Arrival:
        name = arrived.name
        if Path(name).name != name or not name.endswith(seat.mark):
            raise ChannelBroken("A file that is not this carrier's")
        partial = Incoming(self._intake.spool.incoming / name)
        instance, study, facts = arrived.instance, arrived.study, arrived.facts
        return Arrival(_nothing, partial=partial, instance=instance, study=study, facts=facts)

    def _associate(self, seat: Seat) -> bool:
        """From now on nobody else ends the connection: our copy of it would keep it open."""
        has_place = self._slots.associate(seat.slot)
        if has_place:
            seat.slot.connection.close()
        return has_place

    def _commitment(self, question: CommitmentAsked | CommitmentReported) -> Answer | Failed:
        """Committed by those whose it is."""
        try:
            if isinstance(question, CommitmentAsked):
                facts, references = question.facts, question.references
                return Answer(self._intake.commitments.ask(facts, question.transaction_uid, references))
            committed, failed = question.committed, dict(question.failed)
            reports = self._intake.reports
            known = reports is not None and reports.reported(question.transaction_uid, committed, failed)
            return Answer(known)
        except TransientError as error:
            log.error("commitment not kept", extra={"code": error.code})
            return Failed()

    def _answer_of(self, change: Change) -> Answer | Failed:
        if not change.committed:
            return Failed()
        if not isinstance(change, Arrival):
            return Answer()
        self._intake.live.stored(change.facts.id, change.instance.size_bytes)
        return Answer(Settled(change.settlement, change.partial.place))

    def _leave(self, seat: Seat) -> None:
        """The connection is over; a carrier that was killed did not say so."""
        self.forget(seat.channel.fileno())
        seat.channel.close()
        self._slots.give_back(seat.slot)  # first: who makes room must not end another connection
        seat.slot.connection.close()
        if seat.facts is not None:
            self._intake.association_closed(seat.facts, "lost")
        seat.left()


def _closing(closed: Closed) -> Callable[[Database], object]:
    return lambda database: database.close_association(closed.association_id, closed.how, closed.ended_at)


def _nothing(_: Database) -> None:
    pass
