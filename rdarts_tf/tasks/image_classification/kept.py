"""How many numbers a pass of a supernet keeps for its derivative, by which memory is estimated."""

from rdarts_tf.spaces.base import edges

# Images of the size of a node that a primitive keeps; where it halves them, of its input's size, too.
_KEPT = {"sep_conv": 8, "dil_conv": 4, "max_pool": 2, "avg_pool": 2, "conv": 4, "noise": 1}
_STRIDED = _KEPT | {"sep_conv": 11, "dil_conv": 7, "max_pool": 4, "avg_pool": 4, "skip_connect": 7}
_PREPROCESSING = 6


def values(space, cells, size):
    """Numbers for one example.

    Args:
        space: spaces.base.Space.
        cells: (cell type, channels of a node) of each cell.
        size: pixels that the first cell reads.
    """
    total = 0
    for cell_type, channels in cells:
        reduces = cell_type == "reduce"
        size = -(-size // 4) if reduces else size
        cell = space.cell(cell_type)
        images = _PREPROCESSING * (4 if reduces else 1)
        for (_, state), primitives in zip(edges(cell.num_nodes), cell.primitives, strict=True):
            of = _STRIDED if reduces and state < 2 else _KEPT
            images += sum(_images(of, name) for name in primitives)
        total += images * size * channels
    return total


def _images(of, name):
    return next((number for kind, number in of.items() if name.startswith(kind)), 0)
