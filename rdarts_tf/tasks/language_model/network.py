"""What search and derived networks share: tied embedding, decoder, where the dropout masks act."""

import typing

import keras
import tensorflow as tf


class Outputs(typing.NamedTuple):
    """Of a network on a window; time comes first.

    Attributes:
        logits: [T, B, V].
        raw: outputs of the cell [T, B, n].
        dropped: the same under their mask.
        hidden: [B, n], of the last time.
    """

    logits: tf.Tensor
    raw: tf.Tensor
    dropped: tf.Tensor
    hidden: tf.Tensor


def small_uniform():
    """U(-0.04, 0.04) of all matrices (the authors' code)."""
    return keras.initializers.RandomUniform(-0.04, 0.04)


class LanguageModel(keras.Model):
    """Embedding, one recurrent layer, decoder with the embedding's matrix and a bias.

    A subclass gives `unrolled(x, hidden, mask, ...)`.

    Args:
        vocabulary: V, number of words.
        hidden: n, of embedding, state and output.
        nodes: of the cell.
    """

    def __init__(self, vocabulary, hidden, nodes, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary, self.hidden, self.nodes = vocabulary, hidden, nodes

    def get_config(self):
        return super().get_config() | {"vocabulary": self.vocabulary, "hidden": self.hidden}

    def build(self, input_shape=None):
        """Makes the weights, in the order of the authors' parameters."""
        n, uniform = self.hidden, small_uniform()

        def add(name, shape, initializer):
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        self.embedding = add("embedding", (self.vocabulary, n), uniform)
        self.matrices = [add("w0", (2 * n, 2 * n), uniform)]
        self.matrices += [add(f"w{i + 1}", (n, 2 * n), uniform) for i in range(self.nodes)]
        self.bias = add("bias", (self.vocabulary,), "zeros")
        self.built = True

    def outputs(self, tokens, hidden, masks, **options):
        """Outputs.

        Args:
            tokens: [B, T] integers.
            hidden: [B, n].
            masks: {name: tensor} as `dropout.draw` gives them, or None.
            options: of `unrolled`.
        """
        masks = masks or {}
        table = tf.convert_to_tensor(self.embedding)
        tokens = tf.transpose(tokens)  # [T, B]
        x = lookup(table, tokens)
        if "word" in masks:
            x *= tf.gather(masks["word"], tokens)
        for name in ("embedding", "x"):
            x = x * masks[name] if name in masks else x
        raw = self.unrolled(x, hidden, masks.get("h"), **options)
        dropped = raw * masks["output"] if "output" in masks else raw
        rows = tf.reshape(dropped, [-1, self.hidden])
        rows = tf.concat([rows, tf.ones_like(rows[:, :1])], axis=1)  # times the bias
        table = tf.concat([table, tf.convert_to_tensor(self.bias)[:, None]], axis=1)
        logits = tf.matmul(rows, table, transpose_b=True)
        logits = tf.reshape(logits, tf.concat([tf.shape(tokens), [-1]], 0))
        logits = tf.ensure_shape(logits, [None, None, self.vocabulary])
        return Outputs(logits, raw, dropped, raw[-1])

    def read(self, x):
        """(x W_x for all times [T, B, 2n], [W_h, W_1, ...])."""
        n = self.hidden
        first, *matrices = [tf.convert_to_tensor(w) for w in self.matrices]
        of_x = tf.matmul(tf.reshape(x, [-1, n]), first[:n])
        of_x = tf.reshape(of_x, tf.concat([tf.shape(x)[:2], [2 * n]], 0))
        return tf.ensure_shape(of_x, [*x.shape[:2], 2 * n]), [first[n:], *matrices]


@tf.custom_gradient
def cross_entropy(logits, labels):
    """-log softmax(logits)[labels]: [m, V], int [m] -> [m].

    TensorFlow's own differentiates a gather where operations are deterministic, four times as slowly.
    """
    log_p = tf.nn.log_softmax(logits)

    def gradient(g):
        at = tf.stack([tf.range(tf.size(labels)), labels], axis=1)
        return tf.tensor_scatter_nd_sub(tf.exp(log_p) * g[:, None], at, g), None

    return -tf.gather(log_p, labels, batch_dims=1), gradient


@tf.custom_gradient
def lookup(table, tokens):
    """Rows of a table [V, n] by tokens [...] -> [..., n]; the gradient is dense."""
    size = tf.shape(table)[0]

    def gradient(g):
        rows = tf.reshape(g, [-1, g.shape[-1]])
        return tf.math.unsorted_segment_sum(rows, tf.reshape(tokens, [-1]), size), None

    return tf.gather(table, tokens), gradient
