"""The folder watcher as a part of the router: what is in a dropped ZIP goes into the router's own queue, or
the ZIP as it is to a bucket.

A folder that cannot be worked on keeps nobody from receiving: it is an alarm, and tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from ponte.destination import Destination
from ponte.errors import DestinationUnavailable, InvalidRequest, TransientError
from ponte.quarantine import Quarantine
from router.bringing import Bringing
from router.config import WatchConfig
from router.reception import AssociationFacts
from router.upload_rows import StudyPart
from router.uploads import Stopped, Uploader
from router.worker import code_of
from watcher import work
from watcher.files import chunks
from watcher.logfile import close_log, open_log
from watcher.service import Target, Watcher, open_watcher

log = logging.getLogger(__name__)

AE_TITLE: Final = "ZIP"
"""Stands for who sends, in rules and rows."""
_AGAIN_S: Final = 30.0


class ZipQueue:
    """The router's queue, an association of its own standing for each archive. `bring` opens the queue for
    one."""

    def __init__(self, bring: Callable[[AssociationFacts], Bringing], ae_title: str) -> None:
        self._bring = bring
        self._ae_title = ae_title

    def target(self, quarantine: Quarantine) -> Target:
        """As the watcher has it. What it says of an instance is that it was kept, never that it was sent."""
        return Target(
            self._bringing("check"), "the router's queue", "router:", "Check", "Queue", self._open, quarantine
        )

    def _bringing(self, name: str) -> Bringing:
        facts = AssociationFacts(f"zip-{name}", AE_TITLE, self._ae_title, "", "zip", time.time())
        return self._bring(facts)

    @contextmanager
    def _open(self, name: str) -> Iterator[Destination]:
        bringing = self._bringing(name)
        try:
            yield bringing
        finally:
            try:
                bringing.end()
            except TransientError as error:
                log.warning("association's end not noted", extra={"code": error.code})


@dataclass(frozen=True, slots=True)
class ZipInbox:
    """A bucket that takes archives as they are. `is_open` is False while nothing is to be sent there."""

    uploader: Uploader
    prefix: str
    is_open: Callable[[], bool]

    def check(self) -> None:
        """Raises `DestinationUnavailable` while it is paused, or outside its hours."""
        if not self.is_open():
            raise DestinationUnavailable("It is paused, or outside its hours")

    def put(self, path: Path, sha256: str) -> str:
        """See `watcher.shipping.Inbox`. What was uploaded before an interruption is not sent again."""
        key, size = f"{self.prefix}{sha256}.zip", path.stat().st_size
        what = StudyPart(f"zip-{sha256}", 0, ())
        if self.uploader.size_of(key) != size:
            try:
                self.uploader.send(what, key, size, lambda: chunks(path))
            except Stopped as error:
                raise work.Stopped from error
        self.uploader.forget(what)
        return key


class ZipWatch:
    """Watches from `start` on."""

    def __init__(self, config: WatchConfig, target: Callable[[], Target]) -> None:
        self._config = config
        self._target = target
        self._stopping = Event()
        self._watcher: Watcher | None = None
        self._thread = Thread(target=self._run, name="zip watcher", daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_stopping(self) -> bool:
        """True once it was asked to end."""
        return self._stopping.is_set()

    @property
    def folders(self) -> Mapping[str, bool]:
        """The watched folder, and whether it can be worked on."""
        watcher = self._watcher
        return {str(self._config.settings.watch_dir): watcher is not None and watcher.has_folder}

    def start(self) -> None:
        """See `Runs`. Nothing about the folders keeps it from starting."""
        self._thread.start()

    def stop(self, grace_s: float) -> bool:
        """End after the batch that is in flight; what is left goes on at the next start."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.wake()
        if self._thread.is_alive():
            self._thread.join(grace_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except InvalidRequest as error:
                extra = {"alarm": "WATCHER_FAILED", "code": error.code, "problems": error.detail}
                log.error("folder watcher cannot begin", extra=extra)
            except Exception as error:  # noqa: BLE001  it is tried again, whatever it was
                extra = {"alarm": "WATCHER_FAILED", "code": code_of(error)}
                log.error("folder watcher failed", extra=extra)
            self._watcher = None
            self._stopping.wait(_AGAIN_S)

    def _watch(self) -> None:
        settings = self._config.settings
        with open_watcher(settings, self._target(), self._stopping) as watcher:
            open_log(settings, logging.getLogger().handlers)
            try:
                self._watcher = watcher
                if self._stopping.is_set():
                    return
                log.info("folder watched")
                watcher.run()
            finally:
                close_log()
