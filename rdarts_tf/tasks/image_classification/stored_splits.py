"""The splits of a data set of TFDS as arrays."""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from rdarts_tf.tasks.image_classification import data, pictures

_READ_BATCH = 1024
_TEST_SPLITS = ("test", "validation", "val", "valid")


def read(builder, form, *, name, split, test_split, test_portion, store):
    """Reads the training and the test images.

    Args:
        builder: prepared tfds.core.DatasetBuilder with features `image` and `label`.
        form: pictures.Form; its channels may be None.
        name: for errors.
        split: training images, in the syntax of TFDS.
        test_split: test images likewise; None: "test" or "validation", else a share of `split`.
        test_portion: that share of each class.
        store: storing.Store.
    Returns:
        (train, test, where test is from): two data.Splits and a text.
    Raises:
        data.DatasetError: no such splits, or they overlap.
    """
    test_split = _test_split(builder, name, split, test_split)
    form = _with_channels(builder, form, [split, *filter(None, [test_split])])
    if test_split is not None:
        parts = [_read_split(builder, each, form, store) for each in (split, test_split)]
        return *parts, f"of {test_split}"
    aside = data.set_aside(*_digests(builder, split), test_portion)
    both = _read_split(builder, split, form, store, rows=np.argsort(aside, kind="stable"))
    count = len(both) - int(aside.sum())
    train, test = (
        data.Split(both.images[part], both.labels[part])
        for part in (slice(count), slice(count, None))
    )
    return train, test, "set aside from them"


def _test_split(builder, name, split, test_split):
    """The split that is scored; None: there is no other than those that are trained on."""
    known = list(builder.info.splits)
    if split == "train" and "train" not in known:
        raise data.DatasetError(
            f"tfds({name}) has the splits {', '.join(known)}, no train; name one, "
            f"tfds({name}, split='{known[0]}')"
        )
    train = _ranges(builder, name, split)
    if test_split is None:
        free = (s for s in _TEST_SPLITS if s in known)
        return next((s for s in free if not _overlap(train, _ranges(builder, name, s))), None)
    if _overlap(train, _ranges(builder, name, test_split)):
        raise data.DatasetError(
            f"split='{split}' and test_split='{test_split}' of tfds({name}) have images in common; name "
            "splits that have none, such as 'train[:80%]' and 'train[80%:]'"
        )
    return test_split


def _ranges(builder, name, split):
    """[(file, first example, last + 1)] of a split in the syntax of TFDS."""
    try:
        instructions = builder.info.splits[split].file_instructions
    except (ValueError, AssertionError, KeyError) as error:
        raise data.DatasetError(
            f"tfds({name}) has no split {split!r}; there are {', '.join(builder.info.splits)}, and parts "
            "of them such as 'train[:80%]'"
        ) from error
    ends = [i.examples_in_shard if i.take < 0 else i.skip + i.take for i in instructions]
    return [(i.filename, i.skip, end) for i, end in zip(instructions, ends, strict=True)]


def _overlap(one, other):
    return any(
        file == of and first < end and begin < last
        for file, first, last in one
        for of, begin, end in other
    )


def _with_channels(builder, form, splits):
    """The Form with its channels; images of varying channels are colour if any is."""
    channels = form.channels or builder.info.features["image"].shape[-1]
    for split in splits if channels is None else ():
        counts = _stream(builder, split).map(lambda example: tf.shape(example["image"])[-1])
        channels = 3 if any(count > 2 for count in counts.as_numpy_iterator()) else channels
    return dataclasses.replace(form, channels=channels or 1)


def _stream(builder, split):
    return builder.as_dataset(split=split, shuffle_files=False)


def _digests(builder, split):
    """([digest of each stored image], labels)."""
    examples = _stream(builder, split).map(lambda example: (example["image"], example["label"]))
    read = [(_digest(image), label) for image, label in tfds.as_numpy(examples)]
    return [digest for digest, _ in read], np.array([label for _, label in read])


def _digest(pixels):
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()


def _read_split(builder, split, form, store, *, rows=None):
    """The data.Split, the stored image rows[i] at i."""
    stored = builder.info.features["image"].shape
    height, width = pictures.sides(form.size) if form.size else stored[:2]
    shape = height, width, form.channels
    num = builder.info.splits[split].num_examples
    places = np.arange(num) if rows is None else np.argsort(rows)

    def select(example):
        image = example["image"]
        if form.size is not None or stored[-1] != form.channels:
            formed = tf.numpy_function(
                lambda pixels: pictures.formed(pixels, form), [image], tf.uint8
            )
            image = tf.ensure_shape(formed, shape)
        return image, example["label"]

    def fill(images):
        stream = _stream(builder, split).map(
            select, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        labels, first = np.empty(num, np.int32), 0
        for some, theirs in tfds.as_numpy(stream.batch(_READ_BATCH)):
            at = places[first : first + len(some)]
            images[at], labels[at] = some, theirs
            first += len(some)
        return labels.tolist()

    order = hashlib.sha256(places.tobytes()).hexdigest()
    source = [str(builder.data_path), split, dataclasses.asdict(form), order]
    images, labels = store.images((num, *shape), fill, source=source)
    return data.Split(images, np.array(labels, np.int32))
