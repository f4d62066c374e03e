"""A command in a process of its own, for a caller that must stay as it is: a notebook, a script."""

import numbers
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np

from rdarts_tf.config import base
from rdarts_tf.errors import UserError

_ERROR = "error: "
_HIDDEN = re.compile(rf"{_ERROR}|WARNING: All log messages before absl|I0000 ")  # by TensorFlow
_SHOWN = 20  # lines of a crash


class Died(RuntimeError):
    """A command ended otherwise than by a sentence to its user."""


def arguments(values):
    """["--name=value", ...] of what a Python call gives; None is left out.

    Args:
        values: {flag: number, text, path, or a list of them}; a list becomes "1,2,3", but for
            `plugin`, which is repeated. A `flagfile` comes first, so that the others override it.
    Raises:
        UserError: a value of another type.
    """
    plugins = plugin_names(values.get("plugin"))
    order = sorted(values, key=lambda name: name != "flagfile")
    texts = {name: _text(name, values[name]) for name in order if name != "plugin"}
    return [*base.argv(texts), *(f"--plugin={name}" for name in plugins)]


def a_path(value):
    """pathlib.Path of what a Python call gives as one; raises UserError for another type."""
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"{str(value)[:60]!a} is a {type(value).__name__}; give a path")
    return pathlib.Path(value)


def plugin_names(value):
    """(name, ...) of what a Python call gives as `plugin`: a text, several, or None.

    Raises:
        UserError: another type.
    """
    names = [value] if isinstance(value, str) else value or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"plugin is {str(value)[:60]!r}; give the name of a module, or a list of them"
        )
    return tuple(filter(None, names))


def _text(name, value):
    if value is None:
        return None
    if isinstance(value, list | tuple | range):
        if any(each is None for each in value):
            raise UserError(f"{name} has None in a list; leave it out")
        return ",".join(_text(name, each) for each in value)
    if isinstance(value, bool | np.bool_):
        return base.to_text(bool(value))
    if isinstance(value, str | numbers.Number | pathlib.PurePath):
        return _checked(name, str(value))
    raise UserError(
        f"{name} is a {type(value).__name__}; give a number, a text, a path, or a list of them"
    )


def _checked(name, text):
    """A text that a process can be given."""
    try:
        fits = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise UserError(f"{name} is {text[:60]!a}, which has characters that are none")
    return text


def run(command, flags, *, say=print):
    """Runs `python -m rdarts_tf.<command>` and passes on each line as it comes, errors included.

    It imports from where this process does. An interrupt is passed on to it, once; it is awaited, since
    it writes a checkpoint, and then raised here. A second one kills it.

    Args:
        flags: texts, see `arguments`.
        say: called with each line but the one that tells of an error.
    Returns:
        the lines.
    Raises:
        UserError: with the sentence that the command ended with.
        Died: it ended in another way.
        KeyboardInterrupt.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", f"rdarts_tf.{command}", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
        start_new_session=True,  # a Ctrl-C of the terminal reaches it once, through us
    )
    lines = []
    try:
        try:
            code = _follow(process, lines, say)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            _follow(process, lines, say, interrupted=True)
            raise
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
    _check(command, code, lines)
    return lines


def _environment():
    """The child imports what this process would, and in the same order."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTHONSAFEPATH": "1",  # not first of all from the working directory
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def _follow(process, lines, say, *, interrupted=False):
    """Passes on what a process prints until it ends; its exit code.

    Args:
        interrupted: do not show the traceback of a process that was still starting.
    """
    shown = True
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        shown = shown and not (interrupted and line.startswith("Traceback "))
        if shown and not _HIDDEN.match(line):
            say(lines[-1])
    return process.wait()


def _check(command, code, lines):
    """Raises what an exit code means."""
    if code == 0:
        return
    told = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    if code in (1, 2) and told:
        raise UserError(told[-1])
    number = -code if code < 0 else code - 128
    if number in iter(signal.Signals):
        raise Died(
            f"rdarts_tf.{command} was ended by {signal.Signals(number).name}; the same call goes on "
            "from its last checkpoint"
        )
    raise Died(f"rdarts_tf.{command} ended with exit code {code}:\n" + "\n".join(lines[-_SHOWN:]))
