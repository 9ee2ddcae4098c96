"""When a study is complete: nobody says so in DICOM, so it is once every association that brought some of it
has ended and nothing more came for a quiet time; or after a time limit; or when somebody says so.

What comes later opens the study again: a further part of it, a supplement. Times are those of a clock that
nobody sets: a jump of the day's time completes nothing early, and a restart begins the quiet time anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from router.organiser_rows import CompletedBy


@dataclass(frozen=True, slots=True)
class CompletionRules:
    """`quiet_s` after the last instance and the last association's end; `limit_s` after the part's first."""

    quiet_s: float = 60.0
    limit_s: float = 2 * 3600.0


@dataclass(slots=True)
class _Open:
    opened: float
    last: float
    associations: set[str] = field(default_factory=set)


class OpenParts:
    """The parts that take instances, by study. `now` is in seconds of a monotonic clock."""

    def __init__(self, rules: CompletionRules) -> None:
        self._rules = rules
        self._open: dict[str, _Open] = {}

    def begin(self, studies: Iterable[str], now: float) -> None:
        """Those that were open when the router ended, and no others."""
        self._open = {study: _Open(now, now) for study in studies}

    def arrived(self, study_instance_uid: str, association_id: str | None, now: float) -> None:
        """An instance came."""
        part = self._open.setdefault(study_instance_uid, _Open(now, now))
        part.last = now
        if association_id is not None:
            part.associations.add(association_id)

    def complete(self, open_associations: set[str], now: float) -> list[tuple[str, CompletedBy]]:
        """The studies whose part is complete, and why. They stay until `forget`.

        `open_associations` are those that were open when all that was durable had been seen here.
        """
        due: list[tuple[str, CompletedBy]] = []
        for study, part in self._open.items():
            part.associations &= open_associations
            if part.associations:
                part.last = now
            if now - part.last >= self._rules.quiet_s:
                due.append((study, "association"))
            elif now - part.opened >= self._rules.limit_s:
                due.append((study, "limit"))
        return due

    def forget(self, study_instance_uid: str) -> None:
        """Its part is complete."""
        self._open.pop(study_instance_uid, None)

    def __len__(self) -> int:
        return len(self._open)
