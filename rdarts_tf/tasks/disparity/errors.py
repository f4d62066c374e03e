"""Errors of predicted disparities, of known pixels only."""

import tensorflow as tf

# Of the loss at each resolution, the final one last; coarser ones weigh as the first. The defaults of the
# framework of AutoDispNet's authors.
_WEIGHTS = (1 / 16, 1 / 8, 1 / 4)


def known(truth):
    """Where there is ground truth: [...], bool."""
    return tf.math.is_finite(truth)


def end_point_error(predictions, truth, finest):
    """sum_l w_l EPE_l of each image, in pixels of the input at all resolutions l.

    EPE_l = mean of |prediction - truth| over the known pixels of resolution l, 0 if there are none.

    Args:
        predictions: coarse to fine, [N, H / 2^l, W / 2^l, 1] each.
        truth: [N, H, W], not finite where it is unknown.
        finest: l of the last prediction.
    Returns:
        [N], of the predictions' type.
    """
    total, levels = 0.0, len(predictions)
    for i, prediction in enumerate(predictions):
        level = finest + levels - 1 - i
        weight = _WEIGHTS[max(len(_WEIGHTS) - levels + i, 0)]
        at_level, mask = reduced(tf.cast(truth, prediction.dtype), 2**level)
        total += weight * mean_over(tf.abs(prediction[..., 0] - at_level), mask)
    return total


def reduced(truth, factor):
    """Means over the known pixels of blocks, which are known if at least half of their pixels are.

    Args:
        truth: [N, H, W], not finite where it is unknown.
        factor: sides of the blocks.
    Returns:
        (means [N, H / factor, W / factor], 0 where unknown, mask of the same shape).
    """
    mask = known(truth)
    values = tf.stack((tf.where(mask, truth, 0), tf.cast(mask, truth.dtype)), axis=-1)
    total, share = tf.unstack(tf.nn.avg_pool2d(values, factor, factor, "VALID"), axis=-1)
    enough = share >= 0.5
    return tf.where(enough, total / tf.maximum(share, 0.5), 0), enough


def mean_over(errors, mask):
    """Mean of errors [N, H, W] over the pixels of a mask: [N], 0 where there are none."""
    num = tf.reduce_sum(tf.cast(mask, errors.dtype), axis=(1, 2))
    return tf.reduce_sum(tf.where(mask, errors, 0), axis=(1, 2)) / tf.maximum(num, 1)


def of_image(prediction, truth):
    """(off by more than 1 pixel, by more than 3, EPE) of each image, [N] each.

    Args:
        prediction: [N, h, w, 1], brought to full size bilinearly; no derivative.
        truth: [N, H, W].
    """
    mask = known(truth)
    full = tf.image.resize(prediction, tf.shape(truth)[1:])[..., 0]
    error = tf.abs(full - tf.where(mask, tf.cast(truth, full.dtype), 0))
    off = (tf.cast(error > limit, error.dtype) for limit in (1, 3))
    return [mean_over(part, mask) for part in (*off, error)]
