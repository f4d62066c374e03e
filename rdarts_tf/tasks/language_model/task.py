"""Language modelling as a task: one recurrent network, and how windows of text train it."""

import math

import tensorflow as tf

from rdarts_tf.tasks import base
from rdarts_tf.tasks.language_model import (
    averaging,
    dropout,
    ngrams,
    streams,
    trigger,
    virtual,
    windows,
)
from rdarts_tf.tasks.language_model.derived_network import DerivedNetwork
from rdarts_tf.tasks.language_model.network import cross_entropy
from rdarts_tf.tasks.language_model.options import METRICS, SCORE
from rdarts_tf.tasks.language_model.supernet import Supernet

_MANY_UNITS = 2**15  # of a state of all columns, where compiled sums save more than they cost
_LONGEST_LOSS = 700.0  # nats, beyond which e^loss overflows


class Modelling(base.Problem):
    """What searches and evaluations share: mean cross entropy of the next token, and its perplexity.

    The hidden states of each stream flow from window to window.

    Args:
        config: options.SearchConfig or EvaluateConfig.
        data: corpus.Corpus.
        seed: of windows and dropout.
        draw: see `windows.Epochs`.
    Raises:
        UserError: a text that is too short.
    """

    METRICS, SCORE, COUNTED = METRICS, SCORE, "tokens"
    num_sums = 2

    def __init__(self, config, data, *, seed, draw):
        super().__init__(config, data)
        self.train = self.in_columns("train", "batch_size", least=3)
        self.scored = self.in_columns("valid", "eval_batch_size")
        self.epochs = windows.Epochs(seed, len(self.train), config.bptt, draw)
        self.scoring = windows.passing(len(self.scored), config.bptt)
        self.score_steps = len(self.scoring)
        self.carries = {
            "train": [(config.batch_size, config.hidden)],
            "score": [(config.eval_batch_size, config.hidden)],
        }

    def in_columns(self, part, flag, *, least=2):
        """A part of the corpus [rows, batch]."""
        batch = getattr(self.config, flag)
        tokens = getattr(self.data, part)
        return streams.columns(tokens, batch, name=part, flag=flag, least=least)

    @property
    def num_steps(self):
        return self.epoch_steps(0)

    def epoch_steps(self, epoch):
        return len(self.epochs[epoch])

    def references(self):
        """Perplexities of counting words and pairs of words."""
        train, valid, size = self.data.train, self.data.valid, len(self.data.vocabulary)
        return {
            "unigram_perplexity": ngrams.unigram_perplexity(train, valid, size),
            "bigram_perplexity": ngrams.bigram_perplexity(train, valid, size),
        }

    def train_epoch(self, config, epoch, *, first_step=0):
        options = {"bptt": config.bptt, "first_step": first_step}
        return streams.epoch(self.train, self.epochs[epoch], **options)

    def score_epoch(self, config, epoch):
        return streams.epoch(self.scored, self.scoring, config.bptt)

    def count(self, batch):
        return tf.size(batch[0])

    def learning_rate_scale(self, batch):
        return batch[2][0]

    def loss(self, call, batch, carry, *, rates, seed, training, regularized=False, **network):
        """The Output; its total holds the penalties on activations where `regularized`.

        Differs from: the authors add the slowness of a window of one row, which is 0 / 0.
        """
        (tokens, targets, _), (hidden,) = batch, carry
        key = self.key(seed, rates) if training else None
        outputs = self.outputs(call, tokens, hidden, key, **network)
        logits = tf.reshape(outputs.logits, [-1, outputs.logits.shape[-1]])
        losses = cross_entropy(logits, tf.reshape(tf.transpose(targets), [-1]))
        total = nats = tf.reduce_sum(losses)
        if regularized:
            total += self._penalties(outputs) * tf.cast(tf.size(losses), total.dtype)
        return base.Output(total, nats, [outputs.hidden])

    def key(self, seed, rates):
        """Of dropout, int32 [2]."""
        return seed

    def outputs(self, call, tokens, hidden, key, **network):
        """network.Outputs of tokens [B, T] and hidden [B, n]; key int32 [2] of dropout, None: there is none."""
        masks = None
        if key is not None:
            size = {"hidden": self.config.hidden, "vocabulary": len(self.data.vocabulary)}
            batch = tf.shape(hidden)[0]
            masks = dropout.draw(key, self.config.dropouts, batch=batch, dtype=hidden.dtype, **size)
        return call(tokens, hidden, masks=masks, **network)

    def _penalties(self, outputs):
        """AR and TAR of Merity et al. 2018, sec. 4.4, means over this replica's part."""
        total, config = 0.0, self.config
        if config.activation_penalty:
            total += config.activation_penalty * tf.reduce_mean(tf.square(outputs.dropped))
        if config.slowness_penalty:
            steps = tf.square(outputs.raw[1:] - outputs.raw[:-1])
            num = tf.cast(tf.maximum(tf.size(steps), 1), steps.dtype)
            total += config.slowness_penalty * tf.reduce_sum(steps) / num
        return total

    def sums(self, outputs, batch):
        return [tf.cast(outputs, tf.float32), tf.cast(tf.size(batch[0]), tf.float32)]

    def metrics(self, sums):
        loss = sums[0] / max(sums[1], 1.0)
        return {"loss": loss, "perplexity": math.exp(min(loss, _LONGEST_LOSS))}


