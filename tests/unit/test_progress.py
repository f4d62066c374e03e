"""Plain lines where nobody watches a terminal, a bar where somebody does, and signals."""

import signal
import subprocess
import sys
import time

import pytest

from rdarts_tf.runs import progress
from rdarts_tf.runs.progress import Progress, Stop


@pytest.fixture
def clock(monkeypatch):
    """A list whose last number is the time in seconds."""
    times = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: times[-1])
    return times


def test_a_plain_line_now_and_then_with_the_time_that_is_left(clock, capsys):
    line = Progress("epoch 2/9", total=30, initial=10)
    clock.append(129.0)
    line.advance(4, {"loss": 1.0, "accuracy": 0.5})
    assert capsys.readouterr().err == ""  # half a minute has not passed
    clock.append(140.0)
    line.advance(4, {"loss": 0.25, "accuracy": 0.75})  # 8 steps in 40 s, 12 to go
    expected = "epoch 2/9: step 18/30, loss 0.250, accuracy 0.750, ETA 60 s\n"
    assert capsys.readouterr().err == expected
    clock.append(141.0)
    line.advance(1, {"loss": 0.25, "accuracy": 0.75})
    line.close()
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    line = Progress("epoch 2/9", total=30, initial=10)
    line.advance(20, {"loss": 0.25, "accuracy": 0.75})
    shown = str(line.bar)
    line.close()
    assert "epoch 2/9: 100%" in shown
    assert "30/30" in shown
    assert "loss=0.250" in shown
    assert "accuracy=0.750" in shown


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_asks_and_the_second_acts(monkeypatch, number, code):
    acted = []
    before = signal.signal(number, lambda *arguments: acted.append(number))
    try:
        with Stop.on_signals() as stop:
            assert not stop.requested
            signal.raise_signal(number)
            assert stop.requested
            assert stop.exit_code == code
            assert acted == []
            signal.raise_signal(number)
            assert acted == [number]
        signal.raise_signal(number)
        assert acted == [number] * 2  # as before
    finally:
        signal.signal(number, before)


def test_a_closed_terminal_that_the_user_ignores_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with Stop.on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


DEAF = """
import hashlib, sys, time
from rdarts_tf.runs.progress import Stop
with Stop.on_signals() as stop:
    print("begun", flush=True)
    {first}
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # an instruction of Python that takes minutes
"""


@pytest.mark.parametrize(
    "first",
    ["", "while not stop.requested: time.sleep(0.01)"],
    ids=["deaf_to_both", "deaf_to_the_second"],
)
def test_a_signal_is_heard_while_one_instruction_lasts(first):
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF.format(first=first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "stopping after this step; once more ends at once\n"
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
