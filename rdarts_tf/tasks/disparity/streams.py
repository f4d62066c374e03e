"""The pipelines that feed an epoch of pairs.

Pairs are read from disk and decoded in parallel as they are needed. An epoch is a pure function of
(seed, epoch): every crop has a generator of its own, so a run that was killed continues at `first_step`
with the batches it would have seen.
"""

import os

import numpy as np
import tensorflow as tf

from rdarts_tf import errors
from rdarts_tf.tasks.disparity import augment, pairs

# Streams of random numbers, independent of each other.
_SHUFFLE, _VALID_BATCH, _AUGMENT_TRAIN, _AUGMENT_VALID, _SAMPLE = range(5)
_READERS = min(os.cpu_count() or 1, 16)  # pairs that are decoded at the same time
_AHEAD = 2  # batches


def check(part, *, batch_size, crop, name):
    """Raises pairs.PairsError unless a part has crops of that size for a batch; `name` is the part's."""
    if not 1 <= batch_size <= part.draws:
        raise pairs.PairsError(
            f"batch size {batch_size} does not go with the {name} part, which has {part.draws} crops; "
            f"choose a batch size from 1 to {part.draws}"
        )
    height, width = part.smallest
    if not (1 <= crop[0] <= height and 1 <= crop[1] <= width):
        raise pairs.PairsError(
            f"crops of {crop[0]}x{crop[1]} do not fit the {name} part, whose smallest image has "
            f"{height}x{width} pixels; choose smaller ones"
        )


def num_steps(n, batch_size):
    """Batches in one pass over n crops or pairs, the last of which may be partial."""
    return -(-n // batch_size)


def train_batches(part, *, batch_size, crop, augmentation_scale, seed, epoch, first_step=0):
    """One epoch of training: each pair `part.crops` times, freshly permuted, cropped and augmented.

    Args:
        part: pairs.Part.
        batch_size: of all but the last batch, which may be smaller.
        crop: (h, w).
        augmentation_scale: see `augment`.
        seed: integer of the run.
        epoch: integer.
        first_step: steps to skip; the others are what they would have been.
    Returns:
        tf.data.Dataset of num_steps(part.draws, batch_size) batches: left and right float32
        [b, h, w, 3], values / 255 - 0.4, and disparity float32 [b, h, w], NaN where unknown.
    Raises:
        pairs.PairsError: too large a batch or crop.
    """
    check(part, batch_size=batch_size, crop=crop, name="training")
    order = _rng(seed, epoch, _SHUFFLE).permutation(part.draws)
    augmented = _augmented(part, crop, augmentation_scale)

    def load(position):
        return augmented(order[position], _rng(seed, epoch, _AUGMENT_TRAIN, position))

    return _batches(load, first_step * batch_size, part.draws, crop, batch_size)


def search_batches(
    train, valid, *, batch_size, crop, augmentation_scale, seed, epoch, first_step=0
):
    """One epoch of the search: each step has a training batch and a validation batch.

    Each validation batch is a fresh draw of `batch_size` distinct crops, augmented as in training.

    Args and Raises: as `train_batches`.
    Returns:
        tf.data.Dataset of (training batch, validation batch), as many as `train_batches` of `train`.
    """
    check(valid, batch_size=batch_size, crop=crop, name="search validation")
    options = {"batch_size": batch_size, "crop": crop, "augmentation_scale": augmentation_scale}
    training = train_batches(train, **options, seed=seed, epoch=epoch, first_step=first_step)
    augmented = _augmented(valid, crop, augmentation_scale)

    def load(position):
        step, place = divmod(position, batch_size)
        drawn = _rng(seed, epoch, _VALID_BATCH, step)
        row = drawn.choice(valid.draws, batch_size, replace=False)[place]
        return augmented(row, _rng(seed, epoch, _AUGMENT_VALID, position))

    last = num_steps(train.draws, batch_size) * batch_size
    validation = _batches(load, first_step * batch_size, last, crop, batch_size)
    return tf.data.Dataset.zip((training, validation))


def score_batches(part, *, batch_size, multiple):
    """One pass over whole pairs in stored order, to score a part; the last batch may be partial.

    All are brought to one size, the part's largest rounded up to a multiple: below and to the right the
    last pixels are repeated, their disparities unknown.

    Args:
        multiple: of height and width.
    Returns:
        tf.data.Dataset of num_steps(len(part), batch_size) batches as those of `train_batches`.
    """
    size = padded_size(part, multiple)
    return _batches(_padded(part, size), 0, len(part), size, batch_size)


def sample_batches(part, *, batch_size, multiple, seed, number, first_step=0):
    """Pass `number` over whole pairs as `score_batches`, each pass in an order of its own.

    Args:
        number: of the pass, an integer or a scalar tensor of one.
        first_step: steps to skip.
    """
    num, size = len(part), padded_size(part, multiple)
    padded = _padded(part, size)

    def load(position):
        number, place = divmod(position, num)
        return padded(_rng(seed, number, _SAMPLE).permutation(num)[place])

    start = num * tf.cast(number, tf.int64)
    return _batches(load, start + first_step * batch_size, start + num, size, batch_size)


def _padded(part, size):
    """row -> the whole pair at (H, W)."""

    def load(row):
        left, right, disparity = part.read(row)
        margin = [(0, side - has) for side, has in zip(size, disparity.shape, strict=True)]
        images = (np.pad(v, (*margin, (0, 0)), "edge") for v in (left, right))
        return *map(augment.normalize, images), np.pad(disparity, margin, constant_values=np.nan)

    return load


def padded_size(part, multiple):
    """(H, W) of the batches of `score_batches`."""
    return tuple(-(-side // multiple) * multiple for side in part.largest)


def _augmented(part, crop, scale):
    """(row, generator) -> a crop of one of the pairs."""
    options = {"max_offset": part.max_offset, "flip": part.flip}
    augmentation = augment.Augmentation(tuple(crop), scale=scale, **options)
    return lambda row, rng: augmentation(*part.read(row // part.crops), rng)


def _batches(load, first, last, size, batch_size):
    """Batches of what `load` returns for the positions from `first` to `last`, images of one size."""
    dtype, shapes = tf.float32, ((*size, 3), (*size, 3), tuple(size))

    def element(position):
        # Not "stateful", or under op determinism they would be loaded one after the other.
        loaded = tf.numpy_function(errors.kept(load), [position], [dtype] * 3, stateful=False)
        return tuple(tf.ensure_shape(v, shape) for v, shape in zip(loaded, shapes, strict=True))

    positions = tf.data.Dataset.range(first, last)
    loaded = positions.map(element, num_parallel_calls=_READERS, deterministic=True)
    return loaded.batch(batch_size).prefetch(_AHEAD)


def _rng(*key):
    """A generator of its own for each key of integers."""
    return np.random.default_rng(key)
