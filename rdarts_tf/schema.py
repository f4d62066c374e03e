"""Schemas of JSON from files that may be anything: types and ranges, checked before a value is used.

A schema is a type, a set of texts, a list of one schema for all items, or a dict of the fields of an
object; "name?" may be missing or null, "*" is the schema of all other fields.
"""

import re

ANY, TEXT, NAME = "any", "text", "name"
IDENTIFIER = "name of up to 64 letters, digits and _"
NUMBER, WHOLE, FLAG = "number", "whole number of at least 0", "true or false"
SCALAR = "no list and no object"
_TYPES = {
    ANY: lambda v: True,
    TEXT: lambda v: isinstance(v, str),
    NAME: lambda v: isinstance(v, str) and all(c.isprintable() or c.isspace() for c in v),
    IDENTIFIER: lambda v: isinstance(v, str) and is_identifier(v),
    NUMBER: lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    WHOLE: lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**63,
    FLAG: lambda v: isinstance(v, bool),
    SCALAR: lambda v: not isinstance(v, list | dict),
}


def is_identifier(text):
    return re.fullmatch(r"[A-Za-z_]\w{,63}", text, re.ASCII) is not None


def check(value, schema, where="the file"):
    """Raises ValueError unless a value is as a schema says."""
    if isinstance(schema, set):
        if not isinstance(value, str) or value not in schema:
            raise ValueError(f"{where} is not {' or '.join(sorted(schema))}")
    elif isinstance(schema, str):
        if not _TYPES[schema](value):
            raise ValueError(f"{where} is no {schema}: {str(value)[:60]!r}")
    elif isinstance(schema, list):
        _check_type(value, list, where)
        for number, each in enumerate(value):
            check(each, schema[0], f"{where}, number {number},")
    else:
        _check_type(value, dict, where)
        _check_fields(value, schema, where)


def _check_type(value, kind, where):
    if not isinstance(value, kind):
        raise ValueError(f"{where} is no {'list' if kind is list else 'object'}")


def _check_fields(value, schema, where):
    for name in schema:
        if not name.endswith("?") and name != "*" and name not in value:
            raise ValueError(f"{where} has no {name!r}")
    for name, each in value.items():
        if name in schema:
            check(each, schema[name], name)
        elif f"{name}?" in schema:
            if each is not None:
                check(each, schema[f"{name}?"], name)
        elif "*" in schema:
            check(each, schema["*"], name)
        elif "*?" not in schema:
            raise ValueError(f"{where} has a field {name[:60]!r} that is unknown")
        elif each is not None:
            check(each, schema["*?"], name)
