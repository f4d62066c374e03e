r"""Batch normalisation of a 1x1 convolution, folded into the convolution.

With u [n, C] the input pixels, K [C, D] the kernel and z = u K, the statistics of z follow from
those of u:

    mean(z) = mean(u) K          var(z)_d = (K^T cov(u) K)_dd

so BN(z) = u (K * gain) + offset is a single matrix product and z is never stored: the layer keeps u
only. The identity is exact, needs nothing but small matrices in second derivatives, and holds in
any dtype.
"""

import keras
import tensorflow as tf

MOMENTUM = 0.9
EPSILON = 1e-5


@tf.custom_gradient
def sums_over_pixels(u):
    """Sum of u and of u u^T.

    The gradient is written out because automatic differentiation makes four passes over u of what
    is one affine map, u (G + G^T) + 1 g^T.

    Args:
        u: [n, C].
    Returns:
        ([1, C], [C, C]).
    """

    def gradient(g, G):
        return tf.nn.bias_add(tf.matmul(u, G + tf.transpose(G)), tf.squeeze(g, 0))

    return (tf.reduce_sum(u, axis=0, keepdims=True), tf.matmul(u, u, transpose_a=True)), gradient


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
        u = tf.reshape(x, (-1, x.shape[-1]))
        dtype = tf.float64 if x.dtype == tf.float64 else tf.float32
        kernel = None if kernel is None else tf.cast(kernel, dtype)
        if training:
            mean, variance = self._batch_statistics(tf.cast(u, dtype), kernel)
        else:
            mean, variance = self.moving_mean[None], self.moving_variance[None]
        gain = tf.math.rsqrt(variance + EPSILON)  # [1, D], as mean and variance
        if self.affine:
            gain *= tf.cast(self.gamma, dtype)
        if scale is not None:
            gain *= tf.cast(scale, dtype)
        offset = tf.squeeze(-mean * gain, 0)
        if self.affine:
            offset += tf.cast(self.beta, dtype) * (1.0 if scale is None else scale)
        if kernel is None:
            y = u * tf.cast(gain, x.dtype)
        else:
            y = tf.matmul(u, tf.cast(kernel * gain, x.dtype))
        return _reshape_like(tf.nn.bias_add(y, tf.cast(offset, x.dtype)), x)

    def _batch_statistics(self, u, kernel):
        """Mean and biased variance [1, D] of u [n, C] K over the batch; updates the moving ones."""
        total, outer = sums_over_pixels(u)
        count = tf.cast(tf.size(u), u.dtype) / u.shape[-1]
        if self.synchronized:
            total, outer, count = _sum_over_replicas((total, outer, count))
        if kernel is None:
            mean, square = total / count, tf.linalg.diag_part(outer)[None] / count
        else:
            mean = tf.matmul(total / count, kernel)
            square = tf.reduce_sum(kernel * tf.matmul(outer / count, kernel), 0, keepdims=True)
        variance = tf.nn.relu(square - tf.square(mean))
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (count / tf.maximum(count - 1, 1)))
        return mean, variance

    def _move(self, moving, batch):
        batch = tf.cast(tf.squeeze(batch, 0), moving.dtype)
        moving.assign_add((1 - MOMENTUM) * (batch - moving))


def _reshape_like(y, x):
    """y [n, D] -> [N, H, W, D] with the leading dimensions of x [N, H, W, C]."""
    if None in x.shape[1:-1]:
        return tf.reshape(y, tf.concat((tf.shape(x)[:-1], [y.shape[-1]]), axis=0))
    return tf.reshape(y, (-1, *x.shape[1:-1], y.shape[-1]))


def _sum_over_replicas(values):
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return values
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)
