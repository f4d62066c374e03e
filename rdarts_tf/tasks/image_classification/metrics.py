"""Image classification: mean cross entropy and accuracy."""

import tensorflow as tf


def cross_entropy(logits, labels):
    """Cross entropy in nats of each example: logits [N, classes], labels [N] -> [N]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def total_loss(logits, labels, class_weights=None):
    """The sum of the cross entropies, each times the weight of its class [classes] if there are any."""
    losses = cross_entropy(logits, labels)
    if class_weights is not None:
        losses *= tf.gather(tf.cast(class_weights, losses.dtype), labels)
    return tf.reduce_sum(losses)


def correct(logits, labels):
    """1 where the largest logit is the label's, else 0: [N], float32."""
    predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
    return tf.cast(tf.equal(predicted, labels), tf.float32)
