"""What an image data set is, and how the search splits it. No TensorFlow."""

import dataclasses
import functools
import hashlib
import json
import math

import numpy as np

from rdarts_tf.errors import UserError

_MIN_SIDE = 8


class DatasetError(UserError):
    """A data set cannot be used as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 [n, h, w, c] and labels int32 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """An image classification data set, checked when it is made.

    Args:
        name: as in messages and reports.
        train, test: Split.
        class_names: one string per label.
        mean, std: per channel, of training images in [0, 1].
        crop_padding, flip: what training augments with, see `augment.Augmentation`.
        notes: what the user should know of it, sentences.
    Raises:
        DatasetError: something does not fit.
    """

    TASK = "image_classification"

    name: str
    train: Split
    test: Split
    class_names: tuple
    mean: tuple
    std: tuple
    crop_padding: int = 4
    flip: bool = True
    notes: tuple = ()

    def __post_init__(self):
        if self.num_classes < 2:
            raise DatasetError(f"{self.name} has {self.num_classes} classes; at least 2 are needed")
        for part, split in (("training", self.train), ("test", self.test)):
            self._check_split(part, split)
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DatasetError(
                f"{self.name} has training images of {self.train.images.shape[1:]} but test images of "
                f"{self.test.images.shape[1:]}; resize them to the same shape"
            )
        channels = self.image_shape[-1]
        if not len(self.mean) == len(self.std) == channels or min(self.std) <= 0:
            raise DatasetError(
                f"{self.name} has mean {self.mean} and std {self.std}; give {channels} numbers each, "
                "one per channel, std above 0"
            )
        padding_fits = type(self.crop_padding) is int
        padding_fits = padding_fits and 0 <= self.crop_padding <= min(self.image_shape[:2])
        if not padding_fits or not isinstance(self.flip, bool):
            raise DatasetError(
                f"{self.name} has crop_padding={self.crop_padding!r} and flip={self.flip!r}; give an "
                f"integer from 0 to {min(self.image_shape[:2])}, and True or False"
            )

    @property
    def num_classes(self):
        return len(self.class_names)

    @property
    def image_shape(self):
        """(h, w, c)."""
        return self.train.images.shape[1:]

    @functools.cached_property
    def digest(self):
        """sha256 over images and labels of both parts, in stored order, and the names of the classes."""
        found = hashlib.sha256(json.dumps(list(self.class_names)).encode())
        for split in (self.train, self.test):
            for array in (split.images, split.labels):
                found.update(f"{array.dtype} {array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()

    def record(self):
        """What later stages need to feed a network, and to tell other data, ready for JSON."""
        return {
            "name": self.name,
            "digest": self.digest,
            "num_examples": {"training images": len(self.train), "test images": len(self.test)},
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def _check_split(self, part, split):
        images, labels, who = split.images, split.labels, f"the {part} split of {self.name}"
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DatasetError(
                f"{who} has images of dtype {images.dtype} and shape {images.shape}; give uint8 "
                "[n, height, width, channels]"
            )
        if labels.dtype != np.int32 or labels.shape != images.shape[:1]:
            raise DatasetError(
                f"{who} has labels of dtype {labels.dtype} and shape {labels.shape}; give int32 "
                f"[{len(images)}], one per image"
            )
        if not len(images):
            raise DatasetError(f"{who} is empty; give at least one image")
        height, width, channels = images.shape[1:]
        if min(height, width) < _MIN_SIDE or not 1 <= channels <= 4:
            raise DatasetError(
                f"{who} has images of {height}x{width} with {channels} channels; give images of at "
                f"least {_MIN_SIDE}x{_MIN_SIDE} with 1 to 4 channels"
            )
        if labels.min() < 0 or labels.max() >= self.num_classes:
            raise DatasetError(
                f"{who} has labels from {labels.min()} to {labels.max()}; with {self.num_classes} "
                f"classes they must lie in 0 to {self.num_classes - 1}"
            )


def split_search(dataset, train_portion):
    """Splits the training images into the two parts of the search, in stored order.

    The first floor(train_portion * n) images train the weights, the rest the architecture. Zela et
    al. 2020, the authors' code.

    Returns:
        (train, valid), two Splits that share memory with the data set.
    Raises:
        DatasetError: a part would be empty.
    """
    images, labels = dataset.train.images, dataset.train.labels
    count = math.floor(train_portion * len(labels))
    if not 0 < count < len(labels):
        raise DatasetError(
            f"train_portion={train_portion} leaves a search split of {dataset.name} empty, which has "
            f"{len(labels)} training images; choose a number between 0 and 1, such as 0.5"
        )
    return Split(images[:count], labels[:count]), Split(images[count:], labels[count:])


def channel_statistics(images):
    """Mean and standard deviation of each channel of images / 255, accumulated in float64.

    Args:
        images: uint8 [n, h, w, c].
    Returns:
        (mean, std), tuples of c floats; std is at least one grey level, 1/255, so that a constant
        channel can be divided by it.
    """
    total = np.zeros(images.shape[-1])
    total_of_squares = np.zeros(images.shape[-1])
    for first in range(0, len(images), 256):
        block = images[first : first + 256].astype(np.float64) / 255.0
        total += block.sum(axis=(0, 1, 2))
        total_of_squares += np.square(block).sum(axis=(0, 1, 2))
    count = images[..., 0].size
    mean = total / count
    variance = np.maximum(total_of_squares / count - np.square(mean), 0.0)
    std = np.maximum(np.sqrt(variance), 1.0 / 255.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def check_size(size):
    """Raises DatasetError unless `size` is None, a usable side, or (height, width) of such."""
    sides = (size, size) if isinstance(size, int) else size
    usable = isinstance(sides, (tuple, list)) and len(sides) == 2
    if size is not None and not (
        usable and all(type(side) is int and side >= _MIN_SIDE for side in sides)
    ):
        raise DatasetError(
            f"cannot resize images to size={size!r}; give an integer from {_MIN_SIDE} on, or "
            "(height, width)"
        )


def check_portion(portion):
    """Raises DatasetError unless a part of each class can be set aside."""
    if not isinstance(portion, float) or not 0 < portion < 1:
        raise DatasetError(
            f"test_portion={portion!r} must be a number between 0 and 1, such as 0.2"
        )


def set_aside(digests, labels, portion):
    """Which images are for test: a share of each class, by the digests of their contents.

    Those below `portion` of the range of digests are, so that no image moves when others are added;
    at least a half and at most one and a half of the share, and never none or all of a class.

    Args:
        digests: bytes of each image.
        labels: int [n].
    Returns:
        bool [n].
    """
    places = np.array([int.from_bytes(digest[:8], "big") / 2**64 for digest in digests])
    aside = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(places[rows], kind="stable")]
        share = portion * len(rows)
        least, most = max(1, math.floor(share / 2)), max(1, math.ceil(1.5 * share))
        count = np.clip(np.sum(places[rows] < portion), least, most)
        aside[rows[: min(count, len(rows) - 1)]] = True
    return aside
