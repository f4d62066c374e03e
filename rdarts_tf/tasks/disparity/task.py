"""Disparity estimation as a task: one supernet or derived network, and how pairs train it."""

import dataclasses
import functools

import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.tasks import base
from rdarts_tf.tasks.disparity import errors, pairs, pictures, references, streams
from rdarts_tf.tasks.disparity.derived_network import DerivedNetwork
from rdarts_tf.tasks.disparity.options import METRICS, SCORE
from rdarts_tf.tasks.disparity.supernet import Supernet

_ADAM_BETAS = (0.9, 0.999)


class Matching(base.Problem):
    """What searches and evaluations share: end-point errors of (left, right, disparity).

    Means are over the known pixels of each image, then over the images that have any.

    Args:
        config: options.SearchConfig or EvaluateConfig.
        data: pairs.Data.
        seed: of order, crops and augmentation.
        train, scored: pairs.Parts.
    Raises:
        UserError: crops or batches that the parts do not have.
    """

    METRICS, SCORE = METRICS, SCORE

    def __init__(self, config, data, *, seed, train, scored):
        super().__init__(config, data)
        self.seed, self.train, self.scored = seed, train, scored
        self.check(train, "training")
        self.num_steps = streams.num_steps(train.draws, config.batch_size)
        self.score_steps = streams.num_steps(len(scored), config.batch_size)

    def check(self, part, name):
        """Raises UserError unless a part has crops for a batch."""
        config = self.config
        streams.check(part, batch_size=config.batch_size, crop=config.crop, name=name)

    def references(self):
        return self._references

    @functools.cached_property
    def _references(self):
        return references.of(self.train, self.scored)

    def train_epoch(self, config, epoch, *, first_step=0):
        return self._pass_over(self.train, config, epoch, first_step)

    def score_epoch(self, config, epoch):
        return self._whole(self.scored)

    def _pass_over(self, part, config, epoch, first_step):
        return streams.train_batches(
            part,
            **self.cropping(config),
            seed=self.seed,
            epoch=epoch,
            first_step=first_step,
        )

    def cropping(self, config):
        """Keyword arguments of the streams that train."""
        return {
            "batch_size": config.batch_size,
            "crop": config.crop,
            "augmentation_scale": config.augmentation_scale,
        }

    def _whole(self, part):
        size = {"batch_size": self.config.batch_size, "multiple": self.config.size.multiple}
        return streams.score_batches(part, **size)

    def count(self, batch):
        return tf.maximum(_num_known(batch), 1)

    def loss(self, call, batch, carry, *, rates, seed, training, regularized=False, **network):
        left, right, truth = batch
        predictions = call(left, right, **network)
        losses = errors.end_point_error(predictions, truth, self.config.size.finest)
        total = tf.reduce_sum(losses)
        return base.Output(total, (total, predictions[-1]), carry)

    def sums(self, outputs, batch):
        total, prediction = outputs
        of_image = errors.of_image(prediction, batch[2])
        sums = (total, *map(tf.reduce_sum, of_image), _num_known(batch))
        return [tf.cast(x, tf.float32) for x in sums]

    def pictures(self, net):
        """{name: uint8 [H, W, 3]} of the first scored pair."""
        left, right, truth = next(iter(self._whole(self.scored.take(slice(0, 1)))))
        prediction = net(left, right, training=False)[-1]
        return pictures.of(left[0], truth[0], prediction[0])


class Search(Matching):
    """The bilevel problem: training pairs train weights, validation pairs the architecture.

    Args:
        config: options.SearchConfig.
        data: pairs.Data.
    Raises:
        UserError: crops or batches that the parts do not have.
    """

    compiled_by_primitive = True

    def __init__(self, config, data):
        train, valid = pairs.split_search(data, config.train_portion)
        super().__init__(config, data, seed=config.seed, train=train, scored=valid)
        self.check(valid, "search validation")

    def network(self):
        net = Supernet(
            self.config.make_space(),
            self.config.size,
            normalised=self.config.batch_norm,
            batch_norm=self.config.batch_norm_options,
            stop_prediction=self.config.stop_prediction,
            dtype=self.config.dtype,
            name="supernet",
        )
        net.build()
        return net

    def recipe(self):
        update = optimizers.momentum_sgd(self.config.momentum)
        return base.Recipe(update, ("momentum",), self.config.grad_clip)

    def rates(self, config, epoch):
        """Cosine annealing."""
        highest, least = config.learning_rate, config.learning_rate_min
        learning_rate = optimizers.cosine(epoch, config.epochs, highest, least)
        return {"learning_rate": learning_rate, "weight_decay": config.weight_decay}

    def search_epoch(self, config, epoch, *, first_step=0):
        return streams.search_batches(
            self.train,
            self.scored,
            **self.cropping(config),
            seed=self.seed,
            epoch=epoch,
            first_step=first_step,
        )

    def sample_epoch(self, config, epoch, number, *, first_step=0):
        """Each pass is permuted, so that no architecture is always judged by the same pairs."""
        return streams.sample_batches(
            self.scored,
            batch_size=self.config.batch_size,
            multiple=self.config.size.multiple,
            seed=self.seed,
            number=number,
            first_step=first_step,
        )


