"""Derivatives of disparity networks beside central differences, in float64."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import bilevel, hessian
from rdarts_tf.engine import search_steps
from rdarts_tf.layers import primitive
from rdarts_tf.tasks.disparity import errors, primitives, resizing, task
from rdarts_tf.tasks.disparity.correlation import correlation
from rdarts_tf.tasks.disparity.options import SearchConfig
from tests import parity, tiny_stereo

GOLDEN = pathlib.Path(__file__).parents[1] / "data/correlation_addons.npz"
RNG = np.random.default_rng(0)


def drawn(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).normal(size=shape))


def test_the_correlation_is_that_of_tensorflow_addons():
    rows = parity.check(GOLDEN)
    assert len(rows) == 6
    for quantity, error, tolerance in rows:
        assert error <= tolerance == 1e-6, quantity


def test_a_disparity_shows_at_its_displacement():
    x = tf.constant(np.random.default_rng(1).choice([-1.0, 1.0], (1, 3, 20, 64)))
    right = tf.concat([x[:, :, 2:], tf.zeros_like(x[:, :, :2])], axis=2)
    found = correlation(x, right, 6)
    assert set(np.argmax(found[0, :, 2:], axis=-1).ravel()) == {6 - 2}


def test_doubling_is_bilinear_resizing():
    x = drawn(2, 3, 5, 4)
    for training in (True, False):
        resized = tf.image.resize(x, (6, 10))
        np.testing.assert_allclose(resizing.doubled(x, training=training), resized, atol=1e-6)


LAYERS = {
    "correlation": (lambda x, y: correlation(x, y, 2), [(2, 3, 6, 4)] * 2),
    "doubled": (lambda x: resizing.doubled(x, training=True), [(2, 3, 5, 2)]),
    "transposed convolution": (primitives.transposed_convolution, [(2, 3, 4, 2), (4, 4, 3, 2)]),
    "convolution": (
        lambda x, k: primitives.convolution(x, k, stride=2),
        [(2, 6, 8, 2), (5, 5, 2, 3)],
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_second_derivatives(name):
    """H v of sum(c tanh(f)), in a graph and without one."""
    f, shapes = LAYERS[name]
    x = [drawn(*shape) for shape in shapes]
    v = [tf.constant(RNG.normal(size=shape)) for shape in shapes]
    c = drawn(*f(*x).shape)

    def gradient(*x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(c * tf.tanh(0.3 * f(*x)))
        return tape.gradient(total, x)

    def product(*x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            g = gradient(*x)
            slope = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(g, v, strict=True)])
        return tape.gradient(slope, x)

    step = 1e-4
    plus, minus = (
        gradient(*(a + sign * step * b for a, b in zip(x, v, strict=True))) for sign in (1, -1)
    )
    for found in (product(*x), tf.function(product)(*x)):
        for a, b, hv in zip(plus, minus, found, strict=True):
            difference = (a - b) / (2 * step)
            assert np.abs(hv - difference).max() <= 1e-6 * np.abs(difference).max()


def test_unknown_pixels_have_no_part_in_errors():
    truth = np.array([[[1.0, np.nan, 5, 5], [3, np.inf, np.nan, 5]]])
    means, mask = errors.reduced(tf.constant(truth), 2)
    np.testing.assert_array_equal(mask, [[[True, True]]])
    np.testing.assert_allclose(means, [[[2, 5]]])
    prediction = tf.Variable([[[[4.0], [5.0]]]], dtype=tf.float64)
    with tf.GradientTape() as tape:
        found = errors.end_point_error([prediction], tf.constant(truth), 1)
    np.testing.assert_allclose(found, [(2 + 0) / 2 / 4])
    np.testing.assert_allclose(tape.gradient(found, prediction)[..., 0], [[[1 / 8, 0]]])
    nothing = tf.fill([1, 2, 4], np.float64(np.nan))
    assert errors.end_point_error([prediction], nothing, 1).numpy() == [0]


@dataclasses.dataclass(frozen=True)
class Precise(SearchConfig):
    dtype = "float64"


@pytest.fixture(scope="module")
def searched():
    """(search_steps.Search with random biases, training batch, validation batch), smooth activations."""
    patch = pytest.MonkeyPatch()
    patch.setattr(primitives, "activation", lambda x: x * tf.sigmoid(x))
    patch.setattr(tf.nn, "relu", tf.nn.softplus)
    primitive._traced.cache_clear()
    tf.keras.utils.set_random_seed(1)
    config = Precise(
        space="s6", dataset="tests.tiny_stereo", batch_size=2, init_channels=2, stems=1,
        encoder_cells=1, decoder_cells=1, max_displacement=2, crop_height=8, crop_width=12,
    )  # fmt: skip
    problem = task.Search(config, tiny_stereo.load())
    net = problem.network()
    for v in net.trainable_variables:
        if "bias" in v.name:
            v.assign(RNG.normal(size=v.shape))
    search = search_steps.Search(problem, net, config=config, strategy=tf.distribute.get_strategy())
    (pair,) = problem.search_epoch(config, 0).take(1)
    yield search, *([tf.cast(part, tf.float64) for part in batch] for batch in pair)
    patch.undo()
    primitive._traced.cache_clear()


def losses(search, batches):
    """(training, validation): (w, alpha) -> scalar."""
    rates = {"learning_rate": tf.constant(0.025)}
    key = tf.constant([0, 1])
    forwards = (
        search.forward(b, key, rates=rates, stream=s)
        for b, s in zip(batches, ("train", "valid"), strict=True)
    )
    return [lambda w, alpha, f=f: f(w, alpha).value for f in forwards]


@pytest.mark.slow
def test_the_exact_gradient_of_alpha(searched):
    search, *batches = searched
    train, valid = losses(search, batches)
    w, alpha = search.weights(), search.alpha()

    def weight_step(w, g):
        return [a - 0.1 * b for a, b in zip(w, g, strict=True)]

    def outer(alpha):
        return valid(weight_step(w, bilevel.gradient(train, w, alpha, of=w)), alpha)

    found = bilevel.exact(train, valid, w, alpha, weight_step=weight_step)
    first = bilevel.first_order(train, valid, w, alpha)
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        v, step = [tf.constant(rng.normal(size=a.shape)) for a in alpha], 1e-4
        plus, minus = (
            outer([a + sign * step * d for a, d in zip(alpha, v, strict=True)]) for sign in (1, -1)
        )
        difference = float(plus - minus) / (2 * step)
        along, without = (
            sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradient, v, strict=True))
            for gradient in (found, first)
        )
        assert along == pytest.approx(difference, rel=1e-6)
        assert abs(without - difference) > 1e-3 * abs(difference)  # the second term is there


def test_the_hessian_in_alpha(searched):
    search, *batches = searched
    _, valid = losses(search, batches)
    w, alpha = search.weights(), search.alpha()
    sizes = [int(tf.size(a)) for a in alpha]
    rng, step = np.random.default_rng(2), 1e-4
    v = [tf.constant(rng.normal(size=a.shape)) for a in alpha]
    plus, minus = (
        _gradient_at(valid, w, [a + sign * step * d for a, d in zip(alpha, v, strict=True)])
        for sign in (1, -1)
    )
    difference = np.concatenate(
        [np.ravel((a - b) / (2 * step)) for a, b in zip(plus, minus, strict=True)]
    )

    def product(v):
        return hessian.hessian_vector_product(lambda a: valid(w, a), alpha, v).numpy()

    flat = tf.concat([tf.reshape(part, [-1]) for part in v], axis=0)
    hv = product(flat)
    assert np.abs(hv - difference).max() <= 1e-6 * np.abs(hv).max()
    along_edge = np.zeros(sum(sizes))
    along_edge[3:6] = 1  # all primitives of one edge alike: softmax does not change
    assert np.abs(product(tf.constant(along_edge))).max() <= 1e-12 * np.abs(hv).max()


def _gradient_at(loss, w, alpha):
    return bilevel.gradient(loss, w, alpha, of=alpha)
