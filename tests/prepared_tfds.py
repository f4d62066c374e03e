"""Small TensorFlow Datasets directories, which an unmodified `tfds.load` reads."""

import numpy as np
import tensorflow_datasets as tfds


def prepare(name, data_dir, *, splits=None, sides=None):
    """Prepares `name` with random images; label i % num_classes for image i. Downloads nothing.

    Args:
        name: as TFDS knows it.
        data_dir: to write to.
        splits: {split name: number of images}; None is 40 "train" and 20 "test".
        sides: sides of the (square) images in turn, where the data set does not fix them.
    """
    builder = tfds.builder(name, data_dir=data_dir)
    features = builder.info.features
    if features["label"].num_classes is None:
        features["label"].names = ["first", "second", "third"]

    def examples(count):
        rng = np.random.default_rng(count)
        for i in range(count):
            shape = features["image"].shape
            if None in shape:
                shape = (sides[i % len(sides)], sides[i % len(sides)], shape[-1])
            example = {key: _filler(feature, i) for key, feature in features.items()}
            yield i, example | {"image": rng.integers(0, 256, shape, np.uint8)}

    def split_generators(dl_manager):
        del dl_manager
        return {
            split: examples(count) for split, count in (splits or {"train": 40, "test": 20}).items()
        }

    builder._split_generators = split_generators
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False)
    )


def _filler(feature, i):
    if isinstance(feature, tfds.features.ClassLabel):
        return i % feature.num_classes
    return str(i) if isinstance(feature, tfds.features.Text) else None
