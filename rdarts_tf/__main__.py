"""Lists the commands.

python -m rdarts_tf
python -m rdarts_tf --version
"""

import ast
import pathlib
import sys

import rdarts_tf

COMMANDS = ("search", "evaluate", "analyze", "report", "export", "shrink", "sweep", "reproduce")


def main(arguments):
    if arguments == ["--version"]:
        print(f"rdarts_tf {rdarts_tf.__version__}")
        return 0
    if arguments and arguments[0] not in ("--help", "-h"):
        print(
            f"error: unexpected argument {arguments[0]!r}; commands look like "
            "python -m rdarts_tf.search",
            file=sys.stderr,
        )
        return 2
    print(rdarts_tf.__doc__.splitlines()[0], end="\n\n")
    for name in COMMANDS:
        print(f"  python -m rdarts_tf.{name:<10}{_purpose(name)}")
    print("\n--help after a command lists its flags.")
    return 0


def _purpose(name):
    """The first line of a command's docstring, read without importing it."""
    source = (pathlib.Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
