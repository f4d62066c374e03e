"""Robust differentiable architecture search (R-DARTS) in TensorFlow and Keras 3.

From Python: `search`, `open_run`, `Run`, `Dataset`, `report` and `UserError`, see docs/python_api.md.
"""

import importlib

__version__ = "0.1.0"

# {name: module that has it}; imported when first asked for, so that commands start without them.
_API = {"Dataset": "api", "Run": "api", "open_run": "api", "UserError": "errors"}
_COMMANDS = ("report", "search")  # modules that can be called


def __getattr__(name):
    if name in _COMMANDS:
        return importlib.import_module(f"rdarts_tf.{name}")
    if name in _API:
        return getattr(importlib.import_module(f"rdarts_tf.{_API[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_API, *_COMMANDS})
