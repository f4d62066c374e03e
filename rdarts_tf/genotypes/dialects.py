"""Cells as other programs write them, read by `ast` and JSON, never evaluated. No TensorFlow.

Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), ...)   positional, module-qualified
NAME = Genotype(...), several in a file, or in the lines of a log
{"normal": [...], "normal_concat": [...], ...}                            as JSON or Python
a list for each node; weights or targets as third entries; NumPy scalars
{"normal/op_2_0": "sep_conv_3x3", "normal/input_2_0": [0], ...}           NNI 3
{"normal_n2_p0": "sepconv3x3", "normal_n2_switch": ["normal_n2_p0", ...], ...}   NNI 1 and 2
"""

import ast
import json
import re
import typing

from rdarts_tf.genotypes import literals

# Other names of primitives of which the field agrees what they are, in image cells.
ALIASES = {
    "identity": "skip_connect",
    "skip": "skip_connect",
    "skipconnect": "skip_connect",
    "zero": "none",
    "maxpool": "max_pool_3x3",
    "avgpool": "avg_pool_3x3",
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
} | {f"{kind}conv{k}x{k}": f"{kind}_conv_{k}x{k}" for kind in ("sep", "dil") for k in (3, 5, 7)}
# As NNI numbers them.
_NNI = ("maxpool", "avgpool", "skipconnect", "sepconv3x3", "sepconv5x5", "dilconv3x3", "dilconv5x5")
_NNI_3 = re.compile(r"(.*/)?(normal|reduce)/(op|input)_(\d+)_(\d+)")
_NNI_1 = re.compile(r"(normal|reduce)_n(\d+)_(?:p(\d+)|switch)")
_ACTIVATIONS = ("none", "tanh", "relu", "sigmoid", "identity")
_ORDERS = {2: ("recurrent", "concat"), 4: ("normal", "normal_concat", "reduce", "reduce_concat")}
_QUOTES = str.maketrans("“”„‘’‚\u00a0", "\"\"\"''' ")
_BEGINNING = re.compile(
    r"(?:(?P<name>\w+)\s*(?::[^=\n]*)?=\s*)?(?P<value>(?:\w+\.)*\w*[Gg]enotype\w*\s*\(|\{)"
)


class Cells(typing.NamedTuple):
    """What a text says.

    Attributes:
        pairs: {cell type: [[(primitive, state) of a node] ...], or flat where the text is so}.
        concat: {cell type: states}; NNI's is all nodes, as {} is.
        nested: cell types whose pairs are by node.
    """

    pairs: dict
    concat: dict
    nested: frozenset


def read(text, name=None):
    """The Cells of a text.

    Args:
        name: of the assignment, or number of the line, where there are several.
    Raises:
        ValueError: there are none, or several; the message tells the place.
    """
    text = text.removeprefix("\ufeff").translate(_QUOTES)
    found = {label: _cells(fields) for label, fields in _candidates(text)}
    if name is not None:
        if name not in found:
            raise ValueError(f"it has no genotype {name!r}, only {_listed(found)}")
        return found[name]
    distinct = list(found.values())
    if not distinct:
        raise ValueError("expected Genotype(normal=[...], normal_concat=..., ...)")
    if any(cells != distinct[0] for cells in distinct):
        raise ValueError(f"it has the genotypes {_listed(found)}; name one, FILE:{list(found)[-1]}")
    return distinct[0]


def _listed(found):
    names = list(found)
    return ", ".join(names if len(names) < 12 else [*names[:5], "...", *names[-5:]])


def _candidates(text):
    """Yields (name or number of the line, {field: value}) of every genotype of a text."""
    try:
        yield "1", _mapping(json.loads(text))
        return
    except json.JSONDecodeError:
        pass
    try:
        body, order = ast.parse(text.strip()).body, None
    except SyntaxError:
        yield from _of_log(text)
        return
    for statement in body:
        value = getattr(statement, "value", None)
        order = _declared(value) or order
        if literals.is_genotype(value) or isinstance(value, ast.Dict):
            targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
            label = getattr(targets[0], "id", str(statement.lineno))
            yield label, _fields(value, order)
        elif isinstance(value, ast.Constant) and isinstance(value.value, str) and len(body) == 1:
            yield from _candidates(value.value)


