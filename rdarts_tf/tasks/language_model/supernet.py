"""The one-shot network of recurrent cells."""

import keras
import tensorflow as tf

from rdarts_tf.layers import alphas, traced_once
from rdarts_tf.spaces.base import CellSpace
from rdarts_tf.tasks.language_model import recurrent_cell
from rdarts_tf.tasks.language_model.network import LanguageModel
from rdarts_tf.tasks.language_model.scan import scan


@keras.saving.register_keras_serializable("rdarts_tf.language_model")
class Supernet(LanguageModel):
    """A language model whose cell carries every primitive on every edge (Liu et al. 2019, sec. 3.1.2).

    Args:
        cell: spaces.base.CellSpace of recurrent cells, or its fields as a dict.
        vocabulary, hidden: see `LanguageModel`.
    Attributes:
        alphas: {"recurrent": non-trainable [E, K]}.
    """

    def __init__(self, cell, vocabulary, *, hidden, **kwargs):
        cell = CellSpace(**cell) if isinstance(cell, dict) else cell
        super().__init__(vocabulary, hidden, cell.num_nodes, **kwargs)
        self.cell = cell

    def build(self, input_shape=None):
        super().build()
        self.alphas = alphas.add(self, {"recurrent": self.cell})
        self.moving_mean, self.moving_variance = (
            self.add_weight(name=name, shape=(self.hidden,), initializer=start, trainable=False)
            for name, start in (("moving_mean", "zeros"), ("moving_variance", "ones"))
        )

    def call(self, tokens, hidden, edge_weights=None, masks=None, sampled=False, training=False):
        """network.Outputs.

        Args:
            tokens: [B, T] integers.
            hidden: [B, n].
            edge_weights: {"recurrent": [E, K]}; None is softmax(alpha).
            masks: see `dropout.draw`; None: nothing is dropped.
            sampled: each node has one edge weight 1, the others are 0; compute only that.
            training: normalise with the statistics of the batch, and move the moving ones.
        """
        if edge_weights is None:
            edge_weights = alphas.softmax(self.alphas)
        options = {"sampled": sampled, "training": training}
        return self.outputs(tokens, hidden, masks, p=edge_weights["recurrent"], **options)

    def unrolled(self, x, hidden, mask, *, p, sampled, training):
        """Outputs of the cell at all times: x [T, B, n], hidden [B, n], mask [B, n] or None -> [T, B, n]."""
        of_x, constants = self.read(x)
        constants.append(recurrent_cell.for_each_unit(tf.cast(p, x.dtype), self.hidden))
        constants += [] if mask is None else [mask]
        if not training:
            constants += [tf.convert_to_tensor(v) for v in (self.moving_mean, self.moving_variance)]
        step = recurrent_cell.search_step(
            self.cell,
            self.hidden,
            masked=mask is not None,
            sampled=sampled,
            training=training,
            jit=traced_once.compiled(),
        )
        later = [self.nodes + 1] if traced_once.differentiated_once() else []  # p
        found, memos = scan(step, [hidden], [of_x], constants, later=later)
        if training:
            self._move(*memos[-2:], tf.cast(tf.shape(hidden)[0], hidden.dtype))
        return found.y[0]

    def _move(self, mean, variance, count):
        """Moves the moving averages by all of a pass; the variance is made unbiased."""
        unbiased = variance * (count / tf.maximum(count - 1, 1))
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign(recurrent_cell.moved(tf.convert_to_tensor(moving), batch))
