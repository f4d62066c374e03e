"""Drop path (Larsson et al. 2017) with stateless draws."""

import tensorflow as tf


def drop_path(x, prob, *, seed):
    """Zeroes whole samples with probability `prob` and divides the others by 1 - prob.

    Args:
        x: [N, ...].
        prob: scalar in [0, 1).
        seed: int32 [2]; the same seed draws the same mask.
    """
    keep = 1.0 - tf.cast(prob, tf.float32)
    shape = tf.concat(([tf.shape(x)[0]], tf.ones(x.shape.rank - 1, tf.int32)), axis=0)
    mask = tf.floor(tf.random.stateless_uniform(shape, seed) + keep)
    return x * tf.cast(mask / keep, x.dtype)
