"""Steps: what was looked at, what was found, and what to do about it; run side by side, each within its time.

What is found is a phrase in two languages (`doctor.words`), so that the command line, the page and the
support bundle say the same. A step that hangs is left behind: it holds up neither the next one nor another
peer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Final, Literal

from doctor.words import LANGUAGES, Phrase, say

State = Literal["ok", "warning", "failed", "skipped"]
Kind = Literal["machine", "modality", "destination"]

SIDE_BY_SIDE: Final = 8
LONGEST_S: Final = 30.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """Of a table: cells as they are, and whether it is as it should be."""

    cells: tuple[str, ...]
    state: State = "ok"


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` are keys of `doctor.words`; cells may be such keys too, else they are shown as they are."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a check came to."""

    state: State
    said: tuple[Phrase, ...]
    advice: tuple[Phrase, ...] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at. It is skipped where one of those that it `needs` did not go well."""

    name: str
    run: Callable[[], Found]
    needs: tuple[str, ...] = ()
    limit_s: float = LONGEST_S


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom it is about: this machine, a modality or a destination. `detail` is its address in one line."""

    kind: Kind
    name: str
    detail: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A check that was done, or not."""

    subject: Subject
    name: str
    found: Found
    seconds: float

    def shown(self) -> dict[str, Any]:
        """As plain values, in every language."""
        found = self.found
        return {
            "name": self.name,
            "state": found.state,
            "seconds": round(self.seconds, 3),
            "title": {one: say(f"step.{self.name}", one) for one in LANGUAGES},
            "found": {one: words(found.said, one) for one in LANGUAGES},
            "advice": {one: words(found.advice, one) for one in LANGUAGES},
            "table": _table(found.table) if found.table else None,
        }


def words(phrases: Sequence[Phrase], language: str) -> str:
    """The phrases as one text."""
    return " ".join(phrase.text(language) for phrase in phrases)


def _table(table: Table) -> dict[str, Any]:
    return {
        "columns": {one: [say(name, one) for name in table.columns] for one in LANGUAGES},
        "rows": [
            {"state": row.state, "cells": {one: [say(cell, one) for cell in row.cells] for one in LANGUAGES}}
            for row in table.rows
        ],
    }


def examine(subjects: Sequence[Subject], *, side_by_side: int = SIDE_BY_SIDE) -> Iterator[Step]:
    """The steps as they come, of several subjects at a time; of each in its order.

    To close the iterator ends it: no further step is begun.
    """
    waiting: SimpleQueue[Subject] = SimpleQueue()
    for subject in subjects:
        waiting.put(subject)
    done: SimpleQueue[Step | None] = SimpleQueue()
    ending = Event()
    workers = min(side_by_side, len(subjects))
    for _ in range(workers):
        Thread(target=_work, args=(waiting, done, ending), name="doctor", daemon=True).start()
    try:
        while workers:
            step = done.get()
            if step is None:
                workers -= 1
            else:
                yield step
    finally:
        ending.set()


def _work(waiting: SimpleQueue[Subject], done: SimpleQueue[Step | None], ending: Event) -> None:
    try:
        while not ending.is_set():
            subject = waiting.get_nowait()
            for step in _examined(subject, ending):
                done.put(step)
    except Empty:
        pass
    finally:
        done.put(None)


def _examined(subject: Subject, ending: Event) -> Iterator[Step]:
    unwell: dict[str, str] = {}
    for check in subject.checks:
        if ending.is_set():
            return
        missing = next((need for need in check.needs if need in unwell), None)
        began = time.monotonic()
        if missing is not None:
            found = Found("skipped", (Phrase("skipped.needs", {"step": f"step.{missing}"}),))
        else:
            found = _within(check, ending)
        if found.state in ("failed", "skipped"):
            unwell[check.name] = found.state
        yield Step(subject, check.name, found, time.monotonic() - began)


def _within(check: Check, ending: Event) -> Found:
    """What it found, or that it took too long: then its thread is left behind."""
    answers: SimpleQueue[Found] = SimpleQueue()
    Thread(target=lambda: answers.put(_run(check)), name=f"doctor-{check.name}", daemon=True).start()
    until = time.monotonic() + check.limit_s
    while not ending.is_set() and (left := until - time.monotonic()) > 0:
        try:
            return answers.get(timeout=min(left, _POLL_S))
        except Empty:
            continue
    seconds = {"seconds": f"{check.limit_s:.0f}"}
    return Found("failed", (Phrase("too_long.found", seconds),), (Phrase("too_long.advice"),))


def _run(check: Check) -> Found:
    try:
        return check.run()
    except Exception as error:  # noqa: BLE001  a mistake of ours in one step must not end the others
        kind = {"kind": type(error).__name__}
        return Found("failed", (Phrase("mistake.found", kind),), (Phrase("mistake.advice"),))
