"""CIFAR-10: 50,000 training and 10,000 test images, 32x32 in colour (Krizhevsky 2009)."""

from rdarts_tf.datasets import tfds
from rdarts_tf.tasks.image_classification import data

TASK = "image_classification"
STORES = True  # `load` takes a store
# Zela et al. 2020, the authors' code.
MEAN = (0.49139968, 0.48215827, 0.44653124)
STD = (0.24703233, 0.24348505, 0.26158768)


def load(*, data_dir=None, store=None):
    """Loads CIFAR-10 through TensorFlow Datasets; see `tfds.read`. Returns data.Dataset."""
    found = tfds.read("cifar10", data_dir=data_dir, store=store)
    return data.Dataset("cifar10", found.train, found.test, found.class_names, MEAN, STD)
