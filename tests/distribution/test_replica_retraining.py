"""Retraining on two logical CPU replicas does what one device does.

A process of its own, since a second MirroredStrategy in one process breaks later collectives.
"""

import pytest

from tests import forked

SCRIPT = """
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from rdarts_tf.engine import distribution
from rdarts_tf.engine.evaluation_steps import Evaluation
from rdarts_tf.tasks.image_classification import derived_network, options, task

pairs = "[('sep_conv_3x3', 1), ('skip_connect', 0)]"
settings = options.EvaluateConfig(
    dataset="digits", batch_size=8,
    genotype=f"Genotype(normal={pairs}, normal_concat=[2], reduce={pairs}, reduce_concat=[2])",
    init_channels=4, layers=2, drop_path_prob=0, sync_batch_norm=True, gamma_initializer="ones")
# For its losses; the batches are ours.
problem = task.Evaluation(settings, settings.load_dataset(), seed=1)


def trained(name):
    strategy = distribution.make_strategy(name)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = derived_network.derived(settings, (8, 8, 2), 5, dtype="float64")
    trainer = Evaluation(problem, net, config=settings, strategy=strategy, seed=1)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(n, 8, 8, 2)).astype(np.float32),
                rng.integers(5, size=n).astype(np.int32)) for n in (8, 7, 1)]  # 3 + 4, 0 + 1
    data = tf.data.Dataset.from_generator(
        lambda: iter(batches),
        output_signature=(tf.TensorSpec([None, 8, 8, 2]), tf.TensorSpec([None], tf.int32)))
    rates = {"learning_rate": 0.05, "weight_decay": 3e-4, "drop_path_prob": 0.0}
    rates = {k: tf.constant(v) for k, v in rates.items()}
    step, loss = trainer.train_block(
        iter(data), tf.constant(0), tf.constant(3), tf.constant(0), rates)
    assert int(step) == 3 and np.isfinite(loss)
    if name == "mirrored":
        assert strategy.num_replicas_in_sync == 2
        for k, v in trainer.variables().items():
            first, second = (x.numpy() for x in getattr(v, "variable", v).values)
            np.testing.assert_array_equal(first, second, err_msg=k)  # replicas do not drift
    trainer.validate_block(iter(data), tf.constant(0), tf.constant(3), tf.constant(0))
    return {k: v.numpy() for k, v in trainer.variables().items()}


one, two = trained("one"), trained("mirrored")
for name, value in one.items():
    if name.startswith("totals"):  # float32
        np.testing.assert_allclose(two[name], value, rtol=1e-5, err_msg=name)
    else:  # float64: sums in another order
        scale = max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-12 * scale, err_msg=name)
"""


@pytest.mark.slow
def test_three_steps_equal_one_device():
    result = forked.python("-c", SCRIPT)
    assert result.returncode == 0, result.stderr[-3000:]
