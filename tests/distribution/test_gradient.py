"""The exact alpha gradient of two logical CPU replicas is that of one device, in float32.

The promise is 1e-6 of the largest entry. On this net the rounding of float32 itself, one device against
float64, is 1e-6 to 4e-6, so the bound is the larger of both. `test_replicas` compares in float64 to
1e-12. In a process of its own, since devices must be set before TensorFlow starts.
"""

import json

from tests import forked

SCRIPT = """
import json
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from rdarts_tf.engine import distribution, search_steps
from rdarts_tf.spaces.s5 import SPACE
from rdarts_tf.tasks.image_classification import options, supernet, task

# Adam's first moment after one step from zero is then 0.5 times the gradient, to the bit.
settings = options.SearchConfig(space="s5", dataset="digits", arch_weight_decay=0.0)
problem = task.Search(settings, settings.load_dataset())  # for its losses; the batches are ours
rates = {"learning_rate": 0.05, "weight_decay": 3e-4, "drop_path_prob": 0.0}
rates = {k: tf.constant(v) for k, v in rates.items()}


def batch(n):
    rng = np.random.default_rng(n)
    images = rng.normal(size=(2, n, 8, 8, 2)).astype(np.float32)
    labels = rng.integers(5, size=(2, n)).astype(np.int32)
    return (images[0], labels[0]), (images[1], labels[1])


def search_with(name, dtype):
    strategy = distribution.make_strategy(name)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = supernet.Supernet(SPACE, 5, channels=4, num_cells=1, name="supernet", dtype=dtype,
                           batch_norm={"synchronized": True})
        net.build((None, 8, 8, 2))
    search = search_steps.Search(problem, net, config=settings, strategy=strategy)
    rng = np.random.default_rng(2)
    for variable in (*search.slots["momentum"], *net.alphas.values()):
        variable.assign(0.1 * rng.normal(size=variable.shape))
    return search


def gradients(search, start):
    found = {}
    for n in (8, 7):  # of the second, one replica gets 3 and the other 4
        for v, variable in search.variables().items():
            variable.assign(start[v])
        data = tf.data.Dataset.from_generator(
            lambda: iter([batch(n)]),
            output_signature=((tf.TensorSpec([None, 8, 8, 2]), tf.TensorSpec([None], tf.int32)),) * 2)
        at = tf.constant(0), tf.constant(1), tf.constant(0)
        search.search_block(iter(data), *at, rates)
        found[n] = np.concatenate([2 * m.numpy().ravel() for m in search.adam_m])
    return found


first = search_with("one", "float32")
start = {v: value.numpy() for v, value in first.variables().items()}
one = gradients(first, start)
two = gradients(search_with("mirrored", "float32"), start)
true = gradients(search_with("one", "float64"), start)
print(json.dumps([[float(np.abs(found[n] - one[n]).max() / np.abs(one[n]).max()) for found in (two, true)]
                  for n in one]))
print(json.dumps(float(np.abs(one[8] - one[7]).max() / np.abs(one[8]).max())))
"""


def test_even_and_uneven_batches():
    result = forked.python("-c", SCRIPT)
    assert result.returncode == 0, result.stderr[-3000:]
    errors, difference = map(json.loads, result.stdout.splitlines()[-2:])
    assert difference > 0.1  # else the uneven batch would prove nothing
    for of_replicas, of_float32 in errors:
        assert of_replicas <= max(1e-6, 2 * of_float32), errors
        assert of_float32 < 1e-5, errors
