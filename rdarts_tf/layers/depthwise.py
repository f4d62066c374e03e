"""Depthwise convolution, whose derivatives of any order are three functions.

With D(x, w) the convolution, linear in x and in w, and two transposes of it,

    <g, D(x, w)> = <B(w, g), x> = <F(x, g), w>,

each of D, B and F has the other two for derivatives. TensorFlow knows the same three, but of a
dilated kernel, here one with zeros between its entries, it computes the gradient of the zeros, too.
"""

import tensorflow as tf

from rdarts_tf.layers.padded import diagonals, in_squares, pad
from rdarts_tf.layers.traced_once import with_vjp


def depthwise(x, kernel, *, stride=1, dilation=1):
    """Depthwise convolution with symmetric padding.

    Args:
        x: [N, H, W, C].
        kernel: [k, k, C, 1].
        stride: 1 or 2.
        dilation: 1 or 2.
    Returns:
        [N, ceil(H / stride), ceil(W / stride), C].
    """
    if stride == dilation == 2:  # reads every other pixel only
        x, stride, dilation = diagonals(x)[0], 1, 1
    margin = dilation * (kernel.shape[0] // 2)
    common = {"strides": (1, stride, stride, 1), "padding": "SAME"}
    if stride > 1:
        margins = (0, 0, margin, margin, margin, margin, 0, 0)
        common |= {"padding": "EXPLICIT", "explicit_paddings": margins}
    shape = x.shape if x.shape.is_fully_defined() else tf.shape(x)

    def convolve(x, w):
        def value(x, w):
            return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=inflate(w, dilation), **common)

        return _bilinear(value, x, w, lambda g: [of_input(w, g), of_filter(x, g)])

    def of_input(w, g):
        def value(w, g):
            return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=shape, filter=inflate(w, dilation), out_backprop=g, **common
            )

        return _bilinear(value, w, g, lambda h: [of_filter(h, g), convolve(h, w)])

    def of_filter(x, g):
        def value(x, g):
            if dilation > 1:
                x, g = _phases(x), _phases(g)
            return _of_filter(x, g, kernel.shape, common)

        return _bilinear(value, x, g, lambda v: [of_input(v, g), convolve(x, v)])

    return convolve(x, kernel)


def _bilinear(function, a, b, transposes):
    (y,) = with_vjp(lambda ab: [function(*ab)], [a, b], vjp=lambda g: transposes(*g))
    return y


def _of_filter(x, g, shape, common):
    """F(x, g); 0 where x has no rows, for which TensorFlow leaves its output unwritten on CPU."""
    if common["padding"] == "SAME" and min(s or shape[0] for s in x.shape[1:3]) < shape[0]:
        # Of images smaller than the kernel oneDNN's takes up to ten times as long.
        x, common = pad(x, shape[0] // 2), common | {"padding": "VALID"}
    found = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
        input=x, filter_sizes=shape, out_backprop=g, **common
    )
    if x.shape.num_elements():
        return found
    return tf.where(tf.size(x) > 0, found, tf.zeros_like(found))


def _phases(x):
    """The pixels of each place in a 2x2 square as images, sides rounded up by zeros.

    A convolution with dilation 2 is one of each without: a kernel with zeros would multiply all of them.

    Args:
        x: [N, H, W, C].
    Returns:
        [4 N, ceil(H / 2), ceil(W / 2), C].
    """
    x, rows, columns = in_squares(x)
    x = tf.reshape(x, (-1, rows, 2, columns, 2, x.shape[-1]))
    return tf.reshape(tf.transpose(x, (2, 4, 0, 1, 3, 5)), (-1, rows, columns, x.shape[-1]))


def inflate(kernel, dilation):
    """Dilates a kernel [k, k, C, 1] by zeros between its entries.

    Dilated depthwise kernels of TensorFlow either cut x into phases or have wrong gradients, and
    refuse strides; a larger kernel with zeros is right everywhere and faster on CPU.
    """
    if dilation == 1:
        return kernel
    k, c = kernel.shape[0], kernel.shape[2]
    kernel = tf.reshape(kernel, (k, 1, k, 1, c))
    gap = dilation - 1
    kernel = tf.pad(kernel, ((0, 0), (0, gap), (0, 0), (0, gap), (0, 0)))
    size = dilation * k
    kernel = tf.reshape(kernel, (size, size, c, 1))
    return kernel[: size - gap, : size - gap]
