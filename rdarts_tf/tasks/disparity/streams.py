"""The pipelines that feed an epoch of pairs.

Pairs are read from disk and decoded in parallel as they are needed. An epoch is a pure function of
(seed, epoch): every crop has a key of its own, so a run that was killed continues at `first_step` with
the batches it would have seen.
"""

import os

import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.disparity import augment, pairs

# Streams of random numbers, independent of each other.
_SHUFFLE, _VALID_BATCH, _AUGMENT_TRAIN, _AUGMENT_VALID = range(4)
_READERS = min(os.cpu_count() or 1, 8)  # pairs that are decoded at the same time
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
        augmentation_scale: see `augment.Augmentation`.
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
    with tf.device("CPU:0"):
        order = _permutation(part.draws, _key(seed, epoch, _SHUFFLE))
        key = _key(seed, epoch, _AUGMENT_TRAIN)

    def draw(step):
        rows = order[step * batch_size : (step + 1) * batch_size]
        return rows, tf.random.split(tf.random.fold_in(key, step), batch_size)[: tf.size(rows)]

    steps = tf.data.Dataset.range(
        first_step, num_steps(part.draws, batch_size), output_type=tf.int32
    )
    return _augmented(part, steps.map(draw), batch_size, crop, augmentation_scale)


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
    with tf.device("CPU:0"):
        order_key, key = _key(seed, epoch, _VALID_BATCH), _key(seed, epoch, _AUGMENT_VALID)

    def draw(step):
        rows = _permutation(valid.draws, tf.random.fold_in(order_key, step))[:batch_size]
        return rows, tf.random.split(tf.random.fold_in(key, step), batch_size)

    last = num_steps(train.draws, batch_size)
    steps = tf.data.Dataset.range(first_step, last, output_type=tf.int32)
    validation = _augmented(valid, steps.map(draw), batch_size, crop, augmentation_scale)
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

    def load(row):
        left, right, disparity = _read(part, row)
        height, width = tf.unstack(tf.shape(disparity))
        rows, columns = (
            tf.minimum(tf.range(side), last - 1)
            for side, last in zip(size, (height, width), strict=True)
        )
        left, right = (
            augment.normalize(tf.gather(tf.gather(image, rows), columns, axis=1))
            for image in (left, right)
        )
        margin = [[0, size[0] - height], [0, size[1] - width]]
        return left, right, tf.pad(disparity, margin, constant_values=np.nan)

    rows = tf.data.Dataset.range(len(part), output_type=tf.int32)
    return _batched(rows.map(load, num_parallel_calls=_READERS), size, batch_size)


def padded_size(part, multiple):
    """(H, W) of the batches of `score_batches`."""
    return tuple(-(-side // multiple) * multiple for side in part.largest)


def _augmented(part, draws, batch_size, crop, scale):
    """Batches of a Dataset of (rows [b], keys [b, 2])."""
    augmentation = augment.Augmentation(
        tuple(crop), scale=scale, max_offset=part.max_offset, flip=part.flip
    )

    def load(row, key):
        return augmentation(*_read(part, row // part.crops), key)

    return _batched(draws.unbatch().map(load, num_parallel_calls=_READERS), crop, batch_size)


def _read(part, row):
    """A pair of `part`, by tensors."""
    # Not "stateful", or under op determinism one would be read after the other.
    pair = tf.numpy_function(part.read, [row], [tf.uint8, tf.uint8, tf.float32], stateful=False)
    shapes = ([None, None, 3], [None, None, 3], [None, None])
    return tuple(tf.ensure_shape(v, shape) for v, shape in zip(pair, shapes, strict=True))


def _batched(elements, size, batch_size):
    def shaped(left, right, disparity):
        shape = tuple(size)
        return *(tf.ensure_shape(v, (*shape, 3)) for v in (left, right)), tf.ensure_shape(
            disparity, shape
        )

    return elements.map(shaped).batch(batch_size).prefetch(_AHEAD)


def _key(seed, epoch, use):
    """[2]: the key of one stream of one epoch."""
    return tf.random.fold_in(tf.random.fold_in([seed, 0], epoch), use)


def _permutation(n, key):
    return tf.random.experimental.stateless_shuffle(tf.range(n), key)
