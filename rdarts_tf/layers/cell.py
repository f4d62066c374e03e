"""The cell of the supernet: a directed acyclic graph of mixed operations (Liu et al. 2019, fig. 1)."""

import itertools

import keras
import tensorflow as tf

from rdarts_tf.layers.drop_path import drop_path
from rdarts_tf.layers.mixed_op import MixedOp, run_one
from rdarts_tf.layers.primitives import FactorizedReduce, ReLUConvBN
from rdarts_tf.layers.traced_once import linear
from rdarts_tf.spaces.base import edges


@keras.saving.register_keras_serializable("rdarts_tf")
class Cell(keras.layers.Layer):
    """Two input states, `num_nodes` nodes that each sum all their incoming edges, concatenated.

    Args:
        primitives: one tuple of names per edge, in the order of `spaces.base.edges`.
        channels: C of every node.
        num_nodes: intermediate nodes.
        reduction: the edges from both inputs have stride 2.
        previous_reduction: s0 is twice as large as s1 and is reduced first.
        batch_norm: keyword arguments of every BatchNorm.
    """

    def __init__(
        self,
        primitives,
        channels,
        *,
        num_nodes=4,
        reduction=False,
        previous_reduction=False,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.primitives = tuple(map(tuple, primitives))
        self.channels = channels
        self.num_nodes = num_nodes
        self.reduction = reduction
        self.previous_reduction = previous_reduction
        self.batch_norm = batch_norm or {}
        common = {"batch_norm": self.batch_norm, "dtype": self.dtype_policy}
        reduce = FactorizedReduce if previous_reduction else ReLUConvBN
        self.preprocess0 = reduce(channels, name="preprocess0", **common)
        self.preprocess1 = ReLUConvBN(channels, name="preprocess1", **common)
        shared = [{} for _ in range(num_nodes + 2)]
        self.mixed_ops = [
            MixedOp(
                names,
                channels,
                stride=self._stride(state),
                shared=shared[state],
                name=f"edge{e:02d}_node{node}_from{state}",
                **common,
            )
            for e, ((node, state), names) in enumerate(
                zip(edges(num_nodes), self.primitives, strict=True)
            )
        ]

    def _stride(self, state):
        return 2 if self.reduction and state < 2 else 1

    def get_config(self):
        return super().get_config() | {
            "primitives": [list(names) for names in self.primitives],
            "channels": self.channels,
            "num_nodes": self.num_nodes,
            "reduction": self.reduction,
            "previous_reduction": self.previous_reduction,
            "batch_norm": self.batch_norm,
        }

    def build(self, s0_shape, s1_shape):
        self.preprocess0.build(s0_shape)
        self.preprocess1.build(s1_shape)
        for mixed_op in self.mixed_ops:
            mixed_op.build((None, None, None, self.channels))
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
        terms = self._sampled_terms if sampled else self._weighted_terms
        terms_of_edge = terms(edge_weights, training=training)
        dropping = training and drop_path_prob is not None
        noise_seeds, path_seeds = self._seeds(seed, dropping)
        states = [
            self.preprocess0(tf.nn.relu(s0), training=training),
            self.preprocess1(tf.nn.relu(s1), training=training),
        ]
        rectified = [tf.nn.relu(state) for state in states]
        outputs = [{}, {}]  # of the operations that the edges from one state share
        incoming = iter(enumerate(edges(self.num_nodes)))
        for node in range(self.num_nodes):
            summands = []
            for e, (_, state) in itertools.islice(incoming, node + 2):
                terms = terms_of_edge(
                    e, states[state], rectified[state], outputs[state], noise_seeds[e]
                )
                if dropping and terms:
                    terms = [drop_path(tf.add_n(terms), drop_path_prob, seed=path_seeds[e])]
                summands += terms
            states.append(tf.add_n(summands) if summands else self._zeros(states[0]))
            rectified.append(tf.nn.relu(states[-1]))
            outputs.append({})
        return _concat(states[2:])

    def _weighted_terms(self, edge_weights, *, training):
        """(edge, x, rectified, outputs, seed) -> summands of the edge's output, see `MixedOp.terms`."""
        num_ops = edge_weights.shape[1]
        p = tf.unstack(tf.reshape(edge_weights, (-1,)), len(self.mixed_ops) * num_ops)

        def terms(e, x, rectified, outputs, seed):
            return self.mixed_ops[e].terms(
                x,
                p[e * num_ops : (e + 1) * num_ops],
                rectified=rectified,
                outputs=outputs,
                seed=seed,
                training=training,
            )

        return terms

    def _sampled_terms(self, path, *, training):
        """The same with one summand, of the operation that has a 1 in `path` [num_edges, num_ops]."""
        one = tf.argmax(path, axis=1, output_type=tf.int32)
        chosen = tf.unstack(tf.where(tf.reduce_any(path > 0, axis=1), one, -1))

        def terms(e, x, rectified, outputs, seed):
            ops = self.mixed_ops[e].ops
            for op in ops:
                if op.shareable and id(op) not in outputs:
                    unused = tf.reduce_all([chosen[edge] != k for edge, k in self._users(op)])
                    index = -tf.cast(unused, tf.int32)
                    outputs[id(op)] = run_one(index, [op], [x], training=training)
            inputs = [rectified if op.reads_relu else x for op in ops]
            return [run_one(chosen[e], ops, inputs, outputs=outputs, seed=seed, training=training)]

        return terms

    def _users(self, op):
        """(edge, column) of all edges that share `op`."""
        return [
            (e, k)
            for e, mixed_op in enumerate(self.mixed_ops)
            for k, other in enumerate(mixed_op.ops)
            if other is op
        ]

    def _zeros(self, state):
        return tf.zeros_like(state[:, ::2, ::2] if self.reduction else state)

    def _seeds(self, seed, dropping):
        """One seed an edge for noise and one for drop path; None where nothing is drawn."""
        num_edges = len(self.mixed_ops)
        noisy = any("noise" in names for names in self.primitives)
        if seed is None or not (noisy or dropping):
            if dropping:
                raise ValueError("drop path needs a seed")
            return [None] * num_edges, [None] * num_edges
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2 * num_edges))
        return seeds[:num_edges], seeds[num_edges:]


def _concat(states):
    """Along the channels; TensorFlow's gradient asks at run time how many, in a dozen operations."""
    (y,) = linear(
        lambda states: [tf.concat(states, axis=-1)],
        states,
        transpose=lambda g: tf.split(g[0], len(states), axis=-1),
    )
    return y
