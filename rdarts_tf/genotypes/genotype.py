"""Found cells: the DARTS text form and JSON. No TensorFlow."""

import dataclasses
import json
import re

from rdarts_tf import reading
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import dialects, literals


class GenotypeError(UserError):
    """A text that is no genotype; the message is one sentence."""


# {cell type: (input states, pairs that enter node 0, pairs that enter each further node)}.
_LAYOUTS = {"recurrent": (1, 1, 1), "upsample": (4, 4, 2)}
_LAYOUT = (2, 2, 2)  # of all other cells
_NAME = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)  # names become file names and labels
_LONGEST = 100_000


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
        """The text form of DARTS: Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...).

        With a list for each node where their sizes are not those of the cell type.
        """
        fields = []
        for cell_type in self.cells:
            pairs = self._by_node(cell_type)
            states = self.concat[cell_type]
            contiguous = states == tuple(range(states[0], states[0] + len(states)))
            text = f"range({states[0]}, {states[-1] + 1})" if contiguous else str(list(states))
            fields += [f"{cell_type}={pairs}", f"{_concat_name(cell_type)}={text}"]
        return f"Genotype({', '.join(fields)})"

    def _by_node(self, cell_type):
        """The pairs, or a list of them for each node where the cell type does not tell which they enter."""
        known = self.layouts.get(cell_type, (None,))[0] == _LAYOUTS.get(cell_type, _LAYOUT)[0]
        return self.nodes(cell_type) if known else list(self.cells[cell_type])

    def nodes(self, cell_type):
        """[(primitive, state) pairs that enter each node] of a cell."""
        rest = iter(self.cells[cell_type])
        return [[next(rest) for _ in range(size)] for size in self.layout(cell_type)[1]]

    def to_nni(self):
        """The same as NNI 3 has it, a dict ready for JSON.

        Raises:
            GenotypeError: it has no such cells.
        """
        for t in self.cells:
            inputs, sizes = self.layout(t)
            every = tuple(range(inputs, inputs + len(sizes)))
            if t not in ("normal", "reduce") or self.concat[t] != every:
                raise GenotypeError(
                    f"NNI has cells normal and reduce that concatenate all nodes, not {t!r} with "
                    f"{list(self.concat[t])}; take --format=json"
                )
        return dialects.to_nni({t: self.nodes(t) for t in self.cells})

    def to_plain(self):
        """The same as a dict ready for JSON: {"normal": [...], "normal_concat": [...], ...}."""
        return {
            name: value
            for t in self.cells
            for name, value in ((t, self._by_node(t)), (_concat_name(t), list(self.concat[t])))
        }

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


def parse(text, space=None, *, name=None):
    """Reads the DARTS text form, JSON, or one of `dialects`; nothing is evaluated.

    Args:
        space: spaces.base.Space that it is of, which tells how pairs form nodes; None: the text and the
            cell types do.
        name: which of several genotypes in the text.
    Raises:
        GenotypeError: `text` is none, has other fields, or a state is no integer or does not exist
            yet where it is used.
    """
    if len(text) > _LONGEST:
        raise GenotypeError(f"a genotype of {len(text):,} characters is none; {_LONGEST:,} at most")
    try:
        genotype = _from_json(text) if _is_ours(text) else _of_dialect(dialects.read(text, name))
    except (
        ValueError,
        SyntaxError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
        MemoryError,
    ) as error:
        shown = " ".join(text.split())[:60]
        raise GenotypeError(f"cannot read a genotype from {shown!r}: {error}") from error
    if not genotype.cells:
        raise GenotypeError(f"no cell in the genotype {text.strip()[:60]!r}")
    if space is not None:
        genotype = dataclasses.replace(genotype, layouts=_layouts(space))
    for cell_type in genotype.cells:
        _check_states(genotype, cell_type)
    return genotype


def _is_ours(text):
    """Whether it is what `to_json` writes."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and "cells" in value


def _of_dialect(read):
    """The Genotype of dialects.Cells."""
    flat = {
        t: [p for n in each for p in n] if t in read.nested else each
        for t, each in read.pairs.items()
    }
    layouts = {}
    for t in read.nested:
        inputs, first, further = _LAYOUTS.get(t, _LAYOUT)
        sizes = tuple(map(len, read.pairs[t]))
        if sizes != (first,) + (further,) * (len(sizes) - 1):
            layouts[t] = inputs, sizes
    concat = read.concat or {t: _nodes(t, flat[t]) for t in flat}
    return dataclasses.replace(_genotype(flat, concat), layouts=layouts)


def _nodes(cell_type, pairs):
    """The states of a cell's nodes."""
    inputs, sizes = _layout(cell_type, len(pairs))
    return range(inputs, inputs + len(sizes))


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
    if sum(sizes) != len(pairs) or min(sizes, default=-1) < 0 or inputs < 1:
        raise GenotypeError(f"cell {cell_type!r}: {len(pairs)} pairs do not form nodes of {sizes}")
    for node, (name, state) in zip(genotype.targets(cell_type), pairs, strict=True):
        if not 0 <= state < inputs + node:
            raise GenotypeError(f"cell {cell_type!r}: ({name!r}, {state}) has no such state yet")
    if not concat or not all(0 <= state < inputs + len(sizes) for state in concat):
        raise GenotypeError(f"cell {cell_type!r}: concat {list(concat)} names a missing state")


def _concat_name(cell_type):
    return "concat" if cell_type == "recurrent" else f"{cell_type}_concat"


def _from_json(text):
    data = reading.parse_json(text)
    layouts = data.pop("layouts", {})
    _check_fields(data, ("cells", "concat"))
    _check_fields(data["concat"], data["cells"])
    layouts = {
        t: (_state(inputs), tuple(map(_state, sizes))) for t, (inputs, sizes) in layouts.items()
    }
    return dataclasses.replace(_genotype(data["cells"], data["concat"]), layouts=layouts)


def _check_fields(found, expected):
    if sorted(found) != sorted(expected):
        raise ValueError(f"expected the fields {', '.join(expected)}, not {', '.join(found)}")


def _genotype(cells, concat):
    cells = {
        _name(t): tuple((_name(name), _state(state)) for name, state in cells[t]) for t in cells
    }
    return Genotype(cells, {t: tuple(map(_state, concat[t])) for t in cells})


def _name(value):
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{str(value)[:60]!r} is no name of a cell or primitive")
    return value


def _state(value):
    if type(value) is not int:  # int() would round 0.5 and take True for 1
        raise ValueError(f"{str(value)[:60]!r} is no state; states are integers")
    literals.check_state(value)
    return value
