"""SIGTERM asks once and ends the second time; others' handlers come back afterwards."""

import os
import signal

import pytest

from rl_reason.stages.session import StopFlag


def test_one_signal_asks_and_the_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    stop = StopFlag()
    with stop.on_signals():
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_interrupt_ends_at_once():
    # A shell's background jobs begin with it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = StopFlag()
    with stop.on_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_it_takes_the_signals_back_from_a_library():
    stop = StopFlag()
    with stop.on_signals():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop.install()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
