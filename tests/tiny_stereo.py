"""A space of disparity cells of one node, and a data set of random textures, moved by whole pixels."""

import numpy as np

from rdarts_tf.spaces import s6
from rdarts_tf.spaces.base import CellSpace, Space
from rdarts_tf.tasks.disparity import pairs

SIZE = (18, 34)
_ROW = s6.SPACE.cell("normal").primitives[:1]
SPACE = Space(
    "tiny_stereo",
    {
        "normal": CellSpace(_ROW * 2, 1),
        "reduce": CellSpace(_ROW * 2, 1),
        "upsample": CellSpace(_ROW * 4, 1, 4, (4,)),
    },
    task="disparity",
)


def _pair(rng):
    d, (height, width) = rng.integers(0, 5), SIZE
    wide = rng.integers(0, 256, (height, width + d, 3), dtype=np.uint8)
    truth = np.full(SIZE, d, np.float32)
    truth[:, : width // 4] = np.nan
    return wide[:, :width], wide[:, d:], truth


def load(*, data_dir=None, num=3, crops=2, valid=True):
    rng = np.random.default_rng(0)
    parts = [pairs.of_arrays([_pair(rng) for _ in range(num)], crops=crops) for _ in range(3)]
    digest = pairs.content_digest(parts)
    return pairs.Data("tiny", parts[0], parts[1] if valid else None, parts[2], digest)
