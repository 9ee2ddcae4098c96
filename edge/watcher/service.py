"""The watcher as it runs: one thread looks at the folder and takes what is whole, another works it off."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from ponte.dedup import Ledger, scope_of
from ponte.destination import Destination
from ponte.errors import InvalidRequest, PonteError, SecretUnusable
from ponte.ingest import BatchLimits, Route
from ponte.quarantine import FolderQuarantine, Quarantine
from ponte.sqlitestore import SqliteStore
from watcher.config import Config
from watcher.events import FolderEvents
from watcher.files import write_whole
from watcher.folder import Folder, Odd
from watcher.item import Item, reopen, take
from watcher.logfile import CONSOLE, LOGGER, tell
from watcher.shipping import Inbox, Shipping
from watcher.webhook import ENVIRONMENT, Webhook
from watcher.work import Plan, Stopped, Way, Work

_log = logging.getLogger(LOGGER)
_console = logging.getLogger(CONSOLE)
_SOME_FILE = "A file in the watched folder"
_LEAST_PAUSE_S = 0.2
_ALARM_TRIES = 3
_PAUSE_PER_LOOK = 5
"""A folder of 100,000 files takes a second to look at; events must not make that all there is to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """The destination, what it is called in the log, and the words for asking it and for sending to it.

    An inbox takes archives as they are, a destination their instances. By `address` the ledger tells it from
    others. Where there is a `way`, it opens a destination for each archive, which knows by itself what it
    has: there is no ledger then, and `quarantine` takes the place of the configured one.
    """

    destination: Destination | Inbox
    name: str
    address: str
    check_verb: str = "C-ECHO"
    store_verb: str = "C-STORE"
    way: Way | None = None
    quarantine: Quarantine | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: longer each time, and never all at once."""

    first_s: float = 5.0
    longest_s: float = 300.0

    def wait_s(self, failures: int) -> float:
        longest = min(self.first_s * 2 ** min(failures - 1, 16), self.longest_s)
        return random.uniform(longest / 2, longest)  # noqa: S311  (keeps no secret)


class _Trouble:
    """Failures in a row, and when to try again."""

    def __init__(self) -> None:
        self.failures = 0
        self.due = 0.0

    def again(self, backoff: Backoff) -> float:
        self.failures += 1
        wait_s = backoff.wait_s(self.failures)
        self.due = monotonic() + wait_s
        return wait_s


class Watcher:
    """Runs until `stop` is set: then the batch in flight is settled first."""

    def __init__(
        self,
        config: Config,
        target: Target,
        work: Work | Shipping,
        stop: threading.Event,
        *,
        backoff: Backoff | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        self._config = config
        self._target = target
        self._work = work
        self._stop = stop
        self._backoff = backoff or Backoff()
        self._webhook = webhook
        self._queue = queue_of(config)
        self._folder = Folder(
            config.watch_dir,
            still_s=config.wait_zip_complete_seconds,
            give_up_s=config.ours.give_up_seconds,
        )
        self._look = threading.Event()
        self._come = threading.Event()
        self._items: dict[str, Item] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._down = _Trouble()
        self._folder_said = ""
        self._not_taken: dict[Path, str] = {}

    def run(self) -> None:
        """Raises nothing that a folder, an archive or a destination does."""
        events = FolderEvents(self._config.watch_dir, self._look)
        threads = [threading.Thread(target=self._work_off, name="work")]
        if self._webhook is not None:
            threads.append(threading.Thread(target=self._webhook.run, name="webhook"))
        for thread in threads:
            thread.start()
        try:
            while not self._stop.is_set():
                self._look.clear()
                events.renew()
                began = monotonic()
                self._look_once()
                self._stop.wait(max(_LEAST_PAUSE_S, _PAUSE_PER_LOOK * (monotonic() - began)))
                self._look.wait(self._next_look_s())
        finally:
            self.wake()
            events.stop()
            for thread in threads:
                thread.join()

    @property
    def has_folder(self) -> bool:
        """False while the watched folder, or the work folder, cannot be worked on."""
        return not self._folder_said

    def wake(self) -> None:
        """Let all threads see that `stop` is set."""
        self._look.set()
        self._come.set()
        if self._webhook is not None:
            self._webhook.wake()

    def _next_look_s(self) -> float:
        soon = self._folder.next_look_s()
        poll = self._config.poll_interval_seconds
        return poll if soon is None else min(poll, soon)

    def _look_once(self) -> None:
        """Take what is whole; say once what is odd. A folder that is gone is looked for again."""
        try:
            for item in reopen(self._queue, skip=self._items.keys()):
                self._put(item)
            for found in self._folder.look():
                if isinstance(found, Odd):
                    tell(logging.WARNING, "%s: %s", found.path.name, _SOME_FILE, found.why)
                else:
                    self._take(found.path)
                if self._stop.is_set():
                    return
        except OSError as error:
            self._say_folder(f"cannot be read: {error.strerror}")
        except Exception as error:  # noqa: BLE001  (the boundary: one file must not end the watcher)
            self._say_folder(f"cannot be worked on: {type(error).__name__}")
        else:
            self._say_folder("")

    def _say_folder(self, why: str) -> None:
        if why and why != self._folder_said:
            line = "The watched folder or the work folder %s; still trying"
            _console.error(line, why, extra={"alarm": "WATCH_FOLDER_GONE"})
        elif self._folder_said and not why:
            _console.info("The watched folder can be read again")
        self._folder_said = why

    def _take(self, path: Path) -> None:
        try:
            item = take(path, self._queue)
        except OSError as error:
            if self._not_taken.get(path) != str(error.strerror):
                line = "%s cannot be moved to the work folder: %s"
                tell(logging.ERROR, line, path.name, _SOME_FILE, error.strerror, alarm="ARCHIVE_NOT_TAKEN")
                self._not_taken[path] = str(error.strerror)
            return
        self._not_taken.pop(path, None)
        if item is not None:
            _log.info("Archive taken: %s (%s)", item.journal.name, item.id)
            self._put(item)

    def _put(self, item: Item) -> None:
        self._troubles[item.id] = _Trouble()
        self._items[item.id] = item
        self._come.set()

    def _work_off(self) -> None:
        while not self._stop.is_set():
            self._come.clear()
            item = self._next()
            if item is None:
                self._come.wait(self._next_due_s())
            else:
                self._attempt(item)

    def _next(self) -> Item | None:
        """The oldest that may be tried now; none while the destination is down, but for what needs none."""
        now = monotonic()
        due = [name for name in list(self._items) if self._troubles[name].due <= now]
        if self._down.due > now:
            due = [name for name in due if self._items[name].journal.settled]
        return self._items[min(due)] if due else None

    def _next_due_s(self) -> float | None:
        waits = [self._troubles[name].due for name in list(self._items)]
        return max(0.01, max(min(waits), self._down.due) - monotonic()) if waits else None

    def _attempt(self, item: Item) -> None:
        if not item.journal.settled and not self._is_there():
            return
        try:
            self._work.do(item)
        except Stopped:
            _log.info("Stopped between two batches: %s goes on at the next start", item.id)
        except Exception as error:  # noqa: BLE001  (the boundary: one archive must not end the watcher)
            self._postpone(item, _described(error))
        else:
            del self._items[item.id]
            del self._troubles[item.id]

    def _is_there(self) -> bool:
        """Ask the destination. While it is down, archives wait; each try that fails is said."""
        target = self._target
        try:
            target.destination.check()
        except Exception as error:  # noqa: BLE001  (the boundary: nothing may end the thread without a word)
            wait_s = self._down.again(self._backoff)
            line = "%s failed: %s (%s); %d archives wait, next try in %.0f s"
            what = _described(error)
            _console.error(line, target.check_verb, target.name, what, len(self._items), wait_s)
            return False
        (_console if self._down.failures else _log).info("%s OK: %s", target.check_verb, target.name)
        self._down = _Trouble()
        return True

    def _postpone(self, item: Item, why: str) -> None:
        wait_s = self._troubles[item.id].again(self._backoff)
        failures = self._troubles[item.id].failures
        line = "%s: try %d failed: %s; next in %.0f s"
        alarm = "ARCHIVE_FAILING" if failures == _ALARM_TRIES else ""
        tell(logging.ERROR, line, item.journal.name, item.id, failures, why, wait_s, alarm=alarm)


@contextmanager
def open_watcher(
    config: Config, target: Target, stop: threading.Event, *, backoff: Backoff | None = None
) -> Iterator[Watcher]:
    """The watcher of this configuration, the only one of its work folder while it is open.

    Raises `InvalidRequest` by the name of what is wrong.
    """
    with ExitStack() as stack:
        _make_folders(config, *([] if target.way else [config.state_db.parent]))
        stack.enter_context(_locked(config.work_dir))
        _note_destination(config.work_dir / "destination", target.name)
        webhook = _open_webhook(config, stop)
        say = webhook.tell if webhook else None
        work: Work | Shipping
        if isinstance(target.destination, Inbox):
            work = Shipping(
                target.destination, target.name, config.archive_dir, config.move_zip_to_archive, say
            )
        else:
            ledger = None
            if target.way is None:
                store = _open_ledger(config)
                stack.callback(store.close)
                ledger = Ledger(store, config.dedup_policy, scope=scope_of(target.address))
            work = Work(_plan(config, target, target.destination, ledger, stop, say), stop)
        yield Watcher(config, target, work, stop, backoff=backoff, webhook=webhook)


def _plan(
    config: Config,
    target: Target,
    destination: Destination,
    ledger: Ledger | None,
    stop: threading.Event,
    tell: Callable[[str, Mapping[str, Any]], None] | None,
) -> Plan:
    quarantine = target.quarantine or FolderQuarantine(
        config.ours.quarantine_dir, budget_bytes=int(config.ours.quarantine_gib * (1 << 30))
    )
    route = Route(
        destination,
        ledger,
        quarantine,
        limits=BatchLimits(batch_instances=config.send_batch_size),
        sleep=lambda seconds: (stop.wait(seconds), None)[1],
    )
    return Plan(
        route,
        quarantine,
        config.archive_dir,
        keep_archive=config.move_zip_to_archive,
        keep_members=None if config.delete_extracted_after_upload else config.work_dir / "extracted",
        language=config.ours.report_language,
        verb=target.store_verb,
        tell=tell,
        way=target.way,
    )


def _open_webhook(config: Config, stop: threading.Event) -> Webhook | None:
    url, secret_file = config.ours.webhook_url, config.ours.webhook_secret_file
    if url is None:
        return None
    try:
        return Webhook(url, secret_file, config.work_dir / "outbox", stop)
    except SecretUnusable as error:
        name = "ponte.webhook_secret_file" if secret_file else ENVIRONMENT
        raise InvalidRequest(f"{name}: {error.detail}") from error


def queue_of(config: Config) -> Path:
    """Where what was taken waits."""
    return config.work_dir / "queue"


def _make_folders(config: Config, *state: Path) -> None:
    """All but the watched one: a share that is not mounted must not be hidden by a folder of ours."""
    folders = [("work_dir", config.work_dir), ("archive_dir", config.archive_dir)]
    for name, folder in (*folders, *(("state_db", one) for one in state)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidRequest(f"paths.{name}: {folder} cannot be made: {error.strerror}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The lock ends with the process, however it ends."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidRequest(f"paths.work_dir: another watcher works in {folder}") from error
        except OSError as error:
            what = "paths.work_dir cannot be locked (%s): no other watcher may work in it"
            _console.warning(what, error.strerror)
        yield
    finally:
        os.close(descriptor)


def _note_destination(path: Path, name: str) -> None:
    """Say where the destination is another one: it is sent all that is dropped from now on."""
    before = path.read_text(encoding="utf-8") if path.exists() else name
    if before != name:
        _console.warning(
            "The destination is %s and was %s: what that one has does not count for the new one",
            name,
            before,
        )
    write_whole(path, name.encode())


def _open_ledger(config: Config) -> SqliteStore:
    try:
        return SqliteStore(config.state_db)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"paths.state_db: {error.detail}. It is left as it is: give state_db another name, and a new"
            " ledger begins there; what is dropped again is sent once more, and a PACS knows what it has"
        ) from error


def _described(error: Exception) -> str:
    if isinstance(error, PonteError):
        return f"{error.code}: {error.detail}"
    if isinstance(error, sqlite3.Error):
        return f"The ledger cannot be used: {error}"
    return getattr(error, "strerror", None) or f"INTERNAL: {type(error).__name__}"
