"""The cell of a derived network: every node sums two operations (Liu et al. 2019, sec. 2.4)."""

import keras
import tensorflow as tf

from rdarts_tf.layers import primitives
from rdarts_tf.layers.drop_path import drop_path


@keras.saving.register_keras_serializable("rdarts_tf")
class DerivedCell(keras.layers.Layer):
    """Two input states, nodes of two operations each, some states concatenated; BatchNorm is affine.

    Args:
        pairs: ((primitive, state), ...); the pairs 2i and 2i + 1 enter node i.
        concat: states whose concatenation is the output.
        channels: C of every state.
        reduction: operations on both inputs have stride 2.
        previous_reduction: s0 is twice as large as s1 and is reduced first.
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
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pairs = tuple((name, int(state)) for name, state in pairs)
        self.concat = tuple(concat)
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
        self.ops = [
            primitives.make(
                name,
                channels,
                stride=2 if reduction and state < 2 else 1,
                name=f"node{i // 2}_in{i % 2}_from{state}_{name}",
                **common,
            )
            for i, (name, state) in enumerate(self.pairs)
        ]

    def get_config(self):
        return super().get_config() | {
            "pairs": [list(pair) for pair in self.pairs],
            "concat": list(self.concat),
            "channels": self.channels,
            "reduction": self.reduction,
            "previous_reduction": self.previous_reduction,
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
        for first in range(0, len(self.ops), 2):
            terms = []
            for i in (first, first + 1):
                op, state = self.ops[i], self.pairs[i][1]
                source = rectified[state] if op.reads_relu else states[state]
                y = op(source, seed=seeds[i][0], training=training)
                dropped = drop_path_prob is not None and not isinstance(op, primitives.Identity)
                terms.append(drop_path(y, drop_path_prob, seed=seeds[i][1]) if dropped else y)
            states.append(terms[0] + terms[1])
            rectified.append(tf.nn.relu(states[-1]))
        return tf.concat([states[state] for state in self.concat], axis=-1)

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
