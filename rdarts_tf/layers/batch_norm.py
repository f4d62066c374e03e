r"""Batch normalisation of a 1x1 convolution, folded into the convolution.

With u [n, C] the input pixels, K [C, D] the kernel and z = u K, the statistics of z follow from
those of u:

    mean(z) = mean(u) K          var(z)_d = (K^T cov(u) K)_dd

so BN(z) = u (K * gain) + offset is a single matrix product and z is never stored: the layer keeps u
only. The identity is exact, needs nothing but small matrices in second derivatives, and holds in
any dtype.
"""

import contextvars
import functools

import keras
import tensorflow as tf

from rdarts_tf.layers.moments import add_to_rows, moments, over, sums_over_pixels, variance_of
from rdarts_tf.layers.traced_once import keep, within

MOMENTUM = 0.9
EPSILON = 1e-5

_KEPT = contextvars.ContextVar("statistics_kept", default=False)


@keras.saving.register_keras_serializable("rdarts_tf")
class BatchNorm(keras.layers.Layer):
    """Batch normalisation as in PyTorch 0.3.1: momentum 0.9, epsilon 1e-5, biased variance to normalise
    with, unbiased variance into the moving average.

    Args:
        affine: learn gamma, initialised U(0, 1) as the authors' library did, and beta.
        gamma_initializer: of gamma; "ones" is the present-day habit.
        synchronized: statistics over all replicas instead of each its own.
    """

    def __init__(
        self, affine=False, *, gamma_initializer="torch_uniform", synchronized=False, **kwargs
    ):
        super().__init__(**kwargs)
        self.affine = affine
        self.gamma_initializer = gamma_initializer
        self.synchronized = synchronized

    def get_config(self):
        return super().get_config() | {
            "affine": self.affine,
            "gamma_initializer": self.gamma_initializer,
            "synchronized": self.synchronized,
        }

    def build(self, channels):
        """channels: of the normalised tensor, an int or a shape that ends with it."""
        shape = (channels,) if isinstance(channels, int) else (channels[-1],)

        def add(name, initializer, trainable):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer,
                trainable=trainable,
                autocast=False,
            )

        if self.affine:
            uniform = keras.initializers.RandomUniform(0.0, 1.0)
            custom = self.gamma_initializer != "torch_uniform"
            self.gamma = add("gamma", self.gamma_initializer if custom else uniform, True)
            self.beta = add("beta", "zeros", True)
        self.moving_mean = add("moving_mean", "zeros", False)
        self.moving_variance = add("moving_variance", "ones", False)
        self.built = True

    def call(self, x, kernel=None, scale=None, training=False):
        """scale * BN(x K).

        Args:
            x: [N, H, W, C].
            kernel: [C, D]; None is the identity.
            scale: scalar factor of the result, such as an edge weight.
            training: normalise with the statistics of the batch and update the moving ones.
        Returns:
            [N, H, W, D].
        """
        if not training:
            return self.with_moving_statistics(x, kernel, scale)
        y, *statistics = normalise(x, kernel, scale, *self.parameters(), total=self.total)
        self.move(moved(self.state(), statistics))
        return y

    def parameters(self):
        """[gamma, beta], each [D], or []."""
        return [tf.convert_to_tensor(v) for v in (self.gamma, self.beta)] if self.affine else []

    @property
    def total(self):
        """The sum over all replicas where they share their statistics, else None."""
        return _sum_over_replicas if self.synchronized else None

    def with_moving_statistics(self, x, kernel=None, scale=None):
        """scale * BN(x K) in inference mode."""
        dtype = _statistics_dtype(x)
        gamma, beta = _affine(scale, dtype, *self.parameters())
        mean, variance = (tf.cast(v, dtype)[None] for v in (self.moving_mean, self.moving_variance))
        gain, offset = _gain_and_offset(mean, variance, gamma, beta)
        return _apply(x, gain if kernel is None else tf.cast(kernel, dtype) * gain, offset, kernel)

    def state(self):
        """[moving mean, moving variance], each [D]; [] if `statistics_kept`."""
        if _KEPT.get():
            return []
        return [tf.convert_to_tensor(v) for v in (self.moving_mean, self.moving_variance)]

    def move(self, state):
        """Sets the moving statistics to a list like `state`."""
        if state:
            self.moving_mean.assign(state[0])
            self.moving_variance.assign(state[1])


def statistics_kept():
    """What is traced within moves no statistics."""
    return within(_KEPT, True)


