"""A space that lies in a file: `space_file(PATH)`; `python -m rdarts_tf.shrink` writes such files.

    {"name": "darts_keep2", "task": "image_classification", "cells": {"normal": {
      "nodes": 4, "inputs": 2, "kept_edges": [2, 2, 2, 2],
      "primitives": [["skip_connect", "dil_conv_3x3"], ...]}, "reduce": ...}}

A run records the content in place of the path, `space_file({...})`: the file may move or change.
"""

import json
import os
import re

from rdarts_tf import reading, registry, schema
from rdarts_tf.errors import UserError
from rdarts_tf.spaces.base import CellSpace, Space

_MOST_BYTES = 2**20
_LONGEST = 9_000  # characters of the content in a record
_MOST_NODES, _MOST_INPUTS = 64, 8
_CELL = {"nodes": schema.WHOLE, "inputs": schema.WHOLE, "kept_edges": [schema.WHOLE]}
_CELL |= {"primitives": [[schema.IDENTIFIER]], "samples_none?": schema.FLAG}
_SCHEMA = {"name": schema.IDENTIFIER, "task": schema.NAME, "cells": {"*": _CELL}}


def make(source):
    """The spaces.base.Space of a file.

    Args:
        source: its path, or its content as a dict.
    Raises:
        UserError: there is no such file, it holds no space, or one of a task that is not trusted.
    """
    where = "what space_file({...}) gives" if isinstance(source, dict) else str(source)
    content = json.dumps(source) if isinstance(source, dict) else _read(where)
    try:
        found = reading.parse_json(content)
        schema.check(found, _SCHEMA)
        space = _space(found)
        if (length := len(recorded_text(space))) > _LONGEST:
            raise ValueError(
                f"a record of it would have {length:,} characters, {_LONGEST:,} at most"
            )
    except ValueError as error:
        raise UserError(
            f"{where} holds no space: {error}; python -m rdarts_tf.shrink writes such files"
        ) from error
    registry.check_trusted("tasks", space.task)
    return space


def recorded(source):
    """The argument and the name by which a run records the space, whatever becomes of the file."""
    return recorded_text(make(source))


def recorded_text(space):
    return f"space_file({to_plain(space)})"


def to_plain(space):
    """The content of the file of a spaces.base.Space, a dict ready for JSON."""
    cells = {
        cell_type: {
            "nodes": cell.num_nodes,
            "inputs": cell.num_inputs,
            "kept_edges": list(cell.kept),
            "primitives": [list(names) for names in cell.primitives],
        }
        | ({} if cell.samples_none else {"samples_none": False})
        for cell_type, cell in space.cells.items()
    }
    return {"name": space.name, "task": space.task, "cells": cells}


def to_json(space):
    """The text of the file, a line for each edge."""
    text = json.dumps(to_plain(space), indent=1)
    return re.sub(r"\[\s+([^][]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def _read(path):
    try:
        return reading.read_bytes(os.path.expanduser(path), _MOST_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot read the space file {path[:200]}: {reason}; python -m rdarts_tf.shrink writes such "
            "files"
        ) from error


def _space(found):
    """The Space of content that is as `_SCHEMA` says; raises ValueError where it forms none."""
    if not found["cells"]:
        raise ValueError("it has no cells")
    return Space(found["name"], {t: _cell(t, c) for t, c in found["cells"].items()}, found["task"])


def _cell(cell_type, cell):
    nodes, inputs, kept = cell["nodes"], cell["inputs"], cell["kept_edges"]
    if not schema.is_identifier(cell_type):
        raise ValueError(f"{cell_type[:60]!r} is no {schema.IDENTIFIER}")
    if not (1 <= nodes <= _MOST_NODES and 1 <= inputs <= _MOST_INPUTS):
        raise ValueError(
            f"cell {cell_type!r} has {nodes} nodes and {inputs} inputs, not from 1 to {_MOST_NODES} and "
            f"from 1 to {_MOST_INPUTS}"
        )
    for edge, names in enumerate(cell["primitives"]):
        if not names or len(set(names) - {"none"}) < len([n for n in names if n != "none"]):
            raise ValueError(
                f"edge {edge} of cell {cell_type!r} offers nothing, or something twice"
            )
    try:
        return CellSpace(
            tuple(map(tuple, cell["primitives"])),
            nodes,
            inputs,
            kept[0] if len(kept) == nodes and len(set(kept)) == 1 else tuple(kept),
            samples_none=cell.get("samples_none") is not False,
        )
    except ValueError as error:
        raise ValueError(f"cell {cell_type!r}: {error}") from error
