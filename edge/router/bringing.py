"""What comes by another way than an association, into the same queue: members of archives, and what is let go
from quarantine. It is looked at, kept and forwarded as if it had been received."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ponte.destination import Outcome, Outgoing
from ponte.errors import DestinationUnavailable, TransientError
from ponte.filemeta import part10_head
from ponte.scan import Scanner
from router.intake import KEPT_TAGS, rows_of
from router.reception import CANNOT_UNDERSTAND, DOES_NOT_MATCH, AssociationFacts

if TYPE_CHECKING:
    from router.intake import SpoolIntake
    from router.spool import Partial

_CHUNK: Final = 1 << 20
_DUPLICATE = "It was here already"
_CONFLICT = "UID_CONFLICT: another instance of the same UID is kept, with another content"


class Bringing:
    """The router's own queue as a `Destination`: `kept` is what it answers, once that is durable, and never
    that anything was sent. `facts` stand for the association that there is not."""

    def __init__(self, intake: SpoolIntake, facts: AssociationFacts) -> None:
        self._intake = intake
        self._facts = facts

    def check(self) -> None:
        """Raises `DestinationUnavailable` while no modality would be let in either."""
        why = self._intake.refuses_associations()
        if why is not None:
            raise DestinationUnavailable(f"Nothing is taken for now: {why}", code="STORAGE")

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        """See `Destination.store`."""
        for instance in instances:
            yield self._bring(instance)

    def end(self) -> None:
        """Nothing more comes: the study may become complete. Raises `TransientError`."""
        facts, now = self._facts, time.time()
        self._intake.committer.run(lambda database: database.close_association(facts.id, "released", now))

    def _bring(self, instance: Outgoing) -> Outcome:
        try:
            if self._intake.watermarks.refuses_instances():
                raise DestinationUnavailable("The disk is nearly full", code="STORAGE")
            head = part10_head(
                instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid,
                source_ae_title=self._facts.calling_ae_title,
            )  # fmt: skip
            partial = self._intake.spool.receive(head)
        except OSError as error:
            raise _not_written(error) from error
        try:
            return self._keep(instance, partial)
        except OSError as error:
            raise _not_written(error) from error
        except TransientError as error:
            raise DestinationUnavailable(error.detail, code=error.code) from error
        finally:
            partial.discard()

    def _keep(self, instance: Outgoing, partial: Partial) -> Outcome:
        """Raises `OSError`, `TransientError`."""
        uid, began, start = instance.sop_instance_uid, time.time(), partial.size_bytes
        scanner = Scanner(transfer_syntax_uid=instance.transfer_syntax_uid, keep=KEPT_TAGS)
        for chunk in instance.dataset_chunks(instance.dataset_bytes):
            partial.write(chunk)
            scanner.feed(chunk)
        verdict = scanner.finish()
        if verdict.reason is not None:
            return Outcome(uid, "refused", f"{verdict.reason}: {verdict.detail}", CANNOT_UNDERSTAND)
        if (verdict.sop_class_uid, verdict.sop_instance_uid) != (instance.sop_class_uid, uid):
            return Outcome(uid, "refused", "The dataset is not what its file meta says", DOES_NOT_MATCH)
        partial.sync()
        row, study = rows_of(verdict, partial.size_bytes, start, began)
        row = replace(row, association_id=self._facts.id, source_ae_title=self._facts.calling_ae_title)
        settlement = self._intake.committer.arrive(partial, row, study, self._facts)
        if settlement == "conflict":
            return Outcome(uid, "refused", _CONFLICT, DOES_NOT_MATCH)
        self._intake.counters.add("ponte_instances_total", settlement=settlement)
        return Outcome(uid, "kept", _DUPLICATE if settlement == "duplicate" else "")


def _not_written(error: OSError) -> DestinationUnavailable:
    return DestinationUnavailable(f"It cannot be written: errno {error.errno}", code="STORAGE")
