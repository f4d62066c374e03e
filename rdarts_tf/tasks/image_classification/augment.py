"""Augmentation of a batch as pure functions of (images, seed).

Every function is stateless: the same [2] seed gives the same result, and each image of the batch
gets its own draw. `Augmentation` applies them in the order of the authors' code.
"""

import dataclasses

import tensorflow as tf

from rdarts_tf.errors import UserError

_MAX_CUTOUT = 16


def cutout_side(length, image_shape):
    """Side of cutout's square: `length`, or where it is None 16 pixels, at most half the image.

    Raises:
        UserError: it would blank every image.
    """
    side = min(image_shape[:2])
    if length is None:
        return min(_MAX_CUTOUT, side // 2)
    if length >= 2 * side:
        raise UserError(
            f"--cutout_length={length} always blanks images of {image_shape[0]}x{image_shape[1]}; "
            "take a smaller one"
        )
    return length


def random_crop(images, seed, *, padding):
    """Pads with `padding` black pixels on each side and cuts out a window of the old size.

    The offsets (dy, dx) of each image are uniform over {0, ..., 2 * padding}^2; (padding, padding)
    is the image itself. Zela et al. 2020, the authors' code.

    Args:
        images: [n, h, w, c], raw pixels (0 is black).
        seed: [2] integers.
        padding: pixels, a Python integer.
    Returns:
        [n, h, w, c], dtype of `images`.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    offsets = tf.random.stateless_uniform([count, 2], seed, 0, 2 * padding + 1, tf.int32)
    rows = offsets[:, :1] + tf.range(height)  # [n, h]
    columns = offsets[:, 1:] + tf.range(width)  # [n, w]
    padded = tf.pad(images, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    cropped = tf.gather(padded, rows, axis=1, batch_dims=1)  # [n, h, w + 2 padding, c]
    return tf.gather(cropped, columns, axis=2, batch_dims=1)  # [n, h, w, c]


def random_flip(images, seed):
    """Mirrors each image left to right with probability 1/2.

    Args:
        images: [n, h, w, c].
        seed: [2] integers.
    Returns:
        [n, h, w, c], dtype of `images`.
    """
    mirrored = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed) < 0.5
    return tf.where(mirrored, tf.reverse(images, axis=[2]), images)


def normalize(images, mean, std):
    """(images / 255 - mean) / std.

    Args:
        images: uint8 [n, h, w, c].
        mean, std: [c], of images in [0, 1].
    Returns:
        float32 [n, h, w, c].
    """
    mean, std = tf.constant(mean, tf.float32), tf.constant(std, tf.float32)
    return (tf.cast(images, tf.float32) / 255.0 - mean) / std


def cutout_at(images, centers, *, length):
    """Writes 0 into the square [y - L/2, y + L/2) x [x - L/2, x + L/2), clipped at the border.

    Zela et al. 2020, the authors' code: L/2 is an integer division, so an odd length cuts out what
    length - 1 does.

    Args:
        images: [n, h, w, c], normalised (0 is the mean colour).
        centers: int32 [n, 2], pixel (y, x) of each image.
        length: L in pixels, a Python integer.
    Returns:
        [n, h, w, c], dtype of `images`.
    """
    half = length // 2
    rows = tf.range(images.shape[1]) - centers[:, :1]  # [n, h]
    columns = tf.range(images.shape[2]) - centers[:, 1:]  # [n, w]
    in_rows = (rows >= -half) & (rows < half)
    in_columns = (columns >= -half) & (columns < half)
    hole = in_rows[:, :, tf.newaxis, tf.newaxis] & in_columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(hole, tf.zeros_like(images), images)  # hole: [n, h, w, 1]


def cutout(images, seed, *, length, probability=1.0):
    """`cutout_at` centres that are uniform over all pixels, applied with `probability`.

    Args:
        images: [n, h, w, c], normalised.
        seed: [2] integers.
        length: pixels, a Python integer.
        probability: a float or a scalar tensor.
    Returns:
        [n, h, w, c], dtype of `images`.
    Differs from: the authors draw centres from generators that are not reseeded, so the same
    positions return every epoch; here all draws are independent.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    row_seed, column_seed, use_seed = tf.unstack(tf.random.split(seed, 3))
    y = tf.random.stateless_uniform([count], row_seed, 0, height, tf.int32)
    x = tf.random.stateless_uniform([count], column_seed, 0, width, tf.int32)
    used = tf.random.stateless_uniform([count, 1, 1, 1], use_seed) < probability
    return tf.where(used, cutout_at(images, tf.stack([y, x], axis=1), length=length), images)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Training and test transform of a data set.

    In training: pad and crop the raw pixels, flip, scale and normalise, cut out. So padding is
    black, -mean / std after normalisation, while cutout leaves 0, the mean colour. Zela et al.
    2020, the authors' code.

    Args:
        mean, std: per channel, of images in [0, 1].
        crop_padding: pixels; 0 switches the crop off.
        flip: mirror half of the images.
        cutout_length: pixels; 0 switches cutout off.
        cutout_probability: a float or a scalar tensor.
    """

    mean: tuple
    std: tuple
    crop_padding: int = 4
    flip: bool = True
    cutout_length: int = 0
    cutout_probability: float | tf.Tensor = 1.0

    def __call__(self, images, seed):
        """uint8 [n, h, w, c], seed [2] -> float32 [n, h, w, c], augmented and normalised."""
        crop_seed, flip_seed, cutout_seed = tf.unstack(tf.random.split(seed, 3))
        if self.crop_padding:
            images = random_crop(images, crop_seed, padding=self.crop_padding)
        if self.flip:
            images = random_flip(images, flip_seed)
        images = self.test(images)
        if self.cutout_length:
            probability = self.cutout_probability
            images = cutout(images, cutout_seed, length=self.cutout_length, probability=probability)
        return images

    def test(self, images):
        """uint8 [n, h, w, c] -> float32 [n, h, w, c], normalised only."""
        return normalize(images, self.mean, self.std)
