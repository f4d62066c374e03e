"""The Hessian of a batch that two replicas share is that of the whole batch.

Synchronised BatchNorm; the reference is one device in the same process.
"""

import pytest

from tests import forked

SCRIPT = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from rdarts_tf.engine import curvature, distribution, search_steps
from rdarts_tf.spaces.s5 import SPACE
from rdarts_tf.tasks.image_classification import options, supernet, task

settings = options.SearchConfig(space="s5", dataset="digits")
problem = task.Search(settings, settings.load_dataset())  # for its losses; the batches are ours
rng = np.random.default_rng(0)
batches = [(tf.constant(rng.normal(size=(7, 8, 8, 2))), tf.constant(rng.integers(5, size=7)))
           for _ in range(2)]  # 3 + 4 images


def measured(name):
    strategy = distribution.make_strategy(name)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = supernet.Supernet(SPACE, 5, channels=2, num_cells=1, name="supernet", dtype="float64",
                           batch_norm={"synchronized": True})
        net.build((None, 8, 8, 2))
    for i, alpha in enumerate(net.alphas.values()):
        alpha.assign(np.random.default_rng(i).normal(size=alpha.shape))
    search = search_steps.Search(problem, net, config=settings, strategy=strategy)
    found = curvature.Curvature(search, eigensolver="full", tolerance=1e-9)
    return found.measure(batches, epoch=0, rates={"drop_path_prob": 0.0})


one, two = measured("one"), measured("mirrored")
assert one.products == two.products == 24
assert one.lambda_max > 1e-3
np.testing.assert_allclose(two.hessian, one.hessian, atol=1e-12)
print("equal")
"""


@pytest.mark.slow
def test_two_replicas_equal_one_device():
    result = forked.python("-c", SCRIPT)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "equal" in result.stdout
