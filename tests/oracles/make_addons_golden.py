"""Writes tests/data/addons_cutout.npz: what tensorflow_addons.image.cutout does to a few images.

Runs in an environment of its own, see requirements.txt beside this file; it imports nothing of
rdarts_tf. Arrays of the file, for n images, k lengths:

    images   float32 [n, h, w, c], h != w, no pixel is 0
    lengths  int32 [k], even
    centers  int32 [k, n, 2], (y, x) as in rdarts_tf.datasets.augment.cutout_at
    outputs  float32 [k, n, h, w, c]
    versions JSON, package -> version
"""

import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

TARGET = pathlib.Path(__file__).resolve().parents[1] / "data" / "addons_cutout.npz"
SHAPE = (4, 12, 15, 2)
LENGTHS = (2, 4, 6, 8)


def interior_centers(rng, length):
    """[n, 2]: at least one pixel lies between the hole and the border, so nothing is clipped.

    The `offset` of tensorflow_addons is the centre of the hole [y - L/2, y + L/2), as ours is.
    """
    count, height, width, _ = SHAPE
    first = length // 2 + 1
    y = rng.integers(first, height - first, count, endpoint=True)
    x = rng.integers(first, width - first, count, endpoint=True)
    return np.stack([y, x], axis=1).astype(np.int32)


def main():
    rng = np.random.default_rng(0)
    images = rng.uniform(0.5, 1.5, SHAPE).astype(np.float32)
    centers = np.stack([interior_centers(rng, length) for length in LENGTHS])
    outputs = [
        tfa.image.cutout(images, (length, length), offset=offset).numpy()
        for length, offset in zip(LENGTHS, centers, strict=True)
    ]
    modules = {"tensorflow": tf, "keras": keras, "tensorflow_addons": tfa, "numpy": np}
    np.savez_compressed(
        TARGET,
        images=images,
        lengths=np.array(LENGTHS, np.int32),
        centers=centers,
        outputs=np.stack(outputs),
        versions=json.dumps({name: module.__version__ for name, module in modules.items()}),
    )
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
