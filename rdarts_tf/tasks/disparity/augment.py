"""Augmentation of a pair as a pure function of (left, right, disparity, seed).

Both images go through one map that keeps rows rows: output pixel (x', y') reads

    y = y0 + y' / zoom_y        x = x0 + x' / zoom_x + shear * y'

and the right image x + offset / zoom_x, so that disparities become zoom_x * d + offset. Base values:
Mayer et al. 2016, released training of DispNet, with neutral means; `scale` multiplies the variance of
each (Zela et al. 2020, app. E), so a spread is multiplied by its root and 0 leaves the random crop.
"""

import dataclasses
import math
import typing

import tensorflow as tf

MEAN = 0.4  # what is subtracted of images in [0, 1]
_TRIES = 50  # windows that are drawn until one lies within the images
# Uniform in [-spread, spread].
UNIFORM = {"zoom": 0.4, "squeeze": 0.3, "shear": 0.1, "translate_x": 0.4, "translate_y": 0.4}
# Standard deviations.
GAUSSIAN = {"gamma": 0.2, "brightness": 0.1, "contrast": 0.2, "noise": 0.03}
COLOUR, SECOND = 0.2, 0.01  # of each channel; of each on top in the right image


class Window(typing.NamedTuple):
    """What the map of a crop is made of: scalars, or [n] each of n windows."""

    x0: tf.Tensor
    y0: tf.Tensor
    zoom_x: tf.Tensor
    zoom_y: tf.Tensor
    shear: tf.Tensor
    offset: tf.Tensor


def draw_windows(seed, size, crop, *, scale=1.0, max_offset=0, num=_TRIES):
    """`num` independent Windows around uniform crops; translations are fractions of the crop.

    Args:
        seed: int32 [2].
        size: (H, W) of the images, int32 scalars.
        crop: (h, w).
        scale: of the variances.
        max_offset: spread of the right crop's offset, in pixels.
    """
    keys = iter(tf.unstack(tf.random.split(seed, 8)))
    drawn = {name: _uniform(next(keys), num, scale, spread) for name, spread in UNIFORM.items()}
    offset = _uniform(next(keys), num, scale, max_offset)
    zoom_x = tf.exp(drawn["zoom"] + drawn["squeeze"])
    zoom_y = tf.exp(drawn["zoom"] - drawn["squeeze"])
    shear, (half_height, half_width) = drawn["shear"], ((side - 1) / 2 for side in crop)
    y, x = (
        tf.cast(
            tf.random.stateless_uniform([num], next(keys), 0, full - side + 1, tf.int32), "float32"
        )
        for full, side in zip(size, crop, strict=True)
    )
    center_x = x + half_width + crop[1] * drawn["translate_x"]
    center_y = y + half_height + crop[0] * drawn["translate_y"]
    x0 = center_x - half_width / zoom_x - half_height * shear
    y0 = center_y - half_height / zoom_y
    return Window(x0, y0, zoom_x, zoom_y, shear, offset)


def fits(window, size, crop):
    """Whether all that a Window reads of both images lies within them."""
    height, width = (tf.cast(side - 1, tf.float32) for side in size)
    across = (crop[1] - 1) / window.zoom_x
    slanted, shifted = window.shear * (crop[0] - 1), window.offset / window.zoom_x
    first = window.x0 + tf.minimum(slanted, 0.0) + tf.minimum(shifted, 0.0)
    last = window.x0 + across + tf.maximum(slanted, 0.0) + tf.maximum(shifted, 0.0)
    bottom = window.y0 + (crop[0] - 1) / window.zoom_y
    return (first >= 0) & (last <= width) & (window.y0 >= 0) & (bottom <= height)


def random_window(seed, size, crop, *, scale=1.0, max_offset=0):
    """The first of 50 Windows that fits, else a plain crop.

    Args: see `draw_windows`.
    """
    first, second = tf.unstack(tf.random.split(seed, 2))
    drawn = draw_windows(first, size, crop, scale=scale, max_offset=max_offset)
    plain = draw_windows(second, size, crop, scale=0.0, num=1)
    fitting = tf.concat([fits(drawn, size, crop), [True]], axis=0)
    index = tf.argmax(tf.cast(fitting, tf.int32))
    return Window(*(tf.concat(both, axis=0)[index] for both in zip(drawn, plain, strict=True)))


def crop_pair(left, right, disparity, window, crop):
    """What a Window shows of a pair.

    Images are read bilinearly, disparities at the nearest pixel. A disparity that an offset makes
    negative is unknown, since none is predicted.

    Args:
        left, right: float32 [H, W, 3].
        disparity: float32 [H, W].
    Returns:
        float32 [h, w, 3] twice and [h, w].
    """
    rows, columns = (tf.range(side, dtype=tf.float32) for side in crop)
    y = window.y0 + rows / window.zoom_y  # [h]
    x = window.x0 + columns / window.zoom_x + (window.shear * rows)[:, tf.newaxis]  # [h, w]
    nearest = tf.gather(disparity, _index(tf.round(y), disparity, 0))
    nearest = tf.gather(nearest, _index(tf.round(x), disparity, 1), axis=1, batch_dims=1)
    moved = window.zoom_x * nearest + window.offset
    moved = tf.where(moved >= 0, moved, math.nan)
    right = sample(right, x + window.offset / window.zoom_x, y)
    return sample(left, x, y), right, moved


