"""Word of changes in a folder, where the system gives it. Nothing relies on it: the folder is polled too."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver


class FolderEvents:
    """Sets `wake` when something happens in the folder, which may vanish and come back."""

    def __init__(self, folder: Path, wake: threading.Event) -> None:
        self._folder = folder
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    def renew(self) -> None:
        """Watch the folder that is there now. Where the system cannot, there is no word of changes."""
        try:
            status = self._folder.stat()
            there = (status.st_dev, status.st_ino)
            if there != self._watched:
                self.stop()
                self._watched = there
                self._observer = self._start()
        except OSError:
            self.stop()

    def stop(self) -> None:
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            observer.join()

    def _start(self) -> BaseObserver:
        """Raises `OSError`: no more watches, or a file system without."""
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        class Handler(FileSystemEventHandler):
            def on_any_event(handler, event: FileSystemEvent) -> None:  # noqa: N805, ARG002
                self._wake.set()

        observer = Observer()
        observer.schedule(Handler(), str(self._folder))
        observer.start()
        return observer
