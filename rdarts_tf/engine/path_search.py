"""A search that trains one sampled architecture a step, then selects the best of many.

Everything drawn is a function of (seed, epoch), so that a resumed run equals an uninterrupted one.
"""

import hashlib

import numpy as np
import tensorflow as tf

from rdarts_tf.config.search import ConfigError
from rdarts_tf.engine import search_run, search_steps
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs.run_dir import selection_file
from rdarts_tf.tasks.image_classification import data

_TRAIN, _VALIDATE, _SELECT = range(3)  # streams of sampled architectures


class PathSearchRun(search_run.SearchRun):
    """The search of a method with a `selection`, in its run directory.

    Args and Raises: as `search_run.SearchRun`.
    """

    TRAINER = search_steps.PathSearch

    def _check_steps(self):
        """Raises UserError where selection or budget do not fit the splits."""
        self.epoch_steps, wanted = self.num_steps, self.method.selection.score_batches
        self.total_steps = self.method.total_steps(self.config, self.epoch_steps)
        if wanted > self.valid_steps:
            raise ConfigError(
                f"method argument score_batches={wanted} but the search validation split has "
                f"{self.valid_steps} batches; take as many at most"
            )

    @property
    def num_epochs(self):
        return data.num_steps(self.total_steps, self.epoch_steps)

    def genotype(self):
        """The architecture that the last finished epoch selected."""
        return genotype.parse(self.run_dir.read_metrics()[-1]["genotype"])

    def _run_epoch(self):
        self.num_steps = min(self.epoch_steps, self.total_steps - self.epoch * self.epoch_steps)
        super()._run_epoch()

    def _search_epoch(self, epoch, regularization, *, first_step):
        batches = data.train_epoch(
            self.train,
            batch_size=self.config.batch_size,
            augment=self._augmentation(regularization),
            seed=self.config.seed,
            epoch=epoch,
            first_step=first_step,
        )
        paths = self._sample(_TRAIN, self.epoch_steps)
        return with_paths(batches, {t: p[first_step:] for t, p in paths.items()})

    def _validate(self):
        """(mean loss, accuracy) of sampled paths, one a batch."""
        paths = self._sample(_VALIDATE, self.valid_steps)
        batches = with_paths(self.validation_epoch(self.epoch), paths)
        return self._score(batches, label="validation", num_steps=self.valid_steps)

    def _sample(self, stream, num):
        """{cell type: [num, E, K]}: architectures of the present epoch."""
        rng = np.random.default_rng([self.config.seed, self.epoch, stream])
        return self.method.edge_weights(self.space, rng, num)

    def _record_alphas(self, epoch):
        """Nothing: alpha is not trained."""

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
        self._score_sample(paths, record)
        self._score_top(paths, record)
        best = max(record["top"], key=lambda entry: entry["accuracy"])  # the first of equals
        return genotype.parse(best["genotype"])

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
        """Appends to record["scored"] {"genotype", "score": accuracy} of each path that is not there."""
        scored, num_batches = record["scored"], self.method.selection.score_batches
        rest = {t: p[len(scored) :] for t, p in paths.items()}
        batches = self._scoring_batches(num_batches * len(scored))
        iterator = iter(with_paths(batches, rest, repeat=num_batches))
        steps, epoch = (tf.constant(0), tf.constant(num_batches)), tf.constant(self.epoch)

        def block(first, last):
            for index in range(int(first), int(last)):
                self.trainer.reset_totals()
                self.trainer.validate_block(iterator, *steps, epoch)
                _, accuracy = self.trainer.mean_totals()
                found = genotype.of_path(self.space, {t: p[index] for t, p in paths.items()})
                scored.append({"genotype": str(found), "score": accuracy})
            self.run_dir.save_selection(self.epoch, record)

        num = len(next(iter(paths.values())))
        self._score_blocks("sampled architectures", block, len(scored), num_steps=num)

    def _score_top(self, paths, record):
        """Appends to record["top"] the best of record["scored"] with "accuracy" on the whole split."""
        top = record["top"]
        scores = [entry["score"] for entry in record["scored"]]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])  # equal ones as sampled
        best = order[: self.method.selection.top]
        for index in best[len(top) :]:
            path = {t: p[index : index + 1] for t, p in paths.items()}
            batches = with_paths(self.validation_epoch(self.epoch), path, repeat=self.valid_steps)
            label = f"best architectures, {len(top) + 1} of {len(best)}"
            _, accuracy = self._score(batches, label=label, num_steps=self.valid_steps)
            top.append(record["scored"][index] | {"accuracy": accuracy})
            self.run_dir.save_selection(self.epoch, record)

    def _scoring_batches(self, first):
        """Validation batches from number `first` on, of passes without end.

        Each pass is permuted, so that the few batches of an architecture hold all classes, and
        augmented as in training. All selections of a run see the same ones.
        """

        def one_pass(number, first_step=0):
            return data.train_epoch(
                self.valid,
                batch_size=self.config.batch_size,
                augment=self._augmentation(self._regularization(self.epoch)),
                seed=self.config.seed,
                epoch=number,
                first_step=first_step,
            )

        number, step = divmod(first, self.valid_steps)
        numbers = tf.data.Dataset.range(number + 1, tf.int32.max, output_type=tf.int32)
        return one_pass(number, step).concatenate(numbers.flat_map(one_pass))


def make_run(config, run_dir, *, say=print):
    """The run that the method of a configuration needs; see `search_run.SearchRun`."""
    kind = PathSearchRun if config.make_method().selection else search_run.SearchRun
    return kind(config, run_dir, say=say)


def with_paths(batches, paths, *, repeat=1):
    """tf.data.Dataset of (images, labels, path), as long as the shorter of both.

    Args:
        batches: tf.data.Dataset of (images, labels).
        paths: {cell type: [n, E, K]}.
        repeat: batches that each path gets.
    """
    elements = tf.data.Dataset.from_tensor_slices(paths)
    if repeat > 1:
        elements = elements.flat_map(lambda path: tf.data.Dataset.from_tensors(path).repeat(repeat))
    return tf.data.Dataset.zip(batches, elements).map(lambda batch, path: (*batch, path))


def distinct(paths):
    """`paths` {cell type: [n, E, K]} without those that were there before."""
    num = len(next(iter(paths.values())))
    seen = {}
    for index in range(num):
        seen.setdefault(b"".join(p[index].tobytes() for p in paths.values()), index)
    return {t: p[list(seen.values())] for t, p in paths.items()}
