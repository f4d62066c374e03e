"""What a data set is, how the search splits it, and the pipelines that feed an epoch.

Images are decoded once and stay in memory as uint8. An epoch is a pure function of (seed, epoch):
each step gathers its rows, augments them as one batch and is reproducible bit for bit, so a run
that was killed continues at `first_step` with the batches it would have seen.
"""

import dataclasses
import functools
import math

import numpy as np
import tensorflow as tf

from rdarts_tf.errors import UserError

_MIN_SIDE = 8
# Streams of random numbers, independent of each other.
_SHUFFLE, _VALID_BATCH, _AUGMENT_TRAIN, _AUGMENT_VALID, _AUGMENT_TEST = range(5)


class DatasetError(UserError):
    """A data set cannot be used as asked; the message says why and what to do."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 [n, h, w, c] and labels int32 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    @functools.cached_property
    def tensors(self):
        """(images, labels) as tensors in main memory, which a pipeline captures without copying."""
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self.images), tf.constant(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """An image classification data set, checked when it is made.

    Args:
        name: as in messages and reports.
        train, test: Split.
        class_names: one string per label.
        mean, std: per channel, of training images in [0, 1].
        crop_padding, flip: what training augments with, see `augment.Augmentation`.
    Raises:
        DatasetError: something does not fit.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple
    mean: tuple
    std: tuple
    crop_padding: int = 4
    flip: bool = True

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
        padding_fits = isinstance(self.crop_padding, int) and self.crop_padding >= 0
        if not padding_fits or not isinstance(self.flip, bool):
            raise DatasetError(
                f"{self.name} has crop_padding={self.crop_padding!r} and flip={self.flip!r}; give an "
                "integer from 0 on, and True or False"
            )

    @property
    def num_classes(self):
        return len(self.class_names)

    @property
    def image_shape(self):
        """(h, w, c)."""
        return self.train.images.shape[1:]

    def record(self):
        """What later stages need to feed a network: names and normalisation, ready for JSON."""
        return {
            "name": self.name,
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
    """Raises DatasetError unless `size` is None (images stay as they are) or a usable side length."""
    if size is not None and not (isinstance(size, int) and size >= _MIN_SIDE):
        raise DatasetError(
            f"cannot resize images to size={size!r}; give an integer from {_MIN_SIDE} on"
        )


def resize(image, size):
    """uint8 [h, w, c] -> uint8 [size, size, c], bilinear with antialiasing; aspect is not kept."""
    resized = tf.image.resize(image, [size, size], antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def check_batch_size(batch_size, split, *, name):
    """Raises DatasetError unless 1 <= batch_size <= len(split); `name` is what the split is called."""
    if batch_size < 1:
        raise DatasetError(f"batch size {batch_size} is not possible; choose at least 1")
    if batch_size > len(split):
        raise DatasetError(
            f"batch size {batch_size} is larger than the {name} split, which has {len(split)} images; "
            f"choose a batch size of at most {len(split)}"
        )


def num_steps(n, batch_size):
    """Batches in one pass over n images, the last of which may be partial."""
    return -(-n // batch_size)


def search_epoch(train, valid, *, batch_size, augment, seed, epoch, first_step=0):
    """One epoch of the search: each step has a training batch and a validation batch.

    The training split is freshly permuted and its last batch may be partial. Each validation batch
    is a fresh draw of exactly `batch_size` distinct images. Both are augmented. Zela et al. 2020,
    the authors' code.

    Args:
        train, valid: Splits.
        augment: (uint8 [b, h, w, c], seed [2]) -> float32 [b, h, w, c].
        seed: integer of the run.
        epoch: integer.
        first_step: steps to skip; the others are what they would have been.
    Returns:
        tf.data.Dataset of (train_images, train_labels, valid_images, valid_labels): float32
        [b, h, w, c] and int32 [b], b unknown to the trace.
    Raises:
        DatasetError: `batch_size` is larger than a split.
    """
    check_batch_size(batch_size, train, name="search training")
    check_batch_size(batch_size, valid, name="search validation")
    with tf.device("CPU:0"):
        train_rows, valid_rows = _reader(train), _reader(valid)
        order = _permutation(len(train), _key(seed, epoch, _SHUFFLE))
        draw_key = _key(seed, epoch, _VALID_BATCH)
        train_key = _key(seed, epoch, _AUGMENT_TRAIN)
        valid_key = _key(seed, epoch, _AUGMENT_VALID)

    def load(step):
        valid_order = _permutation(len(valid), tf.random.fold_in(draw_key, step))
        train_images, train_labels = train_rows(_batch_of(order, step, batch_size))
        valid_images, valid_labels = valid_rows(valid_order[:batch_size])
        return (
            augment(train_images, tf.random.fold_in(train_key, step)),
            train_labels,
            augment(valid_images, tf.random.fold_in(valid_key, step)),
            valid_labels,
        )

    return _steps(load, first_step, num_steps(len(train), batch_size))


def train_epoch(split, *, batch_size, augment, seed, epoch, first_step=0):
    """One epoch of ordinary training: freshly permuted, augmented, the last batch may be partial.

    Args and Raises: as `search_epoch`.
    Returns:
        tf.data.Dataset of (images float32 [b, h, w, c], labels int32 [b]), b unknown to the trace.
    """
    check_batch_size(batch_size, split, name="training")
    with tf.device("CPU:0"):
        rows = _reader(split)
        order = _permutation(len(split), _key(seed, epoch, _SHUFFLE))
        key = _key(seed, epoch, _AUGMENT_TRAIN)

    def load(step):
        images, labels = rows(_batch_of(order, step, batch_size))
        return augment(images, tf.random.fold_in(key, step)), labels

    return _steps(load, first_step, num_steps(len(split), batch_size))


def test_epoch(split, *, batch_size, augment, seed=None, epoch=0):
    """One pass in stored order, to score a split; the last batch may be partial.

    Args:
        augment: `augment.Augmentation`.
        seed: None: `augment.test`, that is, normalise only. An integer: the training augmentation,
            drawn from (seed, epoch), with which the authors' code scores the search validation
            split.
        epoch: integer.
    Returns:
        tf.data.Dataset of (images float32 [b, h, w, c], labels int32 [b]), b unknown to the trace.
    """
    with tf.device("CPU:0"):
        rows, order = _reader(split), tf.range(len(split))
        key = None if seed is None else _key(seed, epoch, _AUGMENT_TEST)

    def load(step):
        images, labels = rows(_batch_of(order, step, batch_size))
        if key is None:
            return augment.test(images), labels
        return augment(images, tf.random.fold_in(key, step)), labels

    return _steps(load, 0, num_steps(len(split), batch_size))


def _key(seed, epoch, use):
    """[2]: the key of one stream of one epoch."""
    return tf.random.fold_in(tf.random.fold_in([seed, 0], epoch), use)


def _permutation(n, key):
    return tf.random.experimental.stateless_shuffle(tf.range(n), key)


def _batch_of(order, step, batch_size):
    return order[step * batch_size : (step + 1) * batch_size]


def _reader(split):
    images, labels = split.tensors

    def read(rows):
        # Forgets a static length, so that full and partial batches have one element_spec.
        rows = tf.compat.v1.placeholder_with_default(rows, [None])
        return tf.gather(images, rows), tf.gather(labels, rows)

    return read


def _steps(load, first, last):
    steps = tf.data.Dataset.range(first, last, output_type=tf.int32)
    elements = steps.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return elements.prefetch(tf.data.AUTOTUNE)