def _declared(value):
    """The order of fields that a namedtuple declares."""
    if isinstance(value, ast.Call) and literals.name_of(value.func) == "namedtuple":
        fields = ast.literal_eval(value.args[1])
        return tuple(fields.replace(",", " ").split() if isinstance(fields, str) else fields)
    return None


def _of_log(text):
    """The genotypes within the lines of a log."""
    position = 0
    while match := _BEGINNING.search(text, position):
        line = text.count("\n", 0, match.start("value")) + 1
        end = literals.end_of(text, match.end() - 1)
        value = text[match.start("value") : end]
        position = match.end()
        if "normal" not in value and "recurrent" not in value:
            continue
        try:
            # In its line, so that errors tell it.
            fields = _fields(ast.parse("\n" * (line - 1) + value).body[0].value, None)
        except SyntaxError as error:
            raise ValueError(f"line {line}: {error.msg}") from error
        position = end
        label = match["name"] if match["name"] and match["name"].isupper() else str(line)
        yield label, fields


def _fields(value, order):
    """{field: value} of a call or dict."""
    if isinstance(value, ast.Dict):
        return _mapping(literals.value_of(value))
    order = order or _ORDERS.get(len(value.args), ())
    if len(value.args) > len(order):
        raise ValueError(f"line {value.lineno}: {len(value.args)} fields without names; name them")
    fields = dict(zip(order, map(literals.value_of, value.args), strict=False))
    if set(_ORDERS[2]) == set(fields) and order == _ORDERS[2]:
        _check_recurrent(fields["recurrent"], value.lineno)
    for keyword in value.keywords:
        if keyword.arg is None or keyword.arg in fields:
            raise ValueError(f"line {value.lineno}: a field is given twice, or by **")
        fields[keyword.arg] = literals.value_of(keyword.value)
    return fields


def _check_recurrent(pairs, line):
    if not all(name in _ACTIVATIONS for name, _ in pairs):
        raise ValueError(f"line {line}: two fields without names are a recurrent cell; name them")


def _mapping(value):
    """A JSON or Python value that must be a dict; one that holds a genotype is that."""
    if isinstance(value, str):
        return dict(next(iter(_candidates(value)), ("", {}))[1])
    if not isinstance(value, dict):
        raise ValueError(f"expected a genotype, not a {type(value).__name__}")
    inside = value.get("genotype")
    return _mapping(inside) if isinstance(inside, str | dict) else value


def _cells(fields):
    """The Cells of fields, of NNI or of DARTS and those that follow it."""
    if any(_NNI_3.fullmatch(str(key)) for key in fields):
        return _of_nni(_nni_3(fields))
    if any(_NNI_1.fullmatch(str(key)) for key in fields):
        return _of_nni(_nni_1(fields))
    fields = {key: value for key, value in fields.items() if not _is_empty(value)}
    concats = {key for key in fields if key == "concat" or key.endswith("_concat")}
    types = [key for key in fields if key not in concats]
    expected = ["concat" if t == "recurrent" else f"{t}_concat" for t in types]
    if "upsample" in types and not concats:  # as the authors of AutoDispNet print theirs
        return Cells(
            {t: [_pair(item, t)[:2] for item in fields[t]] for t in types}, {}, frozenset()
        )
    if concats != set(expected):
        raise ValueError(
            f"expected the fields {', '.join([*types, *expected])}, not {', '.join(map(str, fields))}"
        )
    concat = {t: _states(fields[key]) for t, key in zip(types, expected, strict=True)}
    pairs = {t: _nodes(list(fields[t]), t, concat[t]) for t in types}
    nested = {t for t, each in pairs.items() if each and isinstance(each[0], list)}
    return Cells(pairs, concat, frozenset(nested))


def _states(values):
    values = list(values)
    for value in values:
        if type(value) is int:
            literals.check_state(value)
    return values


def _is_empty(value):
    return value is None or value is False or (isinstance(value, str) and not value)


