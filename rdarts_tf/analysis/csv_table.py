"""Tables as CSV files."""

import csv
import io
import pathlib

from rdarts_tf.errors import UserError


def to_bytes(rows):
    """Dicts as the bytes of a CSV file; columns in the order in which they occur first."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def read(path):
    """[{column: text}] of a CSV file; None is the text that a short row lacks.

    Raises:
        UserError: no such file, no CSV file, or no rows.
    """
    path = pathlib.Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file: {error}") from error
    if not rows:
        raise UserError(f"{path} holds no rows")
    return rows
