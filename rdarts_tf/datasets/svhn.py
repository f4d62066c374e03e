"""SVHN, cropped house numbers: 73,257 training and 26,032 test images (Netzer et al. 2011).

As in Zela et al. 2020, the 531,131 "extra" images are not used, and training flips the digits.
"""

from rdarts_tf.datasets import tfds
from rdarts_tf.tasks.image_classification import data

TASK = "image_classification"
STORES = True  # `load` takes a store
# Zela et al. 2020, the authors' code.
MEAN = (0.4377, 0.4438, 0.4728)
STD = (0.1980, 0.2010, 0.1970)


def load(*, data_dir=None, store=None):
    """Loads SVHN through TensorFlow Datasets; see `tfds.read`. Returns data.Dataset."""
    found = tfds.read("svhn_cropped", data_dir=data_dir, store=store)
    return data.Dataset("svhn", found.train, found.test, found.class_names, MEAN, STD)
