"""Any TensorFlow Datasets image classification set: `tfds(mnist)`, `tfds(tf_flowers, size=32)`."""

import difflib
import http.client
import pathlib
import threading
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from rdarts_tf.tasks.image_classification import augment, data

_READ_BATCH = 1024
_TIMEOUT_SECONDS = 8


def load(name, *, data_dir=None, size=None, crop_padding=4, flip=True):
    """Loads a data set with features `image` and `label`, statistics measured on its training split.

    Args:
        name: as TFDS knows it, such as "mnist".
        data_dir: where TFDS keeps prepared data; None is its own default.
        size: resize every image to [size, size].
        crop_padding, flip: as in `data.Dataset`; flip=False for what has a handedness.
    Returns:
        data.Dataset.
    Raises:
        data.DatasetError: not to be had, or of another kind.
    """
    train, test, class_names = read(name, data_dir=data_dir, size=size)
    mean, std = data.channel_statistics(train.images)
    return data.Dataset(
        f"tfds({name})", train, test, class_names, mean, std, crop_padding=crop_padding, flip=flip
    )


def read(name, *, data_dir=None, size=None):
    """Reads the splits "train" and "test" ("validation" if there is no "test") in stored order.

    Returns:
        (train, test, class_names): two data.Splits and a tuple of strings.
    Raises:
        data.DatasetError: as `load`.
    Differs from: the authors use the order of the original archive; TFDS stores a fixed random
    order.
    """
    data.check_size(size)
    name = str(name)
    builder = _builder(name, data_dir)
    _check_features(builder, name, size)
    _prepare(builder, name)
    splits = [
        _read_split(name, split, data_dir=data_dir, size=size) for split in _splits(builder, name)
    ]
    return *splits, tuple(builder.info.features["label"].names)


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


def _check_features(builder, name, size):
    features = builder.info.features
    named = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    image, label = named.get("image"), named.get("label")
    usable = isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
    if not usable or not isinstance(label, tfds.features.ClassLabel):
        raise data.DatasetError(
            f"tfds({name}) has the features {', '.join(sorted(named)) or features}; image "
            "classification needs a uint8 Image called 'image' and a ClassLabel called 'label'"
        )
    if size is None and None in image.shape[:2]:
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


def _splits(builder, name):
    splits = list(builder.info.splits)
    test = next((split for split in ("test", "validation") if split in splits), None)
    if "train" not in splits or test is None:
        raise data.DatasetError(
            f"tfds({name}) has the splits {', '.join(splits)}; needed are 'train' and 'test' or "
            "'validation', so export it to folders and use image_folder(PATH)"
        )
    return "train", test


def _read_split(name, split, *, data_dir, size):
    stream = tfds.load(name, split=split, data_dir=data_dir, shuffle_files=False, download=False)

    def select(example):
        image = example["image"] if size is None else augment.resize(example["image"], size)
        return image, example["label"]

    stream = stream.map(select, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = list(tfds.as_numpy(stream.batch(_READ_BATCH)))
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches]).astype(np.int32)
    return data.Split(images, labels)


def _first_line(error):
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