def sample(image, x, y):
    """Bilinear: float32 [H, W, c] read at x [h, w] of the rows y [h] -> [h, w, c], edges repeated."""
    above, below = (tf.gather(image, _index(tf.floor(y) + step, image, 0)) for step in (0, 1))
    rows = above + (y - tf.floor(y))[:, tf.newaxis, tf.newaxis] * (below - above)  # [h, W, c]
    before, after = (
        tf.gather(rows, _index(tf.floor(x) + step, image, 1), axis=1, batch_dims=1)
        for step in (0, 1)
    )
    return before + (x - tf.floor(x))[..., tf.newaxis] * (after - before)


def appearance(left, right, seed, *, scale=1.0):
    """Colour, gamma, brightness and contrast of both images, a little more of the right one; noise.

    Args:
        left, right: float32 [h, w, 3] in [0, 1].
        seed: int32 [2].
        scale: of the variances.
    Returns:
        The same, in [0, 1].
    """
    both, second, sigma, *noise = tf.unstack(tf.random.split(seed, 5))
    spreads = {name: GAUSSIAN[name] for name in ("gamma", "brightness", "contrast")}
    left, right = (adjust(v, both, spreads, COLOUR, scale=scale) for v in (left, right))
    right = adjust(right, second, dict.fromkeys(spreads, SECOND), SECOND, scale=scale)
    deviation = tf.abs(_normal(sigma, [], scale, GAUSSIAN["noise"]))
    return tuple(
        tf.clip_by_value(v + deviation * tf.random.stateless_normal(tf.shape(v), key), 0.0, 1.0)
        for v, key in zip((left, right), noise, strict=True)
    )


def adjust(image, seed, spreads, colour, *, scale=1.0):
    """One image [h, w, 3] in [0, 1]; the same seed does the same to another."""
    colour_key, *keys = tf.unstack(tf.random.split(seed, 4))
    gamma, brightness, contrast = (
        _normal(key, [], scale, spreads[name])
        for name, key in zip(("gamma", "brightness", "contrast"), keys, strict=True)
    )
    factors = tf.exp(_normal(colour_key, [3], scale, colour))
    return colour_adjusted(image, factors, tf.exp(gamma), brightness, tf.exp(contrast))


def colour_adjusted(image, factors, gamma, brightness, contrast):
    """Channels times `factors` at the brightness they had, power `gamma`, + `brightness`, `contrast`.

    In the order of DispNet's released layers.
    *Differs from* them: no 0.01 beside the sum that is divided by, so that factors of 1 change nothing.

    Args:
        image: float32 [h, w, 3] in [0, 1].
        factors: [3]; the others scalars.
    """
    coloured = image * factors
    before, after = (tf.reduce_sum(v, axis=-1, keepdims=True) for v in (image, coloured))
    coloured = tf.clip_by_value(coloured * tf.math.divide_no_nan(before, after), 0.0, 1.0)
    brightened = tf.pow(coloured, gamma) + brightness
    return tf.clip_by_value(0.5 + (brightened - 0.5) * contrast, 0.0, 1.0)


def normalize(image):
    """uint8 [...] -> float32 in [-0.4, 0.6], or of floats in [0, 1]."""
    return tf.image.convert_image_dtype(image, tf.float32) - MEAN


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What training does to a pair.

    Args:
        crop: (h, w).
        scale: multiplies the variance of all that is drawn; 0: a random crop only.
        max_offset: pixels by which the right crop may be shifted.
        flip: mirror half of the pairs top to bottom.
    """

    crop: tuple[int, int]
    scale: float = 1.0
    max_offset: int = 0
    flip: bool = False

    def __call__(self, left, right, disparity, seed):
        """uint8 [H, W, 3] twice, float32 [H, W], int32 [2] -> float32 [h, w, 3] twice, normalised, [h, w]."""
        window_key, flip_key, appearance_key = tf.unstack(tf.random.split(seed, 3))
        size = tf.unstack(tf.shape(disparity))
        options = {"scale": self.scale, "max_offset": self.max_offset}
        window = random_window(window_key, size, self.crop, **options)
        left, right = (tf.image.convert_image_dtype(v, tf.float32) for v in (left, right))
        pair = crop_pair(left, right, disparity, window, self.crop)
        if self.scale:
            mirrored = self.flip & (tf.random.stateless_uniform([], flip_key) < 0.5)
            pair = [tf.where(mirrored, tf.reverse(v, axis=[0]), v) for v in pair]
            pair[:2] = appearance(*pair[:2], appearance_key, scale=self.scale)
        left, right, disparity = pair
        return normalize(left), normalize(right), disparity


def _index(position, array, axis):
    """int32 within an axis."""
    last = tf.cast(tf.shape(array)[axis] - 1, position.dtype)
    return tf.cast(tf.clip_by_value(position, 0.0, last), tf.int32)


def _uniform(key, num, scale, spread):
    bound = spread * math.sqrt(scale)
    return bound * tf.random.stateless_uniform([num], key, -1.0, 1.0)


def _normal(key, shape, scale, deviation):
    return deviation * math.sqrt(scale) * tf.random.stateless_normal(shape, key)
