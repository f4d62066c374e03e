"""Robust differentiable architecture search (R-DARTS) in TensorFlow and Keras 3.

From Python: `search`, `open_run`, `Run`, `Dataset`, `report` and `UserError`, see docs/python_api.md.
"""

import importlib
import os
import platform
import signal
import sys

__version__ = "0.1.0"

# {name: module that has it}; imported when first asked for, so that commands start without them.
_API = {"Dataset": "in_memory", "Run": "api", "open_run": "api", "UserError": "errors"}
_COMMANDS = ("report", "search")  # modules that can be called


def _is_command():
    """Whether this process is one of python -m rdarts_tf.search and the like."""
    _, _, rest = " ".join(sys.orig_argv).partition(" -m ")
    return rest.startswith("rdarts_tf.")


def _open_standard_streams():
    """Opens those that the shell closed, so that no file of ours gets their number and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


if platform.machine() in ("x86_64", "AMD64") and "tensorflow" not in sys.modules:
    # TensorFlow takes oneDNN's kernels by itself only where the CPU has VNNI instructions; without these, too,
    # they nearly halve a step.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

if _is_command():
    _open_standard_streams()
    # It ends by a signal at once, without a traceback, but where a run takes it, see runs.progress.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def __getattr__(name):
    if name in _COMMANDS:
        return importlib.import_module(f"rdarts_tf.{name}")
    if name in _API:
        return getattr(importlib.import_module(f"rdarts_tf.{_API[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_API, *_COMMANDS})
