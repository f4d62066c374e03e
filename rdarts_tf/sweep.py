"""Runs many searches.

    python -m rdarts_tf.sweep --space=s1,s2 --seeds=1,2,3 -- --epochs=20
    python -m rdarts_tf.sweep --space=s1 --vary='weight_decay=3e-4,27e-4' -- --epochs=20
    python -m rdarts_tf.sweep --space=s5 --dataset=digits --exhaustive -- --epochs=30

What follows -- goes to each search. --exhaustive trains all architectures of a space instead; then it
goes to python -m rdarts_tf.evaluate.
"""

import dataclasses
import pathlib
import shlex
import sys

import numpy as np

from rdarts_tf.config import base, flags, workers
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import search as search_config
from rdarts_tf.config import sweep as sweep_config
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.runs import executor, extension, search_epochs
from rdarts_tf.runs.exhaustive import Exhaustive
from rdarts_tf.runs.run_dir import RunDir


def main(config, arguments):
    try:
        planned, finish = plan(config, arguments)
        tasks = [task for task, _ in planned]
        _check_directories(tasks)
        return execute(tasks, config) or (0 if config.dry_run else finish())
    except executor.Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code


def plan(config, arguments):
    """What is to be run.

    Args:
        config: SweepConfig.
        arguments: flags of each run.
    Returns:
        [(executor.Task, {command: (directory, configuration) of what it trains})], and a function that is
        called when all have succeeded and returns the exit code.
    Raises:
        UserError: a run cannot be, or its directory holds another.
    """
    sweep_config.check(config, arguments)
    if config.exhaustive:
        every = _exhaustive(config, arguments)
        found = [(t, dict.fromkeys(t.commands, every.evaluation(t.name))) for t in every.tasks()]
        if not config.dry_run:
            print(
                f"{len(found)} of {len(every.choices)} architectures are to be trained", flush=True
            )
        return found, lambda: _tell_best(every)
    searches = sweep_config.searches(config, arguments)
    return [
        pair for given, changes in searches for pair in _tasks(given, changes, config)
    ], lambda: 0


def _exhaustive(config, common):
    alone = [config.values(name) for name in ("space", "dataset")]
    if any(len(values) > 1 or values == (None,) for values in alone):
        raise UserError("--exhaustive needs one --space, such as s5, and one --dataset")
    (space,), (dataset,) = alone
    return Exhaustive(space, dataset, seeds=config.seeds, out=config.out, common=common)


def _tell_best(every):
    name, best = every.write_table()
    print(f"best:  {name}, test {every.score.words} {every.score.told(best.test)}")
    print(f"table: {every.table}")
    print(f"next:  python -m rdarts_tf.analyze RUN... --what=regret --table={every.table}")
    return 0


def _tasks(given, changes, config):
    """Yields what `plan` returns of the searches that differ in --vary only.

    Args:
        given: flags of them.
        changes: [{flag: value}].
    """
    plain, own = flags.parse(search_config.of_given, given)
    if foreign := [name for name in changes[0] if not hasattr(plain, name)]:
        raise UserError(f"--vary={foreign[0]} is no setting of a search; give it behind --")
    _refuse_overwrite(own)
    evaluation = _checked_evaluation(config, plain) if config.evaluate else None
    for each in changes:
        arguments = [*given, *base.argv(each)]
        searched = flags.parse(search_config.of_given, arguments)[0] if each else plain
        varied = [name for name in each if getattr(searched, name) != getattr(plain, name)]
        folder = pathlib.Path(own["run_dir"] or searched.default_run_dir(config.out, varied=varied))
        _check(searched, folder, extend=own["extend"])
        where = () if own["run_dir"] else (f"--run_dir={folder}",)
        trained = {("-m", "rdarts_tf.search", *arguments, *where): (folder, searched)}
        if evaluation:
            words, resolved = evaluation
            command = ("-m", "rdarts_tf.evaluate", *words, f"--run_dir={folder}")
            trained[command] = (folder / "evaluate" / resolved.name, resolved)
        commands = (*trained, *_analyses(config, searched, folder))
        yield executor.Task(str(folder), commands, folder), trained


def _check(searched, folder, *, extend):
    """Raises UserError where a search cannot be, or its directory holds another run."""
    workers.check_alone(searched, "a sweep")
    search_config.check(searched)
    RunDir(folder).check_ours("search")
    extension.check_search(searched, RunDir(folder), remedy="choose another --out", extend=extend)


def _analyses(config, searched, folder):
    """The commands of --analyze."""
    whats = config.analyses()
    if whats and (search_config.pieces(searched) or searched.make_method().selection):
        raise UserError(
            f"--analyze={config.analyze} needs a search that trains alpha, not --method={searched.method}"
        )
    others = base.argv(searched.plugin_flags() | {"data_dir": searched.data_dir})
    start = ("-m", "rdarts_tf.analyze", str(folder))
    return [(*start, f"--what={what}", *others) for what in whats]


def _checked_evaluation(config, searched):
    """The flags of an evaluation, and its configuration with a cell in place of the one to be found."""
    arguments, space = config.evaluate_arguments(), searched.make_space()
    given, own = flags.parse(lambda _: evaluate_config.of_space(space), arguments)
    _refuse_overwrite(own)
    workers.check_alone(given, "a sweep")
    if given.genotype or given.space or own["run_dir"]:
        raise UserError(
            "--evaluate retrains what is found; leave --genotype, --space and --run_dir out"
        )
    if epochs := given.search_epochs():
        search_epochs.check_searches(searched, searched.default_run_dir(config.out))
        if max(epochs) >= searched.epochs:
            raise UserError(
                f"--search_epoch={max(epochs)} is none of the {searched.epochs} epochs of the searches, "
                "of which 0 is the first; leave it out"
            )
    dataset = given.dataset or searched.dataset
    own_dataset = () if given.dataset else (f"--dataset={dataset}",)  # of a record not trusted
    some = rule.derive(space, {t: np.zeros(c.alpha_shape) for t, c in space.cells.items()})
    given = dataclasses.replace(given, genotype=str(some), space=searched.space, dataset=dataset)
    resolved = evaluate_config.resolve(given, None)
    return [*arguments, *own_dataset, *base.argv(searched.plugin_flags())], resolved


def _refuse_overwrite(own):
    if own["overwrite"]:
        raise UserError(
            "--overwrite would start a run anew each time its process is started again; delete the "
            "directory instead"
        )


def _check_directories(tasks):
    seen = {}
    for task in tasks:
        folder = task.folder.resolve()
        if folder in seen:
            raise UserError(
                f"two runs have the directory {task.folder}; give one of them another --run_dir, or "
                "another --out in a sweep of its own"
            )
        seen[folder] = task


def execute(tasks, config):
    """Runs the tasks, or prints their commands; the exit code.

    Args:
        tasks: list of executor.Task.
        config: config.base.ExecutorConfig with `dry_run`.
    Raises:
        executor.Stopped: by a signal.
    """
    if config.dry_run:
        for command in (command for task in tasks for command in task.commands):
            print(shlex.join(("python", *command)))
        return 0
    codes = executor.run(tasks, config) if tasks else {}
    for task in tasks:
        if code := codes[task.name]:
            print(
                f"error: {task.name} failed with exit code {code}, see {task.folder / executor.LOG}",
                file=sys.stderr,
            )
    return int(any(codes.values()))


def run():
    """The command; exits."""
    flags.run(main, lambda _: sweep_config.SweepConfig, in_run_dir=False)


if __name__ == "__main__":
    run()
