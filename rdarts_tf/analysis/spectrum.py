"""Eigenvalues of a Hessian as the paper shows them (Zela et al. 2020, Figures 15 and 16)."""

import numpy as np
from scipy import stats


def largest(eigenvalues, *, count=30):
    """The `count` eigenvalues of the largest magnitude, falling: [min(count, n)].

    Differs from: the authors' plot scripts take the first 30 in the order of their solver.
    """
    eigenvalues = np.asarray(eigenvalues)
    return eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")][:count]


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
