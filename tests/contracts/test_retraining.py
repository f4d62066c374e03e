"""Retraining steps of a tiny network: what is optimised, traced once, every setting has an effect."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.datasets import digits
from rdarts_tf.engine import evaluation_steps
from rdarts_tf.errors import UserError
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.metrics import cross_entropy
from rdarts_tf.tasks.image_classification.options import EvaluateConfig
from tests.contracts.test_training import images_of_three_classes, of_any_size

PAIRS = "[('sep_conv_3x3', 1), ('max_pool_3x3', 0)]"
BASE = EvaluateConfig(
    genotype=f"Genotype(normal={PAIRS}, normal_concat=[2], reduce={PAIRS}, reduce_concat=[2])",
    init_channels=4,
    layers=1,
    batch_size=6,
    drop_path_prob=0.0,
)
RATES = {"learning_rate": 0.05, "weight_decay": 3e-4, "drop_path_prob": 0.0}


def make(seed=1, **changes):
    keras.utils.set_random_seed(seed)
    config = dataclasses.replace(BASE, **changes)
    problem = task.Evaluation(config, images_of_three_classes(), seed=seed)
    strategy = tf.distribute.get_strategy()
    return evaluation_steps.Evaluation(
        problem, problem.network(), config=config, strategy=strategy, seed=seed
    )


def batch(size=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(size, 8, 8, 1)).astype(np.float32), rng.integers(3, size=size).astype(
        np.int32
    )


def step(trainer, num_steps=1, epoch=0, **rates):
    rates = {name: tf.constant(rate) for name, rate in (RATES | rates).items()}
    data = tf.data.Dataset.from_tensors(batch()).repeat().map(of_any_size)
    at = tf.constant(0), tf.constant(num_steps), tf.constant(epoch)
    done, loss = trainer.train_block(iter(data), *at, rates)
    assert int(done) == num_steps and np.isfinite(loss)
    return weights(trainer.net)


def weights(net):
    return np.concatenate([v.numpy().ravel() for v in net.trainable_variables])


def test_one_step_is_clipped_sgd_on_both_heads():
    trainer = make(grad_clip=0.5)
    net, before = trainer.net, weights(trainer.net)
    images, labels = batch()
    with tf.GradientTape() as tape:
        logits, side = net(images, training=True)
        loss = tf.reduce_mean(cross_entropy(logits, labels) + 0.4 * cross_entropy(side, labels))
    gradient = np.concatenate([np.ravel(g) for g in tape.gradient(loss, net.trainable_variables)])
    norm = np.linalg.norm(gradient)
    assert norm > 0.5
    expected = before - 0.05 * (gradient * 0.5 / (norm + 1e-6) + 3e-4 * before)
    np.testing.assert_allclose(step(trainer), expected, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def plain():
    return step(make(), 2)


@pytest.fixture(scope="module")
def traced():
    """A trainer and its state before any step."""
    trainer = make(drop_path_prob=0.2)
    return trainer, {name: v.numpy() for name, v in trainer.variables().items()}


@pytest.fixture
def trainer(traced):
    """The trainer, traced once, where it began."""
    trainer, start = traced
    for name, variable in trainer.variables().items():
        variable.assign(start[name])
    return trainer


def test_epochs_and_rates_do_not_retrace(trainer):
    step(trainer, 2)
    step(trainer, 2, epoch=1, learning_rate=0.01, weight_decay=0.1, drop_path_prob=0.1)
    assert trainer.train_block.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"momentum": 0.5},
        {"grad_clip": 0.1},
        {"auxiliary_weight": 0.1},
        {"gamma_initializer": "ones"},
        {"mixed_precision": True},
        {"jit_compile": "true"},
    ],
    ids=str,
)
def test_every_setting_has_an_effect(plain, changes):
    changed = step(make(**changes), 2)
    assert np.abs(plain - changed).max() > (0 if "jit_compile" in changes else 1e-6)


@pytest.mark.parametrize("name", RATES)
def test_every_rate_has_an_effect(trainer, plain, name):
    assert np.abs(step(trainer, 2, **{name: 0.3}) - plain).max() > 1e-4


def test_without_auxiliary_weight_there_is_no_auxiliary_head():
    assert make(auxiliary_weight=0.0).net.auxiliary_head is None


@pytest.mark.parametrize(
    ("length", "side", "expected"),
    [(None, 8, 4), (None, 32, 16), (None, 96, 16), (6, 8, 6), (0, 8, 0)],
)
def test_cutout_is_16_pixels_or_half_the_image(length, side, expected):
    data = digits.load()
    image = np.zeros((1, side, side, 1), np.uint8)
    split = dataclasses.replace(data.train, images=image, labels=data.train.labels[:1])
    data = dataclasses.replace(data, train=split, test=split)
    config = dataclasses.replace(BASE, cutout_length=length, batch_size=1)
    problem = task.Evaluation(config, data, seed=1)
    assert problem.augmentation(config, 0).cutout_length == expected
    assert problem.augmentation(config, 0).cutout_probability == 1


def test_a_cutout_of_everything_is_refused():
    config = dataclasses.replace(BASE, cutout_length=16)
    with pytest.raises(UserError, match="--cutout_length=16 always blanks images of 8x8"):
        task.Evaluation(config, digits.load(), seed=1)


def test_the_split_of_the_search():
    data = digits.load()
    config = dataclasses.replace(BASE, split="search", train_portion=0.25, batch_size=64)
    problem = task.Evaluation(config, data, seed=1)
    train, scored = problem.train, problem.scored
    assert (len(train), len(scored)) == (359, 1078)
    np.testing.assert_array_equal(scored.images[-1], data.train.images[-1])
