"""Draws of N(0, 1)."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from rdarts_tf.layers.normal import standard_normal


def test_are_standard_normal():
    x = standard_normal([2, 50_000], [3, 4], "float32").numpy()
    assert scipy.stats.kstest(x.ravel(), "norm").pvalue > 0.01
    # both of a pair: independent, and so are their sizes
    for power in (1, 2):
        assert scipy.stats.pearsonr(x[0] ** power, x[1] ** power).pvalue > 0.01
    # tails: of 100,000 about 270 beyond 3 and 6.3 beyond 4 sigma
    assert 220 < np.sum(np.abs(x) > 3) < 320
    assert 1 <= np.sum(np.abs(x) > 4) < 16


def test_are_those_of_their_seed():
    first, again, other = (standard_normal([5, 3], s, "float32") for s in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_are_the_same_in_every_precision(dtype):
    other, single = (standard_normal([100], [1, 2], d) for d in (dtype, "float32"))
    assert other.dtype == dtype
    np.testing.assert_array_equal(other, tf.cast(single, dtype))


@pytest.mark.parametrize("shape", [[0, 4], [1], [3, 5, 7], []])
def test_have_any_shape(shape):
    drawn = tf.function(lambda s: standard_normal(s, [1, 2], tf.float32))(
        tf.constant(shape, tf.int32)
    )
    assert list(drawn.shape) == shape and np.isfinite(drawn).all()
    assert len(np.unique(drawn)) == drawn.numpy().size