class Evaluation(Matching):
    """A derived network from scratch, by Adam.

    Where the data have validation pairs, the weights that are best on them are tested.

    Args:
        config: options.EvaluateConfig, resolved.
        data: pairs.Data.
        seed: of order, crops and augmentation.
    Raises:
        UserError: crops or batches that the parts do not have.
    """

    def __init__(self, config, data, *, seed):
        self.tested = None
        if config.split == "search":
            train, scored = pairs.split_search(data, config.train_portion)
        else:
            train, scored = pairs.training_part(data), data.valid or data.test
        super().__init__(config, data, seed=seed, train=train, scored=scored)
        if config.split == "test" and data.valid is not None:
            self.tested, self.KEEPS_BEST = data.test, True
            self.test_steps = streams.num_steps(len(data.test), config.batch_size)
        self.further = None
        if config.test_also:
            self.further = dataclasses.replace(config, dataset=config.test_also).load_dataset()

    def network(self):
        return network_of(self.config)

    def facts(self, net):
        """Parameters; of a test part, what needs no network, too."""
        found = {} if self.tested is None else references.of(self.train, self.tested)
        return {"num_parameters": net.num_parameters()} | {f"test_{k}": v for k, v in found.items()}

    def told(self, facts):
        told = f"{facts['num_parameters']:,} parameters"
        if "test_constant_epe" not in facts:
            return told
        return (
            f"{told}; test EPE without a network: training median {facts['test_constant_epe']:.3f}, "
            f"the test pairs' own median {facts['test_median_epe']:.3f}, block matching "
            f"{facts['test_block_matching_epe']:.3f} pixels"
        )

    def recipe(self):
        return base.Recipe(_adam, ("m", "v"), self.config.grad_clip, scalars=("step",))

    def rates(self, config, epoch):
        learning_rate = optimizers.cosine(epoch, config.epochs, config.learning_rate)
        return {"learning_rate": learning_rate, "weight_decay": config.weight_decay}

    def train_epoch(self, config, epoch, *, first_step=0):
        return streams.train_batches(
            self.train,
            **self.cropping(config),
            seed=self.seed + (self.returns << 16),
            epoch=epoch,
            first_step=first_step,
        )

    def test_epoch(self, config):
        return self._whole(self.tested)

    def further_tests(self, net):
        """The metrics on the test pairs of --test_also."""
        if self.further is None:
            return {}

        @tf.function(autograph=False)
        def sums_of(batch):
            mode = {"rates": {}, "seed": None, "training": False}
            found = self.loss(lambda *x: net(*x, training=False), batch, [], **mode)
            return tf.stack(self.sums(found.outputs, batch))

        sums = sum(sums_of(batch).numpy() for batch in self._whole(self.further.test))
        return {f"{self.further.name}_{k}": v for k, v in self.metrics(sums.tolist()).items()}


def _adam(w, slots, g, rates):
    rate, weight_decay = (
        tf.cast(rates[name], w[0].dtype) for name in ("learning_rate", "weight_decay")
    )
    step = slots["step"][0] + 1
    w, m, v = optimizers.adam(
        w,
        slots["m"],
        slots["v"],
        g,
        step=step,
        learning_rate=rate,
        beta_1=_ADAM_BETAS[0],
        beta_2=_ADAM_BETAS[1],
        weight_decay=weight_decay,
    )
    return w, {"m": m, "v": v, "step": [step]}


def _num_known(batch):
    """Images of a batch that have a known pixel, int32."""
    known = tf.reduce_any(errors.known(batch[2]), axis=(1, 2))
    return tf.reduce_sum(tf.cast(known, tf.int32))


def network_of(config, **changes):
    """The built DerivedNetwork of a configuration.

    Args:
        config: options.EvaluateConfig, resolved.
        changes: arguments of DerivedNetwork that differ.
    """
    arguments = {
        "normalised": config.batch_norm,
        "batch_norm": config.batch_norm_options,
        "stop_prediction": config.stop_prediction,
        "dtype": config.dtype,
        "name": "network",
    }
    net = DerivedNetwork(config.genotype, config.size, **(arguments | changes))
    net.build()
    return net
