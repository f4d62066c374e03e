"""The pictures of a data set decoded into one array, several at a time. No TensorFlow."""

import concurrent.futures
import dataclasses
import pathlib
import warnings

from rdarts_tf.tasks.image_classification import pictures, storing
from rdarts_tf.tasks.image_classification.data import DatasetError

_MOST_SKIPPED = 0.01  # of the images, by on_error="skip"
_ON_ERROR = ("raise", "skip")
_MOST_NAMED = 20


def read(parts, form, *, name, on_error="raise", store=None):
    """Decodes the pictures of all parts alike.

    Args:
        parts: {part: [(path, class name)]}, "train" first.
        form: pictures.Form.
        name: of the data set, for errors.
        on_error: "raise", or "skip" files that cannot be read.
        store: storing.Store; None keeps the images in memory.
    Returns:
        ({part: uint8 [n, h, w, c]}, {part: [(path, class name)] of those read}, sentences for the user).
    Raises:
        DatasetError: files that cannot be read, or sizes that differ.
    """
    if on_error not in _ON_ERROR:
        raise DatasetError(f"unknown on_error={on_error!r}; there are: {', '.join(_ON_ERROR)}")
    paths = {part: [path for path, _ in examples] for part, examples in parts.items()}
    everything = [path for part in paths.values() for path in part]
    with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")  # Pillow's, about files that it reads nonetheless
        if form.channels is None:
            colour = any(map(_or_none(pictures.is_colour), everything))
            form = dataclasses.replace(form, channels=3 if colour else 1)
        highest = [value or 0 for value in pool.map(_or_none(pictures.highest), paths["train"])]
        bits = max(highest, default=0).bit_length() or 16
        images, bad, transparent = _decoded(
            everything, form, bits, pool=pool, name=name, store=store or storing.Store()
        )
    _check_bad(bad, len(everything), on_error)
    kept, split, first = {}, {}, 0
    for part, examples in parts.items():
        kept[part] = [example for example in examples if example[0] not in bad]
        split[part] = images[first : first + len(kept[part])]
        first += len(kept[part])
    return split, kept, [*_told(form, any(highest) and bits, transparent), *_told_skipped(bad)]


def _or_none(function):
    """The function, None for a file that cannot be read; that is told when it is decoded."""

    def of_file(path):
        try:
            return function(path)
        except pictures.PictureError:
            return None

    return of_file


def _decoded(paths, form, bits, *, pool, name, store):
    """(uint8 [n, h, w, c] of the readable ones, {path: why it is not}, number with transparency)."""

    def attempt(path):
        try:
            return pictures.read(path, form, bits=bits)
        except pictures.PictureError as error:
            return error, False

    first, shape = _first_shape(paths, attempt)

    def fill(images):
        bad, transparent, count = {}, 0, 0
        for path, (pixels, hides) in zip(paths, pool.map(attempt, paths), strict=True):
            if isinstance(pixels, pictures.PictureError):
                bad[str(path)] = str(pixels)
                continue
            if pixels.shape != shape:
                raise DatasetError(
                    f"{first} is {_told_size(shape)} but {path} is {_told_size(pixels.shape)}; resize "
                    f"them with {name.removesuffix(')')}, size=32)"
                )
            images[count] = pixels
            transparent, count = transparent + hides, count + 1
        return {"bad": bad, "transparent": transparent}

    images, facts = store.images((len(paths), *shape), fill, source=_source(paths, form, bits))
    bad = {pathlib.Path(path): why for path, why in sorted(facts["bad"].items())}
    return images[: len(paths) - len(bad)], bad, facts["transparent"]


def _first_shape(paths, attempt):
    """(path, shape) of the first picture that can be read; (0, 0, 1) where none can."""
    for path in paths:
        pixels, _ = attempt(path)
        if not isinstance(pixels, pictures.PictureError):
            return path, pixels.shape
    return None, (0, 0, 1)


def _source(paths, form, bits):
    """What determines the decoded images, short of reading the files."""
    files = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    return [files, dataclasses.asdict(form), bits]


def _told_size(shape):
    return f"{shape[0]}x{shape[1]}"


def _check_bad(bad, num, on_error):
    if not bad or (on_error == "skip" and len(bad) <= _MOST_SKIPPED * num):
        return
    remedy = "repair or remove them"
    if on_error == "skip":
        remedy += f"; on_error=skip leaves out at most {100 * _MOST_SKIPPED:g} %"
    elif len(bad) <= _MOST_SKIPPED * num:
        remedy += ", or leave them out by on_error=skip"
    raise DatasetError(f"cannot read {len(bad)} of {num} images, {_named(bad)}; {remedy}")


def _named(bad):
    names = [f"{path} ({why})" for path, why in bad.items()]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _told_skipped(bad):
    return [f"left out, since they cannot be read: {_named(bad)}"] if bad else []


def _told(form, bits, transparent):
    """Sentences on what was done to all pictures; `bits` of those with 16, 0: there are none."""
    if bits == 8:
        yield "the 16-bit training images use 8 bits: values are kept"
    elif bits:
        factor = (
            f"divided by {2 ** (bits - 8)}" if bits >= 8 else f"multiplied by {2 ** (8 - bits)}"
        )
        yield f"the 16-bit training images use {bits} bits: values are {factor}"
    if transparent and form.channels < 4:
        yield (
            f"{transparent} images have transparent pixels: shown on {form.ground} (background=white "
            "or black; channels=4 keeps transparency)"
        )
    elif transparent:
        yield f"{transparent} images have transparent pixels, kept as fourth channel"
