"""Tables of files and labels, such as labels.csv. No TensorFlow."""

import collections
import csv

from rdarts_tf.tasks.image_classification.data import DatasetError

SUFFIXES = (".csv", ".tsv")
_LABELS = ("label", "labels", "class", "class_name", "classname", "category", "target", "y")
_PARTS = ("split", "part", "partition", "subset", "set")


class Files:
    """Finds the files that a table names.

    Args:
        root: folder that the names are relative to, or the table's own.
        paths: of all files below it.
    """

    def __init__(self, root, paths):
        self.root, self.paths = root, set(paths)
        self.by_name = collections.defaultdict(list)
        for path in paths:
            for name in {path.name, path.stem}:
                self.by_name[name].append(path)

    def find(self, name, table):
        """The path of a name with or without folder and suffix; None: there is none, or several."""
        name = name.strip().replace("\\", "/")
        for folder in (table.parent, self.root):
            if folder / name in self.paths:
                return folder / name
        found = self.by_name[name.rpartition("/")[2]]
        return found[0] if len(found) == 1 else None


def read(table, files):
    """Reads a table, with or without a line of headings.

    Args:
        table: path.
        files: Files.
    Returns:
        [(path, class name, part or "")]; None where the table has no column of labels.
    Raises:
        DatasetError: a file is not there, or its label is not to be told.
    """
    rows = _rows(table)
    file_column = _file_column(rows, table, files)
    headings = None if files.find(rows[0][file_column], table) else rows[0]
    names = [text.strip().lower() for text in headings or [""] * len(rows[0])]
    others = [i for i in range(len(names)) if i != file_column]
    part_column = next((i for i in others if names[i] in _PARTS), None)
    others = [i for i in others if i != part_column]
    called = [i for i in others if names[i] in _LABELS]
    if not others:
        return None
    if len(called or others) != 1:
        raise DatasetError(
            f"{table} has the columns {', '.join(names) if headings else len(names)}; call the one of "
            "classes label"
        )
    label_column = (called or others)[0]
    return _labelled(
        rows[headings is not None :], table, files, file_column, label_column, part_column
    )


def _labelled(rows, table, files, file_column, label_column, part_column):
    found, missing = {}, []
    for row in rows:
        path, label = files.find(row[file_column], table), row[label_column].strip()
        part = "" if part_column is None else row[part_column].strip().lower()
        if path is None:
            missing.append(row[file_column])
        elif not label or found.get(path, (label, part)) != (label, part):
            raise DatasetError(f"{table} gives {path.name} no label, or two; give it one")
        else:
            found[path] = label, part
    if missing:
        raise DatasetError(
            f"{table} names {len(missing)} files that are not below {files.root}, or more than once, "
            f"such as {missing[0]!r}; write their paths from there"
        )
    return [(path, label, part) for path, (label, part) in found.items()]


def _rows(table):
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {table}: {error}") from error
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]
    if not rows:
        raise DatasetError(f"{table} is empty; write a file and its label in each line")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise DatasetError(
                f"{table}, row {number}: {len(row)} columns, the first row has {len(rows[0])}"
            )
    return rows


def _file_column(rows, table, files):
    for row in rows:
        for column, text in enumerate(row):
            if files.find(text, table) is not None:
                return column
    raise DatasetError(
        f"no column of {table} names files below {files.root}, its last row is {', '.join(rows[-1])}; "
        "write their paths from there"
    )
