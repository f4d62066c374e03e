"""The outer loop of an evaluation: epochs and records."""

import dataclasses
import math
import time

import keras
import tensorflow as tf

from rdarts_tf.engine import distribution, examination, summaries
from rdarts_tf.engine.batches import iterate
from rdarts_tf.engine.epochs import Diverged, EpochRun, told_speed
from rdarts_tf.engine.evaluation_steps import Evaluation
from rdarts_tf.engine.weight_steps import path
from rdarts_tf.runs import lengths
from rdarts_tf.runs.files import RunDirError
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.progress import Stop

_MOST_RETURNS = 5


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
        self.logbook = Logbook(run_dir, config.seed_identity(seed))
        keras.utils.set_random_seed(seed)
        with strategy.scope():
            self.net = problem.network()
        self.trainer = Evaluation(problem, self.net, config=config, strategy=strategy, seed=seed)
        with strategy.scope():
            self.returns, self.best_epoch = (
                tf.Variable(0, dtype=tf.int64, trainable=False) for _ in range(2)
            )
        self.epoch, self.first_step = self._take_up()
        problem.returns = int(self.returns.numpy())

    def run(self):
        """Trains to the last epoch.

        Returns:
            the last epoch's record, as in metrics.jsonl; where the problem keeps its best weights, that of
            their epoch, "score" being what they were judged by and "validation" what they scored.
        Raises:
            Interrupted, Diverged.
        """
        self._note_environment(self.epoch + (self.first_step > 0))
        tags = self._tags("train", "step_seconds")
        self.board = summaries.of(self.run_dir, tags, resume_step=self.epoch)
        hparams = dataclasses.asdict(self.config) | {"seed": self.seed}
        self.board.hparams(hparams)
        with Stop.on_signals() as self.stop:
            while self.epoch < self.config.epochs:
                self._run_epoch_or_return()
            self._prune()  # again, if a process was killed before it
            last = self._judged(self.logbook.rows)
            self.examined = self._examine(last["epoch"])
        results = {
            "score_loss": last["score/loss"],
            f"score_{self.problem.SCORE.name}": self.problem.SCORE.of(stage(last, "score")),
        }
        self.board.hparams(hparams, results, step=self.config.epochs)
        self.board.close()
        return last

    def _examine(self, epoch):
        """What the task says of the trained network's answers, for result.json."""
        if self.problem.examined is None:
            return {}
        batches = self.problem.score_epoch(self.config, epoch)
        found, figures = self.problem.examined(examination.answers(self.problem, self.net, batches))
        for tag, figure in figures.items():
            self.board.figure(tag, figure, step=epoch)
        return {"examined": found}

    def _run_epoch_or_return(self):
        """An epoch; where its loss is not finite, back to the best one, if the problem keeps that."""
        try:
            self._run_epoch()
        except Diverged as error:
            has_best = self.problem.KEEPS_BEST and self.logbook.rows
            if not has_best or self.problem.returns >= _MOST_RETURNS:
                raise
            self._return(self._best(), error)

    def _return(self, best, error):
        """Goes on after the best epoch, with other draws; first a checkpoint, so that a kill loses nothing."""
        diverged, returns = self.epoch, self.problem.returns + 1
        self.load(best)
        self.returns.assign(returns)
        self.problem.returns = returns
        self._go_back(int(best["best_epoch"]) + 1)
        self.say(
            f"{error}: back from epoch {diverged + 1} to the end of epoch {self.epoch}, the best"
        )

    def _variables(self):
        kept = self.problem.KEEPS_BEST
        more = {"returns": self.returns, "best_epoch": self.best_epoch} if kept else {}
        return super()._variables() | more

    def _resume(self):
        epoch, step = super()._resume()
        if self.problem.KEEPS_BEST and epoch:
            self._best()
        return epoch, step

    def _best(self):
        """{name: array} of the state with the best weights.

        Raises:
            RunDirError: it is missing, damaged, of another epoch or another training.
        """
        best, path = self.run_dir.load_best(), self.run_dir.path / "best.npz"
        scores = [self.problem.SCORE.of(stage(row, "score")) for row in self.logbook.rows]
        allowed = [scores.index(min(scores))]
        if len(scores) < self.config.epochs:
            allowed.append(
                len(scores)
            )  # written by a process that was killed before its checkpoint
        if best is None or best.get("best_epoch") not in allowed:
            raise RunDirError(
                f"{path} is missing or not that of epoch {allowed[0]}; restore it, or use --overwrite to "
                "start anew"
            )
        self.logbook.check_owner(path, self.run_dir.load_beside(path))
        return best

    def _keep_if_best(self, row):
        """Writes the state with the weights that were scored, if they scored better than all before."""
        of = self.problem.SCORE.of
        before = [of(stage(other, "score")) for other in self.logbook.rows]
        if of(stage(row, "score")) < min(before, default=math.inf):
            self.best_epoch.assign(row["epoch"])
            variables = self.trainer.net.trainable_variables
            names = [f"weights/{path(v)}" for v in variables]
            scored = [
                w.numpy() for w in self.trainer.packing.unpack(*self.trainer.scored_weights())
            ]
            arrays = self._arrays() | dict(zip(names, scored, strict=True))
            with distribution.chief_first(self.trainer.strategy):
                self.run_dir.save_best(arrays, self.logbook.pages(row["epoch"], 0))

    def _judged(self, rows):
        """The row that is the result."""
        if not self.problem.KEEPS_BEST:
            return rows[-1]
        best = self._best()
        row = rows[int(best["best_epoch"])]
        if not self.problem.test_steps:
            return row
        self.load(best)
        iterator, epoch = iterate(self.problem.test_epoch(self.config)), tf.constant(row["epoch"])
        self.trainer.reset("test")

        def block(first, last):
            self.trainer.test_block(iterator, first, last, epoch)

        found = self._score_blocks("test", block, 0, num_steps=self.problem.test_steps)
        validated = {f"validation/{k}": v for k, v in stage(row, "score").items()}
        return row | validated | {f"score/{k}": v for k, v in found.items()}

    def _run_epoch(self):
        self.num_steps = self.problem.epoch_steps(self.epoch)
        epoch, start, counted = self.epoch, time.monotonic(), self.counted()
        length = lengths.at(self.history, epoch, self.config.epochs)
        config = dataclasses.replace(self.config, epochs=length)
        rates = self.problem.rates_after(config, epoch, self.logbook.rows)
        steps = self.num_steps - self.first_step
        trained = self._train_epoch(config, rates)
        seconds = time.monotonic() - start
        scored = self._score(
            self.problem.score_epoch(config, epoch),
            label="scoring",
            num_steps=self.problem.score_steps,
        )
        self._check_finite(scored)
        self.epoch, self.first_step = epoch + 1, 0
        row = {
            "epoch": epoch,
            **{f"train/{name}": value for name, value in trained.items()},
            **{f"score/{name}": value for name, value in scored.items()},
            **{f"train/{name}": rate for name, rate in rates.items()},
            "train/step_seconds": seconds / max(steps, 1),
            **{f"train/{name}": rate for name, rate in self.speed(counted, seconds).items()},
            **{f"validation/{name}": n for name, n in self.problem.references().items()},
        }
        if self.problem.KEEPS_BEST:
            self._keep_if_best(row)
        self._record(row)

    def _train_epoch(self, config, rates):
        """{metric: number} of the epoch's training batches."""
        epoch, block = self.epoch, self.trainer.train_block
        batches = self.problem.train_epoch(config, epoch, first_step=self.first_step)
        iterator = iterate(batches)
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        return self._train_blocks(
            lambda first, last: block(iterator, first, last, tf.constant(epoch), rates)
        )

    def _record(self, row):
        """Writes a finished epoch: files first, the checkpoint last, since it decides where to resume."""
        self.logbook.add(row, {})
        self.board.epoch(row["epoch"], scalars={k: v for k, v in row.items() if k != "epoch"})
        self.board.pictures(row["epoch"], self.problem.pictures(self.net))
        self.board.flush()
        if self.epoch % self.config.checkpoint_every == 0 or self.epoch == self.config.epochs:
            self._checkpoint(0)
        score = self.problem.SCORE
        trained = ", ".join(f"{m.name} {row[f'train/{m.name}']:.4f}" for m in self.problem.METRICS)
        self.say(
            f"epoch {self.epoch}/{self.config.epochs}: {trained}, {self._scored_name} {score.name} "
            f"{score.told(score.of(stage(row, 'score')))}, {row['train/step_seconds']:.2f} s/step"
            f"{told_speed(self.problem, row, 'train')}"
        )

    @property
    def _scored_name(self):
        """What the scored split is called."""
        return "validation" if self.problem.test_steps else self.config.split


def stage(row, name):
    """{metric: number} of one stage of a row of metrics.jsonl, e.g. "score"."""
    prefix = f"{name}/"
    return {key.removeprefix(prefix): v for key, v in row.items() if key.startswith(prefix)}
