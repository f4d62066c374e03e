"""The auxiliary classifier (Szegedy et al. 2015) of derived networks; used in training only."""

import keras
import tensorflow as tf

from rdarts_tf.layers.batch_norm import BatchNorm
from rdarts_tf.layers.padded import fan_in_uniform
from rdarts_tf.tasks.image_classification.classifier import Classifier


@keras.saving.register_keras_serializable("rdarts_tf")
class AuxiliaryHead(keras.layers.Layer):
    """ReLU, average pooling to 2x2, conv 1x1 to 128, BN, ReLU, conv 2x2 to 768, BN, ReLU, dense.

    Args:
        num_classes: logits.
        last_batch_norm: False leaves out the second BN, as the authors do on ImageNet.
        batch_norm: keyword arguments of every BatchNorm.
    Differs from: the authors pool 5x5 windows, which only fits maps of 8x8 (stride 3) and 7x7
        (stride 2). Here the windows are those two along each side, and other maps get windows in
        proportion.
    """

    def __init__(self, num_classes, *, last_batch_norm=True, batch_norm=None, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.last_batch_norm = last_batch_norm
        self.batch_norm = batch_norm or {}
        common = {"dtype": self.dtype_policy, **self.batch_norm}
        self.bn_1 = BatchNorm(True, name="bn_1", **common)
        self.bn_2 = BatchNorm(True, name="bn_2", **common) if last_batch_norm else None
        self.classifier = Classifier(num_classes, name="classifier", dtype=self.dtype_policy)

    def get_config(self):
        return super().get_config() | {
            "num_classes": self.num_classes,
            "last_batch_norm": self.last_batch_norm,
            "batch_norm": self.batch_norm,
        }

    def build(self, x_shape):
        c_in = x_shape[-1]
        self.conv_1 = self.add_weight(
            name="conv_1", shape=(c_in, 128), initializer=fan_in_uniform(c_in)
        )
        self.conv_2 = self.add_weight(
            name="conv_2", shape=(2, 2, 128, 768), initializer=fan_in_uniform(512)
        )
        self.bn_1.build(128)
        if self.last_batch_norm:
            self.bn_2.build(768)
        self.classifier.build((None, 768))
        self.built = True

    def call(self, x, training=False):
        """x [N, H, W, C], H and W static and at least 2 -> logits [N, num_classes]."""
        x = pool_to_2x2(tf.nn.relu(x))
        x = tf.nn.relu(self.bn_1(x, kernel=self.conv_1, training=training))
        x = tf.nn.conv2d(x, tf.cast(self.conv_2, x.dtype), 1, "VALID")  # [N, 1, 1, 768]
        if self.last_batch_norm:
            x = self.bn_2(x, training=training)
        return self.classifier(tf.nn.relu(x)[:, 0, 0])


def pool_to_2x2(x):
    """Averages over two windows along each side: [N, H, W, C] -> [N, 2, 2, C].

    A side of n is covered from both ends by windows of n - s, s = 3n // 8 apart: 5 and 3 for n = 8,
    5 and 2 for n = 7.

    Raises:
        ValueError: a side of less than two pixels.
    """
    sides = x.shape[1:3]
    if min(sides) < 2:
        raise ValueError(
            f"the auxiliary head needs a map of at least 2x2, not {sides[0]}x{sides[1]}; take larger "
            "images or no auxiliary head"
        )
    steps = [max(1, 3 * n // 8) for n in sides]
    return tf.nn.avg_pool2d(x, [n - s for n, s in zip(sides, steps, strict=True)], steps, "VALID")
