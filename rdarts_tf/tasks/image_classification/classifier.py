"""Logits from features."""

import keras
import tensorflow as tf

from rdarts_tf.layers.padded import fan_in_uniform


@keras.saving.register_keras_serializable("rdarts_tf")
class Classifier(keras.layers.Layer):
    """A dense layer in at least float32, initialised as PyTorch's.

    Args:
        num_classes: logits.
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes}

    def build(self, features_shape):
        uniform = fan_in_uniform(features_shape[-1])
        shape = (features_shape[-1], self.num_classes)
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=uniform, autocast=False
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.num_classes,), initializer=uniform, autocast=False
        )
        self.built = True

    def call(self, features):
        """[N, F] -> [N, num_classes]."""
        return tf.linalg.matmul(tf.cast(features, self.kernel.dtype), self.kernel) + self.bias
