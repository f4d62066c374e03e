"""Plugins found by file name: `names("spaces")`, `load("methods", "darts_es(window=5)")`.

A plugin is a module of one of the folders `spaces`, `methods`, `datasets`, `tasks`, or any
importable module given by its dotted path (`my_package.my_space`). What a module must define is
written in the `base` module of its folder.
"""

import ast
import importlib
import pkgutil
import re

from rdarts_tf.errors import UserError

KINDS = ("spaces", "methods", "datasets", "tasks")
_SPEC = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?:\((.*)\))?\s*", re.DOTALL)


def names(kind):
    """The names that `load` accepts for `kind`, sorted; nothing is imported."""
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
    match = _SPEC.fullmatch(spec)
    if not match:
        raise UserError(f"cannot read {spec!r}; write NAME or NAME(value, key=value)")
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


def load(kind, spec):
    """Imports the plugin that `spec` names.

    Returns:
        (module, args, kwargs); the arguments are those written behind the name.
    Raises:
        UserError: no such plugin; the sentence lists those there are.
    """
    name, args, kwargs = parse(spec)
    if "." in name:
        try:
            return importlib.import_module(name), args, kwargs
        except ImportError as error:
            raise UserError(f"cannot import {kind[:-1]} {name!r}: {error}") from error
    if name not in names(kind):
        raise UserError(f"unknown {kind[:-1]} {name!r}; there are: {', '.join(names(kind))}")
    return importlib.import_module(f"rdarts_tf.{kind}.{name}"), args, kwargs


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
    except (ValueError, TypeError, SyntaxError):
        return text.strip()
