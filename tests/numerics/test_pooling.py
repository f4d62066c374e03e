"""Max pooling for XLA against TensorFlow's kernel: value, gradient, second derivative, ties."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.layers import traced_once
from rdarts_tf.layers.padded import max_pool
from rdarts_tf.layers.primitives import make


def derivatives(x, g, h, *, stride, jit):
    """(y, J^T g, d <J^T g, h> / dg); the last is J h."""
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(g)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            y = max_pool(x, stride, training=True, jit=jit)
        slope = tape.gradient(y, x, g)
    return y, slope, outer.gradient(slope, g, h)


def drawn(shape, dtype, ties):
    """Two images [H, W, C], of which half the pixels are 0 and all others small integers if `ties`."""
    rng = np.random.default_rng(sum(shape))
    x = rng.integers(-2, 3, (2, *shape)).clip(0) if ties else rng.normal(size=(2, *shape))
    return tf.constant(x, dtype)


@pytest.mark.parametrize("ties", [True, False], ids=["ties", "random"])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda d: d.name)
@pytest.mark.parametrize("stride, size", [(1, (6, 7)), (2, (6, 6)), (2, (7, 5)), (2, (1, 2))])
def test_compiled_pooling_is_that_of_the_kernel(stride, size, dtype, ties):
    x = drawn((*size, 3), dtype, ties)
    rng = np.random.default_rng(0)
    shape = max_pool(x, stride, training=True).shape
    g, h = (tf.constant(rng.normal(size=s), dtype) for s in (shape, x.shape))
    run = tf.function(derivatives, jit_compile=True, autograph=False)
    found = run(x, g, h, stride=stride, jit=True)
    for own, kernel in zip(found, derivatives(x, g, h, stride=stride, jit=False), strict=True):
        np.testing.assert_array_equal(own, kernel)


@pytest.mark.parametrize("name", ["max_pool_3x3", "avg_pool_3x3", "skip_connect"])
def test_compiled_primitives_have_the_derivatives_of_plain_ones(name):
    op = make(name, 4, stride=2, dtype="float64")
    op.build((None, None, None, 4))
    x = drawn((7, 6, 4), tf.float64, ties=False)

    @tf.function(autograph=False)
    def second(jit):
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(x)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                with traced_once.compiling(jit):
                    value = tf.reduce_sum(op(x, training=True) ** 3)
            total = tf.reduce_sum(tf.sin(tape.gradient(value, x)))
        return value, outer.gradient(total, x)

    for compiled, plain in zip(second(True), second(False), strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-11, atol=1e-11)
    for jit in (True, False):
        library = second.get_concrete_function(jit).graph.as_graph_def().library.function
        shared = [f for f in library if "__value" in f.signature.name or "_vjp" in f.signature.name]
        assert len(shared) == 3
        assert all(f.attr["_XlaMustCompile"].b == jit for f in shared)
