"""Functions that are traced once: derivatives as slopes, what is traced, what is left out."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.engine import search_steps
from rdarts_tf.layers import traced_once
from rdarts_tf.layers.traced_once import TracedOnce, keep
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import graphs

STEP = 1e-6


def make(counts=None, **kept):
    """y = s tanh(u) + u^2 with u = x W, of x = [x, s] and w = [W]; u is kept as `kept` tells, tanh(u), too."""

    def function(x, w, state):
        if counts is not None:
            counts.append(tf.executing_eagerly())
        u = keep(tf.matmul, x[0], w[0], **kept)
        return x[1] * keep(tf.tanh, u) + tf.square(u), [old + 1 for old in state]

    return TracedOnce(function)


@pytest.fixture
def point():
    rng = np.random.default_rng(0)
    return [tf.constant(rng.normal(size=shape)) for shape in ((4, 3), (), (3, 2))]


def loss(f, x, s, w):
    return tf.reduce_sum(f([x, s], [w])[0] ** 3)


def gradient(f, *point):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        value = loss(f, *point)
    return tape.gradient(value, point)


def second(f, *point):
    """d of the sum of the gradients' sines."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        total = tf.add_n([tf.reduce_sum(tf.sin(g)) for g in gradient(f, *point)])
    return tape.gradient(total, point)


def slopes(function, point):
    """Central differences of a scalar function in every entry."""
    found = []
    for i, x in enumerate(point):
        slope = np.zeros(x.shape)
        for at in np.ndindex(*x.shape):
            values = []
            for sign in (1, -1):
                moved = np.array(x)
                moved[at] += sign * STEP
                values.append(float(function(*point[:i], tf.constant(moved), *point[i + 1 :])))
            slope[at] = (values[0] - values[1]) / (2 * STEP)
        found.append(slope)
    return found


@pytest.mark.parametrize("graph", [False, True])
def test_both_derivatives_are_slopes(point, graph):
    f = make()

    def run(function):
        return tf.function(function) if graph else function

    for found, slope in zip(
        run(gradient)(f, *point), slopes(lambda *p: loss(f, *p), point), strict=True
    ):
        np.testing.assert_allclose(found, slope, rtol=1e-7, atol=1e-7)

    def sines(*p):
        return sum(tf.reduce_sum(tf.sin(g)) for g in gradient(f, *p))

    for found, slope in zip(run(second)(f, *point), slopes(sines, point), strict=True):
        np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-5)


def test_many_calls_trace_each_derivative_once(point):
    counts = []
    f = make(counts)

    @tf.function
    def many(x, s, w):
        return [second(f, x + i, s, w) for i in range(5)]

    many(*point)
    assert len(counts) == 3  # f itself, in its derivative, in the derivative of that
    assert not any(counts)


@pytest.mark.parametrize(
    ("context", "kept", "num_products"),
    [
        (contextlib.nullcontext, {}, 2),  # the gradients in x and W, not x W
        (contextlib.nullcontext, {"held": False}, 2),
        (traced_once.weights_held, {}, 1),
        (traced_once.weights_held, {"held": False}, 2),
    ],
)
def test_what_is_kept_is_not_computed_again(point, context, kept, num_products):
    f = make(**kept)

    def forward(x, w):
        with context():
            return f(x, w)

    assert len(products_of_backward(forward, point)) == num_products


def products_of_backward(f, point):
    """Names of the matrix products of its gradient that something needs."""
    function = tf.function(lambda *p: gradient(f, *p)).get_concrete_function(*point)
    (backward,) = (
        each
        for each in function.graph.as_graph_def().library.function
        if "_vjp" in each.signature.name
    )
    reached, names = set(), list(backward.ret.values())
    nodes = {node.name: node for node in backward.node_def}
    while names:
        node = nodes.get(names.pop().split(":")[0].lstrip("^"))
        if node is not None and node.name not in reached:
            reached.add(node.name)
            names += node.input
    return [name for name in reached if nodes[name].op == "MatMul"]


@pytest.mark.parametrize("kept", [True, False])
def test_held_weights_have_no_gradient(point, kept):
    f = make(held=kept)

    def held(x, w):
        with traced_once.weights_held():
            return f(x, w)

    found, free = gradient(held, *point), gradient(f, *point)
    assert found[2] is None
    for one, other in zip(found[:2], free[:2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_differentiated_once_have_no_second_derivative(point):
    f, (x, s, w) = make(), point

    def mixed():
        """d of the sum of sines of the gradient in w."""
        with tf.GradientTape() as outer:
            outer.watch(point)
            with tf.GradientTape() as inner:
                inner.watch(w)
                value = loss(f, x, s, w)
            total = tf.reduce_sum(tf.sin(inner.gradient(value, w)))
        return outer.gradient(total, point)

    with traced_once.weights_differentiated_once():
        once = mixed()
    free = mixed()
    assert once[2] is None
    assert free[2] is not None
    for found, expected in zip(once[:2], free[:2], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_moved_state_comes_out(point):
    _, (moved,) = make()(point[:2], point[2:], [tf.constant(1.0)])
    assert float(moved) == 2


def test_a_third_derivative_is_refused(point):
    f = make()
    with tf.GradientTape() as tape:
        tape.watch(point)
        total = tf.add_n([tf.reduce_sum(g) for g in second(f, *point)])
    with pytest.raises(LookupError, match="no third derivative"):
        tape.gradient(total, point)


def test_forward_over_reverse_is_refused(point):
    with (
        pytest.raises(LookupError, match="no third derivative"),
        tf.autodiff.ForwardAccumulator(point, [tf.ones_like(x) for x in point]),
    ):
        gradient(make(), *point)


def test_replicas_in_other_threads_are_told_apart(point):
    import threading

    f, found = make(), []
    with traced_once.weights_held():
        thread = threading.Thread(target=lambda: found.append(gradient(f, *point)))
        thread.start()
        thread.join()
    assert found[0][2] is not None


@pytest.mark.slow
def test_the_graph_of_an_exact_step_at_real_size_is_small(monkeypatch):
    """S2, 8 cells: 80,000 nodes were it not for functions that are traced once."""
    monkeypatch.setattr(search_steps.Search, "_weight_step", lambda self, *_: tf.constant(0.0))
    config = SearchConfig(space="s2", dataset="digits")
    problem = task.Search(config, config.load_dataset())
    graph = graphs.of_search_block(config, problem).graph.as_graph_def()
    nodes = len(graph.node) + sum(len(f.node_def) for f in graph.library.function)
    assert 10_000 < nodes <= 20_000
