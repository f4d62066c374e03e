"""Sums over pixels, and what a BatchNorm makes of them, with gradients written out.

Letters: u [n, C] pixels, K [C, D] a kernel, z = u K.
"""

import tensorflow as tf

from rdarts_tf.layers.traced_once import with_vjp

_MANY_CHANNELS = 64


def sums_over_pixels(u, width=1):
    """Sum of u and of u u^T.

    The gradient is written out because automatic differentiation makes four passes over u of what
    is one affine map, u (G + G^T) + 1 g^T.

    Args:
        u: [n, C].
        width: as of `add_to_rows`.
    Returns:
        [[1, C], [C, C]].
    """

    def sums(x):
        (u,) = x
        return [tf.reduce_sum(u, axis=0, keepdims=True), tf.matmul(u, u, transpose_a=True)]

    def vjp(gradients):
        g, G = gradients
        y = add_to_rows(tf.matmul(u, G + tf.transpose(G)), tf.squeeze(g, 0), width)
        return [tf.reshape(y, (-1, u.shape[-1]))]

    return with_vjp(sums, [u], vjp=vjp)


def moments(total, outer, count, kernel):
    """The mean and biased variance of z = u K, from those of u:

        mean = m K      variance = max(1^T (K o B) - mean^2, 0)      B = A K

    with m the mean of u and A that of u u^T. The gradient is written out, so that the second derivative
    is one of a few operations.

    Args:
        total, outer: sums of u [1, C] and of u u^T [C, C].
        count: number of pixels, without a gradient.
        kernel: K [C, D].
    Returns:
        (mean [1, D], variance [1, D]).
    """

    def values(x):
        total, outer, K = x
        mean, B = tf.matmul(over(total, count), K), tf.matmul(over(outer, count), K)
        return [mean, variance_of(mean, tf.reduce_sum(K * B, axis=0, keepdims=True)), B]

    def vjp(gradients):
        g_mean, g_variance, g_B = gradients
        g_variance = tf.raw_ops.ReluGrad(gradients=g_variance, features=variance)
        g_mean = over(g_mean - 2 * mean * g_variance, count)
        g_B = over(g_B + kernel * g_variance, count)
        g_kernel = tf.matmul(total, g_mean, transpose_a=True) + B * g_variance
        return [
            tf.matmul(g_mean, kernel, transpose_b=True),
            tf.matmul(g_B, kernel, transpose_b=True),
            g_kernel + tf.matmul(outer, g_B, transpose_a=True),
        ]

    mean, variance, B = with_vjp(values, [total, outer, kernel], vjp=vjp)
    return mean, variance


def over(x, count):
    """x / count, whose gradient in count nobody asks."""
    (y,) = with_vjp(lambda x: [x[0] / count], [x], vjp=lambda g: [over(g[0], count)])
    return y


def add_to_rows(y, offset, width=1):
    """y [n, D] + offset [D]; the shape of what is returned is open.

    Args:
        width: divides n. TensorFlow broadcasts slowly over few channels, hence over those of so many rows.
    """
    channels = y.shape[-1]
    width = 1 if channels >= _MANY_CHANNELS else width

    def add(x):
        y, offset = x
        if width > 1:
            y, offset = tf.reshape(y, (-1, width * channels)), tf.tile(offset, [width])
        return [tf.nn.bias_add(y, offset)]

    def rows_and_sum(g):
        total = tf.raw_ops.BiasAddGrad(out_backprop=g[0])
        total = tf.reduce_sum(tf.reshape(total, (width, channels)), axis=0)
        return [tf.reshape(g[0], (-1, channels)), total]

    def vjp(g):
        return with_vjp(rows_and_sum, g, vjp=lambda h: [add_to_rows(*h, width)])

    return with_vjp(add, [y, offset], vjp=vjp)[0]


def variance_of(mean, square):
    """Of the means of z and of z^2."""
    return tf.nn.relu(square - tf.square(mean))  # rounding can make it negative
