"""Sends what is kept to where it is to go: threads of its own for each destination, so that none waits for
another, and rows for all that is to be done, so that nothing is forgotten.

A row says `sent` only after the destination has answered so for that very instance. Killed between its answer
and our commit, the router sends the instance again, which does no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final, Protocol

from ponte.destination import Outcome
from ponte.errors import (
    DestinationUnavailable,
    InvalidRequest,
    PermanentError,
    PonteError,
    SourceUnavailable,
    TransientError,
)
from ponte.ingest import Transform
from router import control_rows, delivery_rows
from router.catalogue import open_catalogue
from router.committer import Committer
from router.committing import Committing
from router.counters import Counters
from router.database import Database
from router.deliveries import Judge, Planner, is_put_off
from router.delivery_rows import Delivery, Result
from router.destinations import DicomNode, Inbox, Target, WebServer
from router.failpoint import failpoint
from router.inbox import InboxWorkers
from router.inhand import InHand
from router.lanes import NAP_S, Lane
from router.links import Link, Session, open_link
from router.loads import Load, load
from router.rules import Matching
from router.savepoint import run_apart
from router.spool import Spool
from router.transcoding import Transcoder

log = logging.getLogger(__name__)

ALARM_ATTEMPTS: Final = 5
"""An instance that failed so often by itself is somebody's to look at, while it goes on being tried."""
_PLAN_S = 0.05
_SETTLE_S = 0.5
_AGAIN_S = 1.0
_TRANSCODED_TOGETHER = 8


Confirmed = Callable[[int], None]
"""Told the number of an instance."""


class Workers(Protocol):
    """What sends to one destination, in threads of its own."""

    lane: Lane

    @property
    def is_alive(self) -> bool:
        """True while all its threads work."""
        ...

    def start(self) -> None: ...
    def stop(self) -> None:
        """Take nothing more into hand."""
        ...

    def join(self, timeout_s: float) -> bool:
        """True when nothing is in hand any more."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """What another list of destinations changed, by name. `still_sending` are those taken out, or changed,
    that have something in hand yet: they end it as they were."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    still_sending: tuple[str, ...]


