"""Tables as CSV files."""

import csv
import io

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_bytes(rows):
    """Dicts as the bytes of a CSV file; columns in the order in which they occur first."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: plain(value) for column, value in row.items()} for row in rows)
    return file.getvalue().encode()


def plain(value):
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
