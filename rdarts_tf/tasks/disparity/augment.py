"""Augmentation of a pair, a pure function of the pair and a generator of random numbers. No TensorFlow.

Both images go through one map that keeps rows rows: output pixel (x', y') reads

    y = y0 + y' / zoom_y        x = x0 + x' / zoom_x + shear * y'

and the right image x + offset / zoom_x, so that disparities become zoom_x * d + offset. Spreads: Mayer
et al. 2016, released training of DispNet, around neutral means, and a shear of our own. `scale`
multiplies the variance of each (Zela et al. 2020, app. E): spreads are multiplied by its root, and 0
leaves the random crop.
"""

import dataclasses
import math
import typing

import numpy as np

MEAN = np.float32(0.4)  # what is subtracted of images in [0, 1]
_TRIES = 50  # windows that are drawn until one lies within the images
# Uniform in [-spread, spread].
UNIFORM = {"zoom": 0.4, "squeeze": 0.3, "shear": 0.1, "translate_x": 0.4, "translate_y": 0.4}
# Standard deviations; of each on top in the right image SECOND.
GAUSSIAN = {"colour": (0.2, 0.2, 0.2), "gamma": 0.2, "brightness": 0.1, "contrast": 0.2}
NOISE, SECOND = 0.03, 0.01


class Window(typing.NamedTuple):
    """The map of a crop."""

    x0: float
    y0: float
    zoom_x: float
    zoom_y: float
    shear: float
    offset: float


def draw_window(rng, size, crop, *, scale=1.0, max_offset=0):
    """A Window around a uniform crop of whole pixels; translations are fractions of the crop.

    Args:
        rng: np.random.Generator.
        size: (H, W) of the images.
        crop: (h, w).
        scale: of the variances.
        max_offset: spread of the right crop's offset, in pixels.
    """
    drawn = {name: _uniform(rng, scale, spread) for name, spread in UNIFORM.items()}
    offset = _uniform(rng, scale, max_offset)
    zoom_x = math.exp(drawn["zoom"] + drawn["squeeze"])
    zoom_y = math.exp(drawn["zoom"] - drawn["squeeze"])
    half_height, half_width = ((side - 1) / 2 for side in crop)
    top, left = rng.integers(0, np.subtract(size, crop), endpoint=True)
    center_x = left + half_width + crop[1] * drawn["translate_x"]
    center_y = top + half_height + crop[0] * drawn["translate_y"]
    x0 = center_x - half_width / zoom_x - half_height * drawn["shear"]
    return Window(x0, center_y - half_height / zoom_y, zoom_x, zoom_y, drawn["shear"], offset)


def fits(window, size, crop):
    """Whether all that a Window reads of both images lies within them."""
    corners = [
        (x, y)
        for y in (0, crop[0] - 1)
        for offset in (0.0, window.offset)
        for x in (offset, crop[1] - 1 + offset)
    ]
    places = [_source(window, x, y) for x, y in corners]
    return all(0 <= x <= size[1] - 1 and 0 <= y <= size[0] - 1 for x, y in places)


def random_window(rng, size, crop, *, scale=1.0, max_offset=0):
    """The first of 50 drawn Windows that fits, else a plain crop; see `draw_window`."""
    for _ in range(_TRIES):
        window = draw_window(rng, size, crop, scale=scale, max_offset=max_offset)
        if fits(window, size, crop):
            return window
    return draw_window(rng, size, crop, scale=0.0)


def crop_pair(left, right, disparity, window, crop):
    """What a Window shows of a pair.

    Images are read bilinearly, disparities at the nearest pixel. A disparity that an offset makes
    negative is unknown, since none is predicted.

    Args:
        left, right: [H, W, 3].
        disparity: float32 [H, W].
    Returns:
        float32 [h, w, 3] twice and [h, w].
    """
    columns, rows = np.arange(crop[1]), np.arange(crop[0])[:, np.newaxis]
    x, y = _source(window, columns, rows)  # [h, w], [h, 1]
    nearest = disparity[_index(y, disparity.shape[0]), _index(x, disparity.shape[1])]
    moved = (window.zoom_x * nearest + window.offset).astype(np.float32)
    moved[moved < 0] = np.nan
    right = sample(right, x + window.offset / window.zoom_x, y[:, 0])
    return sample(left, x, y[:, 0]), right, moved


