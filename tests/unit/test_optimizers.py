"""Update rules and schedules against numbers worked out by hand and a numpy loop."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig


def _constants(*values):
    return [tf.constant(value, tf.float64) for value in values]


def test_two_sgd_steps_by_hand():
    rates = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    w, m = _constants([1.0, -2.0]), _constants([0.0, 0.0])
    w, m = optimizers.sgd(w, m, _constants([0.5, 1.0]), **rates)
    np.testing.assert_allclose(m[0], [0.51, 0.98], rtol=1e-14)
    np.testing.assert_allclose(w[0], [0.949, -2.098], rtol=1e-14)
    w, m = optimizers.sgd(w, m, _constants([-0.2, 0.4]), **rates)
    np.testing.assert_allclose(m[0], [0.26849, 1.26102], rtol=1e-14)
    np.testing.assert_allclose(w[0], [0.922151, -2.224102], rtol=1e-14)


def test_the_momentum_buffer_does_not_contain_the_learning_rate():
    rates = {"momentum": 0.9, "weight_decay": 0.0}
    w, m = optimizers.sgd(
        _constants([0.0]), _constants([0.0]), _constants([1.0]), learning_rate=0.1, **rates
    )
    w, _ = optimizers.sgd(w, m, _constants([0.0]), learning_rate=0.01, **rates)
    np.testing.assert_allclose(w[0], [-0.1 - 0.01 * 0.9], rtol=1e-14)


def _torch_adam(w, gradients, *, rate, betas, decay, epsilon):
    """torch.optim.Adam of PyTorch 0.3.1, entry by entry."""
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        g = g + decay * w
        m = m * betas[0] + (1 - betas[0]) * g
        v = v * betas[1] + (1 - betas[1]) * g * g
        step_size = rate * (1 - betas[1] ** t) ** 0.5 / (1 - betas[0] ** t)
        w = w - step_size * m / (v**0.5 + epsilon)
    return w, m, v


@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_two_adam_steps(epsilon):
    start, gradients = np.array([0.3, -0.7, 0.0]), np.array([[0.1, -2.0, 1e-7], [0.4, 0.5, -3e-8]])
    expected = _torch_adam(
        start, gradients, rate=3e-4, betas=(0.5, 0.999), decay=1e-3, epsilon=epsilon
    )
    w, m, v = _constants(start), _constants(np.zeros(3)), _constants(np.zeros(3))
    for t, g in enumerate(gradients, start=1):
        w, m, v = optimizers.adam(
            w,
            m,
            v,
            _constants(g),
            step=tf.constant(t, tf.int64),
            learning_rate=3e-4,
            beta_1=0.5,
            beta_2=0.999,
            weight_decay=1e-3,
            epsilon=epsilon,
        )
    for ours, reference in zip((w, m, v), expected, strict=True):
        np.testing.assert_allclose(ours[0], reference, rtol=1e-12)


def test_the_first_adam_step_of_a_tiny_gradient_shows_where_epsilon_stands():
    """sqrt(1 - b2) |g| equals epsilon here, so the step is half the rate; PyTorch of today gives 0.97."""
    g = 1e-8 / np.sqrt(1 - 0.999)
    w, _, _ = optimizers.adam(
        *(_constants([x]) for x in (0.0, 0.0, 0.0, g)),
        step=1,
        learning_rate=1.0,
        beta_1=0.5,
        beta_2=0.999,
        weight_decay=0.0,
    )
    np.testing.assert_allclose(w[0], [-0.5], rtol=1e-9)


def test_clipping_is_over_all_tensors_together():
    clipped, norm = optimizers.clip_by_global_norm(_constants([3.0, 0.0], [[4.0]]), 2.5)
    assert norm == 5.0
    scale = 2.5 / 5.000001
    np.testing.assert_allclose(clipped[0], [3 * scale, 0.0], rtol=1e-14)
    np.testing.assert_allclose(clipped[1], [[4 * scale]], rtol=1e-14)


def test_clipping_leaves_small_gradients_alone():
    clipped, norm = optimizers.clip_by_global_norm(_constants([0.3], [-0.4]), 5.0)
    np.testing.assert_allclose(norm, 0.5, rtol=1e-15)
    np.testing.assert_array_equal(np.concatenate(clipped), [0.3, -0.4])


def test_clipping_at_the_norm_itself_shows_the_summand_in_the_denominator():
    clipped, _ = optimizers.clip_by_global_norm(_constants([1e-6]), 1e-6)
    np.testing.assert_allclose(clipped[0], [0.5e-6], rtol=1e-12)


def test_the_clip_coefficient_may_exceed_one():
    found = optimizers.clip_coefficient(_constants([3.0], [4.0]), 10.0)
    np.testing.assert_allclose(found, 10 / 5.000001, rtol=1e-14)


@pytest.mark.parametrize("constant, slope", [(True, 2 / 5.000001), (False, 2 / 5.000001 * 0.64)])
def test_derivatives_may_take_the_factor_of_clipping_as_a_constant(constant, slope):
    """d (2 x / |(x, 4)|) / dx at 3 is 2 / 5 (1 - 9 / 25)."""
    x, y = _constants(3.0, 4.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        clipped = optimizers.clip_by_global_norm([x, y], 2.0, constant=constant)[0][0]
    np.testing.assert_allclose(tape.gradient(clipped, x), slope, rtol=1e-6)


def test_averaged_sgd_is_the_mean_of_the_iterates_from_the_second_on():
    """A step takes the rate of the step before; the first, without one, its own."""
    w, ax, rates, decay = (
        _constants([1.0, -2.0]),
        _constants([7.0, 7.0]),
        (0.1, 0.2, 0.4, 0.3),
        0.25,
    )
    gradients, iterates, expected = (
        ([0.5, 1.0], [-0.2, 0.4], [0.3, 0.0], [1.0, 1.0]),
        [],
        w[0].numpy(),
    )
    for t, (rate, g) in enumerate(zip(rates, gradients, strict=True), start=1):
        eta = rates[max(t - 2, 0)]
        expected = expected - eta * (np.array(g) + decay * expected)
        iterates.append(expected)
        w, ax = optimizers.averaged_sgd(
            w,
            ax,
            _constants(g),
            step=tf.constant(t),
            eta=tf.constant(eta if t > 1 else 99.0, tf.float64),
            learning_rate=tf.constant(rate, tf.float64),
            weight_decay=decay,
        )
        np.testing.assert_allclose(w[0], expected, rtol=1e-14)
        np.testing.assert_allclose(ax[0], np.mean(iterates[min(t - 1, 1) :], axis=0), rtol=1e-14)


def test_the_update_of_a_recipe_takes_its_rates_by_name():
    update = optimizers.momentum_sgd(0.5)
    rates = {"learning_rate": tf.constant(0.25), "weight_decay": tf.constant(0.5)}
    w, slots = update(_constants([1.0]), {"momentum": _constants([2.0])}, _constants([3.0]), rates)
    assert (slots["momentum"][0], w[0]) == (4.5, 1 - 0.25 * 4.5)


@pytest.mark.parametrize(
    "epoch, rate", [(0, 2.5e-2), (1, 2.497632e-2), (25, 1.3e-2), (49, 1.023679e-3)]
)
def test_cosine_of_the_paper(epoch, rate):
    assert optimizers.cosine(epoch, 50, 0.025, 0.001) == pytest.approx(rate, rel=3e-7)


def _rates(epoch, **fields):
    return task.Search.rates(None, SearchConfig(**fields), epoch)


@pytest.mark.parametrize("epoch, prob", [(0, 0.0), (25, 0.306122), (49, 0.6)])
def test_drop_path_rises_linearly_to_the_last_epoch(epoch, prob):
    rates = _rates(epoch, drop_path_prob=0.6, epochs=50)
    assert rates["drop_path_prob"] == pytest.approx(prob, abs=5e-7)
    assert rates["weight_decay"] == 3e-4


def test_a_search_of_one_epoch_has_no_drop_path():
    assert _rates(0, drop_path_prob=0.6, epochs=1)["drop_path_prob"] == 0.0


@pytest.mark.parametrize(
    "fields, probability",
    [
        ({}, 0.0),
        ({"drop_path_prob": 0.2}, 1.0),
        ({"drop_path_prob": 0.2, "cutout_prob": 0.7}, 0.7),
        ({"drop_path_prob": 0.2, "cutout": "false"}, 0.0),
        ({"cutout": "true"}, 1.0),
        ({"cutout": "true", "cutout_ramp": True}, 10 / 49),
        ({"cutout": "true", "cutout_ramp": True, "cutout_prob": 0.7}, 7 / 49),
    ],
)
def test_cutout_comes_with_drop_path_unless_told_otherwise(fields, probability):
    assert SearchConfig(**fields).cutout_probability(10) == pytest.approx(probability)