class Forwarder:
    """All destinations. `workers` are made by the caller where a kind needs more than is known here."""

    def __init__(self, planner: Planner, committer: Committer, workers: Sequence[Workers]) -> None:
        self._planner = planner
        self._planning = Lock()
        self._committer = committer
        self._workers = list(workers)
        self._leaving: list[Workers] = []
        self._awake = Event()
        self._stopping = False
        self._thread = Thread(target=self._plan, name="planner", daemon=True)

    @property
    def lanes(self) -> dict[str, Lane]:
        """By name, in the order of the configuration."""
        return {one.lane.target.name: one.lane for one in self._workers}

    def start(self) -> None:
        """Go on where it was; what is held stays held. Raises `TransientError` where the rows cannot be
        had."""
        self._planner.configure()
        self._hold(self._workers)
        resumed = run_apart(self._committer, delivery_rows.resume)
        if resumed:
            log.warning("deliveries in hand are tried again", extra={"instances": resumed})
        self._thread.start()
        for one in self._workers:
            one.start()

    @property
    def is_alive(self) -> bool:
        """True while it is decided what goes where, and every destination has all its threads."""
        return self._thread.is_alive() and all(one.is_alive for one in self._workers)

    def stop(self, grace_s: float) -> bool:
        """End what is in hand, as far as the time allows; True where nothing is left in hand."""
        self._stopping = True
        self.wake()
        every = [*self._workers, *self._leaving]
        for one in every:
            one.stop()
        until = time.monotonic() + grace_s
        if self._thread.is_alive():
            self._thread.join(grace_s)
        left = [one for one in every if not one.join(max(0.0, until - time.monotonic()))]
        return not left and not self._thread.is_alive()

    def exchange(self, planner: Planner, workers: Sequence[Workers], grace_s: float) -> Exchange:
        """Go on with these destinations: `workers` of the lanes that stay are the same objects as before.

        Nobody who stays is touched. Those who leave end what they have in hand, for which they may take
        longer than `grace_s`. Raises `TransientError` where the rows cannot be had: then all is as it was.
        """
        before, now = self._by_name(self._workers), self._by_name(workers)
        self._hold([one for one in workers if one not in self._workers])
        with self._planning:
            planner.configure()
            self._planner = planner
        leaving = [one for one in self._workers if one not in workers]
        begun = [one for one in workers if one not in self._workers]
        self._workers = list(workers)
        slow = self._end(leaving, grace_s)
        for one in begun:
            one.start()
        self.wake()
        return Exchange(
            added=tuple(name for name in now if name not in before),
            removed=tuple(name for name in before if name not in now),
            changed=tuple(name for name in now if name in before and before[name] is not now[name]),
            unchanged=tuple(name for name in now if before.get(name) is now[name]),
            still_sending=tuple(one.lane.target.name for one in slow),
        )

    def workers_of(self, target: Target) -> Workers | None:
        """Those that send to exactly this destination now."""
        return next((one for one in self._workers if one.lane.target == target), None)

    @staticmethod
    def _by_name(workers: Iterable[Workers]) -> dict[str, Workers]:
        return {one.lane.target.name: one for one in workers}

    def _hold(self, workers: Iterable[Workers]) -> None:
        held = run_apart(self._committer, control_rows.held)
        for one in workers:
            if one.lane.target.name in held:
                one.lane.hold()

    def _end(self, workers: Sequence[Workers], grace_s: float) -> list[Workers]:
        """Those that did not end in time; `stop` waits for them."""
        for one in workers:
            one.stop()
        until = time.monotonic() + grace_s
        slow = [one for one in workers if not one.join(max(0.0, until - time.monotonic()))]
        self._leaving = [one for one in self._leaving if not one.join(0)] + slow
        return slow

    def wake(self) -> None:
        """Something was received."""
        self._awake.set()

    def _plan(self) -> None:
        while not self._stopping:
            self._awake.clear()
            found = 0
            try:
                with self._planning:
                    found = self._planner.step()
            except TransientError as error:
                log.error("deliveries not planned", extra={"code": error.code})
            except Exception as error:  # noqa: BLE001  the thread must not end; the rows are there still
                log.error("planning failed", extra={"alarm": "PLANNING", "code": type(error).__name__})
                self._awake.wait(_AGAIN_S)
            if found:
                for lane in self.lanes.values():
                    lane.wake()
            else:
                self._awake.wait(_PLAN_S)


