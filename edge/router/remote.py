"""The intake of an association that a carrier serves: files are the carrier's, rows the first process's.

What is durable is said by that process alone. Where its channel breaks nobody knows, so nothing is a success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ponte.quarantine import Quarantine
from router.access import Slot
from router.channel import Channel, ChannelBroken
from router.committer import NotCommitted, Settlement
from router.counters import Counters
from router.database import Instance, Study
from router.intake import DiskLimits, SpoolIntake
from router.messages import (
    Answer,
    Arrived,
    Associates,
    Closed,
    CommitmentAsked,
    CommitmentReported,
    Opened,
    Quarantined,
    Question,
    Refuses,
    Settled,
)
from router.reception import PROCESSING_FAILURE, AssociationFacts, Ending, Referenced
from router.spool import Partial, Spool


class RemoteCommitter:
    """The committer of another process, for one association. It is a `Keeper`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def arrive(
        self, partial: Partial, instance: Instance, study: Study, facts: AssociationFacts
    ) -> Settlement:
        """See `Committer.arrive`. Raises `NotCommitted`, where nobody knows as well."""
        found = self._ask(Arrived(partial.path.name, instance, study, facts))
        if not isinstance(found, Settled):
            raise NotCommitted("What was answered is no settlement")
        partial.place = found.place
        return found.settlement

    def close_association(self, association_id: str, how: Ending, ended_at: float) -> None:
        """See `Committer.close_association`."""
        self._ask(Closed(association_id, how, ended_at))

    def note_quarantined(self, row: Sequence[object]) -> None:
        """See `Committer.note_quarantined`."""
        self._ask(Quarantined(row))

    def _ask(self, question: Question) -> Any:
        try:
            answer = self._channel.ask(question)
        except ChannelBroken as error:
            raise NotCommitted(f"The committer is gone: {error}") from error
        if not isinstance(answer, Answer):
            raise NotCommitted(answer.detail)
        return answer.value


class RemoteIntake(SpoolIntake):
    """What the rows decide, and what goes for all carriers together, is asked for."""

    def __init__(
        self, channel: Channel, spool: Spool, quarantine: Quarantine, counters: Counters, limits: DiskLimits
    ) -> None:
        super().__init__(
            spool, RemoteCommitter(channel), quarantine, NoCommitments(), counters, limits=limits
        )
        self._channel = channel

    def refuses_associations(self) -> str | None:
        """See `Intake`. Who cannot be asked is about to end."""
        found = self._asked(Refuses(), "stopping")
        return None if found is None else str(found)

    def association_opened(self, facts: AssociationFacts) -> None:
        """See `Intake`."""
        super().association_opened(facts)
        self._asked(Opened(facts), None)

    def commitment_asked(
        self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]
    ) -> int:
        """See `Intake`."""
        question = CommitmentAsked(facts, transaction_uid, references)
        return int(self._asked(question, PROCESSING_FAILURE))

    def commitment_reported(
        self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]
    ) -> int:
        """See `Intake`."""
        question = CommitmentReported(transaction_uid, committed, list(failed.items()))
        return int(self._asked(question, PROCESSING_FAILURE))

    def _asked(self, question: Question, otherwise: object) -> Any:
        try:
            answer = self._channel.ask(question)
        except ChannelBroken:
            return otherwise
        return answer.value if isinstance(answer, Answer) else otherwise


class RemotePlace:
    """The place of one connection among those of all carriers. It is the `Places` of that one alone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def associate(self, slot: Slot) -> bool:
        """See `Places`."""
        try:
            answer = self._channel.ask(Associates())
        except ChannelBroken:
            return False
        slot.is_associated = isinstance(answer, Answer) and answer.value is True
        return slot.is_associated

    def give_back(self, slot: Slot) -> None:
        """See `Places`: the end of the channel says it."""
        del slot
        self._channel.close()
