"""Any TensorFlow Datasets image classification set: `tfds(mnist)`, `tfds(tf_flowers, size=32)`."""

import difflib
import http.client
import pathlib
import threading
import typing
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import tensorflow_datasets as tfds

from rdarts_tf.tasks.image_classification import data, pictures, stored_splits, storing

TASK = "image_classification"
STORES = True  # `load` takes a store
_TIMEOUT_SECONDS = 8


class Read(typing.NamedTuple):
    """What `read` returns: two data.Splits, strings, and a sentence for the user."""

    train: data.Split
    test: data.Split
    class_names: tuple
    note: str


def load(
    name,
    *,
    data_dir=None,
    split="train",
    test_split=None,
    test_portion=0.2,
    size=None,
    fit="squash",
    channels=None,
    background=None,
    crop_padding=4,
    flip=True,
    store=None,
):
    """Loads a data set with features `image` and `label`, statistics measured on its training split.

    Args:
        name: as TFDS knows it, such as "mnist".
        data_dir: where TFDS keeps prepared data; None is its own default.
        split: training images, in the syntax of TFDS.
        test_split: test images likewise; None: "test" or "validation", else a share of `split`.
        test_portion: that share of each class, see `data.set_aside`.
        size, fit, channels, background: see `pictures.Form`.
        crop_padding, flip: as in `data.Dataset`; flip=False for what has a handedness.
        store: storing.Store; None keeps the images in memory.
    Returns:
        data.Dataset.
    Raises:
        data.DatasetError: not to be had, or of another kind.

    Example:
        >>> loaded = load("tf_flowers", size=16, split="train[:90%]", test_split="train[90%:]")
        >>> loaded.image_shape
        (16, 16, 3)
    """
    form = pictures.Form(size, fit, channels, background)
    options = {"split": split, "test_split": test_split, "test_portion": test_portion}
    found = read(name, data_dir=data_dir, form=form, store=store, **options)
    mean, std = data.channel_statistics(found.train.images)
    return data.Dataset(
        f"tfds({name})",
        found.train,
        found.test,
        found.class_names,
        mean,
        std,
        crop_padding=crop_padding,
        flip=flip,
        notes=(found.note,),
    )


def read(
    name,
    *,
    data_dir=None,
    form=None,
    split="train",
    test_split=None,
    test_portion=0.2,
    store=None,
):
    """Reads training and test images in stored order.

    Args:
        form: pictures.Form; the others are as in `load`.
    Returns:
        Read.
    Raises:
        data.DatasetError: as `load`.
    Differs from: the authors use the order of the original archive; TFDS stores a fixed random
    order.
    """
    name, form = str(name), form or pictures.Form()
    data.check_portion(test_portion)
    builder = _builder(name, data_dir)
    _check_features(builder, name, form)
    _prepare(builder, name)
    options = {"split": split, "test_split": test_split, "test_portion": test_portion}
    train, test, scored = stored_splits.read(
        builder, form, name=name, store=store or storing.Store(), **options
    )
    note = (
        f"tfds({name}): {len(train)} training images of {split}, {len(test)} test images {scored}"
    )
    return Read(train, test, tuple(builder.info.features["label"].names), note)


def _builder(name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        close = difflib.get_close_matches(name, tfds.list_builders(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see tensorflow.org/datasets"
        raise data.DatasetError(f"TensorFlow Datasets has no data set {name!r}; {hint}") from None
    except (AssertionError, ImportError, ValueError) as error:
        raise data.DatasetError(
            f"TensorFlow Datasets cannot build {name!r}; check the name, configuration and version: "
            f"{_first_line(error)}"
        ) from error


def _check_features(builder, name, form):
    features = builder.info.features
    named = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = named.get("image"), named.get("label")
    usable = isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
    if not usable or not isinstance(label, tfds.features.ClassLabel):
        raise data.DatasetError(
            f"tfds({name}) has the features {', '.join(sorted(named)) or features}; image "
            "classification needs a uint8 Image called 'image' and a ClassLabel called 'label'"
        )
    if form.size is None and None in image.shape[:2]:
        raise data.DatasetError(
            f"the images of tfds({name}) differ in size; resize them with tfds({name}, size=32)"
        )


def _prepare(builder, name):
    """Downloads and prepares what is not prepared yet.

    With no network TFDS would retry for minutes, so ask for a sign of life first.
    """
    # is_prepared() alone would log a warning about the missing directory.
    if builder.data_path.exists() and builder.is_prepared():
        return
    root, urls = pathlib.Path(builder.data_dir_root), list(builder.url_infos)
    if urls and not _has_archive(builder, root / "downloads") and not _reachable(urls[0]):
        archives = " and ".join(map(_archive, urls)) if len(urls) <= 3 else "its archives"
        raise data.DatasetError(
            f"{name} is not prepared in --data_dir={root} and {urls[0]} cannot be reached; place "
            f"{archives} in {root / 'downloads' / 'manual'}, or copy a prepared "
            f"{pathlib.Path(builder.data_path).relative_to(root)} into {root}, or use "
            "--dataset=digits, which needs no download"
        )
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises bare Exceptions, for one when a checksum differs.
        raise data.DatasetError(
            f"TensorFlow Datasets cannot prepare {name} in --data_dir={root}; check network, disk and "
            f"{root / 'downloads'}: {_first_line(error)}"
        ) from error


def _has_archive(builder, downloads):
    """Whether an archive was placed by hand, or a finished download is kept from an earlier time."""
    if any((downloads / "manual" / _archive(url)).exists() for url in builder.url_infos):
        return True
    kept = [*downloads.glob("*.INFO"), *(downloads / builder.name).rglob("*.INFO")]
    return any(f'"{builder.name}"' in info.read_text() for info in kept)


def _archive(url):
    return pathlib.PurePosixPath(urllib.parse.urlsplit(url).path).name


def _reachable(url):
    """Whether a server answers in time, through the proxy of the environment if there is one."""
    answers = []
    # A thread, since no timeout of urlopen bounds name lookup, nor the sum over several addresses.
    asking = threading.Thread(target=lambda: answers.append(_answers(url)), daemon=True)
    asking.start()
    asking.join(_TIMEOUT_SECONDS)
    return answers == [True]


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _first_line(error):
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
