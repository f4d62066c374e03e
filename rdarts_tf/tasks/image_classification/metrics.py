"""Image classification: mean cross entropy and accuracy."""

import tensorflow as tf


def cross_entropy(logits, labels):
    """Cross entropy in nats of each example: logits [N, classes], labels [N] -> [N]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def correct(logits, labels):
    """1 where the largest logit is the label's, else 0: [N], float32."""
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.cast(tf.equal(predicted, labels), tf.float32)
