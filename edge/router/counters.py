"""What happened how often since the router started: for logs, the dashboard and whoever scrapes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from threading import Lock
from typing import Final

Key = tuple[str, tuple[tuple[str, str], ...]]

FROM_OUTSIDE: Final = "calling_ae"
"""The one label whose values others choose."""
MOST_FROM_OUTSIDE: Final = 64
OTHER: Final = "other"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Counters:
    """Numbers that only grow, by name and labels. No label's value comes from an instance.

    Of `calling_ae` there are `MOST_FROM_OUTSIDE` values at most; whatever comes then is `other`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._values: defaultdict[Key, float] = defaultdict(float)
        self._from_outside: set[str] = set()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count."""
        with self._lock:
            if FROM_OUTSIDE in labels:
                labels[FROM_OUTSIDE] = self._bounded(labels[FROM_OUTSIDE])
            self._values[name, tuple(sorted(labels.items()))] += amount

    def observe(self, name: str, value: float, bounds: Sequence[float]) -> None:
        """Count a measurement, by `add` alone: in the one bucket that it falls into, under the upper bound
        `le`, and in the sum. Who shows the histogram adds the buckets up, as Prometheus wants them."""
        bound = next((f"{one:g}" for one in bounds if value <= one), "+Inf")
        self.add(f"{name}_bucket", le=bound)
        self.add(f"{name}_sum", value)

    def take(self) -> list[tuple[str, dict[str, str], float]]:
        """What was counted since it was last taken, for the counters of another process."""
        with self._lock:
            values, self._values = self._values, defaultdict(float)
        return [(name, dict(labels), amount) for (name, labels), amount in values.items()]

    def value(self, name: str, **labels: str) -> float:
        """How much was counted with these labels, whatever the others are."""
        wanted = set(labels.items())
        with self._lock:
            return sum(
                value
                for (one, given), value in self._values.items()
                if one == name and wanted.issubset(given)
            )

    def snapshot(self) -> dict[str, float]:
        """All of them, named as Prometheus writes them."""
        with self._lock:
            values = dict(self._values)
        return {_shown(name, labels): value for (name, labels), value in sorted(values.items())}

    def _bounded(self, value: str) -> str:
        if value not in self._from_outside and len(self._from_outside) >= MOST_FROM_OUTSIDE:
            return OTHER
        self._from_outside.add(value)
        return value


def _shown(name: str, labels: tuple[tuple[str, str], ...]) -> str:
    shown = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels)
    return f"{name}{{{shown}}}" if shown else name
