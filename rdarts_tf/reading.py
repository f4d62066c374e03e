"""Files that may be anything: a device, a gigabyte, another type, nested a thousand times."""

import csv
import io
import json
import os
import pathlib
import stat

from rdarts_tf.errors import UserError

MOST_BYTES = 2**26
_DEEPEST = 64


def read_bytes(path, most=MOST_BYTES):
    """The content of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or larger than `most` bytes.
    """
    found = pathlib.Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > most:
        raise ValueError(f"it has {found.st_size:,} bytes, more than {most:,}")
    with open(path, "rb", opener=_without_waiting) as file:  # those of a kernel tell no size
        content = file.read(most + 1) or b""
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def _without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path, most=MOST_BYTES):
    """The text of a file in UTF-8, without a byte order mark; raises as `read_bytes`."""
    return read_bytes(path, most).decode("utf-8-sig")


def parse_json(content):
    """The value of JSON text or bytes; NaN and infinity, which are no JSON, are None.

    Raises:
        ValueError: it is none, nested too deep, or has text or a number that nothing could hold.
    """
    text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check(value, _DEEPEST)
    return value


def read_rows(path):
    """[{column: text}] of a CSV file; None is the text that a short row lacks.

    Raises:
        UserError: no such file, no CSV file, or no rows.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file: {error}") from error
    if not rows:
        raise UserError(f"{path} holds no rows")
    return rows


def _check(value, depth):
    """Raises ValueError for what JSON may say, but no file or number type can hold."""
    if depth == 0:
        raise ValueError("it is nested too deep")
    if isinstance(value, dict):
        for each in value:
            _check(each, depth - 1)
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _check(each, depth - 1)
    elif isinstance(value, str):
        value.encode()  # halves of characters cannot be
    elif (
        isinstance(value, int)
        and abs(value) >= 2**63
        or isinstance(value, float)
        and value - value != 0
    ):
        raise ValueError("a number has too many digits")
