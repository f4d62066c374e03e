"""Sums whose order does not depend on timing."""

import numpy as np
import tensorflow as tf

from rdarts_tf.layers import sums
from tests import graphs


def test_terms_are_added_from_left_to_right():
    x = [np.float32(v) for v in (1e8, 3, -1e8, 5)]  # 1e8 + 3 is 1e8
    for num, total in enumerate((1e8, 1e8, 0, 5), 1):
        assert sums.add_n([tf.constant(v) for v in x[:num]]) == total


def test_a_sum_that_may_begin_anywhere_is_noticed():
    def total(x):
        return tf.add_n([x, tf.sin(x), tf.cos(x)])

    one = tf.TensorSpec([2], tf.float32)
    assert graphs.unordered(tf.function(total).get_concrete_function(one))
    outer = tf.function(
        lambda x: tf.function(total, experimental_attributes={"_noinline": True})(x)
    )
    assert graphs.unordered(outer.get_concrete_function(one))


def test_a_tape_adds_in_order():
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([2], tf.float32)])
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.sin(x) * tf.cos(x) + tf.exp(x) / x
        return tape.gradient(y, x)

    graph = gradient.get_concrete_function()
    assert [op for op in graph.graph.get_operations() if op.type == "AddN" and len(op.inputs) > 2]
    assert not graphs.unordered(graph)
    x = np.array([0.5, 2], np.float32)
    expected = np.cos(2 * x) + np.exp(x) * (x - 1) / x**2
    np.testing.assert_allclose(gradient(tf.constant(x)), expected, rtol=1e-6)


def test_parts_of_rows_add_up_as_ever():
    rows = tf.constant([[1.0], [2.0], [4.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        y = tf.reduce_sum(tf.gather(rows, [0, 0, 2])) + tf.reduce_sum(3 * tf.gather(rows, [2]))
    assert tf.convert_to_tensor(tape.gradient(y, rows)).numpy().tolist() == [[2], [0], [4]]
