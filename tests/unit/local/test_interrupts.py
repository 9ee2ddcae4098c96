from __future__ import annotations

import os
import signal

import pytest

from infra.local.interrupts import Interrupted, Interrupts, held


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_exception_in_the_main_thread(number: signal.Signals) -> None:
    with Interrupts(), pytest.raises(Interrupted) as caught:
        send(number)

    assert caught.value.signal_number == number


def test_a_signal_waits_for_the_end_of_what_is_held() -> None:
    done = []

    def work() -> None:
        with held():
            with held():
                send(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("never")

    with Interrupts(), pytest.raises(Interrupted):
        work()

    assert done == ["inner", "outer"]


def test_only_the_first_signal_interrupts() -> None:
    with Interrupts():
        with pytest.raises(Interrupted):
            send(signal.SIGINT)
        send(signal.SIGINT)


def test_the_former_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Interrupts():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before


def test_holding_without_interrupts_does_nothing() -> None:
    with held():
        pass
