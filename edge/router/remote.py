"""The intake of an association that a carrier serves: files are the carrier's, rows the first process's.

What is durable is said by that process alone. Where its channel breaks nobody knows, so nothing is a success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ponte.quarantine import Quarantine
from router.access import Slot
from router.channel import Channel, ChannelBroken
from router.committer import NotCommitted, Settlement
from router.counters import Counters
from router.database import Instance, Study
from router.intake import DiskLimits, FileIntake
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
from router.reception import AssociationFacts, Ending, Referenced
from router.spool import Partial, Spool


class Remote:
    """The committer of another process and what goes with it, for one association: it is the `Keeper`, the
    `Commitments` and the `Reports` of its intake."""

    is_well = True
    """Whether anything can be committed is asked with all else that may refuse associations."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def arrive(
        self, partial: Partial, instance: Instance, study: Study, facts: AssociationFacts
    ) -> Settlement:
        """See `Committer.arrive`. Raises `NotCommitted`, where nobody knows as well."""
        found = self.ask_for(Arrived(partial.path.name, instance, study, facts))
        if not isinstance(found, Settled):
            raise NotCommitted("What was answered is no settlement")
        partial.place = found.place
        return found.settlement

    def close_association(self, association_id: str, how: Ending, ended_at: float) -> None:
        """See `Committer.close_association`."""
        self.ask_for(Closed(association_id, how, ended_at))

    def note_quarantined(
        self, row: Sequence[object], study_instance_uid: str, facts: AssociationFacts
    ) -> None:
        """See `Committer.note_quarantined`."""
        self.ask_for(Quarantined(row, study_instance_uid, facts))

    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        """See `Commitments`. Raises `NotCommitted`."""
        return int(self.ask_for(CommitmentAsked(facts, transaction_uid, references)))

    def reported(self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]) -> bool:
        """See `Reports`. Raises `NotCommitted`."""
        return bool(self.ask_for(CommitmentReported(transaction_uid, committed, list(failed.items()))))

    def ask_for(self, question: Question) -> Any:
        """What the first process says. Raises `NotCommitted`, where it says nothing any more as well."""
        try:
            answer = self._channel.ask(question)
        except ChannelBroken as error:
            raise NotCommitted(f"The committer is gone: {error}") from error
        if not isinstance(answer, Answer):
            raise NotCommitted("The committer could not do it")
        return answer.value


class RemoteIntake(FileIntake[Remote]):
    """What goes for all carriers together is asked for."""

    def __init__(
        self, channel: Channel, spool: Spool, quarantine: Quarantine, counters: Counters, limits: DiskLimits
    ) -> None:
        self._remote = Remote(channel)
        super().__init__(spool, self._remote, quarantine, self._remote, counters, limits=limits)
        self.reports = self._remote

    def refuses_associations(self) -> str | None:
        """See `Intake`. Who cannot be asked is about to end."""
        try:
            found = self._remote.ask_for(Refuses())
        except NotCommitted:
            return "stopping"
        return None if found is None else str(found)

    def association_opened(self, facts: AssociationFacts) -> None:
        """See `Intake`."""
        super().association_opened(facts)
        with suppress(NotCommitted):
            self._remote.ask_for(Opened(facts))


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
