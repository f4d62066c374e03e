"""Two logical CPU replicas do what one device does.

A second MirroredStrategy in one process breaks later collectives, so each case is a process of its
own; the reference is the default strategy in the same process.
"""

import pytest

from tests import forked

SCRIPT = """
import sys
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from rdarts_tf.engine import distribution, search_steps
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification import options, supernet, task

alpha_step, synchronized, dtype = sys.argv[1], sys.argv[2] == "sync", sys.argv[3]
settings = options.SearchConfig(
    alpha_step=alpha_step, space="s5", dataset="digits", arch_learning_rate=0.01)
SPACE = uniform("tiny", ("dil_conv_3x3", "skip_connect"), num_nodes=1)  # traced for each replica
problem = task.Search(settings, settings.load_dataset())  # for its losses; the batches are ours


def trained(name):
    strategy = distribution.make_strategy(name)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = supernet.Supernet(SPACE, 5, channels=4, num_cells=1, name="supernet", dtype=dtype,
                           batch_norm={"synchronized": synchronized})
        net.build((None, 8, 8, 2))
    search = search_steps.Search(problem, net, config=settings, strategy=strategy)
    rng = np.random.default_rng(0)

    def batch(n):  # the parts are uneven: 3 + 4, 0 + 1
        images = rng.normal(size=(2, n, 8, 8, 2)).astype(np.float32)
        labels = rng.integers(5, size=(2, n)).astype(np.int32)
        return (images[0], labels[0]), (images[1], labels[1])

    batches = [batch(n) for n in (8, 7, 1)]
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=((tf.TensorSpec([None, 8, 8, 2]), tf.TensorSpec([None], tf.int32)),) * 2)
    rates = {"learning_rate": 0.05, "weight_decay": 3e-4, "drop_path_prob": 0.0}
    rates = {k: tf.constant(v) for k, v in rates.items()}
    step, loss = search.search_block(
        iter(data), tf.constant(0), tf.constant(3), tf.constant(0), rates)
    assert int(step) == 3 and np.isfinite(loss)
    result = {k: v.numpy() for k, v in search.variables().items()}
    if name == "mirrored":
        assert strategy.num_replicas_in_sync == 2
        for k, v in search.variables().items():
            first, second = (x.numpy() for x in getattr(v, "variable", v).values)
            np.testing.assert_array_equal(first, second, err_msg=k)  # replicas do not drift
    return result


one, two = trained("one"), trained("mirrored")
worst = 0.0
for name, value in one.items():
    if name.startswith("totals"):  # float32 sums of the losses, whatever dtype
        if synchronized:
            np.testing.assert_allclose(two[name], value, rtol=1e-5)
        continue
    error = np.abs(two[name] - value).max() / max(np.abs(value).max(), 1e-3)
    worst = max(worst, error)
    if error > 1e-5:
        print(name, error)
print("worst", worst)
"""


def worst_difference(*arguments):
    result = forked.python("-c", SCRIPT, *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    return float(result.stdout.split("worst")[-1]), result.stdout


@pytest.mark.parametrize(
    ("alpha_step", "dtype", "tolerance"),
    [
        ("exact", "float64", 1e-12),  # sums in another order
        # differences of rounding errors, divided by 2R
        pytest.param("finite_difference", "float64", 1e-10, marks=pytest.mark.slow),
    ],
)
def test_three_steps_equal_one_device(alpha_step, dtype, tolerance):
    worst, output = worst_difference(alpha_step, "sync", dtype)
    assert worst <= tolerance, output


def test_without_synchronized_statistics_the_result_differs():
    worst, output = worst_difference("first_order", "local", "float64")
    assert worst > 1e-3, output