def normalise(x, kernel=None, scale=None, gamma=None, beta=None, *, total=None):
    """scale * (gamma BN(x K) + beta) with the statistics of the batch.

    Args:
        x: [N, H, W, C].
        kernel: K [C, D]; None is the identity.
        scale: scalar, or None.
        gamma, beta: [D], or None.
        total: list of tensors -> their sums over replicas.
    Returns:
        (y [N, H, W, D], mean [D], unbiased variance [D]).
    """
    dtype = _statistics_dtype(x)
    u = tf.cast(tf.reshape(x, (-1, x.shape[-1])), dtype)  # [n, C]
    width = x.shape[-2] or 1
    sums = (
        *keep(functools.partial(sums_over_pixels, width=width), u),
        tf.cast(tf.size(u), dtype) / u.shape[-1],
    )
    *sums, count = sums if total is None else total(sums)
    sums.append(tf.maximum(count, 1))  # a replica may have no rows of a batch
    gamma, beta = _affine(scale, dtype, gamma, beta)
    if kernel is None:
        gain, offset, *statistics = _fold_identity(*sums, gamma, beta)
    else:
        gain, offset, *statistics = _fold(*sums, tf.cast(kernel, dtype), gamma, beta)
    return _apply(x, gain, offset, kernel, width), *statistics


def moved(moving, statistics):
    """Moving statistics after a batch, lists of means [D] and variances [D]; [] for `moving` []."""
    return [
        old + (1 - MOMENTUM) * (tf.cast(new, old.dtype) - old)
        for old, new in zip(moving, statistics, strict=bool(moving))
    ]


def _statistics_dtype(x):
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def _affine(scale, dtype, gamma=None, beta=None):
    """gamma and beta, None or [D], times `scale`, None or a scalar."""
    if scale is None:
        return [v if v is None else tf.cast(v, dtype) for v in (gamma, beta)]
    scale = tf.cast(scale, dtype)
    if gamma is None:
        return scale, None
    return tf.cast(gamma, dtype) * scale, tf.cast(beta, dtype) * scale


def _apply(x, gain, offset, kernel, width=1):
    """x times gain, a matrix [C, D] where there is a kernel, else [1, C], plus offset [D]."""
    u, gain = tf.reshape(x, (-1, x.shape[-1])), tf.cast(gain, x.dtype)
    y = u * gain if kernel is None else tf.matmul(u, gain)
    return _reshape_like(add_to_rows(y, tf.cast(offset, x.dtype), width), x, offset.shape[0])


def _fold(total, outer, count, kernel, gamma, beta):
    """What turns u into gamma BN(u K) + beta.

    Args:
        total, outer, count: sums of u [1, C], of u u^T [C, C], number of pixels.
        kernel: K [C, D].
        gamma, beta: [D], scalar or None.
    Returns:
        (K gain [C, D], offset [D], mean [D], unbiased variance [D]).
    """
    mean, variance = moments(total, outer, count, kernel)
    gain, *others = _from_moments(mean, variance, count, gamma, beta)
    return (kernel * gain, *others)


def _fold_identity(total, outer, count, gamma, beta):
    """As `_fold` with K = 1, but gain [1, D] instead of a kernel."""
    mean, square = over(total, count), over(tf.linalg.diag_part(outer)[None], count)
    return _from_moments(mean, variance_of(mean, square), count, gamma, beta)


def _from_moments(mean, variance, count, gamma, beta):
    gain, offset = _gain_and_offset(mean, variance, gamma, beta)
    unbiased = variance * (count / tf.maximum(count - 1, 1))
    return gain, offset, tf.squeeze(mean, 0), tf.squeeze(unbiased, 0)


def _gain_and_offset(mean, variance, gamma, beta):
    """BN(z) = gain z + offset: gain [1, D], offset [D]."""
    gain = tf.math.rsqrt(variance + EPSILON)
    if gamma is not None:
        gain *= gamma
    offset = -tf.squeeze(mean * gain, 0)
    return gain, offset if beta is None else offset + beta


def _reshape_like(y, x, channels):
    """y -> [N, H, W, channels] with the leading dimensions of x [N, H, W, C]."""
    if None in x.shape[1:-1]:
        return tf.reshape(y, tf.concat((tf.shape(x)[:-1], [channels]), axis=0))
    return tf.reshape(y, (-1, *x.shape[1:-1], channels))


def _sum_over_replicas(values):
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)
