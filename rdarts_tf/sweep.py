"""Runs many searches: python -m rdarts_tf.sweep --space=s1,s2 --seeds=1,2,3 -- --epochs=20.

What follows -- goes to each search. --exhaustive trains all architectures of a space instead; then it
goes to python -m rdarts_tf.evaluate.
"""

import dataclasses
import pathlib
import shlex
import sys

from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import search as config_lib
from rdarts_tf.config import sweep as sweep_config
from rdarts_tf.errors import UserError
from rdarts_tf.runs import executor
from rdarts_tf.runs.exhaustive import Exhaustive
from rdarts_tf.runs.run_dir import RunDir


def main(argv):
    try:
        config = sweep_config.check(config_lib.from_flags(sweep_config.SweepConfig), argv[1:])
        if config.exhaustive:
            return _train_all(config, argv[1:])
        tasks = [_task(flags, config) for flags in sweep_config.searches(config, argv[1:])]
        _check_directories(tasks)
        return _run(tasks, config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
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
    print(f"best:  {name}, test error {100 * best.test_error:.2f} %")
    print(f"table: {every.table}")
    print(f"next:  python -m rdarts_tf.analyze RUN... --what=regret --table={every.table}")
    return 0


def _task(flags, config):
    """The executor.Task of a search and, with --evaluate, of the retraining of its cells.

    Args:
        flags: of the search.
    Raises:
        UserError: it cannot be, or its directory holds another run.
    """
    searched, own = config_lib.parse(config_lib.SearchConfig, flags)
    config_lib.check(searched)
    _refuse_overwrite(own)
    folder = pathlib.Path(own["run_dir"] or searched.default_run_dir(config.out))
    RunDir(folder).check_ours("search")
    recorded = RunDir(folder).read_json("config.json")
    if recorded and (differing := config_lib.differences(searched, recorded)):
        raise UserError(
            f"{folder} holds a run with other flags: {', '.join(differing)}; choose another --out"
        )
    where = () if own["run_dir"] else (f"--run_dir={folder}",)
    commands = [("-m", "rdarts_tf.search", *flags, *where)]
    if config.evaluate:
        arguments = _checked_evaluation(config, searched)
        commands.append(("-m", "rdarts_tf.evaluate", *arguments, f"--run_dir={folder}"))
    return executor.Task(str(folder), tuple(commands), folder)


def _checked_evaluation(config, searched):
    """The flags of an evaluation, checked with a cell in place of the one to be found."""
    arguments = config.evaluate_arguments()
    given, own = config_lib.parse(evaluate_config.EvaluateConfig, arguments)
    _refuse_overwrite(own)
    if given.genotype or own["run_dir"]:
        raise UserError("--evaluate retrains what is found; leave --genotype and --run_dir out")
    dataset = given.dataset or searched.dataset
    evaluate_config.resolve(dataclasses.replace(given, genotype="DARTS_V2", dataset=dataset), None)
    own = () if given.dataset else (f"--dataset={dataset}",)  # of a record it might not be trusted
    return [*arguments, *own]


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


if __name__ == "__main__":
    config_lib.run(main, sweep_config.SweepConfig, in_run_dir=False)
