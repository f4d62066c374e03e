"""S6: cells of a disparity network (Zela et al. 2020, app. E): three nodes, three primitives on each edge.

An upsampling cell has four inputs: the two cells before, the previous prediction and the encoder's output
of its own resolution. Its first node keeps all four edges, as in the authors' published cells.
"""

from rdarts_tf.spaces.base import CellSpace, Space, edges

_PRIMITIVES = ("max_pool_3x3", "sep_conv_3x3", "skip_connect")


def _cell(num_inputs, kept_edges):
    rows = (_PRIMITIVES,) * len(edges(3, num_inputs))
    return CellSpace(rows, 3, num_inputs, kept_edges)


SPACE = Space(
    "s6",
    {"normal": _cell(2, 2), "reduce": _cell(2, 2), "upsample": _cell(4, (4, 2, 2))},
    task="disparity",
)
