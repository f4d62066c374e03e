"""The relaxed choice of a primitive on one edge (Liu et al. 2019, eq. 2)."""

import keras
import tensorflow as tf

from rdarts_tf.layers import sums
from rdarts_tf.layers.primitives import PRIMITIVES, Zero, make, scaled


@keras.saving.register_keras_serializable("rdarts_tf")
class MixedOp(keras.layers.Layer):
    """o(x) = sum_k p_k o_k(x).

    Args:
        primitives: names, in the order of the edge weights.
        channels: C of input and output.
        stride: 1 or 2.
        shared: {name: layer} of operations without trainable weights, filled and read, that all
            edges from one state have in common; without it the edge owns all its operations.
        batch_norm: keyword arguments of every BatchNorm.
        kinds: {name: maker} of primitives.
    Raises:
        ValueError: unknown primitive.
    """

    def __init__(
        self,
        primitives,
        channels,
        *,
        stride=1,
        shared=None,
        batch_norm=None,
        kinds=PRIMITIVES,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.primitives = tuple(primitives)
        self.channels = channels
        self.stride = stride
        self.batch_norm = batch_norm or {}
        shared = {} if shared is None else shared
        self.ops = [self._make(k, name, shared, kinds) for k, name in enumerate(self.primitives)]

    def get_config(self):
        return super().get_config() | {
            "primitives": list(self.primitives),
            "channels": self.channels,
            "stride": self.stride,
            "batch_norm": self.batch_norm,
        }

    def _make(self, k, name, shared, kinds):
        op = make(
            name,
            self.channels,
            kinds=kinds,
            stride=self.stride,
            batch_norm=self.batch_norm,
            dtype=self.dtype_policy,
            name=f"op{k}_{name}",
        )
        return shared.setdefault(name, op) if op.shareable else op

    def build(self, x_shape):
        for op in self.ops:
            if not op.built:
                op.build(x_shape)
        self.built = True

    def terms(self, x, edge_weights, *, rectified=None, outputs=None, seed=None, training=False):
        """The summands p_k o_k(x); `none` has no term.

        Args:
            x: [N, H, W, C].
            edge_weights: scalars p_k, one per primitive.
            rectified: relu(x), if the caller has it.
            outputs: {operation: o(x)} of shared operations, filled and read.
            seed: int32 [2].
        Returns:
            list of [N, H', W', C].
        """
        rectified = tf.nn.relu(x) if rectified is None else rectified
        outputs = {} if outputs is None else outputs
        terms = []
        for op, p in zip(self.ops, edge_weights, strict=True):
            if isinstance(op, Zero):
                continue
            if op.shareable:
                if id(op) not in outputs:
                    outputs[id(op)] = op(x, training=training)
                terms.append(scaled(outputs[id(op)], p))
            else:
                source = rectified if op.reads_relu else x
                terms.append(op(source, scale=p, seed=seed, training=training))
        return terms

    def call(self, x, edge_weights, seed=None, training=False):
        """x [N, H, W, C], edge_weights [num_ops] -> [N, ceil(H / stride), ceil(W / stride), C]."""
        terms = self.terms(x, tf.unstack(edge_weights), seed=seed, training=training)
        return sums.add_n(terms) if terms else tf.zeros_like(x[:, :: self.stride, :: self.stride])


def run_one(chosen, ops, inputs, *, outputs=None, seed=None, training=False):
    """The output of one of several operations; the others are not computed.

    A branch may not assign variables, so it returns the moved statistics of its BatchNorm and passes on
    those of the others.

    Args:
        chosen: int32 scalar; zeros come out for -1.
        ops: primitives with outputs of one shape.
        inputs: x [N, H, W, C] of each.
        outputs: {operation: o(x)} of those that are computed already.
    Returns:
        [N, H', W', C].
    """
    outputs, stride = outputs or {}, ops[0].stride
    weights = [_values(op.trainable_variables) for op in ops]
    before = [_values(op.non_trainable_variables) for op in ops]

    def nothing():
        return tf.zeros_like(inputs[0][:, ::stride, ::stride]), before

    def branch(k, op):
        def run():
            if id(op) in outputs:
                return outputs[id(op)], before
            y, after = op.stateless_call(
                weights[k], before[k], inputs[k], seed=seed, training=training
            )
            after = [tf.stop_gradient(value) for value in after]
            return y, [*before[:k], after, *before[k + 1 :]]

        return nothing if isinstance(op, Zero) else run

    branches = [branch(k, op) for k, op in enumerate(ops)]
    y, after = tf.switch_case(chosen, branches, default=nothing)
    if training:
        for op, values in zip(ops, after, strict=True):
            for variable, value in zip(op.non_trainable_variables, values, strict=True):
                variable.assign(value)
    return y


def _values(variables):
    return [tf.convert_to_tensor(variable.value) for variable in variables]
