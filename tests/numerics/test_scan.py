"""The loop over time against the same computation written out, up to third derivatives; nothing is drawn twice."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.tasks.language_model.scan import Step, remembered, scan
from rdarts_tf.tasks.language_model.shared import Shared

T, B, N = 4, 3, 2
RNG = np.random.default_rng(0)
X, H = tf.constant(RNG.normal(size=(T, B, N))), tf.constant(RNG.normal(size=(B, N)))
W, U, V = (tf.constant(RNG.normal(size=(N, N))) for _ in range(3))
SQUASHED = Shared(lambda a, b: [tf.tanh(a + b)])


def turn(c, x, k, memo):
    product = tf.matmul(c[0], k[0]) if memo is None else remembered(c[0], k[0], memo[0])
    (h,) = SQUASHED(product, tf.matmul(x[0], k[1]))
    return [h], [h * h], [], [product]


SHAPE = (tf.TensorShape([None, N]),)


def by_scan(x, w, u, h, *, reverse=False):
    found, _ = scan(Step(turn, SHAPE, SHAPE), [h], [x], [w, u], reverse=reverse)
    return tf.reduce_sum(tf.sin(found.y[0]) * ORDER) + tf.reduce_sum(found.c[0] ** 3)


def by_hand(x, w, u, h, *, reverse=False):
    y = [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        h = tf.tanh(h @ w + x[t] @ u)
        y[t] = h * h
    return tf.reduce_sum(tf.sin(tf.stack(y)) * ORDER) + tf.reduce_sum(h**3)


ORDER = tf.reshape(tf.range(1.0, T + 1, dtype=tf.float64), [T, 1, 1])


def derivatives(f):
    """Value, gradient, a product with the Hessian, one with the third derivative."""
    inputs = [X, W, U, H]
    with tf.GradientTape() as third:
        third.watch(inputs)
        with tf.GradientTape() as second:
            second.watch(inputs)
            with tf.GradientTape() as first:
                first.watch(inputs)
                value = f(*inputs)
            g = first.gradient(value, inputs)
            dot = tf.reduce_sum(g[1] * V) + tf.reduce_sum(g[0] ** 2) + tf.reduce_sum(g[3])
        h = second.gradient(dot, inputs)
        dot = tf.reduce_sum(h[2] * V) + tf.reduce_sum(h[3])
    return [value, *g, *h, *third.gradient(dot, inputs)]


@pytest.mark.parametrize("reverse", [False, True])
def test_all_derivatives_are_those_of_the_loop_written_out(reverse):
    theirs = derivatives(lambda *x: by_hand(*x, reverse=reverse))
    ours = derivatives(lambda *x: by_scan(*x, reverse=reverse))
    traced = tf.function(lambda: derivatives(lambda *x: by_scan(*x, reverse=reverse)))()
    for expected, eager, graph in zip(theirs, ours, traced, strict=True):
        np.testing.assert_allclose(eager, expected, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(graph, expected, rtol=1e-11, atol=1e-12)


def test_a_graph_holds_no_copies_of_the_turn():
    """However long the text, and however many passes over it, the step is there once."""

    @tf.function(autograph=False)
    def graph(x):
        return [by_scan(x, W, U, H) + by_scan(x, W, V, H), by_scan(x, V, U, H)]

    library = graph.get_concrete_function(X).graph.as_graph_def().library.function
    bodies = [f for f in library if any(n.op == "MatMul" for n in f.node_def)]
    assert len(bodies) == 1


def test_what_needs_no_derivative_gets_none():
    """Constants that no tape watches cost nothing in the derivative."""
    steps = []

    def spied(c, x, k, memo):
        steps.append(len(k))
        return turn(c, x, k, memo)

    step = Step(spied, SHAPE, SHAPE)
    with tf.GradientTape() as tape:
        tape.watch(H)
        found, _ = scan(step, [H], [X], [W, U])
        value = tf.reduce_sum(found.c[0])
    g = tape.gradient(value, [H, W])
    assert g[1] is None
    with tf.GradientTape() as tape:
        tape.watch(H)
        value = tf.reduce_sum(by_hand(X, W, U, H) * 0) + tf.reduce_sum(_last(H))
    np.testing.assert_allclose(g[0], tape.gradient(value, H), rtol=1e-12)


def _last(h):
    for t in range(T):
        h = tf.tanh(h @ W + X[t] @ U)
    return h


def test_constants_for_later_have_a_second_derivative_alone():
    """As edge weights in the gradient of the weights that is differentiated in alpha."""

    def mixed(u, later):
        with tf.GradientTape() as outer:
            outer.watch(u)
            with tf.GradientTape() as inner:
                inner.watch(W)
                found, _ = scan(Step(turn, SHAPE, SHAPE), [H], [X], [W, u], later=later)
                value = tf.reduce_sum(tf.sin(found.y[0]) * ORDER)
            dot = tf.reduce_sum(inner.gradient(value, W) * V)
        return outer.gradient(dot, u)

    np.testing.assert_allclose(mixed(U, [1]), mixed(U, ()), rtol=1e-12)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([U, W])
        found, _ = scan(Step(turn, SHAPE, SHAPE), [H], [X], [W, U], later=[1])
    assert tape.gradient(found.c[0], U) is None
    assert tape.gradient(found.c[0], W) is None
