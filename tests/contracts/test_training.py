"""Search steps on a one-cell network: traced once, and every setting changes what they do."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.engine import search_steps
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.data import Dataset, Split
from rdarts_tf.tasks.image_classification.options import SearchConfig

SPACE = uniform("tiny", ("noise", "skip_connect", "sep_conv_3x3"), num_nodes=1)
# Of first order, where the alpha step is not what is tested: it takes a third of the tracing.
BASE = SearchConfig(
    init_channels=4,
    layers=1,
    batch_size=6,
    arch_learning_rate=0.01,
    seed=1,
    alpha_step="first_order",
)
RATES = {"learning_rate": 0.05, "weight_decay": 3e-4, "drop_path_prob": 0.0}


def images_of_three_classes():
    """A data set of blank images, whose shape and classes are what counts."""
    split = Split(np.zeros((12, 8, 8, 1), np.uint8), np.arange(12, dtype=np.int32) % 3)
    return Dataset("blank", split, split, ("a", "b", "c"), (0.5,), (0.25,))


def problem_of(config, space):
    """The problem of a search on a space that is no plugin."""
    problem = task.Search(config, images_of_three_classes())
    problem.space = space
    return problem


def batches(n=3, size=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2, size, 8, 8, 1)).astype(np.float32)
    y = rng.integers(3, size=(n, 2, size)).astype(np.int32)
    data = tf.data.Dataset.from_tensor_slices(((x[:, 0], y[:, 0]), (x[:, 1], y[:, 1])))
    return data.map(of_any_size)


def of_any_size(*batch):
    """Forgets a static number of examples, as the pipelines do."""
    return tf.nest.map_structure(lambda t: tf.ensure_shape(t, [None, *t.shape[1:]]), batch)


def make(space=SPACE, **changes):
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(BASE, **changes)
    problem, strategy = problem_of(config, space), tf.distribute.get_strategy()
    return search_steps.Search(problem, problem.network(), config=config, strategy=strategy)


def step(search, epoch=0, **rates):
    rates = {name: tf.constant(rate) for name, rate in (RATES | rates).items()}
    at = tf.constant(0), tf.constant(3)
    done, loss = search.search_block(iter(batches()), *at, tf.constant(epoch), rates)
    assert int(done) == 3
    assert np.isfinite(loss)
    variables = search.variables().items()
    names = ("weights", "momentum", "state")
    w = np.concatenate([v.numpy().ravel() for k, v in variables if k.startswith(names)])
    return w, np.concatenate([v.numpy().ravel() for v in search.net.alphas.values()])


@pytest.fixture(scope="module")
def plain():
    return step(make())


@pytest.fixture(scope="module")
def traced():
    """A search and its state before any step."""
    search = make(drop_path_prob=0.2)
    return search, {name: v.numpy() for name, v in search.variables().items()}


@pytest.fixture
def search(traced):
    """The search, traced once, where it began."""
    search, start = traced
    for name, variable in search.variables().items():
        variable.assign(start[name])
    return search


def test_the_same_configuration_gives_the_same_bits(plain):
    for a, b in zip(plain, step(make()), strict=True):
        np.testing.assert_array_equal(a, b)


def test_epochs_and_rates_do_not_retrace(search):
    step(search)
    w, _ = step(search, epoch=1, learning_rate=0.01, weight_decay=1e-3, drop_path_prob=0.1)
    assert np.isfinite(w).all()
    assert search.search_block.experimental_get_tracing_count() == 1


def test_statistics_move_once_a_step(search):
    """By the pass of the weight step, not by those of the alpha step before it."""
    (moving,) = (v for v in search.net.variables if v.path.endswith("stem_bn/moving_mean"))
    start, at = moving.numpy(), (tf.constant(0), tf.constant(1), tf.constant(0))
    rates = {name: tf.constant(rate) for name, rate in RATES.items()}
    ((images, _), _), *_ = batches()
    search.net(images, seed=[1, 2], training=True)
    once = moving.numpy()
    moving.assign(start)
    search.search_block(iter(batches()), *at, rates)
    np.testing.assert_allclose(moving.numpy(), once, rtol=1e-5, atol=1e-6)
    assert np.abs(once - start).max() > 1e-3


def test_noise_is_the_same_at_all_weights_of_an_alpha_step(search):
    assert search._train_uses() == (search_steps.ALPHA_TRAIN,) * 3


def test_momentum_is_among_what_a_checkpoint_holds(search):
    assert any(name.startswith("momentum") for name in search.variables())


def test_every_epoch_step_and_use_draws_anew(search):
    keys = [search.key(*at) for at in [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2)]]
    assert len({tuple(key.numpy()) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha_step": "exact"},
        {"seed": 2},
        {"mixed_precision": True},
    ],
    ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()),
)
def test_every_setting_has_an_effect(plain, changes):
    changed = step(make(**changes))
    assert any(
        a.shape != b.shape or np.abs(a - b).max() > 1e-7
        for a, b in zip(plain, changed, strict=True)
    )


@pytest.mark.slow
def test_settings_of_the_finite_difference(plain):
    found = [plain[1]] + [
        step(make(alpha_step="finite_difference", **changes))[1]
        for changes in ({}, {"finite_difference_radius": 0.1}, {"independent_noise": True})
    ]
    for a, b in itertools.combinations(found, 2):
        assert np.abs(a - b).max() > 1e-7


def test_gamma_initializer():
    """U(0, 1) unless told otherwise: gamma_initializer."""
    drawn, ones = (
        make(gamma_initializer=name).net.stem_bn.gamma.numpy() for name in ("torch_uniform", "ones")
    )
    assert 0 < drawn.min() < drawn.max() < 1 and (ones == 1).all()


@pytest.mark.parametrize("name", RATES)
def test_every_rate_has_an_effect(search, plain, name):
    assert np.abs(step(search, **{name: 0.3})[0] - plain[0]).max() > 1e-4


@pytest.mark.slow
def test_xla_computes_the_same_up_to_rounding():
    space = uniform("quiet", ("skip_connect", "sep_conv_3x3"), num_nodes=1)  # XLA draws other noise
    compiled, plain = (step(make(space, jit_compile=jit)) for jit in ("true", "false"))
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert any((a != b).any() for a, b in zip(compiled, plain, strict=True))


def test_a_loss_that_is_not_finite_ends_the_block(search):
    rates = {name: tf.constant(rate) for name, rate in RATES.items()}
    bad = batches().map(lambda train, valid: ((train[0] * np.nan, train[1]), valid))
    at = tf.constant(0), tf.constant(3)
    done, loss = search.search_block(iter(bad), *at, tf.constant(0), rates)
    assert int(done) == 1
    assert not np.isfinite(loss)