class Search(Modelling):
    """The bilevel problem: the training text trains weights, the validation text the architecture.

    XLA compiles the sums at a node, whose shapes do not depend on a window's length.

    Args:
        config: options.SearchConfig.
        data: corpus.Corpus.
    Raises:
        UserError: a text that is too short.
    """

    compiled_by_primitive = True

    def __init__(self, config, data):
        super().__init__(config, data, seed=config.seed, draw=windows.of_search)
        self.valid = self.in_columns("valid", "batch_size")
        self.carries["valid"] = [(config.batch_size, config.hidden)]

    def compiled(self, *, gpus):
        return self.config.batch_size * self.config.hidden >= _MANY_UNITS

    def network(self):
        cell, config = self.config.make_space().cell("recurrent"), self.config
        net = Supernet(
            cell,
            len(self.data.vocabulary),
            hidden=config.hidden,
            dtype=config.dtype,
            name="supernet",
        )
        net.build()
        return net

    def recipe(self):
        config = self.config
        if config.alpha_reference == "original":
            step = virtual.original(config.grad_clip, len(self.data.vocabulary) * config.hidden)
        else:
            step = virtual.ours(config.grad_clip, config.differentiate_clipping)
        return base.Recipe(virtual.sgd, (), config.grad_clip, (0.9, 0.999), step)

    def search_epoch(self, config, epoch, *, first_step=0):
        sequence = self.epochs[epoch]
        beside = windows.beside(sequence, len(self.valid), config.bptt)
        valid = streams.epoch(self.valid, beside, config.bptt, first_step=first_step)
        train = self.train_epoch(config, epoch, first_step=first_step)
        return tf.data.Dataset.zip(train, valid)

    def curvature_epoch(self, config, epoch, num):
        """Whole windows of the validation text, the last `num` of its pass."""
        rows, bptt = len(self.valid), min(config.bptt, len(self.valid) - 1)
        whole = [w for w in windows.passing(rows, bptt) if w.length == bptt]
        return streams.epoch(self.valid, [whole[i % len(whole)] for i in range(-num, 0)], bptt)

    def sample_epoch(self, config, epoch, number, *, first_step=0):
        return streams.epoch(self.scored, self.scoring, config.bptt, first_step=first_step)

    def outputs(self, call, tokens, hidden, key, *, sampled=False, **network):
        """See `Modelling.outputs`; with --sync_batch_norm the network is unrolled on all replicas' rows.

        So the statistics of BatchNorm are those of the whole batch at every node and time; dropout is
        what the first replica draws.
        """
        replica, of = tf.distribute.get_replica_context(), super().outputs
        num = 1 if replica is None else replica.num_replicas_in_sync
        if key is None or num == 1 or not self.config.sync_batch_norm:
            return of(call, tokens, hidden, key, sampled=sampled, **network)
        rows = tf.shape(tokens)[:1]
        first = tf.reduce_sum(replica.all_gather(rows, axis=0)[: replica.replica_id_in_sync_group])
        tokens, hidden, key = (replica.all_gather(x, axis=0) for x in (tokens, hidden, key))
        found = of(call, tokens, hidden, key[:2], sampled=sampled, **network)
        mine = slice(first, first + rows[0])
        by_time = [part[:, mine] for part in (found.logits, found.raw, found.dropped)]
        return type(found)(*by_time, found.hidden[mine])


