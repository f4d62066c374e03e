"""Arrays that `rdarts_tf.search` stored with a run: `arrays(NAME_DIGEST)`, or `arrays(FOLDER)`.

    RUN/data/NAME_DIGEST/{x_train,y_train,x_test,y_test}.npy and arrays.json

The name ends with the beginning of a digest of the content, so it is the same data wherever the run is
moved; the searches of a selection find it in the run that started them.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil

import numpy as np

from rdarts_tf.tasks.image_classification import data, storing

TASK = "image_classification"
IN_RUN_DIR = True  # `load` wants to know the run directory
_FOLDER, _DESCRIPTION = "data", "arrays.json"
_PARTS = ("x_train", "y_train", "x_test", "y_test")
_DIGITS = 12  # of the digest, in the name


def load(name, *, data_dir=None, run_dir=None):
    """Loads stored arrays, the training images in one fixed random order.

    So both search splits have every class, even where the arrays are sorted by class.

    Args:
        name: NAME_DIGEST of arrays of the run, or a folder; if relative, then to `data_dir`.
        run_dir: path of the run, or None.
    Returns:
        data.Dataset.
    Raises:
        data.DatasetError: they are not there, or not what was stored.
    """
    folder = _find(str(name), data_dir, run_dir)
    parts, described = _read(folder)
    order = np.random.RandomState(0).permutation(len(parts["y_train"]))
    parts |= {part: parts[part][order] for part in ("x_train", "y_train")}
    return make(f"arrays({folder.name})", parts, **described)


def make(name, parts, *, class_names, crop_padding, flip):
    """The data.Dataset of {"x_train": uint8 [n, h, w, c], "y_train": int32 [n], "x_test", "y_test"}."""
    train = data.Split(parts["x_train"], parts["y_train"])
    test = data.Split(parts["x_test"], parts["y_test"])
    ready = train.images.dtype == np.uint8 and train.images.size
    mean, std = data.channel_statistics(train.images) if ready else ((), ())
    options = {"crop_padding": crop_padding, "flip": flip}
    return data.Dataset(name, train, test, tuple(class_names), mean, std, **options)


def from_arrays(x_train, y_train, x_test, y_test, *, class_names, name, crop_padding, flip):
    """Checks a user's arrays; see `in_memory.Dataset.from_arrays`.

    Returns:
        data.Dataset, in the order of the arrays.
    Raises:
        data.DatasetError.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{,63}", name, re.ASCII):
        raise data.DatasetError(
            f"name={str(name)[:80]!r} must be up to 64 letters, digits and _; take another"
        )
    parts = {"x_train": _images("x_train", x_train), "x_test": _images("x_test", x_test)}
    parts |= {"y_train": _labels("y_train", y_train), "y_test": _labels("y_test", y_test)}
    for part, array in parts.items():
        if not len(array):
            raise data.DatasetError(f"{part} of {name} is empty; give at least one image")
    if class_names is None:
        highest = max(parts["y_train"].max(initial=0), parts["y_test"].max(initial=0))
        if highest >= len(parts["y_train"]):
            raise data.DatasetError(
                f"the labels of {name} go up to {highest} for {len(parts['y_train'])} training images; "
                "number the classes from 0 on"
            )
        class_names = list(map(str, range(highest + 1)))
    flip = bool(flip) if isinstance(flip, np.bool_) else flip
    padding = int(crop_padding) if isinstance(crop_padding, np.integer) else crop_padding
    return make(name, parts, class_names=_texts(class_names), crop_padding=padding, flip=flip)


def _texts(class_names):
    """(name, ...), each another one."""
    names = class_names.tolist() if isinstance(class_names, np.ndarray) else class_names
    fits = isinstance(names, list | tuple) and all(isinstance(each, str) for each in names)
    if not fits or len(set(names)) < len(names) or not "".join(names).isprintable():
        raise data.DatasetError(
            f"class_names={str(class_names)[:80]!a} is no list of different texts, one for each class; "
            "give one, in the order of the labels"
        )
    return tuple(names)


