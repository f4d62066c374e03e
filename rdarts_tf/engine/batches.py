"""Batches, one after the other."""

import tensorflow as tf


def iterate(dataset):
    """iter(dataset), without autotuning.

    The thread that tunes sleeps 10, 20, 40, ... ms, up to a minute, and every second iterator waits for it
    when it is deleted: at the end of an epoch up to as long as the epoch took (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return iter(dataset.with_options(options))
