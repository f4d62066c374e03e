"""Handwritten digits that come with scikit-learn: 1,797 images, 8x8, grey; no download.

Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits.
"""

import numpy as np
from sklearn import datasets as sklearn_datasets

from rdarts_tf.tasks.image_classification import data

TASK = "image_classification"
_NUM_TEST = 360


def load(*, data_dir=None):
    """Loads the digits in a fixed random order, the last 360 as test images.

    Args:
        data_dir: not read; the images are part of scikit-learn.
    Returns:
        data.Dataset. Crops pad 1 pixel, since 4 would be half of the image, and nothing is
        mirrored, since a mirrored digit is not a digit.
    """
    del data_dir
    digits = sklearn_datasets.load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))
    images = np.round(digits.images[order, :, :, np.newaxis] * (255 / 16)).astype(np.uint8)
    labels = digits.target[order].astype(np.int32)
    train = data.Split(images[:-_NUM_TEST], labels[:-_NUM_TEST])
    test = data.Split(images[-_NUM_TEST:], labels[-_NUM_TEST:])
    class_names = tuple(str(name) for name in digits.target_names)
    mean, std = data.channel_statistics(train.images)
    return data.Dataset("digits", train, test, class_names, mean, std, crop_padding=1, flip=False)
