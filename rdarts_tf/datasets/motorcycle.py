"""A real stereo pair that comes with scikit-image: Motorcycle of Middlebury 2014, 741x500; no download.

Scharstein et al. 2014, High-resolution stereo datasets with subpixel-accurate ground truth. Rows of a
rectified pair are independent of each other, so bands of rows are for training, validation and testing.
"""

import numpy as np

from rdarts_tf.tasks.disparity import pairs

TASK = "disparity"
# Rows at half size.
_BANDS = {"train": ((0, 80), (176, 250)), "valid": ((80, 128),), "test": ((128, 176),)}
_MAX_OFFSET = 8  # pixels at half size


def load(*, data_dir=None, half=True, crops=200):
    """Loads the pair, cut into bands.

    Args:
        data_dir: not read; the images are part of scikit-image.
        half: at half size, 370x250 pixels.
        crops: random crops of each band in an epoch, the training part of which has two.
    Returns:
        tasks.disparity.pairs.Data. Training shifts the right crop by up to 8 pixels (16 at full size)
        and mirrors rows, since one pair shows few depths.
    Raises:
        PairsError: scikit-image is not installed, or a value that cannot be.
    """
    pairs.check_booleans(half=half)
    if type(crops) is not int or crops < 1:
        raise pairs.PairsError(f"crops={crops!r} must be a whole number of at least 1")
    whole = _whole()
    left, right, disparity = pairs.halve(*whole) if half else whole
    factor = 1 if half else 2
    parts = {
        name: pairs.of_arrays(
            [_band(rows, factor, left, right, disparity) for rows in bands],
            crops=crops,
            max_offset=factor * _MAX_OFFSET,
            flip=True,
        )
        for name, bands in _BANDS.items()
    }
    name = "motorcycle" if half else "motorcycle(half=False)"
    return pairs.Data(name, **parts, digest=pairs.content_digest(parts.values()))


def _whole():
    """(left, right, disparity) at full size, unknown disparities NaN.

    scikit-image's own description has the sign and the mark of unknown pixels otherwise.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise pairs.PairsError(
            f"the data set motorcycle comes with scikit-image, which cannot be imported ({error}); "
            "install it with pip install 'rdarts-tf[stereo]'"
        ) from error
    left, right, disparity = data.stereo_motorcycle()
    known = np.isfinite(disparity)
    return left, right, np.where(known, disparity, np.nan).astype(np.float32)


def _band(rows, factor, *arrays):
    first, last = (factor * row for row in rows)
    return tuple(np.ascontiguousarray(array[first:last]) for array in arrays)
