"""The authors' logs: lambda_max and spectra of their searches, in files of their own or in a folder of them."""

import re

import numpy as np

from rdarts_tf.analysis import spectrum, trajectory
from rdarts_tf.errors import UserError
from rdarts_tf.runs import files

TRAJECTORIES, HESSIANS = "eigenvalue_trajectories.csv", "hessian_samples.npz"
_KEY = re.compile(r"(.{1,200})/epoch(\d{1,4})/H")
_LARGEST = 2000  # Hessian


def is_log(path):
    """Whether a path is no folder of runs: any file, and a folder that holds one of those."""
    return not path.is_dir() or any((path / name).is_file() for name in (TRAJECTORIES, HESSIANS))


def read(paths):
    """What files and folders of logs hold.

    Returns:
        trajectory.Trajectory list; {run: {epoch: eigenvalues}} at its first, middle and last epoch.
    Raises:
        UserError: no such file, or not of that form.
    """
    trajectories, spectra = [], {}
    for file in (file for path in paths for file in _files(path)):
        if file.suffix == ".npz":
            spectra |= _spectra(file)
        else:
            trajectories += trajectory.read_csv(file)
    return trajectories, spectra


def _files(path):
    if not path.is_dir():
        return [path]
    return [path / name for name in (TRAJECTORIES, HESSIANS) if (path / name).is_file()]


def _spectra(file):
    """{run: {epoch: eigenvalues}} of a file of the Hessians RUN/epochNN/H [n, n]."""
    if not file.exists():
        raise UserError(f"cannot read {file}: No such file or directory")
    with files.damage(file, "restore it, or leave it out"):
        found = {}
        for name, H in files.load_npz(file).items():
            if match := _KEY.fullmatch(name):
                found.setdefault(match[1], {})[int(match[2])] = _checked(H)
    if not found:
        raise UserError(f"{file} holds no Hessians, arrays named RUN/epochNN/H")
    return {run: _some(epochs) for run, epochs in found.items()}


def _checked(H):
    if H.ndim != 2 or len(set(H.shape)) > 1 or H.dtype.kind != "f" or not 0 < len(H) <= _LARGEST:
        raise ValueError(f"a Hessian has shape {list(H.shape)}, {H.dtype}")
    return H.astype(np.float64)


def _some(hessians):
    return {
        epoch: np.linalg.eigvalsh(hessians[epoch])
        for epoch in spectrum.chosen(hessians)
        if spectrum.is_drawable(hessians[epoch])
    }
