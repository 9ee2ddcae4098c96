"""A box with a watcher in it: folders, a configuration, and a destination that does as it is told."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from infra.local.process import wait_for
from ponte.destination import Destination, Outcome, Outgoing
from ponte.errors import PonteError
from tests.factories import encode, make_ct
from tests.hazards.archives import archive
from watcher.config import read_config
from watcher.logfile import CONSOLE, LOGGER, open_log
from watcher.service import Backoff, Target, open_watcher
from watcher.shipping import Inbox

WAIT_S = 120.0
QUICK = Backoff(first_s=0.02, longest_s=0.05)


class Pacs:
    """Keeps what it is sent. `down` is what it raises, `answers` what it says of a UID that is not stored."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.stores: list[str] = []
        self.checks = 0
        self.down: PonteError | None = None
        self.answers: dict[str, Outcome] = {}
        self.on_store: Callable[[Outgoing], None] = lambda instance: None

    def check(self) -> None:
        self.checks += 1
        if self.down is not None:
            raise self.down

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        for instance in instances:
            if self.down is not None:
                raise self.down
            self.on_store(instance)
            uid = instance.sop_instance_uid
            self.stores.append(uid)
            outcome = self.answers.get(uid, Outcome(uid, "stored"))
            if outcome.stored:
                data = b"".join(instance.chunks(instance.size_bytes))
                self.kept[uid] = hashlib.sha256(data).hexdigest()
            yield outcome


class Box:
    """`incoming`, `work`, `archive`, a state and a log below one folder; `run` watches while entered."""

    def __init__(self, root: Path, **options: dict[str, Any]) -> None:
        self.root = root
        self.incoming, self.work, self.archive = root / "incoming", root / "work", root / "archive"
        self.log = root / "logs" / "ingest.log"
        self.pacs = Pacs()
        self.incoming.mkdir()
        self.path = root / "config.yaml"
        self.configure(**options)

    def configure(self, **options: dict[str, Any]) -> None:
        """The configuration, with what a section is to have besides."""
        sections: dict[str, dict[str, Any]] = {
            "paths": {
                "watch_dir": str(self.incoming),
                "work_dir": str(self.work),
                "archive_dir": str(self.archive),
                "state_db": str(self.root / "state" / "state.sqlite"),
            },
            "dicom": {"peer_host": "pacs"},
            "behavior": {"poll_interval_seconds": 0.05, "wait_zip_complete_seconds": 0.05},
            "logging": {"file": str(self.log)},
        }
        for name, section in options.items():
            sections[name] = {**sections.get(name, {}), **section}
        self.path.write_text(json.dumps(sections))

    @contextmanager
    def run(
        self, destination: Destination | Inbox | None = None, address: str = "dicom://PACS@pacs:104"
    ) -> Iterator[threading.Event]:
        """The watcher in a thread; at the end it is stopped, and must end. Without another: to the PACS."""
        config, stop = read_config(self.path), threading.Event()
        target = Target(destination or self.pacs, "PACS@pacs:104", address)
        with open_watcher(config, target, stop, backoff=QUICK) as watcher:
            open_log(config)
            thread = threading.Thread(target=watcher.run)
            thread.start()
            try:
                yield stop
            finally:
                stop.set()
                watcher.wake()
                thread.join(WAIT_S)
                close_log()
        assert not thread.is_alive()

    def drop(self, name: str, data: bytes) -> Path:
        """As a copy that ends with a rename."""
        part = self.incoming / ".part"
        part.write_bytes(data)
        return part.rename(self.incoming / name)

    def until(self, check: Callable[[], object], msg: str) -> None:
        try:
            wait_for(lambda: bool(check()), timeout_s=WAIT_S, msg=msg)
        except Exception as error:
            raise AssertionError(f"{error}\n{self.lines()}") from error

    def reported(self, name: str) -> dict[str, Any]:
        """The report on an archive, once the archive is done."""
        path = self.archive / f"{name}.report.json"
        self.until(
            lambda: path.exists() and path.stat().st_size and not self.queued(), f"no report on {name}"
        )
        report: dict[str, Any] = json.loads(path.read_bytes())
        return report

    def queued(self) -> list[Path]:
        queue = self.work / "queue"
        return sorted(queue.iterdir()) if queue.exists() else []

    def lines(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


@cache
def exam(*numbers: int, series: int = 1, **attributes: Any) -> bytes:
    """A ZIP of CT instances; the same bytes each time, though a ZIP has the time in it."""
    return archive(
        {f"IM{number}.dcm": encode(make_ct(number, series=series, **attributes)) for number in numbers}
    )


def uids(*numbers: int, series: int = 1) -> list[str]:
    return [str(make_ct(number, series=series).SOPInstanceUID) for number in numbers]


def close_log() -> None:
    for name in (LOGGER, CONSOLE, "ponte_net"):
        logger = logging.getLogger(name)
        for handler in [*logger.handlers]:
            logger.removeHandler(handler)
            handler.close()
