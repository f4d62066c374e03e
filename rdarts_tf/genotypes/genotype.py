"""Found cells: the DARTS text form and JSON. No TensorFlow."""

import ast
import dataclasses
import json

from rdarts_tf.errors import UserError


class GenotypeError(UserError):
    """A text that is no genotype; the message is one sentence."""


# {cell type: (input states, pairs that enter node 0, pairs that enter each further node)}.
_LAYOUTS = {"recurrent": (1, 1, 1), "upsample": (4, 4, 2)}
_LAYOUT = (2, 2, 2)  # of all other cells


@dataclasses.dataclass(frozen=True)
class Genotype:
    """Discrete cells.

    Attributes:
        cells: {cell type: (primitive, state) pairs}, those that enter node 0 first, strongest first;
            `layout` says how many enter each node.
        concat: {cell type: states whose concatenation (recurrent: mean) is the output}.
        layouts: {cell type: see `layout`} of cells whose type does not tell it, only in JSON.
    """

    cells: dict[str, tuple[tuple[str, int], ...]]
    concat: dict[str, tuple[int, ...]]
    layouts: dict[str, tuple[int, tuple[int, ...]]] = dataclasses.field(default_factory=dict)

    def layout(self, cell_type):
        """(number of input states, number of pairs that enter each node) of a cell.

        Raises:
            GenotypeError: so many pairs fill no nodes.
        """
        if cell_type in self.layouts:
            return self.layouts[cell_type]
        return _layout(cell_type, len(self.cells[cell_type]))

    def targets(self, cell_type):
        """The node that each pair of a cell enters; raises GenotypeError as `layout`."""
        _, sizes = self.layout(cell_type)
        return [node for node, size in enumerate(sizes) for _ in range(size)]

    def count(self, primitive, cell_type):
        """How often `primitive` occurs in the cell."""
        return sum(name == primitive for name, _ in self.cells[cell_type])

    def __str__(self):
        """The text form of DARTS: Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)."""
        fields = []
        for cell_type, pairs in self.cells.items():
            states = self.concat[cell_type]
            contiguous = states == tuple(range(states[0], states[0] + len(states)))
            text = f"range({states[0]}, {states[-1] + 1})" if contiguous else str(list(states))
            fields += [f"{cell_type}={list(pairs)}", f"{_concat_name(cell_type)}={text}"]
        return f"Genotype({', '.join(fields)})"

    def to_json(self):
        layouts = {"layouts": self.layouts} if self.layouts else {}
        return json.dumps({"cells": self.cells, "concat": self.concat} | layouts, indent=1)


def _layout(cell_type, num_pairs):
    """See `Genotype.layout`, as the cell type has it."""
    inputs, first, further = _LAYOUTS.get(cell_type, _LAYOUT)
    nodes, left = divmod(num_pairs - first, further)
    if num_pairs < first or left:
        told = f"{further} pairs a node" + (f", {first} for node 0" if first != further else "")
        raise GenotypeError(f"cell {cell_type!r} needs {told}, not {num_pairs}")
    return inputs, (first,) + (further,) * nodes


def of_space(space, cells):
    """The Genotype of cells {cell type: pairs} of a space."""
    concat = {t: cell.node_states for t, cell in space.cells.items()}
    return Genotype(cells, concat, _layouts(space))


def _layouts(space):
    """`Genotype.layouts` of a space: of cells that are not laid out as their type says."""
    layouts = {}
    for t, cell in space.cells.items():
        inputs, first, further = _LAYOUTS.get(t, _LAYOUT)
        if (cell.num_inputs, cell.kept) != (inputs, (first,) + (further,) * (cell.num_nodes - 1)):
            layouts[t] = cell.num_inputs, cell.kept
    return layouts


