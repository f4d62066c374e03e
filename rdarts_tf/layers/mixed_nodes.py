"""Nodes that each sum the mixed operations of all states before them: the graph of every cell of a supernet."""

import itertools

import keras
import tensorflow as tf

from rdarts_tf.layers import sums
from rdarts_tf.layers.drop_path import drop_path
from rdarts_tf.layers.mixed_op import MixedOp, run_one
from rdarts_tf.layers.primitives import PRIMITIVES
from rdarts_tf.layers.traced_once import with_vjp
from rdarts_tf.spaces.base import edges


class MixedNodes(keras.layers.Layer):
    """Base of a cell (Liu et al. 2019, fig. 1); a subclass makes the input states.

    Args:
        primitives: one tuple of names per edge, in the order of `spaces.base.edges`.
        channels: C of every node.
        num_nodes: intermediate nodes.
        num_inputs: input states.
        reduction: the edges from all inputs have stride 2.
        batch_norm: keyword arguments of every BatchNorm.
    """

    def __init__(
        self,
        primitives,
        channels,
        *,
        num_nodes=4,
        num_inputs=2,
        reduction=False,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.primitives = tuple(map(tuple, primitives))
        self.channels = channels
        self.num_nodes, self.num_inputs = num_nodes, num_inputs
        self.reduction = reduction
        self.batch_norm = batch_norm or {}

    def make_nodes(self, kinds=PRIMITIVES):
        """To be called once, when the layers of the inputs are made.

        Args:
            kinds: {name: maker} of primitives.
        """
        shared = [{} for _ in range(self.num_nodes + self.num_inputs)]
        self.mixed_ops = [
            MixedOp(
                names,
                self.channels,
                stride=self._stride(state),
                shared=shared[state],
                name=f"edge{e:02d}_node{node}_from{state}",
                batch_norm=self.batch_norm,
                kinds=kinds,
                dtype=self.dtype_policy,
            )
            for e, ((node, state), names) in enumerate(
                zip(edges(self.num_nodes, self.num_inputs), self.primitives, strict=True)
            )
        ]

    def _stride(self, state):
        return 2 if self.reduction and state < self.num_inputs else 1

    def get_config(self):
        return super().get_config() | {
            "primitives": [list(names) for names in self.primitives],
            "channels": self.channels,
            "num_nodes": self.num_nodes,
            "reduction": self.reduction,
            "batch_norm": self.batch_norm,
        }

    def build_nodes(self):
        for mixed_op in self.mixed_ops:
            mixed_op.build((None, None, None, self.channels))

    def nodes(
        self,
        states,
        edge_weights,
        *,
        drop_path_prob=None,
        seed=None,
        sampled=False,
        training=False,
    ):
        """The concatenated nodes.

        Args:
            states: of the inputs, list of [N, H, W, channels].
            edge_weights, drop_path_prob, seed, sampled: see `cell.Cell.call`.
        Returns:
            [N, H, W, num_nodes * channels], half the size in a reduction cell.
        """
        terms = self._sampled_terms if sampled else self._weighted_terms
        terms_of_edge = terms(edge_weights, training=training)
        dropping = training and drop_path_prob is not None
        noise_seeds, path_seeds = self._seeds(seed, dropping)
        states = list(states)
        rectified = [tf.nn.relu(state) for state in states]
        outputs = [{} for _ in states]  # of the operations that the edges from one state share
        incoming = iter(enumerate(edges(self.num_nodes, self.num_inputs)))
        for node in range(self.num_nodes):
            summands = []
            for e, (_, state) in itertools.islice(incoming, node + self.num_inputs):
                terms = terms_of_edge(
                    e, states[state], rectified[state], outputs[state], noise_seeds[e]
                )
                if dropping and terms:
                    terms = [drop_path(sums.add_n(terms), drop_path_prob, seed=path_seeds[e])]
                summands += terms
            states.append(sums.add_n(summands) if summands else self._zeros(states[0]))
            rectified.append(tf.nn.relu(states[-1]))
            outputs.append({})
        return _concat(states[self.num_inputs :])

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
    (y,) = with_vjp(
        lambda states: [tf.concat(states, axis=-1)],
        states,
        vjp=lambda g: tf.split(g[0], len(states), axis=-1),
    )
    return y
