"""A batch of members brought to its end: claimed, sent, answered, confirmed or kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ponte.dedup import Finding, LedgerBusy
from ponte.destination import Destination, Outcome
from ponte.errors import PermanentError
from ponte.ingesting.claims import Claims
from ponte.ingesting.entry import NOT_SENT, SKIPPED, DestinationAnswer, Entry, Word
from ponte.ingesting.reading import Item
from ponte.ingesting.route import Route
from ponte.ingesting.sending import Sending, deliver, prepare
from ponte.ingesting.spool import chunks
from ponte.quarantine import QuarantineRecord

DESTINATION_REFUSED: Final = "DESTINATION_REFUSED"
_LONGEST_PAUSE_S = 5.0
_BEFORE = DestinationAnswer("stored", "Confirmed before an interruption")
_CONFLICT = "The UID is known, with another content"


class Settler:
    """Settles the batches of one archive, one after the other."""

    def __init__(self, route: Route, identity: str) -> None:
        self._route = route
        self._identity = identity
        self._claims = Claims(route.ledger, identity)
        self._entries: dict[str, Entry] = {}

    def settle(self, items: Sequence[Item]) -> tuple[Entry, ...]:
        """What became of them, in their order. Raises as `ponte.ingest.ingest`; then no claim is left."""
        self._entries = {}
        try:
            for item in items:
                if not item.verdict.accepted:
                    self._put_aside(item, item.verdict.reason or "", item.verdict.detail)
            self._bring([item for item in items if item.verdict.accepted])
        finally:
            self._claims.settle()
        return tuple(self._entries[item.place] for item in items)

    def _bring(self, items: Sequence[Item]) -> None:
        """Send what is ours to send. What somebody else has in hand is asked for again, for a while."""
        limits, waited, pause = self._route.limits, 0.0, self._route.limits.backoff_s
        while items:
            ready, items = self._claim(items)
            if ready:
                self._send(ready)
            elif items and waited >= limits.pending_s:
                raise LedgerBusy(
                    f"Another run has {len(items)} of the instances, and does not come to an end"
                )
            elif items:
                self._route.sleep(pause)
                waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE_S)

    def _claim(self, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """Those to send now, and those to ask for again; all others are settled."""
        ready: list[Item] = []
        later: list[Item] = []
        for item, claim in zip(items, self._claims.ask(items), strict=True):
            match claim.finding:
                case Finding.NEW:
                    ready.append(item)
                case Finding.PENDING:
                    later.append(item)
                case Finding.CONFLICT:
                    self._put_aside(item, "UID_CONFLICT", _CONFLICT)
                case Finding.DONE:
                    self._note(item, "accepted", destination=_BEFORE)
                case Finding.DUPLICATE:
                    detail = _CONFLICT if claim.other_digest else ""
                    self._note(item, "duplicate", detail=detail, other_content=claim.other_digest)
        return ready, later

    def _send(self, items: Sequence[Item]) -> None:
        if self._route.destination is None:
            for item in items:
                self._claims.arrived(item)
                self._note(item, "accepted")
        else:
            self._deliver(items, self._route.destination)
        self._claims.settle()

    def _deliver(self, items: Sequence[Item], destination: Destination) -> None:
        sendings = []
        for item in items:
            try:
                sendings.append(prepare(item, self._route.transform))
            except PermanentError as error:
                self._put_aside(item, error.code, error.detail)
        answers = deliver(sendings, destination, self._route, self._claims.arrived)
        for sending in sendings:
            self._conclude(sending, answers[sending.item.place])

    def _conclude(self, sending: Sending, outcome: Outcome) -> None:
        if outcome.status in ("stored", "stored_with_warning", "kept"):
            self._note(
                sending.item,
                "accepted",
                destination=DestinationAnswer(outcome.status, outcome.detail, outcome.reason),
                received_sha256=sending.received_sha256,
                sent_sha256=sending.sent_sha256,
            )
        else:
            answer = DestinationAnswer("refused", outcome.detail, outcome.reason)
            self._put_aside(sending.item, DESTINATION_REFUSED, outcome.detail, answer)

    def _put_aside(self, item: Item, reason: str, detail: str, answer: DestinationAnswer = NOT_SENT) -> None:
        """Passed over where there is nothing worth keeping, else kept in quarantine."""
        if reason in SKIPPED:
            self._note(item, "skipped", reason=reason, detail=detail)
            return
        kept, quarantine = None, self._route.quarantine
        if quarantine is not None and self._route.destination is not None:
            content = item.content
            kept = quarantine.keep(
                self._record(item, reason, detail), None if content is None else chunks(content)
            )
        self._note(item, "quarantined", reason=reason, detail=detail, destination=answer, quarantine_id=kept)

    def _record(self, item: Item, reason: str, detail: str) -> QuarantineRecord:
        verdict = item.verdict
        return QuarantineRecord(
            reason,
            detail,
            name=item.name,
            origin=self._identity,
            place=item.place,
            complete=item.complete,
            notes=verdict.notes,
            sop_class_uid=verdict.sop_class_uid,
            sop_instance_uid=verdict.sop_instance_uid,
            transfer_syntax_uid=verdict.transfer_syntax_uid,
            sha256=verdict.sha256,
        )

    def _note(
        self, item: Item, word: Word, *, reason: str | None = None, detail: str = "", **more: Any
    ) -> None:
        """The entry of a member; `more` are further fields of `Entry`."""
        verdict = item.verdict
        self._entries[item.place] = Entry(
            ordinal=item.ordinal,
            place=item.place,
            name=item.name,
            verdict=word,
            reason=reason,
            detail=detail,
            notes=verdict.notes,
            size_bytes=item.spool.size_bytes,
            sha256=verdict.sha256,
            sop_class_uid=verdict.sop_class_uid,
            sop_instance_uid=verdict.sop_instance_uid,
            transfer_syntax_uid=verdict.transfer_syntax_uid,
            values=verdict.values,
            **more,
        )
