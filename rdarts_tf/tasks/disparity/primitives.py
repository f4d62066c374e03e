"""The operations of disparity networks (Saikia et al. 2019; the authors' code of AutoDispNet).

Unlike in image cells the activation, a leaky ReLU, comes after the convolution, which has a bias, and
BatchNorm, if there is any, after the activation. Kernels start He normal, biases at 0. Padding is the
same on both sides, so that stride 2 reads the pixels 0, 2, 4, ...

Differs from: the authors' stride 2 pads one pixel less on top and on the left.
"""

import functools

import keras
import tensorflow as tf

from rdarts_tf.layers import primitives
from rdarts_tf.layers.depthwise import depthwise
from rdarts_tf.layers.padded import pad
from rdarts_tf.layers.primitive import Primitive, scaled
from rdarts_tf.layers.traced_once import keep

_SLOPE = 0.1


def activation(x):
    """max(x, 0.1 x)."""
    return tf.nn.leaky_relu(x, _SLOPE)


class Activated(Primitive):
    """Base of the operations with weights.

    Args:
        normalised: a BatchNorm follows each activation.
    """

    def __init__(self, channels, *, normalised=True, **kwargs):
        super().__init__(channels, **kwargs)
        self.normalised = normalised

    def get_config(self):
        return super().get_config() | {"normalised": self.normalised}

    def add(self, name, shape, fan_in):
        """A kernel, He normal."""
        normal = keras.initializers.RandomNormal(stddev=(2 / fan_in) ** 0.5)
        return self.add_weight(name=name, shape=shape, initializer=normal)

    def add_bias(self, name):
        return self.add_weight(name=name, shape=(self.channels,), initializer="zeros")

    def make_bn(self, name):
        return super().make_bn(name) if self.normalised else None


def _activated(u, bias, norm, scale=None):
    """scale * BN(activation(u + bias)); norm as in `Primitive.compute`, or None."""
    y = activation(tf.nn.bias_add(u, bias))
    return norm(y, None, scale) if norm else scaled(y, scale)


def convolution(x, kernel, *, stride=1):
    """x [N, H, W, C], kernel [k, k, C, D], k odd -> [N, ceil(H / stride), ceil(W / stride), D]."""
    if stride == 1:
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    return tf.nn.conv2d(pad(x, kernel.shape[0] // 2), kernel, stride, "VALID")


def transposed_convolution(x, kernel):
    """x [N, H, W, C], kernel [4, 4, D, C] -> [N, 2H, 2W, D]."""
    n, height, width, _ = tf.unstack(tf.shape(x))
    shape = tf.stack((n, 2 * height, 2 * width, kernel.shape[2]))
    y = tf.nn.conv2d_transpose(x, kernel, shape, 2, "SAME")
    sides = (None if side is None else 2 * side for side in x.shape[1:3])
    return tf.ensure_shape(y, (x.shape[0], *sides, kernel.shape[2]))


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class ConvAct(Activated):
    """A convolution of all channels, `skip_connect` at stride 2.

    Args:
        kernel_size: odd.
    """

    kernels, norms = ("kernel", "bias"), ("bn",)

    def __init__(self, channels, *, kernel_size=1, **kwargs):
        super().__init__(channels, **kwargs)
        self.kernel_size = kernel_size

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size}

    def build(self, input_shape):
        k, c_in = self.kernel_size, input_shape[-1]
        self.kernel = self.add("kernel", (k, k, c_in, self.channels), k * k * c_in)
        self.bias, self.bn = self.add_bias("bias"), self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, **_):
        u = keep(functools.partial(convolution, stride=stride), x, kernels[0])
        return _activated(u, kernels[1], *(norms or [None]), scale)


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class UpConvAct(Activated):
    """A transposed convolution, 4x4, that doubles the size."""

    kernels, norms = ("kernel", "bias"), ("bn",)

    def build(self, input_shape):
        c_in = input_shape[-1]
        self.kernel = self.add("kernel", (4, 4, self.channels, c_in), 4 * c_in)
        self.bias, self.bn = self.add_bias("bias"), self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, **_):
        u = keep(transposed_convolution, x, kernels[0])
        return _activated(u, kernels[1], *(norms or [None]), scale)


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class SepConv(Activated):
    """Twice: depthwise 3x3, pointwise; the stride is in the first."""

    kernels = ("dw_1", "pw_1", "bias_1", "dw_2", "pw_2", "bias_2")
    norms = ("bn_1", "bn_2")

    def build(self, input_shape):
        c = self.channels
        for i in (1, 2):
            setattr(self, f"dw_{i}", self.add(f"dw_{i}", (3, 3, c, 1), 9))
            setattr(self, f"pw_{i}", self.add(f"pw_{i}", (1, 1, c, c), c))
            setattr(self, f"bias_{i}", self.add_bias(f"bias_{i}"))
            setattr(self, f"bn_{i}", self.make_bn(f"bn_{i}"))
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, **_):
        dw_1, pw_1, bias_1, dw_2, pw_2, bias_2 = kernels
        bn_1, bn_2 = norms or (None, None)
        u = keep(functools.partial(depthwise, stride=stride), x, dw_1)
        y = _activated(keep(convolution, u, pw_1), bias_1, bn_1)
        u = keep(depthwise, y, dw_2)
        return _activated(keep(convolution, u, pw_2), bias_2, bn_2, scale)


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class MaxPool(primitives.Pool):
    """3x3 max pooling; a BatchNorm follows in a normalised supernet only."""

    def __init__(self, channels, *, normalised=True, kind="max", **kwargs):
        super().__init__(channels, kind=kind, **kwargs)
        self.normalised = normalised

    def get_config(self):
        return super().get_config() | {"normalised": self.normalised}

    def make_bn(self, name):
        return super().make_bn(name) if self.normalised else None


def _skip(channels, *, stride=1, normalised=True, **kwargs):
    if stride == 1:
        return primitives.Identity(channels, **kwargs)
    return ConvAct(channels, kernel_size=3, stride=stride, normalised=normalised, **kwargs)


_PRIMITIVES = {"max_pool_3x3": MaxPool, "sep_conv_3x3": SepConv, "skip_connect": _skip}
NAMES = tuple(_PRIMITIVES)


def kinds(*, normalised):
    """{name: maker} of the primitives, with or without BatchNorm."""
    return {
        name: functools.partial(make, normalised=normalised) for name, make in _PRIMITIVES.items()
    }
