"""What a person sees of a running epoch, and how a person stops it."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time

import tqdm

_SECONDS_BETWEEN_LINES = 30
_SECONDS_OF_GRACE = 0.5


class Progress:
    """A tqdm bar on a terminal; elsewhere a plain line now and then.

    Args:
        label: at the beginning of the line.
        total: steps.
        initial: steps done before.
        shown: False of a worker that is not the chief.
    """

    def __init__(self, label, *, total, initial=0, shown=True):
        self.label, self.total, self.done = label, total, initial
        self.start = self.last_line = time.monotonic()
        self.initial = initial
        self.bar, self.shown = None, shown
        if shown and sys.stderr.isatty():
            self.bar = tqdm.tqdm(desc=label, total=total, initial=initial, unit="step", leave=False)

    def advance(self, steps, metrics):
        """Shows that so many more steps are done, and {name: number} so far."""
        self.done += steps
        told = {name: _text(value) for name, value in metrics.items()}
        if self.bar:
            self.bar.set_postfix(told, refresh=False)
            self.bar.update(steps)
        elif self.shown and time.monotonic() - self.last_line > _SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            rate = (self.last_line - self.start) / (self.done - self.initial)
            eta = rate * (self.total - self.done)
            numbers = ", ".join(f"{name} {text}" for name, text in told.items())
            print(
                f"{self.label}: step {self.done}/{self.total}, {numbers}, ETA {eta:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    def close(self):
        if self.bar:
            self.bar.close()


def _text(value):
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


class Stop:
    """Whether SIGINT, SIGTERM or SIGHUP came; `exit_code` is what the shell expects then.

    Python runs its handlers between two of its own instructions, so that a step of TensorFlow which takes a
    minute would keep them from being heard; a thread hears of a signal at once.
    """

    def __init__(self):
        self.signal = None
        self._over = threading.Event()  # signals act as before

    @property
    def requested(self):
        return self.signal is not None

    @property
    def exit_code(self):
        return 128 + self.signal

    @classmethod
    @contextlib.contextmanager
    def on_signals(cls):
        """Within, the first signal only sets the flag and is told; a second one ends at once.

        A closed terminal is none where the user had it ignored, by nohup.
        """
        stop, signals = cls(), [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signals.append(signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in signals}

        def give_back():
            for number in signals:
                signal.signal(number, before[number])
            stop._over.set()

        def first(number, frame):
            stop.signal = number
            for each in signals:
                signal.signal(each, second)

        def second(number, frame):
            give_back()
            signal.raise_signal(number)

        heard, rung = socket.socketpair()
        rung.setblocking(False)
        bell = signal.set_wakeup_fd(rung.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=stop._listen, args=(heard, signals), daemon=True).start()
        for number in signals:
            signal.signal(number, first)
        try:
            yield stop
        finally:
            give_back()
            signal.set_wakeup_fd(bell)
            rung.close()

    def _listen(self, heard, signals):
        """Says that the first of `signals` came; ends the process by a later one that its handler does not hear."""
        with heard:
            said = False
            while number := heard.recv(1):
                if number[0] in signals and not said:
                    said, self.signal = True, number[0]
                    print("stopping after this step; once more ends at once", file=sys.stderr)
                elif number[0] in signals and not self._over.wait(_SECONDS_OF_GRACE):
                    os._exit(128 + number[0])
