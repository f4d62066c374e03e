"""Plugins found by file name: `names("spaces")`, `load("methods", "darts_es(window=5)")`.

A plugin is a module of one of the folders `spaces`, `methods`, `datasets`, `tasks`, or any
importable module given by its path (`my_package.my_space`, or `mydata` of a file mydata.py). What a module must define is
written in the `base` module of its folder.

Names also come from the files of runs, which may be a stranger's: such a module is imported only after
`trust`, which the user's own flags call, and never from a folder that `distrust` was told of.
"""

import ast
import functools
import importlib
import importlib.util
import pathlib
import pkgutil
import re
import sys

from rdarts_tf.errors import UserError

KINDS = ("spaces", "methods", "datasets", "tasks")
_SPEC = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_LONGEST, _DEEPEST = 10_000, 50  # characters and brackets of what names a plugin
_TRUSTED = set()  # names of modules outside of this package that may be imported
_DISTRUSTED = set()  # folders from which nothing is


def names(kind):
    """The names that `load` accepts for `kind`, sorted; nothing is imported."""
    return list(_names(kind))


@functools.cache  # a page about a thousand runs asks for them a hundred thousand times
def _names(kind):
    package = importlib.import_module(f"rdarts_tf.{kind}")
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    helpers = {"base"} | set(getattr(package, "HELPERS", ()))
    return sorted(name for name in modules - helpers if not name.startswith("_"))


def parse(spec):
    """Splits "name(a, key=value)" into (name, [a], {key: value}).

    Values are Python literals; anything else is taken as a string, so that `tfds(mnist)` and
    `image_folder(/data/shapes)` need no quotes.

    Raises:
        UserError: `spec` has another form, an unclosed bracket or quote, or a key twice.
    """
    short = isinstance(spec, str) and len(spec) <= _LONGEST and spec.count("(") <= _DEEPEST
    if not (match := _SPEC.fullmatch(spec) if short else None):
        raise UserError(f"cannot read {str(spec)[:200]!r}; write NAME or NAME(value, key=value)")
    args, kwargs = [], {}
    for part in split(match.group(2) or "", spec):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not (equals and key.isidentifier()):
            args.append(_value(part))
        elif key in kwargs:
            raise UserError(f"cannot read {spec!r}: {key} is given twice")
        else:
            kwargs[key] = _value(value)
    return match.group(1), args, kwargs


def trust(spec, *, nested=False):
    """Lets `load` import the module that a user names.

    Args:
        nested: and those that its arguments name, as in "best_of(method=my_package.my_method)".
    Raises:
        UserError: as `parse`.
    """
    name, args, kwargs = parse(spec)
    _TRUSTED.add(name)
    for value in (*args, *kwargs.values()) if nested else ():
        if isinstance(value, str) and _SPEC.fullmatch(value):
            trust(value, nested=True)


def distrust(folder):
    """Keeps `load` from importing what lies in a folder, trusted or not."""
    _DISTRUSTED.add(pathlib.Path(folder).resolve())


def load(kind, spec):
    """Imports the plugin that `spec` names.

    Returns:
        (module, args, kwargs); the arguments are those written behind the name.
    Raises:
        UserError: no such plugin, the sentence lists those there are; or one outside of this package
            that is not trusted.
    """
    name, args, kwargs = parse(spec)
    if "." in name or (name not in names(kind) and _is_module(name)):
        return _load_outside(kind, name), args, kwargs
    if name not in names(kind):
        raise UserError(f"unknown {kind[:-1]} {name!r}; there are: {', '.join(names(kind))}")
    return importlib.import_module(f"rdarts_tf.{kind}.{name}"), args, kwargs


def is_outside(kind, spec):
    """Whether a plugin that a user names is none of this package."""
    return parse(spec)[0] not in names(kind)


def _is_module(name):
    """Whether there is a module beside the user, or one that is installed; not of Python itself."""
    return name not in sys.stdlib_module_names and importlib.util.find_spec(name) is not None


def _load_outside(kind, name):
    """The module of a dotted name."""
    check_trusted(kind, name)
    parts = name.split(".")
    try:
        for length in range(1, len(parts) + 1):
            _check_place(".".join(parts[:length]))
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"cannot import {kind[:-1]} {name!r}: {error}") from error


def check_trusted(kind, name):
    """Raises UserError for a name that is none of this package and that no flag names."""
    if name not in names(kind) and name not in _TRUSTED:
        raise UserError(
            f"{kind[:-1]} {name[:200]!r} is code outside of rdarts_tf that no flag names; if you trust it, "
            f"give --plugin={name[:200]}"
        )


def _check_place(name):
    """Raises UserError if a module lies in a distrusted folder; imports its parents, but not itself."""
    spec = importlib.util.find_spec(name)
    places = [*(spec.submodule_search_locations or ())] if spec else []
    if spec and spec.has_location:
        places.append(spec.origin)
    for place in (pathlib.Path(place).resolve() for place in places):
        if folder := next(filter(place.is_relative_to, _DISTRUSTED), None):
            raise UserError(
                f"module {name!r} lies in the run directory {folder}, from which no code is run; move "
                "it elsewhere"
            )


def load_task(name, part):
    """Imports a module of a task.

    Args:
        name: of a folder of `tasks`, or the dotted path of such a package; a space that is trusted
            names it.
        part: "options" or "task", see `tasks.base`.
    Raises:
        UserError: no such task, or it lacks that module.
    """
    trust(name)
    module, _, _ = load("tasks", name)
    try:
        return importlib.import_module(f"{module.__name__}.{part}")
    except ImportError as error:
        raise UserError(f"cannot import {part!r} of task {name!r}: {error}") from error


def split(arguments, spec):
    """Splits at commas outside brackets and quoted strings; `spec` is what errors show.

    A quote opens a string only where a value begins, so that `/data/tom's` needs no quotes.

    Raises:
        UserError: a bracket or quote is not closed.
    """
    parts, depth, quote, previous = [""], 0, "", ","
    for char in arguments:
        if quote:
            quote = "" if char == quote and previous != "\\" else quote
        elif char in "'\"" and previous in ",=([{:":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += char
        previous = char if quote or not char.isspace() else previous
        if depth < 0:
            break
    if depth or quote:
        raise UserError(
            f"cannot read {spec!r}: a bracket or quote is not closed; write such a value in quotes"
        )
    return [part.strip() for part in parts if part.strip()]


def _value(text):
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text.strip()
