"""Examples that an evaluation keeps, so that its network can be exported without the data. No TensorFlow."""

import io

import numpy as np

from rdarts_tf.runs import files

FILE = "samples.npz"
NUM = 64  # of each kind


def content(export, data):
    """What is kept, as bytes.

    Args:
        export: module of a task, see `tasks.base`.
        data: what its data sets load.
    """
    arrays = {"samples": export.samples(data, NUM)}
    if hasattr(export, "calibration"):
        arrays["calibration"] = export.calibration(data, NUM)
    kept = io.BytesIO()
    np.savez_compressed(kept, **arrays)
    return kept.getvalue()


def read(run_dir):
    """{"samples", "calibration": array} of an evaluation; {} if it kept none.

    Raises:
        RunDirError: the file is damaged.
    """
    with files.damage(run_dir.path / FILE):
        found = run_dir.read_bytes(FILE)
        return {} if found is None else files.load_npz(io.BytesIO(found))
