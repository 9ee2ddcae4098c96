"""What happened how often since the router started: for logs, the dashboard and whoever scrapes it."""

from __future__ import annotations

from collections import defaultdict
from threading import Lock

Key = tuple[str, tuple[tuple[str, str], ...]]


class Counters:
    """Numbers that only grow, by name and labels. No label's value comes from an instance."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: defaultdict[Key, float] = defaultdict(float)

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] += amount

    def take(self) -> list[tuple[str, dict[str, str], float]]:
        """What was counted since it was last taken, for the counters of another process."""
        with self._lock:
            values, self._values = self._values, defaultdict(float)
        return [(name, dict(labels), amount) for (name, labels), amount in values.items()]

    def value(self, name: str, **labels: str) -> float:
        """How much was counted."""
        with self._lock:
            return self._values.get((name, tuple(sorted(labels.items()))), 0)

    def snapshot(self) -> dict[str, float]:
        """All of them, named as Prometheus writes them."""
        with self._lock:
            values = dict(self._values)
        return {_shown(name, labels): value for (name, labels), value in sorted(values.items())}


def _shown(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    shown = ",".join(f'{label}="{value}"' for label, value in labels)
    return f"{name}{{{shown}}}" if shown else name
