"""What --help prints."""

import shutil
import textwrap

from rdarts_tf.config import base


def text(beginning, groups):
    """The page.

    Args:
        beginning: what the command does.
        groups: {name: [(flag, default or None, what it is)]}; an empty one is left out.
    """
    lines = [beginning.strip()]
    for group, rows in groups.items():
        lines += ["", group.capitalize()] if rows else []
        lines += [line for row in rows for line in _row(*row)]
    return "\n".join([*lines, ""])


def _row(name, value, told):
    width = min(shutil.get_terminal_size().columns, 100)
    flag = f"  --{name}" if value is None else f"  --{name}={base.to_text(value)}"
    indent = " " * 30
    first = flag.ljust(29) + " " if len(flag) < 30 else f"{flag}\n{indent}"
    wrapped = textwrap.wrap(told, max(width - 30, 30))
    return [first + f"\n{indent}".join(wrapped)]
