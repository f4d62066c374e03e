"""Where a pixel of the left image is found in the same row of the right one: products of features."""

import tensorflow as tf


def correlation(left, right, max_displacement):
    r"""corr[b, y, x, k] = mean_c left[b, y, x, c] right[b, y, x + k - m, c],  k = 0 .. 2m; zero outside.

    A product of rows, [W, C] [C, W + 2m], and a band of it: row x of the product holds the band from
    column x on, so that rows read one column too long each begin where theirs does. Mayer et al. 2016,
    sec. 5.1; twice differentiable.

    Args:
        left, right: [B, H, W, C].
        max_displacement: m.
    Returns:
        [B, H, W, 2m + 1]; a disparity d shows at k = m - d.
    """
    m = max_displacement
    height, width = (tf.shape(left)[i] if left.shape[i] is None else left.shape[i] for i in (1, 2))
    right = tf.pad(right, ((0, 0), (0, 0), (m, m), (0, 0)))
    full = tf.matmul(left, right, transpose_b=True) / left.shape[-1]  # [B, H, W, W + 2m]
    flat = tf.reshape(full, (-1, height, width * (width + 2 * m)))
    flat = tf.pad(flat, ((0, 0), (0, 0), (0, width)))
    rows = tf.reshape(flat, (-1, height, width, width + 2 * m + 1))
    return tf.slice(rows, (0, 0, 0, 0), (-1, -1, -1, 2 * m + 1))  # tells TFLite the channels