def sample(image, x, y):
    """Bilinear: [H, W, c] read at x [h, w] of the rows y [h] -> float32 [h, w, c], edges repeated."""
    height, width, channels = image.shape
    share = (y - np.floor(y)).astype(np.float32)[:, np.newaxis, np.newaxis]
    above, below = (image[_index(np.floor(y) + step, height)] for step in (0, 1))
    rows = above + share * (below.astype(np.float32) - above)  # [h, W, c]
    pixels = rows.reshape(-1, channels)
    share = (x - np.floor(x)).astype(np.float32)[..., np.newaxis]
    first = width * np.arange(len(y))[:, np.newaxis]
    before, after = (
        np.take(pixels, first + _index(np.floor(x) + step, width), axis=0) for step in (0, 1)
    )
    return before + share * (after - before)


def appearance(left, right, rng, *, scale=1.0):
    """Colour, gamma, brightness and contrast of both images, a little more of the right one; noise.

    Args:
        left, right: float32 [h, w, 3] in [0, 1].
        rng: np.random.Generator.
        scale: of the variances.
    Returns:
        The same, in [0, 1].
    """
    both = {name: _normal(rng, scale, np.array(spread)) for name, spread in GAUSSIAN.items()}
    more = {name: v + _normal(rng, scale, np.full(v.shape, SECOND)) for name, v in both.items()}
    deviation = np.float32(abs(_normal(rng, scale, np.array(NOISE))))
    changed = [adjusted(left, **both), adjusted(right, **more)]
    for image in changed:
        image += deviation * rng.standard_normal(image.shape, np.float32)
    return tuple(np.clip(image, 0, 1) for image in changed)


def adjusted(image, *, colour, gamma, brightness, contrast):
    """Channels times exp(colour) at the brightness they had, power exp(gamma), brightness, contrast.

    In the order of DispNet's released layers.
    *Differs from* them: no 0.01 beside the sum that is divided by, so that zeros change nothing.

    Args:
        image: float32 [h, w, 3] in [0, 1].
        colour: [3].
        gamma, brightness, contrast: scalars.
    """
    coloured = image * np.exp(colour).astype(np.float32)
    # Written out, which is 20 times faster than a sum over so short an axis.
    before, after = (v[..., :1] + v[..., 1:2] + v[..., 2:] for v in (image, coloured))
    coloured *= before / np.maximum(after, np.float32(1e-9))
    brightened = np.clip(coloured, 0, 1) ** np.float32(np.exp(gamma)) + np.float32(brightness)
    return np.clip(0.5 + (brightened - 0.5) * np.float32(np.exp(contrast)), 0, 1)


def normalize(image):
    """uint8 [...] -> float32: values / 255 - 0.4."""
    return image / np.float32(255) - MEAN


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

    def __call__(self, left, right, disparity, rng):
        """uint8 [H, W, 3] twice, float32 [H, W] -> float32 [h, w, 3] twice, normalised, [h, w]."""
        options = {"scale": self.scale, "max_offset": self.max_offset}
        window = random_window(rng, disparity.shape, self.crop, **options)
        pair = crop_pair(left, right, disparity, window, self.crop)
        if self.scale and self.flip and rng.random() < 0.5:
            pair = [v[::-1] for v in pair]
        left, right, disparity = pair
        if self.scale:
            left, right = (v / np.float32(255) for v in (left, right))
            left, right = appearance(left, right, rng, scale=self.scale)
            return left - MEAN, right - MEAN, disparity
        return normalize(left), normalize(right), disparity


def _source(window, x, y):
    """(x, y) in the left image that output position (x, y) reads."""
    return window.x0 + x / window.zoom_x + window.shear * y, window.y0 + y / window.zoom_y


def _index(position, length):
    """The nearest positions as indices within an axis."""
    return np.clip(np.rint(position), 0, length - 1).astype(np.intp)


def _uniform(rng, scale, spread):
    return math.sqrt(scale) * spread * rng.uniform(-1.0, 1.0)


def _normal(rng, scale, deviation):
    return math.sqrt(scale) * deviation * rng.standard_normal(deviation.shape)