def _array(name, value):
    """np.ndarray, of no objects."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise data.DatasetError(f"{name} is no array: {error}; give one") from error
    if np.ma.is_masked(value) or array.dtype == object:
        raise data.DatasetError(
            f"{name} is a {type(value).__name__} that is masked or holds objects; give an array of numbers"
        )
    return array


def _images(name, value):
    """uint8 [n, h, w, c]."""
    images = _array(name, value)
    if images.dtype != np.uint8:
        remedy = "x.astype('uint8') where they are whole numbers in 0..255"
        if np.issubdtype(images.dtype, np.floating):
            remedy = f"(255 * x).round().astype('uint8') where they are in 0..1, {remedy}"
        raise data.DatasetError(f"{name} has dtype {images.dtype}; give uint8, {remedy}")
    if images.ndim not in (3, 4):
        raise data.DatasetError(
            f"{name} has shape {images.shape}; give [n, height, width] or [n, height, width, channels]"
        )
    return images if images.ndim == 4 else images[..., np.newaxis]


def _labels(name, value):
    """int32 [n]."""
    labels = _array(name, value)
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise data.DatasetError(
            f"{name} has dtype {labels.dtype} and shape {labels.shape}; give integers [n], such as "
            "y.ravel() of a column or y.argmax(1) of one-hot rows"
        )
    bounds = np.iinfo(np.int32)
    if len(labels) and (labels.min() < bounds.min or labels.max() > bounds.max):
        raise data.DatasetError(f"{name} goes up to {labels.max()}; number the classes from 0 on")
    return labels.astype(np.int32)


def folder_name(dataset):
    """NAME_DIGEST of a data.Dataset."""
    parts, described = _parts(dataset)
    return f"{dataset.name}_{_digest(parts, described)[:_DIGITS]}"


def store(dataset, run_dir):
    """Writes a data.Dataset into a run directory, whole or not at all, unless it is there.

    Raises:
        data.DatasetError: it cannot be written.
    """
    folder = pathlib.Path(run_dir) / _FOLDER / folder_name(dataset)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        if not folder.exists():
            for left in folder.parent.glob(f".{folder.name}.*.tmp"):
                shutil.rmtree(left)
            unfinished.mkdir(parents=True)
            _write(unfinished, *_parts(dataset))
            unfinished.rename(folder)
    except OSError as error:
        raise data.DatasetError(
            f"cannot store the arrays in {folder.parent}: {error.strerror}; choose another --run_dir"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _parts(dataset):
    """({part: array}, what else the folder describes)."""
    arrays = (*vars(dataset.train).values(), *vars(dataset.test).values())
    described = {name: getattr(dataset, name) for name in ("crop_padding", "flip")}
    return dict(zip(_PARTS, arrays, strict=True)), described | {
        "class_names": list(dataset.class_names)
    }


def _digest(parts, described):
    """sha256 over the arrays, their shapes, and what is described."""
    shapes = {part: [str(parts[part].dtype), *parts[part].shape] for part in _PARTS}
    digest = hashlib.sha256(json.dumps([shapes, described], sort_keys=True).encode())
    for part in _PARTS:
        digest.update(np.ascontiguousarray(parts[part]))
    return digest.hexdigest()


def _write(folder, parts, described):
    for part, array in parts.items():
        with open(folder / f"{part}.npy", "wb") as file:
            np.save(file, array, allow_pickle=False)
            _to_disk(file)
    with open(folder / _DESCRIPTION, "w") as file:
        json.dump(described | {"sha256": _digest(parts, described)}, file, indent=1)
        _to_disk(file)


def _to_disk(file):
    file.flush()
    os.fsync(file.fileno())


def _find(name, data_dir, run_dir):
    """The folder of stored arrays."""
    places = [run / _FOLDER for run in storing.runs(run_dir)]
    places.append(pathlib.Path(data_dir or ".").expanduser())
    folders = [place / pathlib.Path(name).expanduser() for place in places]
    found = next((folder for folder in folders if (folder / _DESCRIPTION).is_file()), None)
    if found is None:
        raise data.DatasetError(
            f"there are no arrays {name!r} in {folders[0].parent}; give their folder, "
            "--dataset='arrays(FOLDER)', or call rdarts_tf.search with the same arrays again"
        )
    return found.resolve()


def _read(folder):
    """What `_write` wrote, its digest verified."""
    try:
        described = json.loads((folder / _DESCRIPTION).read_text())
        parts = {part: np.load(folder / f"{part}.npy", allow_pickle=False) for part in _PARTS}
        recorded = described.pop("sha256")
        same = _digest(parts, described) == recorded
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise data.DatasetError(
            f"the arrays in {folder} cannot be read ({error}); delete that folder and call "
            "rdarts_tf.search with the same arrays again"
        ) from error
    if not same:
        raise data.DatasetError(
            f"the arrays in {folder} have changed since they were stored; delete that folder and call "
            "rdarts_tf.search with the same arrays again"
        )
    return parts, described
