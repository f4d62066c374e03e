"""Dropout of language models: each mask is drawn once for a window (Gal & Ghahramani 2016; the authors' code)."""

import tensorflow as tf

NAMES = ("word", "embedding", "x", "h", "output")


def draw(seed, rates, *, batch, hidden, vocabulary, dtype=tf.float32):
    """{name: mask}, Bernoulli(keep) / keep, the same at all times; names of rate 0 are left out.

    Args:
        seed: int32 [2].
        rates: {name: float of Python}: word drops words from the embedding [V, 1]; embedding and x
            what the lookup gives, x at the entry of the cell [B, n]; h the state wherever it enters a
            product [B, n]; output what the decoder reads [B, n].
        batch: B.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, len(NAMES)))
    shapes = dict.fromkeys(NAMES, (batch, hidden)) | {"word": (vocabulary, 1)}
    masks = {}
    for name, key in zip(NAMES, seeds, strict=True):
        if rate := rates[name]:
            u = tf.random.stateless_uniform(shapes[name], key, dtype=dtype)
            masks[name] = tf.cast(u >= rate, dtype) / (1 - rate)
    return masks
