"""What stands before the first cell; a stem gives the two states that cell reads."""

import keras
import tensorflow as tf

from rdarts_tf.layers.batch_norm import BatchNorm
from rdarts_tf.layers.padded import fan_in_uniform, pad


class _Stem(keras.layers.Layer):
    """Convolutions 3x3, each followed by an affine BatchNorm.

    Args:
        channels: C0 of the network.
        batch_norm: keyword arguments of every BatchNorm.
    """

    def __init__(self, channels, *, batch_norm=None, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.batch_norm = batch_norm or {}
        self.convolutions = []

    def get_config(self):
        return super().get_config() | {"channels": self.channels, "batch_norm": self.batch_norm}

    def _add(self, number, c_in, c_out):
        bn = BatchNorm(True, name=f"bn_{number}", dtype=self.dtype_policy, **self.batch_norm)
        bn.build(c_out)
        kernel = self.add_weight(
            name=f"conv_{number}", shape=(3, 3, c_in, c_out), initializer=fan_in_uniform(9 * c_in)
        )
        setattr(self, f"bn_{number}", bn)
        setattr(self, f"conv_{number}", kernel)

    def _convolve(self, number, x, *, stride, training):
        kernel = tf.cast(getattr(self, f"conv_{number}"), x.dtype)
        y = tf.nn.conv2d(pad(x, 1), kernel, stride, "VALID")
        return getattr(self, f"bn_{number}")(y, training=training)


@keras.saving.register_keras_serializable("rdarts_tf")
class CifarStem(_Stem):
    """One convolution to 3 C0 channels in full resolution; both states are its output."""

    reduces = False  # s0 and s1 are of one size

    @property
    def output_channels(self):
        """(of s0, of s1)."""
        return 3 * self.channels, 3 * self.channels

    def build(self, images_shape):
        self._add(1, images_shape[-1], 3 * self.channels)
        self.built = True

    def call(self, images, training=False):
        """images [N, H, W, c] -> s0, s1 [N, H, W, 3 C0]."""
        s = self._convolve(1, images, stride=1, training=training)
        return s, s

    def output_size(self, height, width):
        """(height, width) of s1."""
        return height, width

    def multiply_adds(self, height, width):
        """Multiplications of one image's convolution, the image being [height, width]."""
        return height * width * self.conv_1.shape.num_elements()


@keras.saving.register_keras_serializable("rdarts_tf")
class ImageNetStem(_Stem):
    """Three convolutions of stride 2, for large images; s0 is the second one's output, s1 the third's.

    The network of Liu et al. 2019, sec. 3.3, as in their code.
    """

    reduces = True  # s0 is twice as large as s1

    @property
    def output_channels(self):
        """(of s0, of s1)."""
        return self.channels, self.channels

    def build(self, images_shape):
        c = self.channels
        self._add(1, images_shape[-1], c // 2)
        self._add(2, c // 2, c)
        self._add(3, c, c)
        self.built = True

    def call(self, images, training=False):
        """images [N, H, W, c] -> s0 [N, H/4, W/4, C0], s1 [N, H/8, W/8, C0]."""
        x = tf.nn.relu(self._convolve(1, images, stride=2, training=training))
        s0 = self._convolve(2, x, stride=2, training=training)
        s1 = self._convolve(3, tf.nn.relu(s0), stride=2, training=training)
        return s0, s1

    def output_size(self, height, width):
        """(height, width) of s1."""
        return -(-height // 8), -(-width // 8)

    def multiply_adds(self, height, width):
        """Multiplications of one image's convolutions, the image being [height, width]."""
        total = 0
        for kernel in (self.conv_1, self.conv_2, self.conv_3):
            height, width = -(-height // 2), -(-width // 2)
            total += height * width * kernel.shape.num_elements()
        return total


STEMS = {"cifar": CifarStem, "imagenet": ImageNetStem}
