"""The profile of a step: bytes by operation, through calls and loops, and seconds of its threads."""

import tensorflow as tf

from benchmarks import profile_step

X = tf.ones([4, 4])


@tf.function(autograph=False, experimental_attributes={"_noinline": True})
def square(x):
    return tf.matmul(x, x)


def test_bytes_of_calls_and_loops_are_counted():
    @tf.function
    def four_squares(x):
        for _ in tf.range(5):  # its body once
            x = square(square(x))
        return square(square(x))

    count = profile_step.counts(four_squares.get_concrete_function(X).graph)["MatMul"]
    assert count == [4, 4 * 3 * 64, 4 * 128]


def test_flop_of_transposed_and_of_unknown_shapes():
    y, unknown = tf.TensorSpec([5, 3]), tf.TensorSpec([None, 3])
    products = tf.function(lambda a, b: tf.matmul(a, b, transpose_a=True), autograph=False)
    for a, b, flop in ((y, tf.TensorSpec([5, 7]), 2 * 3 * 5 * 7), (unknown, unknown, 0)):
        graph = products.get_concrete_function(a, b).graph
        assert profile_step.counts(graph)["MatMul"][2] == flop


def test_seconds_by_operation_are_found():
    function = tf.function(square)
    function(X)
    assert 0 < profile_step.seconds_of(lambda: function(X))["MatMul"] < 1


def test_a_measurement_of_curvature_has_a_single_product():
    sizes = {"cells": 2, "channels": 2, "batch": 2, "size": 8}
    measure, traced = profile_step.stepping("s2", "curvature", sizes)
    assert measure().products == 1
    (function,) = traced._list_all_concrete_functions()
    assert profile_step.counts(function.graph)["DepthwiseConv2dNativeBackpropInput"][0] > 0