class InstanceWorkers:
    """The workers of a destination that takes instances."""

    def __init__(
        self,
        lane: Lane,
        committer: Committer,
        spool: Spool,
        *,
        link: Link | None = None,
        transform: Transform | None = None,
        confirmed: Confirmed = lambda _: None,
    ) -> None:
        target = lane.target
        if not isinstance(target, DicomNode | WebServer):
            raise InvalidRequest(f"{target.name} takes no instances")
        self.lane = lane
        self.target: DicomNode | WebServer = target
        self.committer = committer
        self.spool = spool
        self.link = link or open_link(target)
        self.transform = transform
        self.catalogue = open_catalogue(target) if target.skip_existing else None
        self.confirmed = confirmed
        self.transcoder = Transcoder(target.transcode, spool.folder)
        self.judge = Judge(target.retry)
        self.in_hand = InHand(committer, target.name)
        self.stopping = False
        asks = isinstance(target, DicomNode) and target.commitment
        self._committing = Committing(lane, committer) if asks else None
        self._threads = [
            Thread(target=_Worker(self).work, name=f"{target.name}-{number}", daemon=True)
            for number in range(target.concurrency)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        if self._committing is not None:
            self._committing.start()

    def stop(self) -> None:
        self.stopping = True
        if self._committing is not None:
            self._committing.stop()
        self.lane.wake()

    def join(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        if self._committing is not None:
            self._committing.join(timeout_s)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)


class _Worker:
    """One thread and its session. What it has in hand it alone settles."""

    def __init__(self, workers: InstanceWorkers) -> None:
        self._workers = workers
        self._lane = workers.lane
        self._target = workers.target
        self._judge = workers.judge
        self._session = workers.link.session()
        self._sleeper = self._lane.sleeper()
        self._results: list[Result] = []
        self._settled_at = time.monotonic()

    def work(self) -> None:
        idle_since = time.monotonic()
        while not self._workers.stopping:
            try:
                did = self._turn()
            except TransientError as error:
                log.error(
                    "deliveries not noted", extra={"destination": self._target.name, "code": error.code}
                )
                self._lane.nap(self._sleeper, _AGAIN_S)
                continue
            if did:
                idle_since = time.monotonic()
            else:
                self._idle(self._linger_s - (time.monotonic() - idle_since))
        self._session.close()
        self._last_word()

    def _idle(self, linger_s: float) -> None:
        """Wait for work; with the association open for as long as it lingers."""
        if linger_s <= 0:
            self._session.close()
        self._lane.nap(self._sleeper, linger_s if linger_s > 0 else NAP_S)

    @property
    def _linger_s(self) -> float:
        return self._target.linger_s if isinstance(self._target, DicomNode) else 0.0

    def _last_word(self) -> None:
        """What cannot be noted now is sent again at the next start."""
        try:
            self._settle()
        except TransientError as error:
            log.error("deliveries not noted", extra={"destination": self._target.name, "code": error.code})

    def _turn(self) -> bool:
        """Send a batch; False where there was nothing to send, or not now. Raises `TransientError`."""
        wait_s = self._lane.wait_s()
        if wait_s > 0:
            self._settle()
            self._session.close()
            self._lane.nap(self._sleeper, wait_s)
            return False
        claimed = self._advance()
        if not claimed:
            return False
        batch = _Batch(self._workers, self._session, claimed)
        try:
            results = list(self._noted(batch.send()))
            if not batch.broke and _takes_nothing(results):
                self._lane.failed(DestinationUnavailable("It takes nothing for now"))
            elif not self._lane.is_failing:
                self._lane.widen()
        except Exception as error:  # noqa: BLE001  a mistake of ours must not stop the destination for good
            extra = {"destination": self._target.name, "code": type(error).__name__}
            log.error("forwarding failed", extra={"alarm": "FORWARDER", **extra})
            self._results += [self._judge.failed(one, "An error of ours") for one in batch.left()]
            self._lane.failed(TransientError("An error of ours"))
        return True

    def _noted(self, results: Iterable[Result]) -> Iterator[Result]:
        for result in results:
            self._results.append(result)
            _tell(self._lane, result)
            if time.monotonic() - self._settled_at >= _SETTLE_S:
                self._settle()
            yield result

    def _advance(self) -> list[Delivery]:
        """Note what became of the last ones and take the next ones into hand, in one commit."""
        target, results, now = self._target, self._results, time.time()

        def apply(database: Database) -> list[Delivery]:
            delivery_rows.settle(database, target.name, results)
            if self._lane.is_failing:
                return delivery_rows.claim_probe(database, target.name, now)
            return delivery_rows.claim(database, target.name, target.batch_instances, target.batch_bytes, now)

        claimed = self._workers.in_hand.claim(apply, lambda claimed: claimed)
        self._settled(len(results))
        return claimed

    def _settle(self) -> None:
        results = list(self._results)
        if results:
            name = self._target.name
            run_apart(self._workers.committer, lambda database: delivery_rows.settle(database, name, results))
        self._settled(len(results))

    def _settled(self, count: int) -> None:
        if count:
            failpoint("confirmed")
        self._workers.in_hand.release(result.delivery.number for result in self._results[:count])
        for result in self._results[:count]:
            if result.state in ("sent", "skipped"):
                self._workers.confirmed(result.delivery.number)
        del self._results[:count]
        self._settled_at = time.monotonic()


class _Batch:
    """What is in hand, from rows to results: each delivery gets exactly one. `broke` when the destination, or
    the way to it, failed meanwhile."""

    def __init__(self, workers: InstanceWorkers, session: Session, claimed: Sequence[Delivery]) -> None:
        self._workers = workers
        self._lane = workers.lane
        self._judge = workers.judge
        self._transcoder = workers.transcoder
        self._session = session
        self._left = {delivery.number: delivery for delivery in claimed}
        self._open: dict[str, Load] = {}
        self.broke = False

    def left(self) -> list[Delivery]:
        """Those without a result."""
        return list(self._left.values())

    def send(self) -> Iterable[Result]:
        """What becomes of each, as soon as it is known."""
        later: list[Load] = []
        try:
            yield from self._settled(self._prepare(later))
            yield from self._settled(self._skip(later))
            yield from self._settled(self._store(later))
            while later and not self._workers.stopping:
                group, later[:] = later[:_TRANSCODED_TOGETHER], later[_TRANSCODED_TOGETHER:]
                yield from self._settled(self._transcode(group))
                yield from self._settled(self._store(later))
            yield from self._settled([self._judge.put_back(one.delivery, unclear=False) for one in later])
        except PonteError as error:
            yield from self._settled(self._broke(error))
        finally:
            for one in (*self._open.values(), *later):
                one.close()

    def _settled(self, results: Iterable[Result]) -> Iterable[Result]:
        for result in results:
            del self._left[result.delivery.number]
            yield result

    def _prepare(self, later: list[Load]) -> Iterable[Result]:
        """Make ready what is sent of each; those whose syntax is known to be refused go `later`."""
        for delivery in self.left():
            if delivery.instance_state != "kept":
                yield self._judge.refused(delivery, "The instance is not here any more")
                continue
            one = load(delivery, self._workers.spool.path_of(delivery.place))
            try:
                if self._workers.transform is not None:
                    one.replace_by(self._workers.transform(one.outgoing))
                    one.whole = one.outgoing
            except PermanentError as error:
                yield self._judge.refused(delivery, f"{error.code}: {error.detail}")
                continue
            if self._transcoder.knows_refused(one):
                later.append(one)
            else:
                self._open[one.outgoing.sop_instance_uid] = one

    def _skip(self, later: list[Load]) -> Iterable[Result]:
        """Those that the destination has already, where it is to be asked."""
        catalogue = self._workers.catalogue
        if catalogue is None:
            return
        there: dict[tuple[str, str], set[str]] = {}
        for one in [*self._open.values(), *later]:
            series = (one.delivery.study_instance_uid, one.delivery.series_instance_uid)
            if series not in there:
                there[series] = catalogue.instances(*series)
            if one.delivery.sop_instance_uid in there[series]:
                self._open.pop(one.outgoing.sop_instance_uid, None)
                later[:] = [other for other in later if other is not one]
                yield self._judge.skipped(one.delivery)

    def _store(self, later: list[Load]) -> Iterable[Result]:
        """Send all that is open. What was refused for its syntax, and may go in another, goes `later`."""
        for outcome in self._session.store([one.outgoing for one in self._open.values()]):
            failpoint("answered")
            one = self._open.pop(outcome.sop_instance_uid, None)
            if one is None:
                continue
            if outcome.stored or not is_put_off(outcome):
                self._lane.succeeded()
            one.close()
            if self._session.lacks_syntax(one.outgoing, outcome) and self._transcoder.can_help(one):
                later.append(one)
                continue
            if outcome.stored:
                self._transcoder.accepted(one)
            yield one.noted(self._judge.answered(one.delivery, outcome, sent_as=one.sent_as))
            if self._workers.stopping:
                break
        yield from self._unanswered()

    def _unanswered(self) -> Iterable[Result]:
        while self._open:
            _, one = self._open.popitem()
            one.close()
            if self._workers.stopping:
                yield self._judge.put_back(one.delivery, unclear=True)
            else:
                yield self._judge.answered(one.delivery, _unnamed(one))

    def _transcode(self, group: Iterable[Load]) -> Iterable[Result]:
        for one in group:
            try:
                self._transcoder.transcode(one)
            except PermanentError as error:
                one.close()
                yield self._judge.refused(one.delivery, f"{error.code}: {error.detail}")
            else:
                self._open[one.outgoing.sop_instance_uid] = one

    def _broke(self, error: PonteError) -> Iterable[Result]:
        """The destination, or the way to it, failed; or what was in flight made it fail."""
        self.broke = True
        is_source = isinstance(error, SourceUnavailable)
        blamed = is_source or (isinstance(error, TransientError) and self._session.blames_instance())
        self._session.close(at_once=True)
        if not is_source:
            self._lane.failed(error)
        first = next((one.delivery.number for one in self._open.values()), None)
        for delivery in self.left():
            if blamed and delivery.number == first:
                yield self._judge.failed(delivery, error.detail)
            else:
                yield self._judge.put_back(delivery, unclear=True)


def _takes_nothing(results: Sequence[Result]) -> bool:
    """All were put off, and not only those that were put off before: it is short of room, or not well."""
    put_off = [one for one in results if one.state == "waiting" and one.attempts > one.delivery.attempts]
    return len(put_off) == len(results) > 0 and any(one.delivery.attempts == 0 for one in put_off)


def _unnamed(one: Load) -> Outcome:
    uid = one.outgoing.sop_instance_uid
    return Outcome(uid, "unknown", "The answer does not name the instance", retryable=True)


def _tell(lane: Lane, result: Result) -> None:
    """Count it, and raise the alarm where a person is needed."""
    name = lane.target.name
    lane.counters.add("ponte_forward_total", destination=name, result=result.state)
    extra: dict[str, object] = {"destination": name, "number": result.delivery.number}
    if result.status is not None:
        extra["status"] = f"{result.status:04X}"
    if result.state == "sent":
        lane.counters.add("ponte_forwarded_bytes_total", result.delivery.size_bytes, destination=name)
        if result.detail:
            log.warning("instance stored with a note", extra=extra)
    elif result.state == "refused":
        log.error("instance refused by the destination", extra={"alarm": "DELIVERY_REFUSED", **extra})
    elif result.state == "given_up":
        log.error("delivery given up", extra={"alarm": "DELIVERY_GIVEN_UP", **extra})
    elif result.attempts == ALARM_ATTEMPTS and result.attempts > result.delivery.attempts:
        log.error("instance fails again and again", extra={"alarm": "DELIVERY_FAILING", **extra})


def build(
    targets: Sequence[Target],
    committer: Committer,
    spool: Spool,
    counters: Counters,
    *,
    matching: Matching = "all",
    profiles: Mapping[str, Transform] | None = None,
    confirmed: Confirmed = lambda _: None,
) -> Forwarder:
    """The forwarder of a configuration; `confirmed` is told of each instance that a destination has, once
    that is durable. Raises `InvalidRequest` by the name of what cannot be used."""
    supplies = Supplies(committer, spool, counters, profiles or {}, confirmed)
    workers = [supplies.workers(target) for target in targets]
    return Forwarder(supplies.planner(targets, matching), committer, workers)


@dataclass(frozen=True, slots=True)
class Supplies:
    """What all destinations are made with."""

    committer: Committer
    spool: Spool
    counters: Counters
    profiles: Mapping[str, Transform]
    confirmed: Confirmed

    def workers(self, target: Target) -> Workers:
        """Those of a destination, not yet begun. Raises `InvalidRequest` by the name of what cannot be
        used."""
        kind = InboxWorkers if isinstance(target, Inbox) else InstanceWorkers
        return kind(
            Lane(target, self.counters), self.committer, self.spool,
            transform=_profile(target, self.profiles), confirmed=self.confirmed,
        )  # fmt: skip

    def planner(self, targets: Sequence[Target], matching: Matching) -> Planner:
        """Who decides what goes to them."""
        return Planner(self.committer, self.spool, self.counters, targets, matching)


def _profile(target: Target, profiles: Mapping[str, Transform]) -> Transform | None:
    if target.profile is not None and target.profile not in profiles:
        raise InvalidRequest(f"{target.name}: there is no profile {target.profile}")
    return profiles[target.profile] if target.profile else None
