"""Search spaces as users and records name them: NAME, or NAME(...) of a module that makes them.

A module of `spaces` defines `SPACE`, or `make(...)` that returns one; `recorded(...)`, if it has that, gives
the text by which a run records a space that would else depend on a file.
"""

import hashlib

from rdarts_tf import registry
from rdarts_tf.errors import UserError


def make(spec):
    """The spaces.base.Space that `spec` names; raises UserError if there is none."""
    module, args, kwargs = registry.load("spaces", spec)
    if hasattr(module, "make"):
        return _call(module.make, spec)
    if not hasattr(module, "SPACE"):
        raise UserError(f"space {spec!r}: the module defines no SPACE")
    if args or kwargs:
        raise UserError(f"space {spec!r} takes no arguments; write --space={module.SPACE.name}")
    return module.SPACE


def recorded(spec):
    """The text that names the same space wherever and whenever it is read."""
    maker = _maker_of_text(spec)
    return _call(maker, spec) if maker else spec


def label(spec):
    """What a space is called in tables and in names of folders: "s1", "darts_keep2-1f3a5b7c"."""
    if not _maker_of_text(spec):
        return spec
    text = recorded(spec)
    return f"{make(text).name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def told(spec):
    """A space in a sentence."""
    return f"space_file with {label(spec)}" if _maker_of_text(spec) else spec


def plugin(spec):
    """What a reader of a record has to trust: the module of a space, or of its task; None: nothing."""
    if registry.is_outside("spaces", spec):
        return registry.parse(spec)[0]
    task = make(spec).task
    return None if task in registry.names("tasks") else task


def _maker_of_text(spec):
    """The `recorded` of a module that makes spaces by arguments, or None; plain names import nothing."""
    _, args, kwargs = registry.parse(spec)
    return getattr(registry.load("spaces", spec)[0], "recorded", None) if args or kwargs else None


def _call(function, spec):
    _, args, kwargs = registry.parse(spec)
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        raise UserError(f"space {spec[:200]!r} does not take that: {error}") from error