def _nodes(items, cell_type, concat):
    """[(primitive, state)], or a list of them for each node where the text tells which they enter."""
    if items and all(_is_node(item) for item in items):
        return [[_pair(item, cell_type)[:2] for item in node] for node in items]
    edges = [_pair(item, cell_type) for item in items]
    targets = [target for *_, target in edges]
    if any(target is not None for target in targets):
        if None in targets:
            raise ValueError(f"cell {cell_type!r}: some edges have targets, others none")
        inputs = 1 if cell_type == "recurrent" else 2
        last = max(*targets, *concat)
        return [
            [edge[:2] for edge in edges if edge[2] == target] for target in range(inputs, last + 1)
        ]
    return _full([edge[:2] for edge in edges], concat)


def _is_node(item):
    return isinstance(item, list | tuple) and all(isinstance(edge, list | tuple) for edge in item)


def _pair(item, cell_type):
    """(primitive, state, target or None) of an entry with a name, one or two states and weights."""
    shown = f"cell {cell_type!r}: {item!r}"
    if not isinstance(item, list | tuple) or not 2 <= len(item) <= 4:
        raise ValueError(f"{shown} is no pair of a primitive and a state")
    names = [part for part in item if isinstance(part, str)]
    states = _states(part for part in item if type(part) is int)
    weights = [part for part in item if isinstance(part, float)]
    if len(item) > 2 and len(names) == 2 and "none" in names[1:]:
        names, weights = names[:1], [*weights, 0.0]
    if len(item) == 2 and len(states) != 1 or len(names) > 1:
        raise ValueError(f"{shown} is no pair of a primitive and a state; states are integers")
    if len(states) not in (1, 2) or len(names) + len(states) + len(weights) != len(item):
        raise ValueError(f"{shown} is no primitive with a state, and a weight or a target")
    name = names[0] if names else next(part for part in item if type(part) is not int)
    if cell_type in ("normal", "reduce"):
        name = ALIASES.get(name, name)
    return name, min(states), max(states) if len(states) == 2 else None


def _full(pairs, concat):
    """By node, if the pairs are those of cells that keep an edge from every earlier state."""
    num, nodes, first = max(concat, default=0) - 1, [], 0
    for size in range(2, num + 2):
        nodes.append(pairs[first : first + size])
        first += size
    whole = first == len(pairs) and num > 1
    states = [[state for _, state in node] for node in nodes]
    return nodes if whole and states == [list(range(len(n))) for n in nodes] else pairs


def _of_nni(edges):
    """Cells of [(cell type, node from 2 on, primitive, state)]; all nodes are concatenated."""
    pairs, concat = {}, {}
    for cell_type in ("normal", "reduce"):
        own = [edge for edge in edges if edge[0] == cell_type]
        if own:
            last = max(node for _, node, _, _ in own)
            pairs[cell_type] = [
                [(ALIASES.get(name, name), state) for _, node, name, state in own if node == number]
                for number in range(2, last + 1)
            ]
            concat[cell_type] = list(range(2, last + 1))
    return Cells(pairs, concat, frozenset(pairs))


def _nni_3(fields):
    edges = []
    for key, name in fields.items():
        if (match := _NNI_3.fullmatch(key)) and match[3] == "op":
            states = fields[f"{match[1] or ''}{match[2]}/input_{match[4]}_{match[5]}"]
            for state in states if isinstance(states, list) else [states]:
                edges.append((match[2], int(match[4]), name, state))
    return edges


def _nni_1(fields):
    edges = []
    for key, name in fields.items():
        match = _NNI_1.fullmatch(key)
        if match is None or match[3] is None or isinstance(name, list):
            continue
        chosen = fields.get(f"{match[1]}_n{match[2]}_switch", [key])
        if key in chosen or int(match[3]) in chosen:
            name = _NNI[name] if type(name) is int else name
            edges.append((match[1], int(match[2]), name, int(match[3])))
    return edges


def to_nni(pairs):
    """{cell type: [(primitive, state) of each node]} in the JSON form of NNI 3, which concatenates all nodes."""
    found = {}
    for cell_type, nodes in pairs.items():
        for number, node in enumerate(nodes, 2):
            for i, (name, state) in enumerate(node):
                found[f"{cell_type}/op_{number}_{i}"] = name
                found[f"{cell_type}/input_{number}_{i}"] = [state]
    return found
