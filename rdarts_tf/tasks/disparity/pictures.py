"""Pictures of a prediction, bright where it is near."""

import numpy as np
import tensorflow as tf


def of(left, truth, prediction):
    """{name: uint8 [H, W, 3]}: the left image, the truth, what is predicted, its error.

    Disparities are grey from 0 to the largest known one, errors to a quarter of that, unknown pixels
    red.

    Args:
        left: [H, W, 3], normalised.
        truth: [H, W]; prediction: [h, w, 1].
    """
    truth = truth.numpy()
    prediction = tf.image.resize(prediction, truth.shape)[..., 0].numpy()
    known = np.isfinite(truth)
    largest = max(truth[known].max(initial=0), 1e-6)
    error = np.where(known, np.abs(prediction - truth), np.nan)
    return {
        "left": _uint8(left.numpy() + 0.4),
        "truth": _grey(truth / largest),
        "prediction": _grey(prediction / largest),
        "error": _grey(4 * error / largest),
    }


def _grey(values):
    red = np.array([0.5, 0, 0])
    return _uint8(np.where(np.isfinite(values)[..., None], values[..., None], red))


def _uint8(values):
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)