def parse(text, space=None):
    """Reads the DARTS text form or JSON; nothing is evaluated.

    Both forms of the concatenation, `range(2, 6)` and `[2, 3, 4, 5]`, are accepted.

    Args:
        space: spaces.base.Space that it is of, which tells how pairs form nodes; None: the cell types do.
    Raises:
        GenotypeError: `text` is neither, has other fields, or a state is no integer or does not exist
            yet where it is used.
    """
    try:
        genotype = _from_json(text) if text.lstrip().startswith("{") else _from_call(text)
    except (
        ValueError,
        SyntaxError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
    ) as error:
        shown = text.strip()[:60]
        raise GenotypeError(f"cannot read a genotype from {shown!r}: {error}") from error
    if not genotype.cells:
        raise GenotypeError(f"no cell in the genotype {text.strip()[:60]!r}")
    if space is not None:
        genotype = dataclasses.replace(genotype, layouts=_layouts(space))
    for cell_type in genotype.cells:
        _check_states(genotype, cell_type)
    return genotype


def check_primitives(genotype, known):
    """Raises GenotypeError when a primitive is not in `known`, naming it."""
    for cell_type, pairs in genotype.cells.items():
        for name, _ in pairs:
            if name not in known:
                raise GenotypeError(
                    f"unknown primitive {name!r} in cell {cell_type!r}; known are {', '.join(known)}"
                )


def _check_states(genotype, cell_type):
    inputs, sizes = genotype.layout(cell_type)
    pairs, concat = genotype.cells[cell_type], genotype.concat[cell_type]
    if sum(sizes) != len(pairs) or min(sizes, default=0) < 1 or inputs < 1:
        raise GenotypeError(f"cell {cell_type!r}: {len(pairs)} pairs do not form nodes of {sizes}")
    for node, (name, state) in zip(genotype.targets(cell_type), pairs, strict=True):
        if not isinstance(name, str) or not 0 <= state < inputs + node:
            raise GenotypeError(f"cell {cell_type!r}: ({name!r}, {state}) has no such state yet")
    if not concat or not all(0 <= state < inputs + len(sizes) for state in concat):
        raise GenotypeError(f"cell {cell_type!r}: concat {list(concat)} names a missing state")


def _concat_name(cell_type):
    return "concat" if cell_type == "recurrent" else f"{cell_type}_concat"


def _from_json(text):
    data = json.loads(text)
    layouts = data.pop("layouts", {})
    _check_fields(data, ("cells", "concat"))
    _check_fields(data["concat"], data["cells"])
    layouts = {
        t: (_state(inputs), tuple(map(_state, sizes))) for t, (inputs, sizes) in layouts.items()
    }
    return dataclasses.replace(_genotype(data["cells"], data["concat"]), layouts=layouts)


def _from_call(text):
    call = ast.parse(text.strip(), mode="eval").body
    if not isinstance(call, ast.Call) or call.func.id != "Genotype" or call.args:
        raise ValueError("expected Genotype(normal=[...], normal_concat=..., ...)")
    fields = {keyword.arg: _literal(keyword.value) for keyword in call.keywords}
    types = [name for name in fields if name != "concat" and not name.endswith("_concat")]
    names = [keyword.arg for keyword in call.keywords]
    if "upsample" in types and names == types:  # as the authors of AutoDispNet print theirs
        concat = {t: _nodes(t, fields[t]) for t in types}
    else:
        _check_fields(names, [*types, *map(_concat_name, types)])
        concat = {t: fields[_concat_name(t)] for t in types}
    return _genotype({t: fields[t] for t in types}, concat)


def _nodes(cell_type, pairs):
    """The states of a cell's nodes."""
    inputs, sizes = _layout(cell_type, len(pairs))
    return range(inputs, inputs + len(sizes))


def _check_fields(found, expected):
    if sorted(found) != sorted(expected):
        raise ValueError(f"expected the fields {', '.join(expected)}, not {', '.join(found)}")


def _genotype(cells, concat):
    cells = {t: tuple((name, _state(state)) for name, state in cells[t]) for t in cells}
    return Genotype(cells, {t: tuple(map(_state, concat[t])) for t in cells})


def _state(value):
    if type(value) is not int:  # int() would round 0.5 and take True for 1
        raise ValueError(f"{value!r} is no state; states are integers")
    return value


def _literal(node):
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return range(*(ast.literal_eval(argument) for argument in node.args))
    return ast.literal_eval(node)
