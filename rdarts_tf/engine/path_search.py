"""A search that trains one sampled architecture a step, then selects the best of many.

Everything drawn is a function of (seed, epoch), so that a resumed run equals an uninterrupted one.
"""

import hashlib
import math

import numpy as np
import tensorflow as tf

from rdarts_tf.engine import distribution, epochs, search_run, search_steps
from rdarts_tf.engine.batches import iterate
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype, rule
from rdarts_tf.runs.run_dir import selection_file

_TRAIN, _VALIDATE, _SELECT = range(3)  # streams of sampled architectures


class PathSearchRun(search_run.SearchRun):
    """The search of a method with a `selection`, in its run directory.

    Args and Raises: as `search_run.SearchRun`.
    """

    TRAINER = search_steps.PathSearch

    def _check_steps(self):
        """Raises UserError where selection or budget do not fit the splits."""
        wanted = self.method.selection.score_batches
        steps = [self.problem.epoch_steps(epoch) for epoch in range(self.config.epochs)]
        usual = -(-sum(steps) // len(steps))
        self.steps_by_epoch = _cut(steps, self.method.total_steps(self.config, usual))
        if wanted > self.problem.score_steps:
            raise UserError(
                f"method argument score_batches={wanted} but the search validation split has "
                f"{self.problem.score_steps} batches; take as many at most"
            )

    @property
    def num_epochs(self):
        return len(self.steps_by_epoch)

    def genotype(self):
        """The architecture that the last finished epoch selected."""
        return genotype.parse(self.logbook.rows[-1]["genotype"], self.space)

    def _epoch_steps(self, epoch):
        return self.steps_by_epoch[epoch]

    def _search_epoch(self, config, epoch, *, first_step):
        batches = self.problem.train_epoch(config, epoch, first_step=first_step)
        paths = self._sample(_TRAIN, self.problem.epoch_steps(epoch))
        return with_paths(batches, {t: p[first_step:] for t, p in paths.items()})

    def _validate(self):
        """{metric: number} of sampled paths, one a batch."""
        paths = self._sample(_VALIDATE, self.problem.score_steps)
        batches = with_paths(self.validation_epoch(self.epoch), paths)
        return self._score(batches, label="validation", num_steps=self.problem.score_steps)

    def _sample(self, stream, num):
        """{cell type: [num, E, K]}: architectures of the present epoch."""
        rng = np.random.default_rng([self.config.seed, self.epoch, stream])
        return self.method.edge_weights(self.space, rng, num)

    def _alphas(self):
        """None: alpha is not trained."""
        return {}

    def _select(self):
        """The best of the epoch's sample, a Genotype; None where no selection is due.

        What is scored is written to selections/epoch_*.json on the way, so that a killed selection
        goes on where it was, from a checkpoint of the epoch's end.
        """
        every, number = self.method.selection.every, self.epoch + 1
        if number < self.num_epochs and not (every and number % every == 0):
            return None
        self._checkpoint(self.num_steps)
        paths = distinct(self._sample(_SELECT, self.method.selection.n_samples))
        record = self._unfinished_selection()
        done = {name: len(record[name]) for name in ("scored", "top")}
        distribution.check_same(self.trainer.strategy, epochs.SHARED, **done)
        self._score_sample(paths, record)
        self._score_top(paths, record)
        best = max(record["top"], key=lambda entry: self._goodness(entry))  # the first of equals
        if best[self._metric.name] is None:
            raise epochs.Diverged(self._divergence(self.num_steps - 1))
        return genotype.parse(best["genotype"], self.space)

    @property
    def _metric(self):
        """The Metric by which architectures are compared."""
        return self.problem.METRICS[-1]

    def _goodness(self, metrics):
        value = metrics[self._metric.name]
        return -math.inf if value is None else self._metric.better * value

    def _unfinished_selection(self):
        """The epoch's record so far; scores of other weights are not taken up."""
        digest = hashlib.sha256()
        for variable in self.net.variables:
            digest.update(variable.numpy().tobytes())
        weights = digest.hexdigest()
        found = self.run_dir.read_json(selection_file(self.epoch))
        if found and found["weights"] == weights:
            return found
        return {"epoch": self.epoch, "weights": weights, "scored": [], "top": []}

    def _score_sample(self, paths, record):
        """Appends to record["scored"] {"genotype", "score": metric} of each path that is not there."""
        scored, num_batches = record["scored"], self.method.selection.score_batches
        rest = {t: p[len(scored) :] for t, p in paths.items()}
        batches = self._scoring_batches(num_batches * len(scored))
        iterator = iterate(with_paths(batches, rest, repeat=num_batches))
        steps, epoch = (tf.constant(0), tf.constant(num_batches)), tf.constant(self.epoch)

        def block(first, last):
            for index in range(int(first), int(last)):
                self.trainer.reset("score")
                self.trainer.validate_block(iterator, *steps, epoch)
                score = _finite(self.trainer.metrics()[self._metric.name])
                found = rule.of_path(self.space, {t: p[index] for t, p in paths.items()})
                scored.append({"genotype": str(found), "score": score})
            self.run_dir.save_selection(self.epoch, record)

        num = len(next(iter(paths.values())))
        self._score_blocks("sampled architectures", block, len(scored), num_steps=num)

    def _score_top(self, paths, record):
        """Appends to record["top"] the best of record["scored"] with the metric on the whole split."""
        top, name = record["top"], self._metric.name
        goodness = [self._goodness({name: entry["score"]}) for entry in record["scored"]]
        order = sorted(range(len(goodness)), key=lambda i: -goodness[i])  # equal ones as sampled
        best = order[: self.method.selection.top]
        for index in best[len(top) :]:
            path = {t: p[index : index + 1] for t, p in paths.items()}
            steps = self.problem.score_steps
            batches = with_paths(self.validation_epoch(self.epoch), path, repeat=steps)
            label = f"best architectures, {len(top) + 1} of {len(best)}"
            found = self._score(batches, label=label, num_steps=steps)
            top.append(record["scored"][index] | {name: _finite(found[name])})
            self.run_dir.save_selection(self.epoch, record)

    def _scoring_batches(self, first):
        """Validation batches from number `first` on, of passes without end; the same in all selections."""
        config = self.decisions.in_force(self.epoch)

        def one_pass(number, first_step=0):
            return self.problem.sample_epoch(config, self.epoch, number, first_step=first_step)

        number, step = divmod(first, self.problem.score_steps)
        numbers = tf.data.Dataset.range(number + 1, tf.int32.max, output_type=tf.int32)
        return one_pass(number, step).concatenate(numbers.flat_map(one_pass))


def _finite(score):
    """None where an architecture has no score, which is worse than all others."""
    return score if math.isfinite(score) else None


def make_run(config, run_dir, *, say=print):
    """The run that the method of a configuration needs; see `search_run.SearchRun`."""
    kind = PathSearchRun if config.make_method().selection else search_run.SearchRun
    return kind(config, run_dir, say=say)


def _cut(steps, total):
    """The steps of each epoch, of which `total` are made."""
    made = [min(num, total - sum(steps[:epoch])) for epoch, num in enumerate(steps)]
    return [num for num in made if num > 0]


def with_paths(batches, paths, *, repeat=1):
    """tf.data.Dataset of (batch, path), as long as the shorter of both.

    Args:
        batches: tf.data.Dataset.
        paths: {cell type: [n, E, K]}.
        repeat: batches that each path gets.
    """
    elements = tf.data.Dataset.from_tensor_slices(paths)
    if repeat > 1:
        elements = elements.flat_map(lambda path: tf.data.Dataset.from_tensors(path).repeat(repeat))
    return tf.data.Dataset.zip(batches, elements)


def distinct(paths):
    """`paths` {cell type: [n, E, K]} without those that were there before."""
    num = len(next(iter(paths.values())))
    seen = {}
    for index in range(num):
        seen.setdefault(b"".join(p[index].tobytes() for p in paths.values()), index)
    return {t: p[list(seen.values())] for t, p in paths.items()}
