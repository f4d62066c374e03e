"""End-point errors that need no network, to compare others with. No TensorFlow."""

import numpy as np

_MOST_PAIRS = 16  # more would take minutes
_WINDOW = 9


def of(train, part):
    """{name: EPE in pixels}, mean over pairs; empty where the parts are large.

    constant_epe: the median of all training disparities; median_epe: the median of each pair itself;
    block_matching_epe: see `block_matching`.

    Args:
        train, part: pairs.Part.
    """
    if len(train) + len(part) > _MOST_PAIRS:
        return {}
    seen = np.concatenate([known(train.read(i)[2]) for i in range(len(train))])
    found = [_of_pair(part.read(i), np.median(seen), seen.max()) for i in range(len(part))]
    means = np.mean([row for row in found if row], axis=0)
    return dict(
        zip(("constant_epe", "median_epe", "block_matching_epe"), means.tolist(), strict=True)
    )


def known(disparity):
    """The known ones, [n]."""
    return disparity[np.isfinite(disparity)]


def _of_pair(pair, constant, largest):
    left, right, truth = pair
    if not np.isfinite(truth).any():
        return []
    matched = block_matching(left, right, int(np.ceil(largest)))
    guesses = (constant, np.median(known(truth)), matched)
    return [np.abs(known(truth - guess)).mean() for guess in guesses]


def block_matching(left, right, largest):
    """Disparities 0 .. largest of the least sum of absolute differences in windows of 9x9.

    Args:
        left, right: uint8 [H, W, 3].
    Returns:
        float32 [H, W].
    """
    left, right = (np.float32(image) for image in (left, right))
    costs = []
    for d in range(min(largest, left.shape[1] - 1) + 1):
        columns = np.maximum(np.arange(left.shape[1]) - d, 0)
        costs.append(_windowed(np.abs(left - right[:, columns]).sum(axis=-1)))
    return np.float32(np.argmin(costs, axis=0))


def _windowed(cost):
    """Sums over windows; cost [H, W], its border repeated."""
    for axis in (0, 1):
        margin = [(0, 0), (0, 0)]
        margin[axis] = (_WINDOW // 2, _WINDOW // 2)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(cost, margin, mode="edge"), _WINDOW, axis=axis
        )
        cost = windows.sum(axis=-1)
    return cost
