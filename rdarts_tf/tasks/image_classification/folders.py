"""Which pictures of a folder belong to which class and part; docs/own_data.md has the layouts. No TensorFlow."""

import collections
import dataclasses
import hashlib
import os
import pathlib
import re

import numpy as np

from rdarts_tf.tasks.image_classification import label_tables, pictures
from rdarts_tf.tasks.image_classification.data import DatasetError, set_aside

PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
_JUNK = ("__MACOSX",)
_MOST_LISTED = 12
_LIKE_A_PART = re.compile(r"(^|[^a-z])(train|test|val)", re.IGNORECASE)


@dataclasses.dataclass
class Found:
    """The pictures of a folder.

    Attributes:
        train, test: [(path, class name)]; test is None where a share of train is to be set aside.
        left_out: {why: [path]} of all files that are not used.
        scored: where test comes from.
    """

    train: list
    test: list | None
    left_out: dict
    scored: str = "set aside"

    @property
    def class_names(self):
        return tuple(sorted({name for _, name in self.train}))


def find(root, *, train=None, test=None, labels=None):
    """Reads how a folder is laid out.

    Args:
        root: path.
        train, test: folder or table of a part, below `root`; None: as its name tells.
        labels: table of files and labels, below `root`; None: the only one, where there are no
            class folders.
    Returns:
        Found.
    Raises:
        DatasetError: no such layout.
    """
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}; give the folder that holds the classes")
    if labels is not None and (train is not None or test is not None):
        raise DatasetError("labels= names the images of all parts; leave train= and test= out")
    given = {"train": train, "test": test, "labels": labels}
    given = {k: _named(root, k, name) for k, name in given.items() if name is not None}
    folder = _Folder(root)
    if labels is not None:
        return folder.of_table(given["labels"])
    parts = folder.parts() | {part: [path] for part, path in given.items()}
    if "train" in given or any(map(folder.is_labelled, parts.get("train", ()))):
        return folder.of_parts(parts, test_given=test is not None)
    folder.check_no_parts(parts, test_given=test is not None)
    tables = [path for path in folder.entries(root) if _is_table(path)]
    classes = [path for path in folder.entries(root) if folder.holds_pictures(path)]
    if len(tables) == 1 and len(classes) < 2:
        return folder.of_table(tables[0])
    return folder.of_classes()


def _named(root, argument, name):
    path = root / str(name)
    if not path.is_dir() and not _is_table(path):
        raise DatasetError(
            f"{argument}={name}: {path} is neither a folder nor a .csv file; name one in {root}"
        )
    return path


def _is_table(path):
    return path.is_file() and path.suffix.lower() in label_tables.SUFFIXES


