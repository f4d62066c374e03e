"""A command in this process: no seconds for starting Python and TensorFlow."""

import sys

import pytest
from absl import flags

from rdarts_tf import registry
from rdarts_tf.config import search as config_lib
from rdarts_tf.engine import distribution


def run(monkeypatch, capsys, main, config_class, *arguments, in_run_dir=True):
    """(exit code, stdout, stderr) of `main` with command line arguments."""
    # Its settings hold for the rest of the process, other tests included.
    monkeypatch.setattr(distribution, "configure_runtime", lambda: None)
    monkeypatch.setattr(registry, "_TRUSTED", set())
    monkeypatch.setattr(registry, "_DISTRUSTED", set())
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        config_lib.run(main, config_class, in_run_dir=in_run_dir)
    for flag in list(flags.FLAGS.flags_by_module_dict()[config_lib.__name__]):
        delattr(flags.FLAGS, flag.name)  # a process defines them once
    return exit_.value.code, *capsys.readouterr()
