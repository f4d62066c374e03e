"""The cell of a derived network: every node sums operations, as a rule two (Liu et al. 2019, sec. 2.4)."""

import functools
import operator

import keras
import tensorflow as tf

from rdarts_tf.layers import primitives
from rdarts_tf.layers.drop_path import drop_path


@keras.saving.register_keras_serializable("rdarts_tf")
class DerivedCell(keras.layers.Layer):
    """Two input states, nodes of some operations each, some states concatenated; BatchNorm is affine.

    Args:
        pairs: ((primitive, state), ...), those that enter node 0 first.
        concat: states whose concatenation is the output.
        channels: C of every state.
        reduction: operations on both inputs have stride 2.
        previous_reduction: s0 is twice as large as s1 and is reduced first.
        sizes: number of pairs that enter each node; None: two. A node that none enters is zero.
        batch_norm: keyword arguments of every BatchNorm.
    Raises:
        ValueError: a reduction cell whose output contains an input, which is twice as large.
    """

    def __init__(
        self,
        pairs,
        concat,
        channels,
        *,
        reduction=False,
        previous_reduction=False,
        sizes=None,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pairs = tuple((name, int(state)) for name, state in pairs)
        self.concat = tuple(concat)
        self.sizes = (2,) * (len(self.pairs) // 2) if sizes is None else tuple(sizes)
        self.channels = channels
        self.reduction = reduction
        self.previous_reduction = previous_reduction
        self.batch_norm = batch_norm or {}
        if reduction and min(self.concat) < 2:
            raise ValueError(
                f"a reduction cell cannot concatenate its inputs, states 0 and 1: {list(concat)}"
            )
        common = {"affine": True, "batch_norm": self.batch_norm, "dtype": self.dtype_policy}
        first = primitives.FactorizedReduce if previous_reduction else primitives.ReLUConvBN
        self.preprocess0 = first(channels, name="preprocess0", **common)
        self.preprocess1 = primitives.ReLUConvBN(channels, name="preprocess1", **common)
        places = [(node, i) for node, size in enumerate(self.sizes) for i in range(size)]
        self.ops = [
            primitives.make(
                name,
                channels,
                stride=2 if reduction and state < 2 else 1,
                name=f"node{node}_in{i}_from{state}_{name}",
                **common,
            )
            for (node, i), (name, state) in zip(places, self.pairs, strict=True)
        ]

    def get_config(self):
        return super().get_config() | {
            "pairs": [list(pair) for pair in self.pairs],
            "concat": list(self.concat),
            "channels": self.channels,
            "reduction": self.reduction,
            "previous_reduction": self.previous_reduction,
            "sizes": list(self.sizes),
            "batch_norm": self.batch_norm,
        }

    @property
    def output_channels(self):
        return len(self.concat) * self.channels

    def build(self, s0_shape, s1_shape):
        self.preprocess0.build(s0_shape)
        self.preprocess1.build(s1_shape)
        for op in self.ops:
            op.build((None, None, None, self.channels))
        self.built = True

    def call(self, s0, s1, drop_path_prob=None, seed=None, training=False):
        """The cell's output.

        Args:
            s0, s1: outputs of the last but one and the last cell, [N, H, W, C0] and [N, H, W, C1]
                (s0 [N, 2H, 2W, C0] if the previous cell was a reduction).
            drop_path_prob: scalar, or None for none at all; acts in training, on the output of each
                operation but the identity.
            seed: int32 [2] for noise and drop path; without it noise is drawn afresh.
        Returns:
            [N, H, W, output_channels], half the size in a reduction cell.
        Raises:
            ValueError: drop path without a seed.
        """
        if not training:
            drop_path_prob = None
        states = [
            self.preprocess0(tf.nn.relu(s0), training=training),
            self.preprocess1(tf.nn.relu(s1), training=training),
        ]
        rectified = [tf.nn.relu(state) for state in states]
        seeds = self._seeds(seed, drop_path_prob)
        first = 0
        for size in self.sizes:
            terms = []
            for i in range(first, first + size):
                op, state = self.ops[i], self.pairs[i][1]
                source = rectified[state] if op.reads_relu else states[state]
                y = op(source, seed=seeds[i][0], training=training)
                dropped = drop_path_prob is not None and not isinstance(op, primitives.Identity)
                terms.append(drop_path(y, drop_path_prob, seed=seeds[i][1]) if dropped else y)
            states.append(functools.reduce(operator.add, terms) if terms else self._zero(states))
            first += size
            rectified.append(tf.nn.relu(states[-1]))
        return tf.concat([states[state] for state in self.concat], axis=-1)

    def _zero(self, states):
        """A node that nothing enters."""
        return tf.zeros_like(states[1][:, ::2, ::2] if self.reduction else states[1])

    def multiply_adds(self, height, width):
        """Multiplications of one image's convolutions, s1 being [height, width]."""
        total = self.preprocess0.multiply_adds(height, width)
        total += self.preprocess1.multiply_adds(height, width)
        height, width = self.output_size(height, width)
        return total + sum(op.multiply_adds(height, width) for op in self.ops)

    def output_size(self, height, width):
        """(height, width) of the output, s1 being [height, width]."""
        return (-(-height // 2), -(-width // 2)) if self.reduction else (height, width)

    def _seeds(self, seed, drop_path_prob):
        """(seed of noise, seed of drop path) of each operation; None where nothing is drawn."""
        noisy = any(name == "noise" for name, _ in self.pairs)
        if seed is None or not (noisy or drop_path_prob is not None):
            if drop_path_prob is not None:
                raise ValueError("drop path needs a seed")
            return [(None, None)] * len(self.ops)
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2 * len(self.ops)))
        return list(zip(seeds[::2], seeds[1::2], strict=True))
