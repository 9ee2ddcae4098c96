"""The crash matrix: the router, as a process, is killed at each failpoint while a modality, the disk or a
destination is in trouble; then it is started again, and all must be well.

Rows are where it is killed, columns what else goes wrong. Each cell has ports, folders and peers of its own,
so that several run at a time. `python -m tests.hazards.crash_table` writes what came of it into
docs/reliability.md.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from infra.local.process import free_port
from tests.hazards import crash_evidence
from tests.hazards.crash_evidence import Evidence
from tests.hazards.crash_peers import Archive, Seen, digest_of, hostile, make_instances, send
from tests.hazards.test_router_service import Router
from tests.unit.router import invariants
from tests.unit.router.disk import small_disk
from tests.unit.router.forwarding import QUICK

INSTANCES: Final = 9
_PATIENCE_S = 120.0
_TROUBLES = 4
_DISK = "12m"
_FREE_BYTES = 3 << 20
_KILLED = (137, -9)
_LARGE = 1300  # pixels a side: 3.4 MB, which such a disk has no room for
_REFUSALS_UNTIL_ROOM = 4


@dataclass(frozen=True)
class Place:
    """A failpoint, the hazard that it stands for, and what has been done there. `receives`: of several
    processes it is one that receives; `removes`: instances go once all destinations have them."""

    failpoint: str
    hazard: str
    words: str
    count: int = 1
    receives: bool = False
    removes: bool = False


@dataclass(frozen=True)
class Trouble:
    """What goes wrong beside the kill: `side` is `modality`, `disk` or `destination`."""

    side: str
    kind: str

    @property
    def name(self) -> str:
        return f"{self.side} {self.kind}".strip()


PLACES: Final = (
    Place("received", "FI-01", "last fragment received", 4, receives=True),
    Place("written", "FI-02", "file written", 4, receives=True),
    Place("synced", "FI-03", "file synced", 4, receives=True),
    Place("renamed", "FI-04", "file has its name", 4),
    Place("folder-synced", "FI-04", "folder synced", 4),
    Place("committed", "FI-05", "row committed, not answered", 4),
    Place("answered", "FI-06", "destination has answered", 3),
    Place("confirmed", "FI-06", "row says sent", 2),
    Place("removal-marked", "FI-07", "row says removed", removes=True),
    Place("removal-unlinked", "FI-07", "name in the study's folder gone", 2, removes=True),
    Place("removal-removed", "FI-07", "file gone", 2, removes=True),
    Place("removal-forgotten", "FI-07", "name forgotten", removes=True),
)
TROUBLES: Final = (
    Trouble("", "plain"),
    Trouble("modality", "abort"),
    Trouble("modality", "reset"),
    Trouble("modality", "stall"),
    Trouble("modality", "duplicate"),
    Trouble("disk", "ENOSPC"),
    Trouble("disk", "EIO"),
    Trouble("destination", "abort"),
    Trouble("destination", "reset"),
    Trouble("destination", "A700"),
    Trouble("destination", "stall"),
    Trouble("destination", "duplicate"),
    Trouble("destination", "0111"),
)
_EIO = ("written:2", "renamed:2", "committing:40", "committing:80", "committing:120")


@dataclass(frozen=True)
class Cell:
    """One of the matrix; so many `processes` carry associations."""

    place: Place
    trouble: Trouble
    processes: int = 1

    @property
    def name(self) -> str:
        more = f" x{self.processes}" if self.processes > 1 else ""
        return f"{self.place.failpoint} - {self.trouble.name}{more}"


@dataclass(frozen=True)
class Outcome:
    """`acknowledged` before the kill; `again` is what destinations were given again though they had it."""

    acknowledged: int
    again: int
    seconds: float


def cells(processes: int = 1) -> list[Cell]:
    """All of them, row by row."""
    return [Cell(place, trouble, processes) for place in PLACES for trouble in TROUBLES]


def diagonal(processes: int = 1) -> list[Cell]:
    """Each place once and each trouble once."""
    longest = max(len(PLACES), len(TROUBLES))
    return [Cell(PLACES[at % len(PLACES)], TROUBLES[at % len(TROUBLES)], processes) for at in range(longest)]


def run(cell: Cell, folder: Path) -> Outcome:
    """Raises `AssertionError` where something promised does not hold."""
    began = time.monotonic()
    with ExitStack() as stack:
        scene = _Scene(cell, folder, stack)
        acknowledged = scene.until_killed()
        left = crash_evidence.gather(scene.root)
        scene.check(left)
        scene.until_all_is_well()
        found = crash_evidence.gather(scene.root)
        scene.check(found)
        in_hand = {name: left.in_hand(name) for name in scene.archives}
        again = crash_evidence.sent_again(found, scene.archives, in_hand)
        scene.check_the_end(found)
        scene.check_the_trouble()
    return Outcome(acknowledged, again, time.monotonic() - began)


class _Scene:
    """Everything around one router, and what is known of it."""

    def __init__(self, cell: Cell, folder: Path, stack: ExitStack) -> None:
        self._cell = cell
        self.root = folder / "root"
        self._ballast = self.root / "ballast"
        is_small = cell.trouble == Trouble("disk", "ENOSPC")
        self._instances = make_instances(INSTANCES, large_size=_LARGE if is_small else 0)
        self._known = {one.sop_instance_uid: digest_of(one) for one in self._instances}
        kind = cell.trouble.kind if cell.trouble.side == "destination" else ""
        self.archives = {"pacs": Archive(kind, _TROUBLES), "archive": Archive()}
        for archive in self.archives.values():
            stack.enter_context(archive.listening())
        if is_small:
            stack.enter_context(small_disk(self.root, _DISK))
            self._fill()
        self._port = stack.enter_context(_port_of_our_own())
        self._seen = Seen()
        self._log: list[Mapping[str, object]] = []

    def until_killed(self) -> int:
        """How many instances were acknowledged before."""
        place, trouble = self._cell.place, self._cell.trouble
        kind = trouble.kind if trouble.side == "modality" else ""
        faults = [f"{one}=EIO" for one in _EIO] if trouble.kind == "EIO" else []
        router = self._started(f"{place.failpoint}:{place.count}", *faults)
        try:
            with hostile(kind, self._port, self._instances, self._seen):
                self._send_until(lambda: self._is_dead(router), router)
            assert router.wait() in _KILLED, router.log
        finally:
            self._over(router)
        return len(self._seen.stored)

    def _is_dead(self, router: Router) -> bool:
        """Of several processes it may be one that receives that was killed: then the whole router is."""
        is_one_of_several = self._cell.processes > 1 and self._cell.place.receives
        if is_one_of_several and any(line.get("alarm") == "CARRIER_LOST" for line in router.log):
            router.kill()
        return not router.is_running

    def until_all_is_well(self) -> None:
        """Start it again: the peers go on, and the destination has some trouble left."""
        self._ballast.unlink(missing_ok=True)
        self.archives["pacs"].times_left = _TROUBLES // 2
        router = self._started()
        try:
            self._send_until(self._is_done, router)
            router.end()
            assert router.wait() == 0, router.log
        finally:
            self._over(router)

    def check(self, found: Evidence) -> None:
        crash_evidence.check(found, self._known, self._seen.stored, self.archives, self._log)

    def check_the_trouble(self) -> None:
        """It was there."""
        kind, pacs = self._cell.trouble.kind, self.archives["pacs"]
        if self._cell.trouble.side == "disk":
            assert self._seen.refused or any(line.get("alarm") == "COMMIT_FAILED" for line in self._log)
        if pacs.trouble and kind != "0111":
            assert any(one.status != 0 for one in pacs.ledger), "nothing was wrong with the destination"

    def check_the_end(self, found: Evidence) -> None:
        """All is delivered, nothing is left over, and a further start has nothing to do."""
        everything = set(self._known)
        assert self._seen.stored == everything
        for name, archive in self.archives.items():
            assert found.sent(name) == everything
            assert all(archive.answered(uid) for uid in everything)
        assert set(found.files) == (set() if self._cell.place.removes else everything)
        assert all(len(digests) == 1 for digests in found.files.values())
        assert not list((self.root / ".spool/incoming").iterdir()), "a partial file is left"
        self._check_names(found)
        invariants.check(self.root, {})

    def _check_names(self, found: Evidence) -> None:
        """What modalities' images are called in their study's folder: one name for each that is kept."""
        names = [path for path in self.root.rglob("*.dcm") if ".spool" not in path.parts]
        assert len(names) == len(found.files)

    def _started(self, *failpoints: str) -> Router:
        settings = yaml.safe_dump(self._settings())
        router = Router(
            self.root,
            self._port,
            ",".join(failpoints),
            settings,
            {"HTR_IP": "127.0.0.1"},
            processes=self._cell.processes,
        )
        try:
            router.wait_until_started()
        except BaseException:
            self._over(router)
            raise
        return router

    def _settings(self) -> dict[str, Any]:
        retry = {**QUICK, "give_up_after_s": 3600}
        common = {"kind": "dicom", "host": "127.0.0.1", "retry": retry, "timeout_s": 1.0, "linger_s": 1}
        return {
            "destinations": [
                {**common, "name": name, "port": archive.port, "ae_title": name.upper()}
                for name, archive in self.archives.items()
            ],
            "studies": {"quiet_s": 1.0, "keep_s": 0 if self._cell.place.removes else 3600},
        }

    def _over(self, router: Router) -> None:
        if router.is_running:
            router.kill()
        self._log += router.log

    def _send_until(self, is_over: Callable[[], bool], router: Router) -> None:
        """As a modality does: what was not answered with Success is sent again."""
        until = time.monotonic() + _PATIENCE_S
        while not is_over():
            assert time.monotonic() < until, ("in vain", self._cell.name, router.log[-20:])
            left = [one for one in self._instances if one.sop_instance_uid not in self._seen.stored]
            if left:
                send(self._port, left, self._seen)
            if self._seen.refused >= _REFUSALS_UNTIL_ROOM or not left:
                self._ballast.unlink(missing_ok=True)
            time.sleep(0.05)

    def _is_done(self) -> bool:
        if set(self._known) != self._seen.stored:
            return False
        kept = list((self.root / ".spool/kept").rglob("*.dcm"))
        if self._cell.place.removes:
            return not kept
        has_all = all(all(archive.answered(uid) for uid in self._known) for archive in self.archives.values())
        return has_all and self._names() == len(kept)

    def _names(self) -> int:
        with suppress(OSError):
            return sum(1 for path in self.root.rglob("*.dcm") if ".spool" not in path.parts)
        return -1

    def _fill(self) -> None:
        size = int(_DISK[:-1]) << 20
        self._ballast.write_bytes(bytes(size - _FREE_BYTES))


@contextmanager
def _port_of_our_own() -> Iterator[int]:
    """A port that nobody else is given while the router is down: bound here, without listening, by a socket
    that lets another share it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port()))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        yield holder.getsockname()[1]
