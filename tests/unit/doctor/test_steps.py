"""Steps: in their order, side by side, each within its time."""

from __future__ import annotations

import threading

from doctor.steps import Check, Found, Subject, examine
from doctor.words import Phrase
from tests.unit.doctor.found import ask, states

GOOD = Found("ok", (Phrase("dns.address", {"host": "a"}),))
BAD = Found("failed", (Phrase("dns.unknown", {"host": "a"}),))


def subject(name: str, *checks: Check) -> Subject:
    return Subject("destination", name, "", checks)


def test_what_needs_a_step_that_failed_is_skipped_and_says_which() -> None:
    found = ask(
        [
            subject(
                "one",
                Check("dns", lambda: BAD),
                Check("tcp", lambda: GOOD, ("dns",)),
                Check("echo", lambda: GOOD, ("tcp",)),
                Check("clock", lambda: GOOD),
            )
        ]
    )["one"]
    assert states(found) == {"dns": "failed", "tcp": "skipped", "echo": "skipped", "clock": "ok"}
    assert "Name (DNS)" in found["tcp"].found.said[0].text("en")
    assert "Nome (DNS)" in found["tcp"].found.said[0].text("pt-BR")


def test_a_peer_that_hangs_holds_up_neither_the_next_step_nor_another_peer() -> None:
    over = threading.Event()

    def hang() -> Found:
        over.wait(30)
        return GOOD

    stuck = subject("stuck", Check("dns", hang, limit_s=0.05), Check("tcp", lambda: GOOD))
    try:
        found = ask([stuck, subject("well", Check("dns", lambda: GOOD))])
    finally:
        over.set()
    assert states(found["stuck"]) == {"dns": "failed", "tcp": "ok"}
    assert found["stuck"]["dns"].found.said[0].key == "too_long.found"
    assert states(found["well"]) == {"dns": "ok"}


def test_peers_are_asked_side_by_side() -> None:
    together = threading.Barrier(3, timeout=20)

    def meet() -> Found:
        together.wait()
        return GOOD

    found = ask([subject(str(number), Check("dns", meet)) for number in range(3)])
    assert [states(steps) for steps in found.values()] == [{"dns": "ok"}] * 3


def test_a_mistake_of_ours_is_one_step_that_failed_without_its_text() -> None:
    def fail() -> Found:
        raise ValueError("CANARY")

    step = ask([subject("one", Check("dns", fail), Check("tcp", lambda: GOOD))])["one"]
    assert states(step) == {"dns": "failed", "tcp": "ok"}
    assert "CANARY" not in str(step["dns"].shown())


def test_nothing_new_is_begun_once_nobody_listens() -> None:
    begun: list[str] = []
    first_is_seen = threading.Event()

    def wait() -> Found:
        first_is_seen.wait(20)
        return GOOD

    def note() -> Found:
        begun.append("echo")
        return GOOD

    checks = (Check("dns", lambda: GOOD), Check("tcp", wait), Check("echo", note))
    steps = examine([subject("one", *checks)])
    assert next(steps).name == "dns"
    steps.close()  # type: ignore[attr-defined]
    first_is_seen.set()
    for thread in threading.enumerate():
        if thread.name == "doctor":
            thread.join(20)
    assert begun == []
