"""The outer loop of a search: epochs, decisions, records."""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.config import base
from rdarts_tf.engine import (
    curvature,
    distribution,
    needs,
    problems,
    search_steps,
    summaries,
)
from rdarts_tf.engine.batches import iterate
from rdarts_tf.engine.epochs import EpochRun, told_speed
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.methods import tracker
from rdarts_tf.runs import same_data
from rdarts_tf.runs.decisions import Decisions
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.progress import Stop


class SearchRun(EpochRun):
    """One search of alpha in its run directory; see `path_search.make_run`.

    Args:
        config: config.search.SearchConfig.
        run_dir: run_dir.RunDir; nothing is written yet.
        say: called with each line for the user.
    Raises:
        UserError: before any work.
    """

    TRAINER = search_steps.Search

    def __init__(self, config, run_dir, *, say=print):
        self.config, self.run_dir, self.say = config, run_dir, say
        self.method, self.space = config.make_method(), config.make_space()
        distribution.configure_runtime()
        strategy = distribution.make_strategy(config.strategy)
        distribution.check_same(strategy, base.SAME_FLAGS, digest=base.digest(config))
        self.data = config.load_dataset(run_dir.path)
        problems.tell(self.data, say)
        self.problem = problems.of_search(config, self.data)
        self.num_steps = self.problem.num_steps
        self._check_steps()
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            self.net = self.problem.network()
        self.trainer = self.TRAINER(self.problem, self.net, config=config, strategy=strategy)
        self.curvature = curvature.Curvature(
            self.trainer,
            eigensolver=config.eigensolver,
            tolerance=config.hessian_tolerance,
            num_products=config.hessian_products,
        )
        self.measures = config.hessian_every > 0 and self.method.selection is None
        self.logbook = Logbook(run_dir, base.identity(config))
        self.decisions = Decisions(self.method, config, self.logbook)

    def _check_steps(self):
        """Raises UserError where the method does not fit the data."""

    def run(self, *, overwrite=False):
        """Searches to the end, from where the run directory stands.

        Args:
            overwrite: clear the directory first.
        Returns:
            genotype.Genotype.
        Raises:
            Interrupted, Diverged; UserError: the data are others, the checkpoint is another
                network's.
        """
        if overwrite:
            self.run_dir.clear("search")
        recorded = self.run_dir.read_json("dataset.json")
        same_data.check_same_data(recorded, self.data.record(), self.run_dir.path)
        self.epoch, self.first_step = self._take_up()
        begun = self.epoch + (self.first_step > 0)
        before = self.run_dir.read_json("config.json") or {}
        self.run_dir.write_description(
            self.config,
            self.data.record(),
            extending=self.decisions.extend(before, begun),
            history=self.decisions.history,
        )
        self._note_environment(begun)
        sampled = self.method.selection is not None
        for sentence in needs.of_search(self.problem, self.net, self.config, sampled=sampled):
            self.say(sentence)
        tags = self._tags("search", "skip_connections", "step_seconds")
        self.board = summaries.of(self.run_dir, tags, resume_step=self.epoch)
        self.board.hparams(dataclasses.asdict(self.config))
        with Stop.on_signals() as self.stop:
            self._decide()  # again, if the process ended between an epoch and its decision
            while not self._is_over():
                self._run_epoch()
                self._decide()
        with distribution.chief_first(self.trainer.strategy):
            return self._finish()

    def edge_weights(self):
        """{cell type: softmax(alpha) [E, K]}."""
        return {t: tf.nn.softmax(a.value).numpy() for t, a in self.net.alphas.items()}

    def genotype(self):
        """The architecture that would be returned after the last finished epoch."""
        return rule.derive(self.space, self.edge_weights())

    def measure_curvature(self, epoch):
        """curvature.Measured at the present weights, on the last validation batches of `epoch`.

        Raises:
            LookupError: an operation has no second derivative.
        """
        config = self.decisions.in_force(epoch)
        batches = self.problem.curvature_epoch(config, epoch, self.config.hessian_batches)
        return self.curvature.measure(
            list(batches), epoch=epoch, rates=self.problem.rates(config, epoch)
        )

    def _variables(self):
        return super()._variables() | {"curvature/vector": self.curvature.vector}

    def _run_epoch(self):
        self.num_steps = self._epoch_steps(self.epoch)
        epoch, start, counted = self.epoch, time.monotonic(), self.counted()
        config = self.decisions.in_force(epoch)
        rates, steps = self.problem.rates(config, epoch), self.num_steps - self.first_step
        trained = self._train_epoch(config, rates)
        seconds = time.monotonic() - start
        step_seconds = seconds / max(steps, 1)
        validated = self._validate()
        self._check_finite(validated)
        found = self._select()
        row = {
            "epoch": epoch,
            **{f"search/{name}": value for name, value in trained.items()},
            **{f"validation/{name}": value for name, value in validated.items()},
            **{f"search/{name}": rate for name, rate in rates.items()},
            "search/skip_connections": found and self.space.skips(found),
            "search/step_seconds": step_seconds,
            **{f"search/{name}": rate for name, rate in self.speed(counted, seconds).items()},
            **{f"validation/{name}": n for name, n in self.problem.references().items()},
            "genotype": found and str(found),
        }
        if self._measures_after(epoch, config):
            row |= self._curvature_row(epoch)
        self.epoch, self.first_step = epoch + 1, 0
        self._record(row, found)

    def _measures_after(self, epoch, config):
        every = config.hessian_every
        return self.measures and (epoch % every == 0 or epoch == config.epochs - 1)

    def _curvature_row(self, epoch):
        """What metrics.jsonl tells of a measurement; lambda_max is None where there is no number."""
        try:
            found = self.measure_curvature(epoch)
        except LookupError as error:
            return self._no_second_derivative(error)
        self.run_dir.save_hessian(epoch, found._asdict())
        if self.config.hessian_spectrum:
            self.board.spectrum(epoch, found.spectrum)
        if trouble := found.trouble():
            self.say(f"epoch {epoch}: {trouble}")
        row = found.row()
        average = tracker.newest_average(
            [*self.logbook.rows, {"epoch": epoch} | row],
            frequency=self.method.frequency or self.config.hessian_every,
            window=self.method.window,
        )
        row |= {"curvature/lambda_max_local_average": average}
        return {name: n if n is None or np.isfinite(n) else None for name, n in row.items()}

    def _no_second_derivative(self, error):
        reason = f"lambda_max cannot be measured: {error}"
        if self.method.frequency:
            raise UserError(
                f"{reason}; method {self.config.method} needs it, take another primitive or method"
            ) from error
        self.say(f"{reason}; it is recorded as missing, --hessian_every=0 leaves it out")
        self.measures = False
        return {tracker.LAMBDA_MAX: None}

    def _search_epoch(self, config, epoch, *, first_step):
        """What the trainer's blocks iterate over."""
        return self.problem.search_epoch(config, epoch, first_step=first_step)

    def _train_epoch(self, config, rates):
        """{metric: number} of the epoch's training batches."""
        epoch, block = self.epoch, self.trainer.search_block
        iterator = iterate(self._search_epoch(config, epoch, first_step=self.first_step))
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        return self._train_blocks(
            lambda first, last: block(iterator, first, last, tf.constant(epoch), rates)
        )

    def validation_epoch(self, epoch):
        """The batches on which `epoch` is validated."""
        return self.problem.score_epoch(self.decisions.in_force(epoch), epoch)

    def _validate(self):
        """{metric: number} of the one-shot model."""
        batches = self.validation_epoch(self.epoch)
        return self._score(batches, label="validation", num_steps=self.problem.score_steps)

    def _select(self):
        """The Genotype that would be the result if the search ended with this epoch; None: not known."""
        return self.genotype()

    def _record(self, row, found):
        """Writes a finished epoch: files first, the checkpoint last, since it decides where to resume.

        Args:
            found: its Genotype, or None.
        """
        alphas = self._alphas()
        self.logbook.add(row, alphas)
        scalars = {k: v for k, v in row.items() if k not in ("epoch", "genotype")}
        self.board.epoch(row["epoch"], scalars=scalars)
        if alphas:
            weights, cells = self.edge_weights(), self.space.cells
            self.board.alphas(row["epoch"], cells, alphas=alphas, edge_weights=weights)
        if found:
            self.board.genotype(row["epoch"], found)
        self.board.pictures(row["epoch"], self.problem.pictures(self.net))
        self.board.flush()
        due = self.epoch % self.config.checkpoint_every == 0 or self.epoch == self.num_epochs
        if due or self.method.may_return_to(row["epoch"]):
            self._checkpoint(0)
        self.say(f"epoch {self.epoch}/{self.num_epochs}: {', '.join(self._told(row, found))}")

    def _told(self, row, found):
        """Yields what the line of an epoch says."""
        *_, last = self.problem.METRICS
        for metric in self.problem.METRICS:
            yield f"{metric.name} {row[f'search/{metric.name}']:.4f}"
        yield f"validation {row[f'validation/{last.name}']:.4f}"
        if found:
            cell_type = self.space.cell_types[0]
            skips, edges = row["search/skip_connections"], len(found.cells[cell_type])
            yield f"{skips} of {edges} skips in the {cell_type} cell"
        if (lambda_max := row.get(tracker.LAMBDA_MAX)) is not None:
            yield f"lambda_max {lambda_max:.3g}"
        yield f"{row['search/step_seconds']:.2f} s/step{told_speed(self.problem, row, 'search')}"

    def _alphas(self):
        """{cell type: [E, K]} that are recorded."""
        return {t: a.value.numpy() for t, a in self.net.alphas.items()}

    def _is_over(self):
        stopped = self.decisions.stop_epoch is not None and not self.config.continue_after_stop
        return stopped or self.epoch >= self.num_epochs

    def _decide(self):
        """Asks the method what to do after the last finished epoch, records it and does it."""
        history = list(self.logbook.rows)
        made = self.decisions.make(history)
        if made is None:
            return
        self.say(made["text"])
        if made["decision"] == "rollback":
            self.load(self.run_dir.load(self.run_dir.checkpoint(made["epoch"] + 1)))
            self._go_back(made["epoch"] + 1)
            self._note_environment(self.epoch)
        lambda_max = history[made["epoch"]].get(tracker.LAMBDA_MAX)
        self.board.decision(
            made["decision"], made["epoch"], text=made["text"], lambda_max=lambda_max
        )

    def _oldest_epoch_needed(self):
        return self.method.oldest_epoch_needed(self.epoch)

    def _finish(self):
        """Writes the result: the architecture of the last epoch, or of the one stopped at."""
        self._prune()  # again, if a process was killed before it
        rows, stop_epoch = self.logbook.rows, self.decisions.stop_epoch
        row = rows[-1 if stop_epoch is None else stop_epoch]
        final = {f"validation_{m.name}": row[f"validation/{m.name}"] for m in self.problem.METRICS}
        self.board.hparams(dataclasses.asdict(self.config), final, step=self.config.epochs)
        self.board.close()
        found = self.genotype()
        if stop_epoch is not None:
            self.run_dir.write_genotype(found, "genotype_last_epoch")
            alphas = self.logbook.alphas
            edge_weights = {t: tf.nn.softmax(a[stop_epoch]).numpy() for t, a in alphas.items()}
            found = rule.derive(self.space, edge_weights)
        self.run_dir.write_genotype(found)
        self.run_dir.write_config(self.config, history=self.decisions.history)
        return found
