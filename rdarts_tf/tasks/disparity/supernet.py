"""The one-shot model of disparity networks."""

import keras
import tensorflow as tf

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

    def make_cell(self, channels, *, cell_type, before, name):
        return SearchCell(
            self._space.cell(cell_type),
            channels,
            cell_type=cell_type,
            before=before,
            normalised=self.normalised,
            batch_norm=self.batch_norm,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape=None):
        self.alphas = {
            cell_type: self.add_weight(
                name=f"alpha_{cell_type}",
                shape=cell.alpha_shape,
                initializer=keras.initializers.RandomNormal(0.0, 1e-3),
                trainable=False,
            )
            for cell_type, cell in self.space.cells.items()
        }
        super().build()

    def call(self, left, right, edge_weights=None, sampled=False, training=False):
        """See `Network.predictions`.

        Args:
            edge_weights: {cell type: [E, K]}; None is softmax(alpha).
            sampled: compute only what has edge weight 1, see `layers.cell.Cell.call`.
        """
        p = edge_weights or {
            t: tf.nn.softmax(tf.convert_to_tensor(alpha)) for t, alpha in self.alphas.items()
        }

        def of_cell(cell_type):
            return {"edge_weights": p[cell_type], "sampled": sampled}

        return self.predictions(left, right, of_cell, training=training)
