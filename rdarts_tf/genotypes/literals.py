"""Python literals as programs print them: ranges, NumPy scalars and arrays; nothing is evaluated."""

import ast

_SCALARS = (
    "int8",
    "int16",
    "int32",
    "int64",
    "intp",
    "float16",
    "float32",
    "float64",
    "str_",
    "int",
    "float",
)
_SEQUENCES = ("list", "tuple", "array", "asarray", "tensor")
_MOST = 1000  # states


def name_of(function):
    """The last name of what is called: "Genotype" of genotypes.Genotype."""
    return getattr(function, "attr", getattr(function, "id", ""))


def is_genotype(node):
    """Whether an expression is a call of a Genotype."""
    return isinstance(node, ast.Call) and "genotype" in name_of(node.func).lower()


def value_of(node):
    """The value of an expression.

    Raises:
        ValueError: it is no literal; the message tells the line.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.List() | ast.Tuple() | ast.Set():
            return [value_of(item) for item in node.elts]
        case ast.Dict() if None not in node.keys:
            keys = [value_of(key) for key in node.keys]
            return dict(zip(keys, map(value_of, node.values), strict=True))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Call(keywords=[]) if name_of(node.func) == "range":
            return _range([value_of(argument) for argument in node.args], node)
        case ast.Call(args=[inner, *_]) if name_of(node.func) in _SCALARS + _SEQUENCES:
            return value_of(inner)
        case ast.Call(args=[], keywords=keywords) if name_of(node.func) == "dict":
            return {keyword.arg: value_of(keyword.value) for keyword in keywords}
    raise ValueError(f"line {node.lineno}: {ast.unparse(node)[:60]!r} is no list, number or text")


def check_state(value):
    """Raises ValueError for a state beyond those of any cell."""
    if abs(value) > _MOST:
        raise ValueError(f"a state is {str(value)[:60]}; there are {_MOST} at most")


def _range(bounds, node):
    if not all(type(bound) is int and abs(bound) < _MOST for bound in bounds):
        raise ValueError(f"line {node.lineno}: {ast.unparse(node)[:60]!r} is no range of states")
    return list(range(*bounds))


def end_of(text, opening):
    """The place behind the bracket that closes the one at `opening`; the end of the text if none does."""
    depth, quote = 0, ""
    for place in range(opening, len(text)):
        char = text[place]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
            if depth == 0:
                return place + 1
    return len(text)
