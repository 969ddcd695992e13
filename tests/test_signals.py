"""A signal stops the main thread wherever it waits, and nowhere else."""

from __future__ import annotations

import gc
import io
import logging
import signal
import sys
import threading
import time

import pytest

from lytics_to_cordial.signals import StopSignal, Terminated


@pytest.fixture
def stop(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    stop = StopSignal()
    before = signal.signal(signal.SIGUSR1, stop.handle)
    yield stop
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_breaks_off_a_wait(stop):
    with pytest.raises(Terminated), stop.interruptible():
        signal.raise_signal(signal.SIGUSR1)


def test_a_wait_goes_on_after_one_that_stands_in_it(stop):
    def wait():
        with stop.interruptible():
            with stop.interruptible():
                pass
            signal.raise_signal(signal.SIGUSR1)

    with pytest.raises(Terminated):
        wait()


def test_a_signal_elsewhere_waits_for_the_next_wait(stop):
    signal.raise_signal(signal.SIGUSR1)
    with pytest.raises(Terminated), stop.interruptible():
        pytest.fail("not reached")


def test_a_signal_that_python_swallows_comes_again(stop, capsys):
    class Cleared:
        def __del__(self):
            signal.raise_signal(signal.SIGUSR1)

    def wait():
        with stop.interruptible():
            Cleared()
            time.sleep(60)

    with pytest.raises(Terminated):
        wait()
    assert capsys.readouterr().err == ""


def test_what_is_broken_off_does_not_complain_as_it_is_cleared_away(stop, capsys):
    class Broken:
        def __del__(self):
            reason = "Its file is gone"
            raise FileNotFoundError(reason)

    def work():
        with stop.interruptible():
            broken = Broken()
            signal.raise_signal(signal.SIGUSR1)
            return broken

    with pytest.raises(Terminated) as caught:
        work()
    del caught
    gc.collect()
    assert capsys.readouterr().err == ""


def test_a_signal_that_a_library_turns_into_an_error_of_its_own_is_still_a_signal(stop):
    def query():
        """As DuckDB does when a signal comes while it works."""
        try:
            signal.raise_signal(signal.SIGUSR1)
        except Terminated:
            reason = "Query interrupted"
            raise RuntimeError(reason) from None

    with pytest.raises(Terminated), stop.interruptible():
        query()


def test_a_signal_while_a_line_of_the_log_is_written_comes_after_it_and_leaves_the_log_to_others(stop):
    signals = [signal.SIGUSR1]

    class Interrupted(logging.StreamHandler):
        def release(self):
            if signals:
                signal.raise_signal(signals.pop())
            super().release()

    handler = Interrupted(io.StringIO())
    line = logging.makeLogRecord({"msg": "Created list"})

    def work():
        with stop.interruptible():
            handler.handle(line)
            time.sleep(60)

    with pytest.raises(Terminated):
        work()
    other = threading.Thread(target=handler.handle, args=(line,), daemon=True)
    other.start()
    other.join(10)
    assert not other.is_alive()
    assert handler.stream.getvalue() == "Created list\n" * 2
