"""The cell of the supernet: a directed acyclic graph of mixed operations (Liu et al. 2019, fig. 1)."""

import keras
import tensorflow as tf

from rdarts_tf.layers.mixed_nodes import MixedNodes
from rdarts_tf.layers.primitives import FactorizedReduce, ReLUConvBN


@keras.saving.register_keras_serializable("rdarts_tf")
class Cell(MixedNodes):
    """Two input states, `num_nodes` nodes that each sum all their incoming edges, concatenated.

    Args:
        primitives, channels, num_nodes, reduction, batch_norm: see `MixedNodes`.
        previous_reduction: s0 is twice as large as s1 and is reduced first.
    """

    def __init__(self, primitives, channels, *, previous_reduction=False, **kwargs):
        super().__init__(primitives, channels, **kwargs)
        self.previous_reduction = previous_reduction
        common = {"batch_norm": self.batch_norm, "dtype": self.dtype_policy}
        reduce = FactorizedReduce if previous_reduction else ReLUConvBN
        self.preprocess0 = reduce(channels, name="preprocess0", **common)
        self.preprocess1 = ReLUConvBN(channels, name="preprocess1", **common)
        self.make_nodes()

    def get_config(self):
        return super().get_config() | {"previous_reduction": self.previous_reduction}

    def build(self, s0_shape, s1_shape):
        self.preprocess0.build(s0_shape)
        self.preprocess1.build(s1_shape)
        self.build_nodes()
        self.built = True

    def call(
        self,
        s0,
        s1,
        edge_weights=None,
        drop_path_prob=None,
        seed=None,
        sampled=False,
        training=False,
    ):
        """The cell's output.

        Args:
            s0, s1: outputs of the last but one and the last cell, [N, H, W, C0] and [N, H, W, C1]
                (s0 [N, 2H, 2W, C0] if the previous cell was a reduction).
            edge_weights: [num_edges, num_ops].
            drop_path_prob: scalar, or None for none at all; acts on the output of each edge.
            seed: int32 [2] for noise and drop path.
            sampled: the edge weights are 0 but for at most a 1 in each row; only the operations of
                the ones are computed, and only their BatchNorm statistics move.
        Returns:
            [N, H, W, num_nodes * channels], half the size in a reduction cell.
        """
        states = [
            self.preprocess0(tf.nn.relu(s0), training=training),
            self.preprocess1(tf.nn.relu(s1), training=training),
        ]
        return self.nodes(
            states,
            edge_weights,
            drop_path_prob=drop_path_prob,
            seed=seed,
            sampled=sampled,
            training=training,
        )
