"""The outer loop of a search: epochs, decisions, records."""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.config import search as config_lib
from rdarts_tf.engine import curvature, distribution, search_steps, summaries
from rdarts_tf.engine.epochs import EpochRun
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.methods import base, tracker
from rdarts_tf.runs.progress import Stop
from rdarts_tf.tasks.image_classification import augment, data, networks


class SearchRun(EpochRun):
    """One search of alpha in its run directory; see `path_search.make_run`.

    Args:
        config: config.SearchConfig.
        run_dir: run_dir.RunDir; nothing is written yet.
        say: called with each line for the user.
    Raises:
        UserError: before any work.
    """

    TRAINER = search_steps.Search

    def __init__(self, config, run_dir, *, say=print):
        self.config, self.run_dir, self.say = config, run_dir, say
        self.method, self.space = config.make_method(), config.make_space()
        self.dataset = config.load_dataset()
        self.train, self.valid = splits(config, self.dataset)
        self.cutout_length = cutout_length(config, self.dataset)
        self.num_steps = data.num_steps(len(self.train), config.batch_size)
        self.valid_steps = data.num_steps(len(self.valid), config.batch_size)
        self._check_steps()
        distribution.configure_runtime()
        strategy = distribution.make_strategy(config.strategy)
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.net = make_supernet(config, self.space, self.dataset)
        self.trainer = self.TRAINER(self.net, config=config, strategy=strategy)
        self.curvature = curvature.Curvature(
            self.trainer, eigensolver=config.eigensolver, tolerance=config.hessian_tolerance
        )
        self.measures = config.hessian_every > 0 and self.method.selection is None
        self.decisions = []

    def _check_steps(self):
        """Raises UserError where the method does not fit the splits."""

    def run(self, *, overwrite=False):
        """Searches to the end, from where the run directory stands.

        Args:
            overwrite: clear the directory first.
        Returns:
            genotype.Genotype.
        Raises:
            Interrupted, Diverged; UserError: the checkpoint is another network's.
        """
        if overwrite:
            self.run_dir.clear("search")
        self.epoch, self.first_step = self._resume()
        config_lib.write_description(self.config, self.run_dir, self.dataset)
        self.board = summaries.SearchSummaries(self.run_dir.tensorboard, resume_step=self.epoch)
        self.board.hparams(dataclasses.asdict(self.config))
        with Stop.on_signals() as self.stop:
            self._decide()  # again, if the process ended between an epoch and its decision
            while not self._is_over():
                self._run_epoch()
                self._decide()
        return self._finish()

    def edge_weights(self):
        """{cell type: softmax(alpha) [E, K]}."""
        return {t: tf.nn.softmax(a.value).numpy() for t, a in self.net.alphas.items()}

    def genotype(self):
        """The architecture that would be returned after the last finished epoch."""
        return genotype.derive(self.space, self.edge_weights())

    def measure_curvature(self, epoch):
        """curvature.Measured at the present weights, on the last validation batches of `epoch`.

        Raises:
            LookupError: an operation has no second derivative.
        """
        regularization = self._regularization(epoch)
        batches = self._search_epoch(
            epoch, regularization, first_step=self.num_steps - self.config.hessian_batches
        )
        return self.curvature.measure(
            [(images, labels) for _, _, images, labels in batches],
            epoch=epoch,
            drop_path_prob=regularization.drop_path_prob,
        )

    def _variables(self):
        return super()._variables() | {"curvature/vector": self.curvature.vector}

    def _regularization(self, epoch):
        """What was or is in force in `epoch`: that of the last rollback to before it."""
        rollbacks = [d["epoch"] for d in self.decisions if d["decision"] == "rollback"]
        num_rollbacks = max((k + 1 for k, s in enumerate(rollbacks) if s < epoch), default=0)
        return self.method.regularization(self.config, epoch, num_rollbacks=num_rollbacks)

    def _run_epoch(self):
        config, epoch, start = self.config, self.epoch, time.monotonic()
        regularization = self._regularization(epoch)
        rates = {
            "learning_rate": optimizers.cosine(
                epoch, config.epochs, config.learning_rate, config.learning_rate_min
            ),
            "weight_decay": regularization.weight_decay,
            "drop_path_prob": regularization.drop_path_prob,
        }
        steps = self.num_steps - self.first_step
        loss, accuracy = self._train_epoch(regularization, rates)
        step_seconds = (time.monotonic() - start) / max(steps, 1)
        valid_loss, valid_accuracy = self._validate()
        found = self._select()
        row = {
            "epoch": epoch,
            "search/loss": loss,
            "search/accuracy": accuracy,
            "validation/loss": valid_loss,
            "validation/accuracy": valid_accuracy,
            **{f"search/{name}": rate for name, rate in rates.items()},
            "search/skip_connections": found and found.count("skip_connect", "normal"),
            "search/step_seconds": step_seconds,
            "genotype": found and str(found),
        }
        if self._measures_after(epoch):
            row |= self._curvature_row(epoch)
        self.epoch, self.first_step = epoch + 1, 0
        self._record(row, found)

    def _measures_after(self, epoch):
        every = self.config.hessian_every
        return self.measures and (epoch % every == 0 or epoch == self.config.epochs - 1)

    def _curvature_row(self, epoch):
        """What metrics.jsonl tells of a measurement; lambda_max is None where there is no number."""
        try:
            found = self.measure_curvature(epoch)
        except LookupError as error:
            return self._no_second_derivative(error)
        self.run_dir.save_hessian(epoch, found._asdict())
        if self.config.hessian_spectrum:
            self.board.spectrum(epoch, found.spectrum)
        value = found.lambda_max if np.isfinite(found.lambda_max) else None
        if value is None:
            self.say(
                f"the Hessian of epoch {epoch} is not finite; its lambda_max is recorded as missing"
            )
        row = {
            "curvature/lambda_max": value,
            "curvature/error_bound": None if value is None else found.error_bound,
            "curvature/products": found.products,
            "curvature/seconds": found.seconds,
        }
        history = [*self.run_dir.read_metrics(), {"epoch": epoch} | row]
        average = tracker.newest_average(
            history,
            frequency=self.method.frequency or self.config.hessian_every,
            window=self.method.window,
        )
        return row | {"curvature/lambda_max_local_average": average}

    def _no_second_derivative(self, error):
        reason = f"lambda_max cannot be measured: {error}"
        if self.method.frequency:
            raise UserError(
                f"{reason}; method {self.config.method} needs it, take another primitive or method"
            ) from error
        self.say(f"{reason}; it is recorded as missing, --hessian_every=0 leaves it out")
        self.measures = False
        return {"curvature/lambda_max": None}

    def _search_epoch(self, epoch, regularization, *, first_step):
        return data.search_epoch(
            self.train,
            self.valid,
            batch_size=self.config.batch_size,
            augment=self._augmentation(regularization),
            seed=self.config.seed,
            epoch=epoch,
            first_step=first_step,
        )

    def _train_epoch(self, regularization, rates):
        """(mean loss, accuracy) of the epoch's training batches."""
        epoch, block = self.epoch, self.trainer.search_block
        iterator = iter(self._search_epoch(epoch, regularization, first_step=self.first_step))
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        return self._train_blocks(
            lambda first, last: block(iterator, first, last, tf.constant(epoch), rates)
        )

    def validation_epoch(self, epoch):
        """The batches on which `epoch` is validated: the validation split, augmented as in training."""
        return data.test_epoch(
            self.valid,
            batch_size=self.config.batch_size,
            augment=self._augmentation(self._regularization(epoch)),
            seed=self.config.seed,
            epoch=epoch,
        )

    def _validate(self):
        """(mean loss, accuracy) of the one-shot model."""
        batches = self.validation_epoch(self.epoch)
        return self._score(batches, label="validation", num_steps=self.valid_steps)

    def _select(self):
        """The Genotype that would be the result if the search ended with this epoch; None: not known."""
        return self.genotype()

    def _record(self, row, found):
        """Writes a finished epoch: files first, the checkpoint last, since it decides where to resume.

        Args:
            found: its Genotype, or None.
        """
        self.run_dir.append_metrics(row)
        self._record_alphas(row["epoch"])
        scalars = {k: v for k, v in row.items() if k not in ("epoch", "genotype")}
        self.board.epoch(row["epoch"], scalars=scalars)
        if found:
            self.board.genotype(row["epoch"], found)
        self.board.flush()
        due = self.epoch % self.config.checkpoint_every == 0 or self.epoch == self.num_epochs
        if due or self.method.may_return_to(row["epoch"]):
            self._checkpoint(0)
        lambda_max, skips = row.get("curvature/lambda_max"), ""
        if found:
            skips = (
                f"{row['search/skip_connections']} of {len(found.cells['normal'])} skips in the "
            )
            skips += "normal cell, "
        self.say(
            f"epoch {self.epoch}/{self.num_epochs}: loss {row['search/loss']:.4f}, "
            f"accuracy {row['search/accuracy']:.4f}, validation {row['validation/accuracy']:.4f}, "
            f"{skips}{'' if lambda_max is None else f'lambda_max {lambda_max:.3g}, '}"
            f"{row['search/step_seconds']:.2f} s/step"
        )

    def _record_alphas(self, epoch):
        alphas = {t: a.value.numpy() for t, a in self.net.alphas.items()}
        edge_weights = self.edge_weights()
        self.run_dir.append_alphas(alphas)
        self.board.alphas(
            epoch,
            list(alphas),
            alphas=list(alphas.values()),
            edge_weights=[edge_weights[t] for t in alphas],
            primitives=[self.space.primitives[t] for t in alphas],
        )

    def _is_over(self):
        stopped = self._result_epoch() is not None and not self.config.continue_after_stop
        return stopped or self.epoch >= self.num_epochs

    def _result_epoch(self):
        """The epoch whose architecture the method stopped at, or None."""
        stops = [d["epoch"] for d in self.decisions if d["decision"] == "stop"]
        return stops[0] if stops else None

    def _decide(self):
        """Asks the method what to do after the last finished epoch, records it and does it."""
        if self._result_epoch() is not None:
            return
        history = self.run_dir.read_metrics()
        decision = self.method.after_epoch(self.config, history, num_rollbacks=len(self.decisions))
        if decision is base.CONTINUE:
            return
        kind = "stop" if isinstance(decision, base.Stop) else "rollback"
        text = f"after epoch {self.epoch - 1}: {self._told(decision)}"
        self.decisions.append(
            {
                "decision": kind,
                "epoch": decision.epoch,
                "decided_after": self.epoch - 1,
                "text": text,
                "carried_out": kind == "stop",
            }
        )
        self.run_dir.write_json("decisions.json", self.decisions)
        self.say(text)
        if kind == "rollback":
            self.epoch, self.first_step = self._resume()
            self.board.rewind(self.epoch)
        lambda_max = history[decision.epoch].get(tracker.LAMBDA_MAX)
        self.board.decision(kind, decision.epoch, text=text, lambda_max=lambda_max)

    def _told(self, decision):
        """A decision in words."""
        epoch, n = decision.epoch, len(self.decisions)
        if isinstance(decision, base.Stop):
            return f"stop; the result is the architecture of epoch {epoch}"
        old, new = (
            self.method.regularization(self.config, self.config.epochs - 1, num_rollbacks=k)
            for k in (n, n + 1)
        )
        changes = [
            f"{name} {getattr(old, name):g} -> {getattr(new, name):g}"
            for name in ("weight_decay", "drop_path_prob")
            if getattr(old, name) != getattr(new, name)
        ]
        return f"back to the end of epoch {epoch}, {', '.join(changes)}"

    def _augmentation(self, regularization):
        dataset = self.dataset
        return augment.Augmentation(
            dataset.mean,
            dataset.std,
            crop_padding=dataset.crop_padding,
            flip=dataset.flip,
            cutout_length=self.cutout_length,
            cutout_probability=regularization.cutout_probability,
        )

    def _oldest_epoch_needed(self):
        return self.method.oldest_epoch_needed(self.epoch)

    def _resume(self):
        """(epoch, step) to go on with; decisions, too, are as they were there."""
        self.decisions = self._carry_out(self.run_dir.read_json("decisions.json") or [])
        epoch, step = super()._resume()
        # A stop is decided anew where the epochs that led to it are not on record.
        self.decisions = [
            d for d in self.decisions if d["decision"] == "rollback" or d["decided_after"] < epoch
        ]
        return epoch, step

    def _carry_out(self, decisions):
        """`decisions`, once no checkpoint of an abandoned branch is left."""
        if decisions and not decisions[-1]["carried_out"]:
            self.run_dir.delete_checkpoints_after(decisions[-1]["epoch"] + 1)
            decisions[-1]["carried_out"] = True
            self.run_dir.write_json("decisions.json", decisions)
        return decisions

    def _finish(self):
        """Writes the result: the architecture of the last epoch, or of the one stopped at."""
        rows, result_epoch = self.run_dir.read_metrics(), self._result_epoch()
        row = rows[-1 if result_epoch is None else result_epoch]
        final = {k: row[k] for k in ("validation/accuracy", "validation/loss")}
        self.board.hparams(
            dataclasses.asdict(self.config),
            {k.replace("/", "_"): v for k, v in final.items()},
            step=self.config.epochs,
        )
        self.board.close()
        found = self.genotype()
        if result_epoch is not None:
            self.run_dir.write_genotype(found, "genotype_last_epoch")
            alphas = self.run_dir.read_alphas()
            edge_weights = {t: tf.nn.softmax(a[result_epoch]).numpy() for t, a in alphas.items()}
            found = genotype.derive(self.space, edge_weights)
        self.run_dir.write_genotype(found)
        return found


def splits(config, dataset):
    """(training split, validation split) of a search, large enough for what it does with them.

    Raises:
        UserError.
    """
    train, valid = data.split_search(dataset, config.train_portion)
    data.check_batch_size(config.batch_size, train, name="search training")
    data.check_batch_size(config.batch_size, valid, name="search validation")
    num_steps = data.num_steps(len(train), config.batch_size)
    if config.hessian_batches > num_steps:
        raise config_lib.ConfigError(
            f"--hessian_batches={config.hessian_batches} but an epoch has {num_steps} steps; take as "
            "many at most"
        )
    return train, valid


def cutout_length(config, dataset):
    """Side of cutout's square; 0 where there is none. Raises UserError if it blanks every image."""
    side = augment.cutout_side(config.cutout_length, dataset.image_shape)
    return side if config.use_cutout else 0


def make_supernet(config, space, dataset):
    """The built Supernet of a configuration."""
    net = networks.Supernet(
        space,
        dataset.num_classes,
        channels=config.init_channels,
        num_cells=config.layers,
        batch_norm=config.batch_norm,
        dtype=config.dtype,
        name="supernet",
    )
    net.build((None, *dataset.image_shape))
    return net
