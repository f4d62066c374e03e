"""A network as others use it: raw images in, logits and probabilities out."""

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.image_classification import derived_network  # noqa: F401 - a .keras file names it


@keras.saving.register_keras_serializable("rdarts_tf")
class ServedNetwork(keras.Model):
    """Normalisation, network in inference mode, softmax.

    Args:
        network: built networks.cnn.DerivedNetwork without auxiliary head, or its configuration.
        image_shape: (H, W, channels).
        mean, std: per channel, of images in [0, 1].
        class_names: one string per logit.
    """

    INPUT_TYPES = ("uint8", "float32")

    def __init__(self, network, *, image_shape, mean, std, class_names, **kwargs):
        super().__init__(**kwargs)
        if isinstance(network, dict):
            network = keras.saving.deserialize_keras_object(network)
        self.network = network
        self.image_shape = tuple(image_shape)
        self.mean, self.std = tuple(mean), tuple(std)
        self.class_names = tuple(class_names)
        self.build((None, *self.image_shape))

    def get_config(self):
        return super().get_config() | {
            "network": keras.saving.serialize_keras_object(self.network),
            "image_shape": list(self.image_shape),
            "mean": list(self.mean),
            "std": list(self.std),
            "class_names": list(self.class_names),
        }

    def build(self, input_shape):
        if not self.network.built:
            self.network.build(input_shape)
        self.built = True

    def call(self, images):
        """uint8 [N, H, W, channels], or float32 in [0, 1] -> {"logits", "probabilities"} [N, classes].

        `noise` draws the same for every call: what is deployed should repeat its answers.
        """
        scale = 255.0 if images.dtype == tf.uint8 else 1.0
        images = tf.cast(images, tf.float32) / scale
        images = (images - tf.constant(self.mean)) / tf.constant(self.std)
        noisy = any("noise" in dict(pairs) for pairs in self.network.genotype.cells.values())
        seed = tf.constant([0, 0]) if noisy else None
        logits = self.network(images, seed=seed, training=False)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def signature(self, input_type):
        """{"images": TensorSpec [None, H, W, channels]} of an input type."""
        return {"images": tf.TensorSpec([None, *self.image_shape], input_type, name="images")}

    def as_input(self, images, input_type):
        """uint8 images [n, H, W, channels] as {"images": array} of an input type, int8 being shifted by 128."""
        if input_type == "int8":
            return {"images": (images.astype(np.int16) - 128).astype(np.int8)}
        return {"images": images if input_type == "uint8" else images.astype(np.float32) / 255}

    def agreement(self, ours, theirs):
        """How often two outputs have the same class, in words."""
        same = np.mean(theirs["logits"].argmax(-1) == ours["logits"].argmax(-1))
        return f"{100 * same:.1f} % same class"

    def metadata(self):
        """What a user of the file should know, ready for JSON."""
        return {
            "class_names": list(self.class_names),
            "genotype": str(self.network.genotype),
            "input": f"images [N, {', '.join(map(str, self.image_shape))}], uint8 in 0..255 or "
            "float32 in 0..1",
        }
