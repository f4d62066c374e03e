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

    count, moved = profile_step.bytes_of(four_squares.get_concrete_function(X).graph)["MatMul"]
    assert (count, moved) == (4, 4 * 3 * 64)


def test_seconds_by_operation_are_found():
    function = tf.function(square)
    function(X)
    assert 0 < profile_step.seconds_of(lambda: function(X))["MatMul"] < 1
