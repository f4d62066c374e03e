"""Language models differentiated twice: the loss against TensorFlow's, compiled nodes against plain ones."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.layers import traced_once
from rdarts_tf.tasks.language_model import options, task
from rdarts_tf.tasks.language_model.network import cross_entropy
from rdarts_tf.tasks.language_model.supernet import Supernet

RNG = np.random.default_rng(0)


def test_cross_entropy_and_two_derivatives_are_tensorflows():
    logits, v = (tf.constant(RNG.normal(size=(5, 4)) * 3) for _ in range(2))
    labels = tf.constant([3, 0, 0, 2, 1])

    def derivatives(loss):
        with tf.GradientTape() as second:
            second.watch(logits)
            with tf.GradientTape() as first:
                first.watch(logits)
                losses = loss(logits)
                value = tf.reduce_sum(losses * tf.range(1.0, 6, dtype=tf.float64))
            g = first.gradient(value, logits)
            dot = tf.reduce_sum(g * v)
        return losses, g, second.gradient(dot, logits)

    theirs = derivatives(lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x))
    for ours, expected in zip(derivatives(lambda x: cross_entropy(x, labels)), theirs, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)


def test_compiled_nodes_have_the_derivatives_of_plain_ones():
    cell = registry.load("spaces", "rnn")[0].SPACE.with_nodes(2).cell("recurrent")
    net = Supernet(cell, 5, hidden=3, dtype="float64")
    net.build()
    tokens, hidden = tf.constant([[1, 2, 3], [4, 0, 3]]), tf.ones([2, 3], tf.float64)
    w = [tf.constant(RNG.normal(size=v.shape)) for v in net.trainable_variables]
    v = [tf.constant(RNG.normal(size=v.shape)) for v in net.trainable_variables]
    alpha = tf.constant(RNG.normal(size=net.alphas["recurrent"].shape))

    @tf.function(autograph=False)
    def derivatives(jit):
        with tf.GradientTape() as outer, traced_once.compiling(jit):
            outer.watch(alpha)
            with tf.GradientTape() as inner:
                inner.watch(w)
                state = [s.value for s in net.non_trainable_variables]
                p = {"recurrent": tf.nn.softmax(alpha)}
                arguments = {"edge_weights": p, "training": True}
                outputs, moved = net.stateless_call(w, state, tokens, hidden, **arguments)
                value = tf.reduce_sum(tf.sin(outputs.logits))
            g = inner.gradient(value, w)
            dot = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(g, v, strict=True)])
        return [*g, *moved, outer.gradient(dot, alpha)]

    for compiled, plain in zip(derivatives(True), derivatives(False), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-10, atol=1e-12)
    functions = derivatives.get_concrete_function(True).graph.as_graph_def().library.function
    assert any(f.attr["_XlaMustCompile"].b for f in functions)


@pytest.mark.parametrize(("batch_size", "hidden", "compiled"), [(256, 300, True), (64, 64, False)])
def test_nodes_are_compiled_where_they_are_large(batch_size, hidden, compiled):
    class Problem(task.Search):
        def __init__(self):
            self.config = options.SearchConfig(batch_size=batch_size, hidden=hidden)

    assert Problem().compiled(gpus=0) == compiled
