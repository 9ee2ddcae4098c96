"""What a running router does by hand: each verb is durable before it answers, and answers what it did."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ponte.errors import InvalidRequest
from ponte.ingesting.release import Exit, release
from ponte.quarantine import Kept
from ponte.uid import is_valid_uid
from router import control_rows, deliveries
from router.bringing import Bringing
from router.control import Verb, study_key
from router.control_rows import Which
from router.control_status import status
from router.controlclient import Refused
from router.database import Database
from router.reception import AssociationFacts
from router.savepoint import run_apart

if TYPE_CHECKING:
    from router.box import Box

log = logging.getLogger(__name__)

Answer = Mapping[str, Any]
Change = Callable[[Database, Sequence[int], str | None], Counter[str]]

QUEUE: Final = "the router's queue"
_WHICH: Final = {"destination": str, "study": str, "number": int}


def verbs(box: Box) -> dict[str, Verb]:
    """All of them, by name."""
    return {
        "status": Verb(partial(status, box), changes=False),
        "pause": Verb(partial(_pause, box), {"destination": str}),
        "resume": Verb(partial(_resume, box), {"destination": str}),
        "drain": Verb(partial(_drain, box, draining=True)),
        "undrain": Verb(partial(_drain, box, draining=False)),
        "retry": Verb(partial(_retry, box), _WHICH),
        "dismiss": Verb(partial(_dismiss, box), _WHICH),
        "resend": Verb(partial(_resend, box), _WHICH),
        "complete": Verb(partial(_complete, box), {"study": str}),
        "prioritise": Verb(partial(_prioritise, box), {"study": str}),
        "delete": Verb(partial(_delete, box), {"study": str, "force": bool}),
        "release": Verb(partial(_release, box), {"quarantine": str}),
        "reload": Verb(box.reload),
        "restart": Verb(partial(_restart, box), {"part": str}),
    }


def _pause(box: Box, destination: str = "") -> Answer:
    lane = box.forwarder.lanes[_configured(box, destination)]
    run_apart(box.committer, lambda database: control_rows.hold(database, destination, time.time()))
    lane.hold()
    return {"destination": destination, "paused": True}


def _resume(box: Box, destination: str = "") -> Answer:
    lane = box.forwarder.lanes[_configured(box, destination)]
    run_apart(box.committer, lambda database: control_rows.let_go(database, destination))
    lane.resume()
    return {"destination": destination, "paused": False}


def _drain(box: Box, *, draining: bool) -> Answer:
    box.intake.is_draining = draining
    return {"draining": draining, "associations": len(box.live.snapshot())}


def _retry(
    box: Box, destination: str | None = None, study: str | None = None, number: int | None = None
) -> Answer:
    """Without anything named, all of all destinations."""
    if destination is not None:
        _configured(box, destination)
    done = _each(box, _which(box, destination, study, number), control_rows.retry)
    for name in done or ([destination] if destination else []):
        box.forwarder.lanes[name].hurry()
    return {"retried": done.total(), "destinations": dict(done)}


def _dismiss(
    box: Box, destination: str | None = None, study: str | None = None, number: int | None = None
) -> Answer:
    if destination is None and study is None and number is None:
        raise InvalidRequest("dismiss needs a destination, a study or a number")
    done = _each(box, _which(box, destination, study, number), control_rows.dismiss)
    return {"dismissed": done.total(), "destinations": dict(done)}


def _resend(
    box: Box, study: str | None = None, number: int | None = None, destination: str | None = None
) -> Answer:
    """To a destination that is named even what no rule sends there. `gone` are not here any more."""
    if study is None and number is None:
        raise InvalidRequest("resend needs a study or a number")
    if destination is not None:
        _configured(box, destination)
    lanes, now, gone = box.forwarder.lanes, time.time(), 0

    def change(database: Database, numbers: Sequence[int], name: str | None) -> Counter[str]:
        nonlocal gone
        found = control_rows.resend(database, numbers, name, now)
        if name is not None:
            target = lanes[name].target
            found[name] += sum(deliveries.add_by_hand(database, one, target, now) for one in numbers)
        gone += control_rows.gone(database, numbers)
        return +found

    done = _each(box, _which(box, destination, study, number), change)
    for name in done:
        lanes[name].hurry()
    return {"resent": done.total(), "destinations": dict(done), "gone": gone}


def _complete(box: Box, study: str = "") -> Answer:
    _known(box, study)
    if not box.housekeeping.organiser.complete(study):
        raise Refused("Nothing of this study is open: it is complete", code="NOT_OPEN")
    return {"completed": True}


def _prioritise(box: Box, study: str = "") -> Answer:
    _known(box, study)
    now = time.time()
    run_apart(box.committer, lambda database: control_rows.mark_urgent(database, study, now))
    done = _each(box, [Which(study=study)], control_rows.hurry)
    return {"waiting": done.total(), "destinations": dict(done)}


def _delete(box: Box, study: str = "", force: bool = False) -> Answer:
    _known(box, study)
    done = box.housekeeping.remover.delete(study, force=force)
    extra = {
        "study": study_key(study),
        "instances": done.instances,
        "unsent": done.unsent,
        "bytes": done.size_bytes,
    }
    log.warning("study deleted by hand", extra=extra)
    return {
        "deleted": done.instances, "bytes": done.size_bytes, "unsent": done.unsent,
        "files_left": done.files_left,
    }  # fmt: skip


def _release(box: Box, quarantine: str = "") -> Answer:
    """What is still refused says so: `released` is false, and `detail` says why."""
    kept = box.quarantine.show(quarantine)
    if kept.record.reason == "COMMAND_MISMATCH":
        raise Refused("What was sent is not what was announced: only its sender can tell what it is")
    known = run_apart(box.committer, lambda database: control_rows.source_of(database, quarantine))
    bringing = Bringing(box.intake, known or _nobody(box, kept))
    bringing.check()
    try:
        done = release(box.quarantine, quarantine, Exit(bringing, QUEUE))
    finally:
        if known is None:
            bringing.end()
    released = done.status not in ("not_sent", "refused", "partial", "unknown")
    if released:
        run_apart(box.committer, lambda database: control_rows.forget_quarantined(database, quarantine))
    return {"released": released, "status": done.status, "detail": done.detail}


def _nobody(box: Box, kept: Kept) -> AssociationFacts:
    """Who sent it is not known: rules that ask for it do not fit."""
    return AssociationFacts(f"quarantine-{kept.id}", "", box.config.ae_title, "", "quarantine", time.time())


def _restart(box: Box, part: str = "") -> Answer:
    box.restart(part)
    return {"part": part, "restarted": True}


def _which(box: Box, destination: str | None, study: str | None, number: int | None) -> list[Which]:
    """With nothing named, each destination of the configuration. Raises `InvalidRequest`, `Refused`."""
    if study is not None:
        _known(box, study)
    if destination is not None:
        there = run_apart(box.committer, control_rows.destinations)
        if destination not in there:
            raise InvalidRequest(f"There is no such destination; expected one of {', '.join(sorted(there))}")
    if destination is None and study is None and number is None:
        return [Which(destination=name) for name in box.forwarder.lanes]
    return [Which(destination, study, number)]


def _each(box: Box, which: Sequence[Which], change: Change) -> Counter[str]:
    """Change them a page at a time, each durable; how many of each destination."""
    done: Counter[str] = Counter()
    for one in which:
        after = 0
        while True:
            numbers, found = run_apart(box.committer, partial(_page, one, after, change))
            done += found
            if not numbers:
                break
            after = numbers[-1]
    return done


def _page(which: Which, after: int, change: Change, database: Database) -> tuple[list[int], Counter[str]]:
    numbers = control_rows.page(database, which, after)
    return numbers, change(database, numbers, which.destination)


def _configured(box: Box, destination: str) -> str:
    """Raises `InvalidRequest`."""
    names = box.forwarder.lanes
    if destination not in names:
        raise InvalidRequest(f"There is no such destination; expected one of {', '.join(names) or 'none'}")
    return destination


def _known(box: Box, study: str) -> None:
    """Raises `InvalidRequest` for what is no UID, `Refused` for a study of which nothing ever came."""
    if not is_valid_uid(study):
        raise InvalidRequest("The study is no Study Instance UID")
    if not run_apart(box.committer, lambda database: control_rows.is_known(database, study)):
        raise Refused("Nothing of this study ever came", code="NOT_FOUND")
