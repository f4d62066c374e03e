"""Initial values and pooling as in the authors' PyTorch code, and symmetric padding."""

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.layers.traced_once import with_vjp


def fan_in_uniform(fan_in):
    """U(-b, b) with b = 1 / sqrt(fan_in), as PyTorch 0.3.1 initialises convolutions and dense layers.

    Depthwise convolutions count all input channels there: fan_in = C kh kw.
    """
    bound = 1.0 / np.sqrt(fan_in)
    return keras.initializers.RandomUniform(-bound, bound)


def pad(x, margin, value=0):
    """Pads height and width of x [N, H, W, C] by `margin` on each side."""
    return tf.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), constant_values=value)


def diagonals(x):
    """The pixels (0, 0) and (1, 1) of each 2x2 square, sides rounded up by zeros.

    As slices of whole rows and channels, which costs a tenth of slices with steps, derivative included.

    Args:
        x: [N, H, W, C].
    Returns:
        two tensors [N, ceil(H / 2), ceil(W / 2), C].
    """
    x, rows, columns = in_squares(x)
    channels = x.shape[-1]
    x = tf.reshape(x, (-1, 2, columns, 2 * channels))
    return [tf.reshape(_diagonal(x, i), (-1, rows, columns, channels)) for i in (0, 1)]


def _diagonal(x, i):
    """x [N, 2, W, 2 C] -> [N, 1, W, C]. TensorFlow's own derivative has under XLA none itself."""
    channels = x.shape[-1] // 2
    margins = ((0, 0), (i, 1 - i), (0, 0), (i * channels, (1 - i) * channels))
    (y,) = with_vjp(
        lambda x: [tf.slice(x[0], (0, i, 0, i * channels), (-1, 1, -1, channels))],
        [x],
        vjp=lambda g: [tf.pad(g[0], margins)],
    )
    return y


def in_squares(x):
    """x [N, H, W, C] with sides rounded up by zeros, and how many 2x2 squares it is high and wide."""
    height, width = (tf.shape(x)[i] if x.shape[i] is None else x.shape[i] for i in (1, 2))
    rows, columns = (height + 1) // 2, (width + 1) // 2
    if None in x.shape[1:3] or height % 2 or width % 2:
        x = tf.pad(x, ((0, 0), (0, 2 * rows - height), (0, 2 * columns - width), (0, 0)))
    return x, rows, columns


def max_pool(x, stride, *, training, jit=False):
    """3x3 max pooling, padded by one pixel on each side that is never the largest.

    In training the padding is explicit at stride 1, too: with input and output of one shape
    TensorFlow's MaxPoolGradGrad, the second derivative, may write its output over the input that it
    still reads, on CPU and in a graph, and the result is zeros every now and then.

    Args:
        jit: XLA compiles it, which has no second derivative of TensorFlow's kernel. Without XLA that
            is three to seven times as fast as `largest`.
    """
    if jit:
        return largest(pad(x, 1, x.dtype.min), stride)
    if training:
        return tf.nn.max_pool2d(pad(x, 1, x.dtype.min), 3, stride, "VALID")
    # The same pixels; without the padding, which 8-bit files cannot express, though slower.
    y = tf.nn.max_pool2d(x, 3, 1, "SAME")
    return y if stride == 1 else y[:, ::stride, ::stride]


def largest(x, stride):
    """The largest of each 3x3 window; the derivative goes to the first of equal pixels, row by row.

    Args:
        x: [N, H, W, C].
    Returns:
        [N, ceil((H - 2) / stride), ceil((W - 2) / stride), C].
    """
    y = x[:, :-2:stride, :-2:stride]
    for place in range(1, 9):
        i, j = divmod(place, 3)
        pixel = x[:, i : (i - 2) or None : stride, j : (j - 2) or None : stride]
        y = tf.where(pixel > y, pixel, y)
    return y


def avg_pool(x, stride, *, training):
    """3x3 average pooling, padded by one pixel on each side that is not counted."""
    if stride == 1 or not training:
        y = tf.nn.avg_pool2d(x, 3, 1, "SAME")  # does not count the padding; one operation of chips
        return y if stride == 1 else y[:, ::stride, ::stride]
    inside = pad(tf.ones_like(x[:1, :, :, :1]), 1)
    return tf.nn.avg_pool2d(pad(x, 1), 3, stride, "VALID") / tf.nn.avg_pool2d(
        inside, 3, stride, "VALID"
    )
