"""A command in this process: no seconds for starting Python and TensorFlow."""

import sys

import pytest
from absl import flags

from rdarts_tf import registry
from rdarts_tf.config import flags as flags_lib
from rdarts_tf.engine import distribution


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
