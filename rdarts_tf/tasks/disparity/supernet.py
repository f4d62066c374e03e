"""The one-shot model of disparity networks."""

from rdarts_tf.layers import alphas
from rdarts_tf.tasks.disparity.cells import SearchCell
from rdarts_tf.tasks.disparity.network import Network


class Supernet(Network):
    """A disparity network whose cells carry every primitive on every edge.

    Args:
        space: spaces.base.Space with the cells normal, reduce and upsample.
        size, others: see `network.Network`.
    Attributes:
        alphas: {cell type: non-trainable [E, K]}.
    """

    def __init__(self, space, size, **kwargs):
        self._space = space  # read by make_cell, before the layers of a model can be
        super().__init__(size, **kwargs)
        self.space = space

    def make_cell(self, channels, *, cell_type, **options):
        return SearchCell(self._space.cell(cell_type), channels, cell_type=cell_type, **options)

    def build(self, input_shape=None):
        self.alphas = alphas.add(self, self.space.cells)
        super().build()

    def call(self, left, right, edge_weights=None, sampled=False, training=False):
        """See `Network.predictions`.

        Args:
            edge_weights: {cell type: [E, K]}; None is softmax(alpha).
            sampled: compute only what has edge weight 1, see `layers.cell.Cell.call`.
        """
        p = edge_weights or alphas.softmax(self.alphas)

        def of_cell(cell_type):
            return {"edge_weights": p[cell_type], "sampled": sampled}

        return self.predictions(left, right, of_cell, training=training)
