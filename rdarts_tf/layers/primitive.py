"""What all primitives have in common: their weights, and how the training of each is traced once."""

import functools

import keras
import tensorflow as tf

from rdarts_tf.layers.batch_norm import BatchNorm, moved, normalise
from rdarts_tf.layers.padded import fan_in_uniform
from rdarts_tf.layers.traced_once import TracedOnce, compiled


class Primitive(keras.layers.Layer):
    """Base of all primitives.

    Args:
        channels: C, of input and output.
        stride: 1 or 2.
        affine: False in the supernet; True in derived networks: BatchNorm learns gamma and beta,
            and pooling has no BatchNorm.
        batch_norm: further keyword arguments of every BatchNorm.
    """

    reads_relu = False
    shareable = False  # no trainable weights in the supernet: once per input serves all edges
    kernels = ()  # names of the convolutions' kernels
    norms = ()  # names of the BatchNorms

    def __init__(self, channels, *, stride=1, affine=False, batch_norm=None, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.stride = stride
        self.affine = affine
        self.batch_norm = batch_norm or {}

    def get_config(self):
        return super().get_config() | {
            "channels": self.channels,
            "stride": self.stride,
            "affine": self.affine,
            "batch_norm": self.batch_norm,
        }

    def make_bn(self, name):
        bn = BatchNorm(self.affine, dtype=self.dtype_policy, name=name, **self.batch_norm)
        bn.build(self.channels)
        return bn

    def add_kernel(self, name, shape, fan_in):
        return self.add_weight(name=name, shape=shape, initializer=fan_in_uniform(fan_in))

    def call(self, x, scale=None, seed=None, training=False):
        """scale * op(x); x [N, H, W, C], scale a scalar or None, seed int32 [2] for random draws."""
        kernels = [tf.convert_to_tensor(getattr(self, name)) for name in self.kernels]
        norms = [bn for bn in (getattr(self, name) for name in self.norms) if bn is not None]
        if not training:
            norms = [bn.with_moving_statistics for bn in norms]
            return self.compute(x, kernels, norms, scale, training=False, **self.options)
        inputs = [x] if scale is None else [x, scale]
        function = _traced(type(self), len(norms), tuple(self.options.items()), compiled())
        if norms and norms[0].total:  # sums over replicas cannot stand in a function of their own
            function = functools.partial(function.function, total=norms[0].total)
        weights = [*kernels, *(p for bn in norms for p in bn.parameters())]
        y, state = function(inputs, weights, [v for bn in norms for v in bn.state()])
        for i, bn in enumerate(norms):
            bn.move(state[2 * i : 2 * i + 2])
        return y

    @property
    def options(self):
        """What `compute` has to know beside its tensors, {name: value}."""
        return {"stride": self.stride}

    @staticmethod
    def compute(x, kernels, norms, scale=None, *, training, jit=False, **options):
        """scale * op(x), a function of its arguments alone.

        Args:
            kernels: list of tensors, as named by `kernels`.
            norms: list of functions (x, kernel, scale) -> scale * BN(x kernel), as named by `norms`.
            jit: XLA compiles it.
            options: as `options`.
        """
        raise NotImplementedError

    def multiply_adds(self, height, width):
        """Multiplications of one image's convolutions, the output being [height, width]."""
        kernels = [v for v in self.trainable_weights if len(v.shape) > 1]
        return height * width * sum(v.shape.num_elements() for v in kernels)


@functools.cache
def _traced(kind, num_norms, options, jit):
    """The training of primitives of one kind, traced once for all that have these options."""
    options = {"training": True, "jit": jit} | dict(options)

    def function(x, weights, state, *, total=None):
        num_kernels, statistics = len(kind.kernels), []

        def norm(i):
            parameters = weights[num_kernels:]
            gamma, beta = parameters[2 * i : 2 * i + 2] if parameters else (None, None)

            def of_batch(x, kernel=None, scale=None):
                y, *moments = normalise(x, kernel, scale, gamma, beta, total=total)
                statistics.extend(moments)
                return y

            return of_batch

        norms = [norm(i) for i in range(num_norms)]
        y = kind.compute(x[0], weights[:num_kernels], norms, *x[1:], **options)
        return y, moved(state, statistics)

    return TracedOnce(function, jit=jit)


def scaled(x, scale):
    return x if scale is None else x * tf.cast(scale, x.dtype)
