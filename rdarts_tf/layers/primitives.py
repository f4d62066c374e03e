"""The primitives of an edge (Liu et al. 2019, sec. 3; Zela et al. 2020, sec. 3) and `PRIMITIVES`, their table.

A primitive maps x [N, H, W, C] to [N, ceil(H / stride), ceil(W / stride), C]. Layout and padding
are those of the authors' PyTorch code: padding on both sides, so that stride 2 reads the pixels 0,
2, 4, ...

Every convolution starts with a ReLU. A node's ReLU is computed once for all the edges that leave
it, hence by the caller: a primitive with `reads_relu` expects its input rectified already.
"""

import functools

import keras
import tensorflow as tf

from rdarts_tf.layers.depthwise import depthwise
from rdarts_tf.layers.normal import standard_normal
from rdarts_tf.layers.padded import avg_pool, diagonals, max_pool
from rdarts_tf.layers.primitive import Primitive, scaled
from rdarts_tf.layers.traced_once import TracedOnce, keep


def _relu_vjp(y, g):
    return [tf.raw_ops.ReluGrad(gradients=g, features=y)]


_scaled = TracedOnce(lambda x, w, state: (scaled(*x), []))


@keras.saving.register_keras_serializable("rdarts_tf")
class Zero(Primitive):
    """`none`: zeros in the shape of the output."""

    def call(self, x, scale=None, seed=None, training=False):
        return tf.zeros_like(x[:, :: self.stride, :: self.stride])


@keras.saving.register_keras_serializable("rdarts_tf")
class Noise(Primitive):
    """`noise` (S4): a fresh N(0, 1) sample in training and test mode; no gradient reaches x."""

    def call(self, x, scale=None, seed=None, training=False):
        shape = tf.shape(x[:, :: self.stride, :: self.stride])
        if seed is None:
            sample = tf.random.normal(shape, dtype=x.dtype)
        else:
            sample = standard_normal(shape, seed, x.dtype)
        return scaled(sample, scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class Identity(Primitive):
    """`skip_connect` at stride 1."""

    def call(self, x, scale=None, seed=None, training=False):
        return _scaled([x, scale], [])[0] if training and scale is not None else scaled(x, scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class FactorizedReduce(Primitive):
    """`skip_connect` at stride 2: ReLU, two 1x1 convolutions of stride 2, the second one pixel off, BN.

    Args:
        channels: output channels, even.
    Differs from: on odd sizes the authors' code fails; here the shifted half is padded with zeros.
    """

    reads_relu = True
    kernels = ("kernel_1", "kernel_2")
    norms = ("bn",)

    def __init__(self, channels, **kwargs):
        super().__init__(channels, **kwargs)
        if channels % 2:
            raise ValueError(f"channels must be even, not {channels}")

    def build(self, input_shape):
        c_in, half = input_shape[-1], self.channels // 2
        self.kernel_1 = self.add_kernel("conv_1", (c_in, half), c_in)
        self.kernel_2 = self.add_kernel("conv_2", (c_in, half), c_in)
        self.bn = self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, **_):
        both = tf.concat(diagonals(x), axis=-1)  # [N, H/2, W/2, 2 C_in]
        kernel_1, kernel_2 = kernels
        zeros = tf.zeros_like(kernel_1)
        kernel = tf.concat(
            (tf.concat((kernel_1, zeros), axis=1), tf.concat((zeros, kernel_2), axis=1)), axis=0
        )
        return norms[0](both, kernel, scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class ReLUConvBN(Primitive):
    """The 1x1 preprocessing of a cell's input: ReLU (by the caller), 1x1 convolution, BN."""

    reads_relu = True
    kernels = ("kernel",)
    norms = ("bn",)

    def build(self, input_shape):
        c_in = input_shape[-1]
        self.kernel = self.add_kernel("conv", (c_in, self.channels), c_in)
        self.bn = self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, **_):
        return norms[0](x, kernels[0], scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class Pool(Primitive):
    """3x3 pooling; a BatchNorm follows in the supernet only.

    Args:
        kind: "max" or "avg"; the average does not count the padding.
    """

    shareable = True
    norms = ("bn",)

    def __init__(self, channels, *, kind, **kwargs):
        super().__init__(channels, **kwargs)
        self.kind = kind

    def get_config(self):
        return super().get_config() | {"kind": self.kind}

    def build(self, input_shape):
        self.bn = None if self.affine else self.make_bn("bn")
        self.built = True

    @property
    def options(self):
        return super().options | {"kind": self.kind}

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, kind, training, jit=False):
        pool = functools.partial(max_pool, jit=jit) if kind == "max" else avg_pool
        y = pool(x, stride, training=training)
        return norms[0](y, None, scale) if norms else scaled(y, scale)


class Sized(Primitive):
    """Base of the convolutions that start with a ReLU (by the caller) and a kernel of size k."""

    reads_relu = True

    def __init__(self, channels, *, kernel_size, **kwargs):
        super().__init__(channels, **kwargs)
        self.kernel_size = kernel_size

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable("rdarts_tf")
class SepConv(Sized):
    """Twice: ReLU, depthwise k x k, pointwise, BN; the stride is in the first. The caller rectifies x."""

    kernels = ("dw_1", "pw_1", "dw_2", "pw_2")
    norms = ("bn_1", "bn_2")

    def build(self, input_shape):
        k, c = self.kernel_size, self.channels
        self.dw_1 = self.add_kernel("dw_1", (k, k, c, 1), c * k * k)
        self.pw_1 = self.add_kernel("pw_1", (c, c), c)
        self.bn_1 = self.make_bn("bn_1")
        self.dw_2 = self.add_kernel("dw_2", (k, k, c, 1), c * k * k)
        self.pw_2 = self.add_kernel("pw_2", (c, c), c)
        self.bn_2 = self.make_bn("bn_2")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, **_):
        dw_1, pw_1, dw_2, pw_2 = kernels
        u = keep(functools.partial(depthwise, stride=stride), x, dw_1)
        y = keep(tf.nn.relu, norms[0](u, pw_1), vjp=_relu_vjp, held=False)
        return norms[1](keep(depthwise, y, dw_2), pw_2, scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class DilConv(Sized):
    """ReLU (by the caller), depthwise k x k with dilation 2, pointwise, BN."""

    kernels = ("dw", "pw")
    norms = ("bn",)

    def build(self, input_shape):
        k, c = self.kernel_size, self.channels
        self.dw = self.add_kernel("dw", (k, k, c, 1), c * k * k)
        self.pw = self.add_kernel("pw", (c, c), c)
        self.bn = self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, **_):
        dw, pw = kernels
        u = keep(functools.partial(depthwise, stride=stride, dilation=2), x, dw)
        return norms[0](u, pw, scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class Conv(Sized):
    """`conv_1x1`, `conv_3x3`: ReLU (by the caller), convolution k x k, BN."""

    kernels = ("kernel",)
    norms = ("bn",)

    def build(self, input_shape):
        k, c = self.kernel_size, self.channels
        self.kernel = self.add_kernel("conv", (k, k, c, c), k * k * c)
        self.bn = self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, **_):
        margin = kernels[0].shape[0] // 2
        padding = ((0, 0), (margin, margin), (margin, margin), (0, 0))
        return norms[0](tf.nn.conv2d(x, kernels[0], stride, padding), None, scale)


