"""What is said of the associations that are there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.live import Live
from tests.unit.router.store import FACTS


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_counts_and_speed_of_each_association() -> None:
    clock = Clock()
    live = Live(clock)
    live.opened(FACTS)
    live.opened(replace(FACTS, id="other"))
    for _ in range(600):
        clock.seconds += 0.1
        live.stored(FACTS.id, 1000)
    first, second = live.snapshot()
    assert (first.instances, first.bytes, second.instances) == (600, 600_000, 0)
    assert first.bytes_per_s == pytest.approx(10_000, rel=0.05)
    assert (first.calling_ae_title, first.address) == (FACTS.calling_ae_title, FACTS.address)
    clock.seconds += 60
    assert live.snapshot()[0].bytes_per_s < 1


def test_the_speed_is_right_from_the_first_second_on() -> None:
    clock = Clock()
    live = Live(clock)
    live.opened(FACTS)
    for _ in range(10):
        clock.seconds += 0.1
        live.stored(FACTS.id, 1000)
    assert live.snapshot()[0].bytes_per_s == pytest.approx(10_000, rel=0.2)


def test_what_is_over_is_gone_and_what_is_not_known_passed_over() -> None:
    live = Live()
    live.opened(FACTS)
    live.closed(FACTS.id)
    live.closed(FACTS.id)
    live.stored(FACTS.id, 1)
    assert live.snapshot() == []
