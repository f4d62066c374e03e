"""The outer loop of a search: epochs, records, checkpoints, resuming."""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf import config as config_lib
from rdarts_tf import distribution, genotype, optimizers, summaries, training
from rdarts_tf.datasets import augment
from rdarts_tf.datasets import base as data
from rdarts_tf.networks import cnn
from rdarts_tf.progress import Progress, Stop
from rdarts_tf.run_dir import RunDirError

_BLOCK_SECONDS = 2.0  # a signal is heeded and the progress line renewed about this often


class Interrupted(Exception):
    """A signal ended the search after a checkpoint; `exit_code` is 128 + its number."""

    def __init__(self, message, exit_code):
        super().__init__(message)
        self.exit_code = exit_code


class Diverged(Exception):
    """The loss is not finite; the message names epoch, step and the last good checkpoint."""


class SearchRun:
    """One search in its run directory.

    Args:
        config: config.SearchConfig.
        run_dir: run_dir.RunDir, created; a checkpoint in it is taken up.
        overwrite: clear the directory instead, once all checks have passed.
        say: called with each line for the user.
    Raises:
        UserError: before any work.
    """

    def __init__(self, config, run_dir, *, overwrite=False, say=print):
        self.config, self.run_dir, self.say = config, run_dir, say
        self.method, self.space = config.make_method(), config.make_space()
        self.dataset = config.load_dataset()
        self.train, self.valid = data.split_search(self.dataset, config.train_portion)
        data.check_batch_size(config.batch_size, self.train, name="search training")
        data.check_batch_size(config.batch_size, self.valid, name="search validation")
        if config.use_cutout and config.cutout_length >= 2 * min(self.dataset.image_shape[:2]):
            raise config_lib.ConfigError(
                f"--cutout_length={config.cutout_length} always blanks images of "
                f"{self.dataset.image_shape[0]}x{self.dataset.image_shape[1]}; take a smaller one"
            )
        self.num_steps = data.num_steps(len(self.train), config.batch_size)
        if overwrite:
            run_dir.clear()
        distribution.configure_runtime()
        strategy = distribution.make_strategy(config.strategy)
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.net = make_supernet(config, self.space, self.dataset)
        self.search = training.Search(self.net, config=config, strategy=strategy)
        self.epoch, self.first_step = self._resume()

    def run(self):
        """Searches to the last epoch.

        Returns:
            genotype.Genotype.
        Raises:
            Interrupted, Diverged.
        """
        self.run_dir.write_json("dataset.json", dataset_record(self.dataset))
        self.board = summaries.SearchSummaries(self.run_dir.tensorboard, resume_step=self.epoch)
        self.board.hparams(dataclasses.asdict(self.config))
        with Stop.on_signals() as self.stop:
            while self.epoch < self.config.epochs:
                self._run_epoch()
        return self._finish()

    def edge_weights(self):
        """{cell type: softmax(alpha) [E, K]}."""
        return {t: tf.nn.softmax(a.value).numpy() for t, a in self.net.alphas.items()}

    def genotype(self):
        return genotype.derive(self.space, self.edge_weights())

    def _run_epoch(self):
        config, epoch, start = self.config, self.epoch, time.monotonic()
        regularization = self.method.regularization(config, epoch)
        rates = {
            "learning_rate": optimizers.cosine(
                epoch, config.epochs, config.learning_rate, config.learning_rate_min
            ),
            "weight_decay": regularization.weight_decay,
            "drop_path_prob": regularization.drop_path_prob,
        }
        augmentation = self._augmentation(regularization.cutout_probability)
        steps = self.num_steps - self.first_step
        loss, accuracy = self._train_epoch(augmentation, rates)
        step_seconds = (time.monotonic() - start) / max(steps, 1)
        valid_loss, valid_accuracy = self._validate(augmentation)
        self.epoch, self.first_step = epoch + 1, 0
        row = {
            "epoch": epoch,
            "search/loss": loss,
            "search/accuracy": accuracy,
            "validation/loss": valid_loss,
            "validation/accuracy": valid_accuracy,
            **{f"search/{name}": rate for name, rate in rates.items()},
            "search/skip_connections": self._skips(),
            "search/step_seconds": step_seconds,
        }
        self._record(row)

    def _train_epoch(self, augmentation, rates):
        """(mean loss, accuracy) of the epoch's training batches."""
        config, epoch, search = self.config, self.epoch, self.search
        if self.first_step == 0:
            search.reset_totals()
        batches = data.search_epoch(
            self.train,
            self.valid,
            batch_size=config.batch_size,
            augment=augmentation,
            seed=config.seed,
            epoch=epoch,
            first_step=self.first_step,
        )
        iterator = iter(batches)
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}

        def block(first, last):
            step, loss = search.search_block(iterator, first, last, tf.constant(epoch), rates)
            if not np.isfinite(loss.numpy()):
                raise Diverged(self._divergence(int(step) - 1))

        self._blocks(f"epoch {epoch + 1}/{config.epochs}", block, self.first_step)
        return search.mean_totals()

    def _validate(self, augmentation):
        """(mean loss, accuracy) of the one-shot model on the validation split, augmented as in training."""
        config, totals = self.config, [v.numpy() for v in self.search.totals]
        batches = data.test_epoch(
            self.valid,
            batch_size=config.batch_size,
            augment=augmentation,
            seed=config.seed,
            epoch=self.epoch,
        )
        iterator, epoch = iter(batches), tf.constant(self.epoch)
        self.search.reset_totals()

        def block(first, last):
            self.search.validate_block(iterator, first, last, epoch)

        def before_checkpoint():  # an interrupted validation is done again as a whole
            for variable, value in zip(self.search.totals, totals, strict=True):
                variable.assign(value)

        num_steps = data.num_steps(len(self.valid), config.batch_size)
        self._blocks("validation", block, 0, num_steps=num_steps, before=before_checkpoint)
        return self.search.mean_totals()

    def _blocks(self, label, block, first, *, num_steps=None, before=lambda: None):
        """Calls block(first, last) over all steps, in pieces of about _BLOCK_SECONDS each."""
        training_steps = num_steps is None
        num_steps = num_steps or self.num_steps
        progress = Progress(label, total=num_steps, initial=first)
        step, size = first, 1
        try:
            while step < num_steps:
                start = time.monotonic()
                last = min(step + size, num_steps)
                block(tf.constant(step), tf.constant(last))
                loss, accuracy = self.search.mean_totals()
                progress.advance(last - step, loss=loss, accuracy=accuracy)
                seconds = max(time.monotonic() - start, 1e-3)
                size = max(1, min(4 * size, int((last - step) * _BLOCK_SECONDS / seconds)))
                step = last
                if self.stop.requested:
                    before()
                    self._interrupt(step if training_steps else self.num_steps)
        finally:
            progress.close()

    def _record(self, row):
        """Writes a finished epoch: files first, the checkpoint last, since it decides where to resume."""
        alphas = {t: a.value.numpy() for t, a in self.net.alphas.items()}
        edge_weights, found = self.edge_weights(), self.genotype()
        self.run_dir.append_metrics(row)
        self.run_dir.append_alphas(alphas)
        self.board.epoch(row["epoch"], scalars={k: v for k, v in row.items() if k != "epoch"})
        self.board.alphas(
            row["epoch"],
            list(alphas),
            alphas=list(alphas.values()),
            edge_weights=[edge_weights[t] for t in alphas],
            primitives=[self.space.primitives[t] for t in alphas],
        )
        self.board.genotype(row["epoch"], found)
        self.board.flush()
        if self.epoch % self.config.checkpoint_every == 0 or self.epoch == self.config.epochs:
            self._checkpoint(0)
        self.say(
            f"epoch {self.epoch}/{self.config.epochs}: loss {row['search/loss']:.4f}, "
            f"accuracy {row['search/accuracy']:.4f}, validation {row['validation/accuracy']:.4f}, "
            f"{row['search/skip_connections']} of {len(found.cells['normal'])} skips in the normal "
            f"cell, {row['search/step_seconds']:.2f} s/step"
        )

    def _skips(self):
        return self.genotype().count("skip_connect", "normal")

    def _augmentation(self, cutout_probability):
        config, dataset = self.config, self.dataset
        return augment.Augmentation(
            dataset.mean,
            dataset.std,
            crop_padding=dataset.crop_padding,
            flip=dataset.flip,
            cutout_length=config.cutout_length if config.use_cutout else 0,
            cutout_probability=cutout_probability,
        )

    def _checkpoint(self, step):
        arrays = {name: v.numpy() for name, v in self.search.variables().items()}
        self.run_dir.save_checkpoint(arrays, epoch=self.epoch, step=step)
        self.run_dir.prune_checkpoints(
            keep=self.config.keep_checkpoints,
            oldest_needed=self.method.oldest_epoch_needed(self.epoch),
        )

    def _resume(self):
        """(epoch, step) to go on with; variables, metrics and alphas are as they were there."""
        newest = self.run_dir.load_newest_checkpoint(self.say)
        if newest is None:
            self.run_dir.truncate(0)
            return 0, 0
        (epoch, step), arrays = newest
        variables = self.search.variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if differing := {(name, a.shape) for name, a in arrays.items()} ^ set(shapes.items()):
            raise RunDirError(
                f"the checkpoint of epoch {epoch} in {self.run_dir.path} belongs to another network or "
                f"data set ({sorted(differing)[0][0]} differs); use --overwrite to start anew"
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self.run_dir.truncate(epoch)
        at = f", step {step}" if step else ""
        self.say(f"resuming {self.run_dir.path} after {epoch} of {self.config.epochs} epochs{at}")
        return epoch, step

    def _interrupt(self, step):
        self._checkpoint(step)
        raise Interrupted(
            f"stopped in epoch {self.epoch + 1} after step {step}; the same command goes on from there",
            self.stop.exit_code,
        )

    def _divergence(self, step):
        checkpoints = self.run_dir.list_checkpoints()
        last = checkpoints[0][1] if checkpoints else "none yet"
        return (
            f"the loss is not finite in epoch {self.epoch}, step {step}; last good checkpoint: {last}; "
            "lower --learning_rate or check the data"
        )

    def _finish(self):
        found, rows = self.genotype(), self.run_dir.read_metrics()
        final = {k: rows[-1][k] for k in ("validation/accuracy", "validation/loss")}
        self.board.hparams(
            dataclasses.asdict(self.config),
            {k.replace("/", "_"): v for k, v in final.items()},
            step=self.config.epochs,
        )
        self.board.close()
        self.run_dir.write_text("genotype.txt", f"{found}\n")
        self.run_dir.write_text("genotype.json", found.to_json() + "\n")
        return found


def make_supernet(config, space, dataset):
    """The built Supernet of a configuration."""
    net = cnn.Supernet(
        space,
        dataset.num_classes,
        channels=config.init_channels,
        num_cells=config.layers,
        batch_norm={
            "gamma_initializer": config.gamma_initializer,
            "synchronized": config.sync_batch_norm,
        },
        dtype="mixed_bfloat16" if config.mixed_precision else "float32",
        name="supernet",
    )
    net.build((None, *dataset.image_shape))
    return net


def dataset_record(dataset):
    """What later stages need to feed the found network: names and normalisation."""
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }
