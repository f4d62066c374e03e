"""The pipelines that feed an epoch of images.

Images are decoded once and stay where the data set has them as uint8, in memory or in a file. An epoch
is a pure function of (seed, epoch):
each step gathers its rows, augments them as one batch and is reproducible bit for bit, so a run
that was killed continues at `first_step` with the batches it would have seen.
"""

import tensorflow as tf

from rdarts_tf.tasks.image_classification import data

# Streams of random numbers, independent of each other.
_SHUFFLE, _VALID_BATCH, _AUGMENT_TRAIN, _AUGMENT_VALID, _AUGMENT_TEST = range(5)


def check_batch_size(batch_size, split, *, name):
    """Raises data.DatasetError unless 1 <= batch_size <= len(split); `name` is what the split is called."""
    if batch_size < 1:
        raise data.DatasetError(f"batch size {batch_size} is not possible; choose at least 1")
    if batch_size > len(split):
        raise data.DatasetError(
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
        tf.data.Dataset of ((train images, train labels), (valid images, valid labels)): float32
        [b, h, w, c] and int32 [b], b unknown to the trace.
    Raises:
        data.DatasetError: `batch_size` is larger than a split.
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
            (augment(train_images, tf.random.fold_in(train_key, step)), train_labels),
            (augment(valid_images, tf.random.fold_in(valid_key, step)), valid_labels),
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
    """rows int32 [b] -> (images uint8 [b, h, w, c], labels int32 [b]), without another copy of the split."""

    def take(rows):
        return split.images[rows], split.labels[rows]

    def read(rows):
        # Which also forgets a static length, so that full and partial batches have one element_spec.
        images, labels = tf.numpy_function(take, [rows], [tf.uint8, tf.int32], stateful=False)
        images.set_shape([None, *split.images.shape[1:]])
        labels.set_shape([None])
        return images, labels

    return read


def _steps(load, first, last):
    steps = tf.data.Dataset.range(first, last, output_type=tf.int32)
    elements = steps.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return elements.prefetch(tf.data.AUTOTUNE)
