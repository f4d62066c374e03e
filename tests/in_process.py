"""A command in this process: no seconds for starting Python and TensorFlow."""

import sys

import pytest
from absl import flags

from rdarts_tf import registry
from rdarts_tf.config import flags as flags_lib
from rdarts_tf.engine import distribution
from rdarts_tf.runs import executor


def run(monkeypatch, capsys, command, *arguments):
    """(exit code, stdout, stderr) of a command, a module such as rdarts_tf.search."""
    # Its settings hold for the rest of the process, other tests included.
    monkeypatch.setattr(distribution, "configure_runtime", lambda: None)
    monkeypatch.setattr(registry, "_TRUSTED", set())
    monkeypatch.setattr(registry, "_DISTRUSTED", set())
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    try:
        with pytest.raises(SystemExit) as exit_:
            command.run()
    finally:
        for flag in list(flags.FLAGS.flags_by_module_dict().get(flags_lib.__name__, ())):
            delattr(flags.FLAGS, flag.name)  # a process defines them once
    return exit_.value.code, *capsys.readouterr()


def sentence(stderr):
    """The one sentence that a command refuses with."""
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, stderr
    return lines[0]


def record_tasks(monkeypatch, *, end=lambda task: None):
    """A list of the (tasks, settings) that reach the executor from now on; every task succeeds.

    Args:
        end: called with each task, to leave what it would.
    """
    seen = []

    def run(tasks, settings, *, say=print):
        seen.append((tasks, settings))
        for task in tasks:
            end(task)
        return {task.name: 0 for task in tasks}

    monkeypatch.setattr(executor, "run", run)
    return seen
