"""Destinations that remember what they were given, and answer as they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from ponte.destination import Outcome, Outgoing
from ponte.errors import PonteError


class Recorder:
    """Takes everything, unless `answers` has another answer for the UID: in turn, the last for good.

    An error is raised, None is no answer at all.
    """

    def __init__(self, answers: Mapping[str, list[Outcome | PonteError | None]] | None = None) -> None:
        self._answers = {uid: list(turns) for uid, turns in (answers or {}).items()}
        self.held: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.batches: list[list[Outgoing]] = []
        self.missing: PonteError | None = None

    def check(self) -> None:
        if self.missing is not None:
            raise self.missing

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        batch = list(instances)
        self.batches.append(batch)
        for instance in batch:
            uid = instance.sop_instance_uid
            self.asked[uid] += 1
            answer = self._next(uid)
            if isinstance(answer, PonteError):
                raise answer
            if answer is not None and answer.stored:
                self.held[uid] = b"".join(instance.chunks(instance.size_bytes))
            if answer is not None:
                yield answer

    def _next(self, uid: str) -> Outcome | PonteError | None:
        turns = self._answers.get(uid)
        if not turns:
            return Outcome(uid, "stored")
        return turns.pop(0) if len(turns) > 1 else turns[0]
