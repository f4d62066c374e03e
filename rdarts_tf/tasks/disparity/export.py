"""What disparity estimation exports: the retrained network as others use it."""

import numpy as np

from rdarts_tf.tasks.disparity import serving
from rdarts_tf.tasks.disparity.task import network_of

_LARGEST = (130, 190)  # of samples, no multiple of what the encoder divides by
_MOST = 4  # samples


def served(config, record, arrays):
    """The serving.ServedNetwork of a checkpoint.

    Args:
        config: options.EvaluateConfig, resolved.
        record: what dataset.json has.
        arrays: {name: array} of the checkpoint.
    """
    net = network_of(config, dtype="float32")
    for kind, variables in (
        ("weights", net.trainable_variables),
        ("state", net.non_trainable_variables),
    ):
        for v in variables:
            v.assign(arrays[f"{kind}/{v.path.split('/', 1)[1]}"])
    return serving.ServedNetwork(net, name="served")


def samples(data, num):
    """uint8 [<= 4, 2, H, W, 3]: corners of the first test pairs, all of one size."""
    num = min(num, len(data.test), _MOST)
    height, width = map(min, data.test.take(slice(num)).smallest, _LARGEST)
    pairs = (data.test.read(i)[:2] for i in range(num))
    return np.array([[image[:height, :width] for image in pair] for pair in pairs])