@keras.saving.register_keras_serializable("rdarts_tf")
class ConvPair(Sized):
    """`conv_7x1_1x7` of AmoebaNet: ReLU (by the caller), conv 1xk (stride along W), conv kx1 (along H), BN."""

    kernels = ("conv_1", "conv_2")
    norms = ("bn",)

    def build(self, input_shape):
        k, c = self.kernel_size, self.channels
        self.conv_1 = self.add_kernel("conv_1", (1, k, c, c), k * c)
        self.conv_2 = self.add_kernel("conv_2", (k, 1, c, c), k * c)
        self.bn = self.make_bn("bn")
        self.built = True

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, stride, **_):
        margin = (kernels[1].shape[0] // 2,) * 2
        wide, high = ((0, 0), (0, 0), margin, (0, 0)), ((0, 0), margin, (0, 0), (0, 0))
        x = tf.nn.conv2d(x, kernels[0], (1, 1, stride, 1), wide)
        x = tf.nn.conv2d(x, kernels[1], (1, stride, 1, 1), high)
        return norms[0](x, None, scale)

    def multiply_adds(self, height, width):
        """The first convolution keeps the height of the input, about `stride` times `height`."""
        sizes = [v.shape.num_elements() for v in (self.conv_1, self.conv_2)]
        return height * width * (self.stride * sizes[0] + sizes[1])


def _skip(channels, *, stride=1, **kwargs):
    kind = Identity if stride == 1 else FactorizedReduce
    return kind(channels, stride=stride, **kwargs)


PRIMITIVES = {
    "none": Zero,
    "noise": Noise,
    "skip_connect": _skip,
    "max_pool_3x3": functools.partial(Pool, kind="max"),
    "avg_pool_3x3": functools.partial(Pool, kind="avg"),
    "sep_conv_3x3": functools.partial(SepConv, kernel_size=3),
    "sep_conv_5x5": functools.partial(SepConv, kernel_size=5),
    "sep_conv_7x7": functools.partial(SepConv, kernel_size=7),
    "dil_conv_3x3": functools.partial(DilConv, kernel_size=3),
    "dil_conv_5x5": functools.partial(DilConv, kernel_size=5),
    "conv_1x1": functools.partial(Conv, kernel_size=1),
    "conv_3x3": functools.partial(Conv, kernel_size=3),
    "conv_3x1_1x3": functools.partial(ConvPair, kernel_size=3),
    "conv_7x1_1x7": functools.partial(ConvPair, kernel_size=7),
}


def make(primitive, channels, *, kinds=PRIMITIVES, **kwargs):
    """Builds a primitive by name.

    Args:
        kinds: {name: maker}.
    Raises:
        ValueError: unknown name; the sentence lists those there are.
    """
    if primitive not in kinds:
        raise ValueError(f"unknown primitive {primitive!r}; there are: {', '.join(kinds)}")
    return kinds[primitive](channels, **kwargs)
