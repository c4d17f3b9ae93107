"""Signals ask to stop, once; a second Ctrl-C interrupts; the handlers of before come back."""

import os
import signal

import pytest

from gen.training.preempt import Preemption

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_to_stop(number):
    with Preemption() as preemption:
        assert not preemption.requested()
        os.kill(os.getpid(), number)
        assert preemption.requested() and preemption.reason == number.name


def test_a_second_interrupt_is_not_waited_for():
    with Preemption() as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert preemption.reason == "SIGTERM"


def test_handlers_come_back():
    before = [signal.getsignal(s) for s in SIGNALS]
    with pytest.raises(RuntimeError), Preemption():
        assert [signal.getsignal(s) for s in SIGNALS] != before
        raise RuntimeError
    assert [signal.getsignal(s) for s in SIGNALS] == before
