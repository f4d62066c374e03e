"""Runs many searches.

    python -m rdarts_tf.sweep --space=s1,s2 --seeds=1,2,3 -- --epochs=20
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
        sweep_config.check(config, arguments)
        if config.exhaustive:
            return _train_all(config, arguments)
        tasks = [_task(each, config) for each in sweep_config.searches(config, arguments)]
        _check_directories(tasks)
        return _run(tasks, config)
    except executor.Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code


def _train_all(config, common):
    alone = [config.values(name) for name in ("space", "dataset")]
    if any(len(values) > 1 or values == (None,) for values in alone):
        raise UserError("--exhaustive needs one --space, such as s5, and one --dataset")
    (space,), (dataset,) = alone
    every = Exhaustive(space, dataset, seeds=config.seeds, out=config.out, common=common)
    tasks = every.tasks()
    if not config.dry_run:
        print(f"{len(tasks)} of {len(every.choices)} architectures are to be trained", flush=True)
    if (code := _run(tasks, config)) or config.dry_run:
        return code
    name, best = every.write_table()
    print(f"best:  {name}, test {every.score.words} {every.score.told(best.test)}")
    print(f"table: {every.table}")
    print(f"next:  python -m rdarts_tf.analyze RUN... --what=regret --table={every.table}")
    return 0


def _task(arguments, config):
    """The executor.Task of a search and, with --evaluate, of the retraining of its cells.

    Args:
        arguments: flags of the search.
    Raises:
        UserError: it cannot be, or its directory holds another run.
    """
    searched, own = flags.parse(search_config.of_given, arguments)
    workers.check_alone(searched, "a sweep")
    search_config.check(searched)
    _refuse_overwrite(own)
    folder = pathlib.Path(own["run_dir"] or searched.default_run_dir(config.out))
    RunDir(folder).check_ours("search")
    extension.check_search(
        searched, RunDir(folder), remedy="choose another --out", extend=own["extend"]
    )
    where = () if own["run_dir"] else (f"--run_dir={folder}",)
    commands = [("-m", "rdarts_tf.search", *arguments, *where)]
    if config.evaluate:
        arguments = _checked_evaluation(config, searched)
        commands.append(("-m", "rdarts_tf.evaluate", *arguments, f"--run_dir={folder}"))
    return executor.Task(str(folder), tuple(commands), folder)


def _checked_evaluation(config, searched):
    """The flags of an evaluation, checked with a cell in place of the one to be found."""
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
    evaluate_config.resolve(given, None)
    return [*arguments, *own_dataset, *base.argv(searched.plugin_flags())]


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


def _run(tasks, config):
    """The exit code of the sweep."""
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