class Evaluation(Modelling):
    """A derived network from scratch: SGD, then averaged SGD; the weights of the best epoch are tested.

    Merity et al. 2018, as the authors of DARTS train recurrent cells. A return to the best epoch draws
    other windows and other dropout.

    Args:
        config: options.EvaluateConfig, resolved.
        data: corpus.Corpus.
        seed: of windows and dropout.
    Raises:
        UserError: a text that is too short.
    """

    KEEPS_BEST = True

    def __init__(self, config, data, *, seed):
        super().__init__(config, data, seed=seed, draw=windows.of_evaluation)
        self._seed, self._by_returns = seed, {0: self.epochs}
        if config.split == "test":
            self.tested = self.in_columns("test", "test_batch_size")
            self.testing = windows.passing(len(self.tested), config.bptt)
            self.test_steps = len(self.testing)
            self.carries["test"] = [(config.test_batch_size, config.hidden)]

    def compiled(self, *, gpus):
        """XLA would compile every length of a window anew."""
        return False

    def network(self):
        return network_of(self.config, len(self.data.vocabulary))

    def facts(self, net):
        return {"num_parameters": net.num_parameters()}

    def told(self, facts):
        return f"{facts['num_parameters']:,} parameters; {self.config.hidden} units"

    def recipe(self):
        return base.Recipe(
            averaging.update,
            ("average",),
            self.config.grad_clip,
            scalars=("averaged_steps", "eta"),
            scored=averaging.scored,
        )

    def rates_after(self, config, epoch, history):
        switch = trigger.switch_epoch([row["score/loss"] for row in history])
        averaging_now = float(switch is not None and epoch > switch)
        return self.rates(config, epoch) | {
            "averaging": averaging_now,
            "returns": float(self.returns),
        }

    def key(self, seed, rates):
        return tf.random.fold_in(seed, tf.cast(rates["returns"], tf.int32))

    def epoch_steps(self, epoch):
        return len(self._sequence(epoch))

    def train_epoch(self, config, epoch, *, first_step=0):
        return streams.epoch(self.train, self._sequence(epoch), config.bptt, first_step=first_step)

    def test_epoch(self, config):
        return streams.epoch(self.tested, self.testing, config.bptt)

    def _sequence(self, epoch):
        """The windows of an epoch, after as many returns as there were."""
        if self.returns not in self._by_returns:
            seed = [self._seed, self.returns]
            rows, bptt = len(self.train), self.config.bptt
            self._by_returns[self.returns] = windows.Epochs(seed, rows, bptt, windows.of_evaluation)
        return self._by_returns[self.returns][epoch]


def network_of(config, vocabulary, **changes):
    """The built DerivedNetwork of a configuration.

    Args:
        config: options.EvaluateConfig, resolved.
        vocabulary: number of words.
        changes: arguments of DerivedNetwork that differ.
    """
    arguments = {"hidden": config.hidden, "dtype": config.dtype, "name": "network"}
    net = DerivedNetwork(config.genotype, vocabulary, **(arguments | changes))
    net.build()
    return net
