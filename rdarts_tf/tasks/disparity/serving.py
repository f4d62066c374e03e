"""A disparity network as others use it: two images of any size in, disparities of that size out."""

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.disparity import derived_network  # noqa: F401 - a .keras file names it
from rdarts_tf.tasks.disparity.augment import MEAN


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class ServedNetwork(keras.Model):
    """Normalisation, padding to what the encoder can divide, the network in inference mode, full size.

    Args:
        network: built derived_network.DerivedNetwork, or its configuration.
    """

    INPUT_TYPES = ("uint8",)

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        if isinstance(network, dict):
            network = keras.saving.deserialize_keras_object(network)
        self.network = network
        self.build()

    def get_config(self):
        return super().get_config() | {"network": keras.saving.serialize_keras_object(self.network)}

    def build(self, input_shape=None):
        if not self.network.built:
            self.network.build()
        self.built = True

    def call(self, left, right):
        """uint8 [N, H, W, 3] twice -> {"disparity": float32 [N, H, W]}, x_right = x_left - disparity.

        Below and to the right the last pixels are repeated up to a multiple of `Size.multiple`.
        """
        size, multiple = tf.shape(left)[1:3], self.network.size.multiple
        whole = (size + multiple - 1) // multiple * multiple  # ONNX rounds towards 0
        rows, columns = (tf.minimum(tf.range(whole[i]), size[i] - 1) for i in (0, 1))
        left, right = (
            tf.cast(tf.gather(tf.gather(image, rows, axis=1), columns, axis=2), tf.float32) / 255
            - MEAN
            for image in (left, right)
        )
        final = tf.image.resize(self.network(left, right, training=False)[-1], whole)
        return {"disparity": tf.squeeze(final, -1)[:, : size[0], : size[1]]}

    def signature(self, input_type):
        """{"left", "right": TensorSpec [None, None, None, 3]}."""
        return {
            name: tf.TensorSpec([None, None, None, 3], input_type, name=name)
            for name in ("left", "right")
        }

    def as_input(self, samples, input_type):
        """uint8 pairs [n, 2, H, W, 3] as {name: array}."""
        return {"left": samples[:, 0], "right": samples[:, 1]}

    def agreement(self, ours, theirs):
        """How many pixels two outputs put within a hundredth of a pixel of each other, in words."""
        near = np.abs(ours["disparity"] - theirs["disparity"]) < 0.01
        return f"{100 * near.mean():.1f} % of the pixels within 0.01"

    def metadata(self):
        """What a user of the file should know, ready for JSON."""
        return {
            "genotype": str(self.network.genotype),
            "input": "left, right [N, H, W, 3], uint8, rectified, of any size",
            "output": "disparity [N, H, W], float32, in pixels: x_right = x_left - disparity",
        }
