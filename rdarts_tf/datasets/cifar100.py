"""CIFAR-100: 50,000 training and 10,000 test images, 32x32 in colour (Krizhevsky 2009)."""

from rdarts_tf.datasets import tfds
from rdarts_tf.tasks.image_classification import data

TASK = "image_classification"
STORES = True  # `load` takes a store
# Zela et al. 2020, the authors' code.
MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)


def load(*, data_dir=None, store=None):
    """Loads CIFAR-100 through TensorFlow Datasets; see `tfds.read`. Returns data.Dataset."""
    found = tfds.read("cifar100", data_dir=data_dir, store=store)
    return data.Dataset("cifar100", found.train, found.test, found.class_names, MEAN, STD)
