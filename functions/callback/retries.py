"""When a callback is tried again."""

from __future__ import annotations

import random
from collections.abc import Sequence

SCHEDULE_S = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each attempt, counted from the one before: that of Standard Webhooks, three days in all."""
JITTER = 0.1
LONGEST_S = 86_400.0


def delay_s(attempt: int, schedule: Sequence[int], retry_after_s: float | None = None) -> float | None:
    """Seconds from a failed attempt (the first is 1) to the next, or None when there is none.

    With jitter, so that receivers that were down are not hit by all at once. A receiver's Retry-After is kept
    where it is longer, up to a day.
    """
    if attempt >= len(schedule):
        return None
    jittered = schedule[attempt] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  not for secrets
    return max(jittered, min(retry_after_s or 0.0, LONGEST_S))