class _Folder:
    """One folder being read; each file below it is listed once and by default left out.

    Args:
        root: path.
    """

    def __init__(self, root):
        self.root = root
        self.files = {}  # {path: why it is no picture; "": it is one}
        self.pictures = collections.defaultdict(list)  # {folder: those at any depth below it}
        seen = set()
        for place, names, files in os.walk(root, followlinks=True):
            place, real = pathlib.Path(place), os.path.realpath(place)
            names[:] = [] if real in seen else sorted(names)
            for name in () if real in seen else sorted(files):
                self._list(place / name)
            seen.add(real)

    def _list(self, path):
        self.files[path] = self._obstacle(path)
        for folder in () if self.files[path] else path.parents:
            self.pictures[folder].append(path)

    def _obstacle(self, path):
        inside = path.relative_to(self.root).parts
        if any(name.startswith(".") or name in _JUNK for name in inside):
            return "hidden"
        return "" if pictures.is_picture(path) else "no image that Pillow reads"

    def entries(self, folder):
        """What lies in a folder and is not hidden, sorted."""
        names = sorted(path.name for path in folder.iterdir())
        return [folder / n for n in names if not n.startswith(".") and n not in _JUNK]

    def holds_pictures(self, path):
        """Whether it is a folder with pictures at any depth."""
        return path in self.pictures

    def is_labelled(self, path):
        """Whether a part has class folders, or is a table with labels."""
        return self._table(path) is not None if _is_table(path) else self._has_classes(path)

    def parts(self):
        """{part: entries that are called so}: folders with classes, then tables, then others."""
        found = collections.defaultdict(list)
        for path in self.entries(self.root):
            name = path.stem if _is_table(path) else path.name
            part = next((p for p, names in PARTS.items() if name.lower() in names), None)
            if part and (path.is_dir() or _is_table(path)):
                found[part].append(path)
        order = {
            p: (not self._has_classes(p), not _is_table(p)) for each in found.values() for p in each
        }
        return {part: sorted(paths, key=order.get) for part, paths in found.items()}

    def _has_classes(self, path):
        return path.is_dir() and any(map(self.holds_pictures, self.entries(path)))

    def of_parts(self, parts, *, test_given):
        """The Found of {part: paths}; test is scored, or val where that has no labels."""
        train, candidates = parts["train"][0], [*parts.get("test", ()), *parts.get("val", ())]
        scored = next(filter(self.is_labelled, candidates), None)
        if test_given and scored != parts["test"][0]:
            raise DatasetError(
                f"{parts['test'][0]} has no class folders; put its images in one folder for each class"
            )
        examples, test = self._examples(train), scored and self._examples(scored)
        unknown = sorted({label for _, label in test or ()} - {label for _, label in examples})
        if unknown:
            raise DatasetError(
                f"{scored} has the class {unknown[0]!r}, which {train} lacks; both need the same classes"
            )
        used = {path for path, _ in (*examples, *(test or ()))} | {train, scored}
        reasons = {}
        for path in candidates:
            labelled = scored and (_is_table(path) or self._has_classes(path))
            reasons[path] = f"as {scored.name} is scored" if labelled else "without class folders"
        return Found(
            examples,
            test,
            self._left_out(used, reasons),
            scored.name if scored else Found.scored,
        )

    def _examples(self, part):
        """[(path, class name)] of a labelled part."""
        if _is_table(part):
            return [(path, label) for path, label, _ in self._table(part)]
        return self._classes(part)

    def of_classes(self):
        """The Found of class folders without parts."""
        folders = [path for path in self.entries(self.root) if self.holds_pictures(path)]
        if len(folders) == 1 and self._has_classes(folders[0]):
            raise DatasetError(
                f"{self.root} holds nothing but {folders[0].name}; give {folders[0]}, where the classes "
                "or parts are"
            )
        examples = self._classes(self.root)
        return Found(examples, None, self._left_out({path for path, _ in examples}, {}))

    def _classes(self, folder):
        found = []
        for path in (path for path in self.entries(folder) if path.is_dir()):
            inside = self.pictures.get(path)
            if not inside:
                others = sorted({p.suffix for p in self.files if path in p.parents} - {""})
                beside = f", only {' '.join(others)}" if others else ""
                raise DatasetError(f"{path} holds no image{beside}; add some or remove it")
            found += [(file, path.name) for file in inside]
        if not found:
            raise DatasetError(f"{folder} has no class folders; put images in {folder}/CLASS")
        return found

    def of_table(self, table):
        """The Found of one table, which may have a column of parts."""
        rows = self._table(table)
        if rows is None:
            raise DatasetError(f"{table} has no column of labels; add one, called label")
        by_part = collections.defaultdict(list)
        for path, label, part in rows:
            known = [name for name, names in PARTS.items() if part in names]
            if part and not known:
                raise DatasetError(f"{table} has the part {part!r}; write train, test or val")
            by_part[known[0] if known else "train"].append((path, label))
        test = by_part["test"] or by_part["val"] or None
        reasons = {path: "as test is scored" for path, _ in by_part["val"] if by_part["test"]}
        used = {path for path, _ in (*by_part["train"], *(test or ()))}
        scored = f"by {table.name}" if test else Found.scored
        return Found(by_part["train"], test, self._left_out(used | {table}, reasons), scored)

    def _table(self, table):
        paths = [path for path, obstacle in self.files.items() if not obstacle]
        return label_tables.read(table, label_tables.Files(self.root, paths))

    def check_no_parts(self, parts, *, test_given):
        """Raises DatasetError where the folders look like parts, but none is known for train."""
        folders = [path for path in self.entries(self.root) if self.holds_pictures(path)]
        flat = [path for path in parts.get("train", ()) if path.is_dir()]
        if flat and len(parts) > 1:
            raise DatasetError(
                f"{flat[0]} has no class folders; put its images in one folder for each class, or write "
                "a .csv of file and label"
            )
        like = [p for p in folders if _LIKE_A_PART.search(p.name) and self.is_labelled(p)]
        if test_given or like:
            raise DatasetError(
                f"{self.root} has no folder train, but {', '.join(p.name for p in folders)}; say which "
                "is which, image_folder(PATH, train='...', test='...')"
            )

    def _left_out(self, used, reasons):
        """{why: [path]} of all files but those of `used`; `reasons` holds for all below a path."""
        found = collections.defaultdict(list)
        for path, obstacle in self.files.items():
            if path not in used:
                places = (path, *path.parents)
                reason = next((reasons[p] for p in places if p in reasons), "beside the classes")
                found[reasons.get(path) or obstacle or reason].append(path)
        return dict(found)


def with_test(found, portion):
    """The Found with a share of each class set aside for test, see `data.set_aside`."""
    digests = [hashlib.sha256(path.read_bytes()).digest() for path, _ in found.train]
    labels = np.array([label for _, label in found.train])
    aside = set_aside(digests, labels, portion)
    train, test = (
        [example for example, for_test in zip(found.train, aside, strict=True) if for_test == part]
        for part in (False, True)
    )
    return dataclasses.replace(found, train=train, test=test)


def told(parts, found):
    """One line: how many images each class has in each part, and what was left out why.

    Args:
        parts: {part: [(path, class name)]}, of the images that were read.
        found: Found.
    """
    counts = {part: collections.Counter(name for _, name in each) for part, each in parts.items()}
    names = {"train": "train", "test": f"test ({found.scored})"}
    texts = [f"{names[part]}: {_counted(count)}" for part, count in counts.items()]
    if missing := sorted(set(found.class_names) - set(counts["test"])):
        texts.append(f"no test images of: {_listed(missing)}")
    for why, paths in found.left_out.items():
        kinds = collections.Counter(path.suffix.lower() or path.name for path in paths)
        order = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        files = _listed([f"{number} {kind}" for kind, number in order])
        texts.append(f"left out {why}: {files}")
    return "; ".join(texts)


def _counted(count):
    if len(count) <= _MOST_LISTED:
        return ", ".join(f"{name} {number}" for name, number in sorted(count.items()))
    least, most = min(count.values()), max(count.values())
    return f"{count.total()} images of {len(count)} classes, {least} to {most} each"


def _listed(names):
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
