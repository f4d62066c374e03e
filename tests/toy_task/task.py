import keras
import tensorflow as tf

from rdarts_tf.tasks import base
from tests.toy_task import A, B, options


class Network(keras.Model):
    def __init__(self):
        super().__init__(dtype="float64", name="toy")
        self.w = self.add_weight(name="w", shape=(), initializer="zeros")
        self.alphas = {"toy": self.add_weight(name="alpha", shape=(1, 2), trainable=False)}
        self.built = True

    def call(self, edge_weights, training=False):
        return tf.convert_to_tensor(self.w), tf.cast(edge_weights["toy"][0, 0], tf.float64)


class Search(base.Problem):
    METRICS, num_steps, score_steps, network = options.METRICS, 20, 1, Network

    def recipe(self):
        return base.Recipe(lambda w, slots, g, rates: ([w[0] - g[0]], {}), (), 1e9)

    def search_epoch(self, config, epoch, *, first_step=0):
        train, valid = (tf.zeros([3], tf.float64),), (tf.ones([3], tf.float64),)
        return tf.data.Dataset.from_tensors((train, valid)).repeat(20 - first_step)

    def score_epoch(self, config, epoch):
        return tf.data.Dataset.from_tensors((tf.ones([3], tf.float64),))

    def count(self, batch):
        return tf.size(batch[0])

    def loss(self, call, batch, carry, *, edge_weights, **_):
        (w, p), (outer,) = call(edge_weights), batch
        losses = (1 - outer) * (w - p) ** 2 / 2 + outer * ((w - A) ** 2 + (p - B) ** 2) / 2
        return base.Output(tf.reduce_sum(losses), losses, carry)

    def sums(self, outputs, batch):
        return [tf.cast(x, tf.float32) for x in (tf.reduce_sum(outputs), tf.size(outputs))]


class Derived(keras.Model):
    def __init__(self):
        super().__init__(dtype="float64", name="derived")
        self.w = self.add_weight(name="w", shape=(), initializer="zeros")
        self.built = True

    def call(self, training=False):
        return tf.convert_to_tensor(self.w)


class Evaluation(Search):
    """min_w (w - p)^2 / 2, p by the cell."""

    SCORE, num_steps, network = options.SCORE, 4, Derived

    def __init__(self, config, data, *, seed):
        super().__init__(config, data)
        self.p = float("'on'" in config.genotype)

    def facts(self, net):
        return {"num_parameters": 1}

    def told(self, facts):
        return "1 parameter"

    def recipe(self):
        return base.Recipe(lambda w, slots, g, rates: ([w[0] - 0.1 * g[0]], {}), (), 1e9)

    def train_epoch(self, config, epoch, *, first_step=0):
        return self.score_epoch(config, epoch).repeat(4 - first_step)

    def loss(self, call, batch, carry, **_):
        losses = batch[0] * (call() - self.p) ** 2 / 2
        return base.Output(tf.reduce_sum(losses), losses, carry)
