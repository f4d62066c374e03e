"""Eigenvalues of a Hessian as the paper shows them (Zela et al. 2020, Figures 15 and 16)."""

import numpy as np
from scipy import stats


def largest(eigenvalues, *, count=30):
    """The `count` eigenvalues of the largest magnitude, falling: [min(count, n)].

    Differs from: the authors' plot scripts take the first 30 in the order of their solver.
    """
    eigenvalues = np.asarray(eigenvalues)
    return eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")][:count]


def chosen(epochs):
    """The first, the middle and the last of several epochs, each once."""
    epochs = sorted(epochs)
    return [*dict.fromkeys((epochs[0], epochs[len(epochs) // 2], epochs[-1]))] if epochs else []


def check(eigenvalues):
    """Raises ValueError unless this is an array of numbers [n], at least one."""
    if eigenvalues.ndim != 1 or eigenvalues.dtype.kind != "f" or not eigenvalues.size:
        found = f"{list(eigenvalues.shape)}, {eigenvalues.dtype}"
        raise ValueError(f"its eigenvalues have shape {found}")


def is_drawable(eigenvalues):
    """Whether all are finite, and so small that their differences are."""
    return bool((np.abs(np.asarray(eigenvalues, np.float64)) < 1e100).all())


def density(eigenvalues, *, num_points=400):
    """(points [num_points], density [num_points]), a Gaussian kernel estimate by Scott's rule.

    All eigenvalues equal have no density: a pair of empty arrays.
    """
    eigenvalues = np.asarray(eigenvalues, np.float64)
    low, high = eigenvalues.min(), eigenvalues.max()
    if low == high:
        return np.empty(0), np.empty(0)
    margin = 0.1 * (high - low)
    points = np.linspace(low - margin, high + margin, num_points)
    return points, stats.gaussian_kde(eigenvalues)(points)


def rows(run, epoch, eigenvalues):
    """One dict for each eigenvalue, ascending."""
    return [
        {"run": run, "epoch": epoch, "index": index, "eigenvalue": float(value)}
        for index, value in enumerate(eigenvalues)
    ]
