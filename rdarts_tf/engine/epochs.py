"""What every run of epochs shares: blocks of steps, signals, checkpoints, going on where it was."""

import time

import numpy as np
import tensorflow as tf
import tqdm

from rdarts_tf import errors
from rdarts_tf.engine import distribution, environment, needs, summaries
from rdarts_tf.engine.batches import iterate
from rdarts_tf.errors import UserError
from rdarts_tf.runs.files import RunDirError
from rdarts_tf.runs.progress import Progress

_BLOCK_SECONDS = 2.0  # a signal is heeded and the progress line renewed about this often
SHARED = "give all workers the same --run_dir on a file system that they share"


class Interrupted(Exception):
    """A signal ended the run after a checkpoint; `exit_code` is 128 + its number."""

    def __init__(self, message, exit_code):
        super().__init__(message)
        self.exit_code = exit_code


class Diverged(Exception):
    """The loss is not finite; the message names epoch, step and the last good checkpoint."""


class EpochRun:
    """A training of a tasks.base.Problem in its run directory.

    A subclass builds the trainer, calls `_take_up` once that is done, and within
    `Stop.on_signals() as self.stop` trains and scores by `_blocks`.

    Attributes:
        config: with `epochs` and `keep_checkpoints`.
        run_dir: run_dir.RunDir.
        say: called with each line for the user.
        problem: tasks.base.Problem.
        trainer: weight_steps.WeightTraining.
        logbook: runs.logbook.Logbook.
        num_steps: of the present epoch.
        epoch, first_step: what comes next.
        paced: whether a person was told how long it will take.
    """

    paced = False

    @property
    def num_epochs(self):
        """Epochs of the run, of which the last may be cut."""
        return self.config.epochs

    def _epoch_steps(self, epoch):
        """Training steps of an epoch."""
        return self.problem.epoch_steps(epoch)

    def _tags(self, stage, *others):
        """`summaries.tags` of the run."""
        problem = self.problem
        rates, speed = problem.rates_after(self.config, 0, []), f"{problem.COUNTED}_per_second"
        others = (*rates, *others, *[speed] * (problem.COUNTED is not None))
        return summaries.tags(stage, problem.METRICS, others, problem.references())

    def counted(self):
        """What the problem counts, so far in this epoch."""
        return float(self.trainer.totals[-1].numpy()) if self.first_step else 0.0

    def speed(self, counted, seconds):
        """{"<what the problem counts>_per_second": number} since then; empty where it counts nothing.

        Args:
            counted: what `counted` gave then.
        """
        if self.problem.COUNTED is None:
            return {}
        num = float(self.trainer.totals[-1].numpy()) - counted
        return {f"{self.problem.COUNTED}_per_second": num / max(seconds, 1e-3)}

    def _train_blocks(self, run):
        """Runs the steps of the epoch that remain.

        Args:
            run: (first, last) -> (first step not run, loss of the last one), int32 tensors.
        Returns:
            {metric: number} over the whole epoch.
        Raises:
            Interrupted, Diverged.
        """

        def block(first, last):
            step, loss = run(first, last)
            if not np.isfinite(loss.numpy()):
                raise Diverged(self._divergence(int(step) - 1))

        if self.first_step == 0:
            self.trainer.reset("train", "valid")
        self._blocks(f"epoch {self.epoch + 1}/{self.num_epochs}", block, self.first_step)
        return self.trainer.metrics()

    def _score(self, batches, *, label, num_steps):
        """{metric: number} of the network on a pass over batches.

        Raises:
            Interrupted: to be scored again as a whole.
        """
        iterator, epoch = iterate(batches), tf.constant(self.epoch)

        def block(first, last):
            self.trainer.validate_block(iterator, first, last, epoch)

        return self._score_blocks(label, block, 0, num_steps=num_steps)

    def _score_blocks(self, label, block, first, *, num_steps):
        """`_blocks` that score; the totals of training stay, in checkpoints, too.

        Returns:
            {metric: number} of what `block` has counted.
        """
        totals = [v.numpy() for v in self.trainer.totals]

        def restore():
            for variable, value in zip(self.trainer.totals, totals, strict=True):
                variable.assign(value)

        self.trainer.reset("score")
        try:
            self._blocks(label, block, first, num_steps=num_steps, before=restore)
            return self.trainer.metrics()
        finally:
            restore()

    def _blocks(self, label, block, first, *, num_steps=None, before=lambda: None):
        """Calls block(first, last) over all steps, in pieces of about _BLOCK_SECONDS each."""
        training_steps = num_steps is None
        num_steps = num_steps or self.num_steps
        counted = self.counted() if training_steps else 0.0
        shown = self.run_dir.WRITES
        progress = Progress(label, total=num_steps, initial=first, shown=shown)
        step, size = first, 1
        try:
            while step < num_steps:
                start = time.monotonic()
                last = min(step + size, num_steps)
                self._run_block(block, step, last)
                seconds = max(time.monotonic() - start, 1e-3)
                told = self.trainer.metrics() | self.speed(counted, seconds)
                progress.advance(last - step, told)
                if training_steps and not self.paced and step > first:  # the first one was traced
                    self._tell_pace(seconds / (last - step))
                counted = float(self.trainer.totals[-1].numpy())
                size = max(1, min(4 * size, int((last - step) * _BLOCK_SECONDS / seconds)))
                step = last
                size, stopped = self._agree(size)
                if stopped:
                    before()
                    self._interrupt(step if training_steps else self.num_steps)
        finally:
            progress.close()

    def _tell_pace(self, seconds):
        self.paced = True
        with tqdm.tqdm.external_write_mode():
            self.say(needs.pace(seconds, self.num_steps, self.num_epochs - self.epoch))

    def _run_block(self, block, first, last):
        try:
            block(tf.constant(first), tf.constant(last))
        except tf.errors.OpError as error:
            if (kept := errors.take_kept()) is not None:
                raise kept from None
            if not self.trainer.jit:
                raise
            told = str(error.message).strip().splitlines()[0][:200]
            raise UserError(
                f"XLA cannot compile this network: {told}; take --jit_compile=false"
            ) from error

    def _agree(self, size):
        """(the chief's size of the next block, whether a signal came to any worker)."""
        own = self.stop.signal if self.stop.requested else 0
        found = distribution.gather(self.trainer.strategy, [size, own])
        if signal := int(found[:, 1].max()):
            self.stop.signal = signal
        return int(found[0, 0]), signal > 0

    def load(self, arrays):
        """Sets all variables to the arrays of a checkpoint.

        Raises:
            RunDirError: it is of another network or data set.
        """
        variables = self._variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if differing := {(name, a.shape) for name, a in arrays.items()} ^ set(shapes.items()):
            raise RunDirError(
                f"a checkpoint in {self.run_dir.path} belongs to another network or data set "
                f"({sorted(differing)[0][0]} differs); use --overwrite to start anew"
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])

    def _variables(self):
        """{name: variable} of everything that a checkpoint holds."""
        return self.trainer.variables()

    def _oldest_epoch_needed(self):
        """Checkpoints of fewer finished epochs may be deleted."""
        return self.epoch

    def _arrays(self):
        """{name: array} of everything that a checkpoint holds."""
        return {name: v.numpy() for name, v in self._variables().items()}

    def _checkpoint(self, step):
        self._save(step)
        self._prune()

    def _prune(self):
        self.run_dir.prune_checkpoints(
            keep=self.config.keep_checkpoints, oldest_needed=self._oldest_epoch_needed()
        )

    def _save(self, step):
        pages = self.logbook.pages(self.epoch, step)
        self.run_dir.save_checkpoint(self._arrays(), epoch=self.epoch, step=step, beside=pages)

    def _note_environment(self, epoch):
        """See `environment.note`; --strategy and --jit_compile may change from start to start, too."""
        trainer = self.trainer
        more = {"replicas": trainer.strategy.num_replicas_in_sync, "jit": bool(trainer.jit)}
        environment.note(self.run_dir, epoch, self.say, **more)

    def _take_up(self):
        """`_resume`, the chief first; all workers go on at the same place.

        Raises:
            UserError: a worker sees another checkpoint than the chief.
        """
        with distribution.chief_first(self.trainer.strategy):
            epoch, step = self._resume()
        distribution.check_same(self.trainer.strategy, SHARED, epoch=epoch, step=step)
        return epoch, step

    def _resume(self):
        """(epoch, step) to go on with; variables and recorded numbers are as they were there."""
        newest = self.run_dir.load_newest_checkpoint(self.say)
        if newest is None:
            self.logbook.write()
            self.run_dir.forget_hessians(0)
            return 0, 0
        (epoch, step), arrays = newest
        self.load(arrays)
        self.logbook.open(self.run_dir.checkpoint(epoch, step), (epoch, step))
        self.run_dir.forget_hessians(epoch)
        at, epochs = f", step {step}" if step else "", self.num_epochs
        self.say(f"resuming {self.run_dir.path} after {epoch} of {epochs} epochs{at}")
        return epoch, step

    def _go_back(self, num_epochs):
        """Goes on after fewer epochs, whose variables are loaded; a kill in between loses nothing."""
        self.epoch, self.first_step = num_epochs, 0
        self.logbook.cut(num_epochs)
        with distribution.chief_first(self.trainer.strategy):
            self._save(0)
            self.run_dir.delete_checkpoints_after(num_epochs)
            self.logbook.write()
            self.run_dir.forget_hessians(num_epochs)
        self.board.rewind(num_epochs)

    def _interrupt(self, step):
        with distribution.chief_first(self.trainer.strategy):
            self._checkpoint(step)
        raise Interrupted(
            f"stopped in epoch {self.epoch + 1} after step {step}; the same command goes on from there",
            self.stop.exit_code,
        )

    def _check_finite(self, scored):
        """Raises Diverged where weights or scores are not finite after an epoch, since its last step."""
        values = [*scored.values(), *(v.numpy() for v in self._variables().values())]
        if not all(np.isfinite(value).all() for value in values):
            raise Diverged(self._divergence(self.num_steps - 1))

    def _divergence(self, step):
        checkpoints = self.run_dir.list_checkpoints()
        last = checkpoints[0][1] if checkpoints else "none yet"
        return (
            f"the loss is not finite in epoch {self.epoch}, step {step}; last good checkpoint: {last}; "
            "lower --learning_rate or check the data"
        )


def told_speed(problem, row, stage):
    """ ", 1,234 tokens/s" of a row of metrics.jsonl, or ""."""
    value = row.get(f"{stage}/{problem.COUNTED}_per_second")
    return "" if value is None else f", {value:,.0f} {problem.COUNTED}/s"
