"""Runs whose steps are arithmetic that depends on all state: everything else is real and takes milliseconds."""

import types

import numpy as np
import tensorflow as tf

from rdarts_tf import evaluate, search, sweep
from rdarts_tf.config import flags
from rdarts_tf.config import search as search_config
from rdarts_tf.config.sweep import SweepConfig
from rdarts_tf.engine import curvature, distribution, evaluation_steps, search_steps, summaries
from rdarts_tf.runs import executor, given
from tests.toy_task import task

TOY = ("--space=tests.toy_task", "--dataset=tests.toy_task")
ADA = "darts_ada(window=1, delta=1, factor=1.05, start_epoch=1, frequency=1)"


def replace_steps(patch):
    """Search and evaluation of tests.toy_task take such steps; the third epoch of a training diverges once.

    lambda_max grows the less the more weight decay is in force: `ADA` goes back twice. What a method
    or a sweep starts runs in this process.
    """
    patch.setattr(search_steps.Search, "search_block", _search_block)
    patch.setattr(evaluation_steps.Evaluation, "train_block", _train_block)
    for kind in (search_steps.Search, evaluation_steps.Evaluation):
        patch.setattr(kind, "validate_block", _validate_block)
    patch.setattr(curvature.Curvature, "measure", _measure)
    patch.setattr(summaries, "SearchSummaries", lambda *args, **kwargs: summaries.NoSummaries())
    patch.setattr(distribution, "configure_runtime", lambda: None)
    patch.setattr(distribution, "hide_gpus", lambda: None)
    patch.setattr(executor, "run_task", _run_task)
    patch.setattr(task.Evaluation, "KEEPS_BEST", True)


def call(name, *arguments):
    """The exit code of a command."""
    if name == "sweep":
        own, _, common = " ".join(arguments).partition(" -- ")
        values = dict(flag.removeprefix("--").split("=", 1) for flag in own.split())
        return sweep.main(SweepConfig(**values, evaluate=True, executor="local"), common.split())
    module, choose = {
        "search": (search, search_config.of_given),
        "evaluate": (evaluate, given.evaluation),
    }[name]
    config, own = flags.parse(choose, arguments)
    return module.main(config, **own)


def _run_task(task, *, threads=None, tick=None):
    task.folder.mkdir(parents=True, exist_ok=True)
    for _, module, *arguments in task.commands:
        if code := call(module.removeprefix("rdarts_tf."), *arguments):
            return code
    return 0


def _search_block(self, iterator, first, last, epoch, rates):
    for step in range(int(first), int(last)):
        _step(self, int(epoch), step, float(rates["weight_decay"]))
        alpha, w = self.net.alphas["toy"].value, self.net.w.numpy()
        alpha.assign(alpha.numpy() + (np.sin(w) * np.array([[0.1, -0.2]])).astype(np.float32))
    return last, tf.constant(0.5)


def _train_block(self, iterator, first, last, epoch, rates):
    for step in range(int(first), int(last)):
        _step(self, int(epoch), step, 0.1 * self.problem.returns)
    diverged = int(epoch) == 2 and not self.problem.returns
    return last, tf.constant(np.nan if diverged else 0.5)


def _step(trainer, epoch, step, decay):
    w = trainer.net.w.value  # in numpy, which is quicker than TensorFlow is with single numbers
    w.assign((0.9 - decay) * w.numpy() + 0.01 * (20 * epoch + step) + 0.1)
    trainer.totals[0].assign_add(w.numpy().astype(np.float32))
    trainer.totals[-1].assign_add(1.0)


def _validate_block(self, iterator, first, last, epoch):
    self.totals[0].assign_add(tf.cast(tf.abs(self.net.w - 1), tf.float32))
    self.totals[-1].assign_add(1.0)


def _measure(self, batches, *, epoch, rates):
    value = (1 + epoch) ** (1 / (1 + 1000 * rates["weight_decay"]))
    vector = np.full(self.n, value)
    self.vector.assign(vector)
    return curvature.Measured(value, 0.0, True, vector, 1, 0.1, None, None)


def unread():
    """In place of capsys."""
    return types.SimpleNamespace(readouterr=lambda: ("", ""))
