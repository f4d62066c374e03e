"""The outer loop of an evaluation: epochs and records."""

import dataclasses
import time

import keras
import tensorflow as tf

from rdarts_tf.engine import environment, summaries
from rdarts_tf.engine.epochs import EpochRun
from rdarts_tf.engine.evaluation_steps import Evaluation
from rdarts_tf.runs import lengths
from rdarts_tf.runs.progress import Stop


class EvaluationRun(EpochRun):
    """One training of a derived network, with one seed, in its run directory.

    Args:
        config: config.evaluate.EvaluateConfig, resolved.
        run_dir: run_dir.RunDir, created; a checkpoint in it is taken up.
        problem: tasks.base.Problem of an evaluation.
        strategy: tf.distribute.Strategy.
        seed: of initialisation, noise and drop path.
        history: lengths that the training had before, see runs.lengths.
        say: called with each line for the user.
    Raises:
        UserError: before any work.
    """

    def __init__(self, config, run_dir, *, problem, strategy, seed, history=(), say=print):
        self.config, self.run_dir, self.say = config, run_dir, say
        self.problem, self.seed, self.history = problem, seed, history
        self.num_steps = problem.num_steps
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            self.net = problem.network()
        self.trainer = Evaluation(problem, self.net, config=config, strategy=strategy, seed=seed)
        self.epoch, self.first_step = self._take_up()

    def run(self):
        """Trains to the last epoch.

        Returns:
            the last epoch's record, as in metrics.jsonl.
        Raises:
            Interrupted, Diverged.
        """
        environment.note(self.run_dir, self.epoch + (self.first_step > 0), self.say)
        others = (*self.problem.rates(self.config, 0), "step_seconds")
        tags = summaries.tags("train", self.problem.METRICS, others)
        self.board = summaries.of(self.run_dir, tags, resume_step=self.epoch)
        hparams = dataclasses.asdict(self.config) | {"seed": self.seed}
        self.board.hparams(hparams)
        with Stop.on_signals() as self.stop:
            while self.epoch < self.config.epochs:
                self._run_epoch()
        last = self.run_dir.read_metrics()[-1]
        results = {
            "score_loss": last["score/loss"],
            f"score_{self.problem.SCORE.name}": self.problem.SCORE.of(stage(last, "score")),
        }
        self.board.hparams(hparams, results, step=self.config.epochs)
        self.board.close()
        return last

    def _run_epoch(self):
        epoch, start = self.epoch, time.monotonic()
        length = lengths.at(self.history, epoch, self.config.epochs)
        config = dataclasses.replace(self.config, epochs=length)
        rates, steps = self.problem.rates(config, epoch), self.num_steps - self.first_step
        trained = self._train_epoch(config, rates)
        step_seconds = (time.monotonic() - start) / max(steps, 1)
        scored = self._score(
            self.problem.score_epoch(config, epoch),
            label="scoring",
            num_steps=self.problem.score_steps,
        )
        self.epoch, self.first_step = epoch + 1, 0
        row = {
            "epoch": epoch,
            **{f"train/{name}": value for name, value in trained.items()},
            **{f"score/{name}": value for name, value in scored.items()},
            **{f"train/{name}": rate for name, rate in rates.items()},
            "train/step_seconds": step_seconds,
        }
        self._record(row)

    def _train_epoch(self, config, rates):
        """{metric: number} of the epoch's training batches."""
        epoch, block = self.epoch, self.trainer.train_block
        batches = self.problem.train_epoch(config, epoch, first_step=self.first_step)
        iterator = iter(batches)
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        return self._train_blocks(
            lambda first, last: block(iterator, first, last, tf.constant(epoch), rates)
        )

    def _record(self, row):
        """Writes a finished epoch: files first, the checkpoint last, since it decides where to resume."""
        self.run_dir.append_metrics(row)
        self.board.epoch(row["epoch"], scalars={k: v for k, v in row.items() if k != "epoch"})
        self.board.flush()
        if self.epoch % self.config.checkpoint_every == 0 or self.epoch == self.config.epochs:
            self._checkpoint(0)
        score = self.problem.SCORE
        trained = ", ".join(f"{m.name} {row[f'train/{m.name}']:.4f}" for m in self.problem.METRICS)
        self.say(
            f"epoch {self.epoch}/{self.config.epochs}: {trained}, {self.config.split} {score.name} "
            f"{score.told(score.of(stage(row, 'score')))}, {row['train/step_seconds']:.2f} s/step"
        )


def stage(row, name):
    """{metric: number} of one stage of a row of metrics.jsonl, e.g. "score"."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): v for key, v in row.items() if key.startswith(prefix)}
