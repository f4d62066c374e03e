"""Runs what is behind the paper's tables and figures, and writes a page about it.

    python -m rdarts_tf.reproduce table5 --scale=small
    python -m rdarts_tf.reproduce table1 table6 figure7 --scale=paper --dataset=cifar10 --dry_run

Experiments: table1 ... table6, figure2 ... figure19 but for drawings, and exactness: what becomes of a search with
an approximate gradient of alpha. Runs that several of them need are done once; the same command goes on where
it was.
"""

import sys

from rdarts_tf import report, sweep
from rdarts_tf.config import base, flags
from rdarts_tf.config import reproduce as reproduce_config
from rdarts_tf.config.report import ReportConfig
from rdarts_tf.errors import UserError
from rdarts_tf.runs import estimate, executor
from rdarts_tf.runs.run_dir import RunDir


def main(config, names):
    if not names:
        raise UserError(
            f"name what to reproduce: {', '.join(reproduce_config.names(config.scale))}"
        )
    names = list(dict.fromkeys(names))
    blocks = [block for name in names for block in reproduce_config.blocks(name, config)]
    plans = [sweep.plan(*block) for block in blocks]
    tasks, configs = merged([pair for planned, _ in plans for pair in planned])
    print(f"# {len(tasks)} runs, {_told_hours(configs)}", flush=True)
    try:
        code = sweep.execute(tasks, config)
    except executor.Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    if config.dry_run:
        return code
    for _, finish in () if code else plans:
        finish()
    _write_page(f"{config.folder}/report_{'_'.join(names)}", tasks)
    return code


def merged(planned):
    """The runs of several sweeps, one for each directory, the same training once.

    Args:
        planned: pairs as `sweep.plan` gives them.
    Returns:
        [executor.Task], [configuration] of all trainings.
    Raises:
        UserError: two trainings with other flags would have the same directory.
    """
    commands, configs = {}, {}
    for task, trained in planned:
        wanted = commands.setdefault(task.folder, {})
        for command in task.commands:
            wanted.setdefault(trained.get(command, command), command)
        for path, config in trained.values():
            known = configs.setdefault(path, config)
            if differing := base.differences(config, vars(known)):
                raise UserError(
                    f"two trainings would have the directory {path}, with other flags: "
                    f"{', '.join(differing)}; reproduce them apart, each with an --out of its own"
                )
    tasks = [executor.Task(str(f), tuple(found.values()), f) for f, found in commands.items()]
    return tasks, list(configs.values())


def _told_hours(configs):
    found = [estimate.gpu_hours(config) for config in configs]
    known = [hours for hours in found if hours is not None]
    told = f"roughly {sum(known):,.1f} GPU-hours, by {estimate.SOURCE}"
    if unknown := len(found) - len(known):
        told += f"; {unknown} of {len(found)} trainings not counted, of which no GPU's seconds are known"
    return told


def _write_page(folder, tasks):
    searched = [task.folder for task in tasks if RunDir(task.folder).holds("search")]
    if searched:
        report.write(ReportConfig(out=folder, overwrite=True), searched)


def run():
    """The command; exits."""
    flags.run(main, lambda _: reproduce_config.ReproduceConfig, in_run_dir=False)


if __name__ == "__main__":
    run()
