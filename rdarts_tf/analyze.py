"""Draws what searches recorded.

    python -m rdarts_tf.analyze runs/* --what=trajectory
    python -m rdarts_tf.analyze runs/s5_* --what=regret

--what=trajectory: lambda_max, its local averages and the epochs at which the stop rule fires, as
figures and a table. Beside run directories it takes the authors' CSV of eigenvalue trajectories.
--what=spectrum: the full Hessian of every checkpoint that a run kept, computed anew: its eigenvalues.
--what=discretization: loss and accuracy, or the metrics of another task, of the one-shot model at every
checkpoint that a run kept, and with the architecture made discrete, same weights.
--what=regret: in a space whose architectures were all trained (s5), the test error of the architecture of
each epoch less that of the best one, beside the validation error of the one-shot model; or the score that the
task has in its place.
"""

import dataclasses
import math
import pathlib
import shlex

from rdarts_tf import registry
from rdarts_tf.analysis import csv_table, trajectory
from rdarts_tf.config import base, flags, spaces
from rdarts_tf.config import search as search_config
from rdarts_tf.config.analyze import AnalyzeConfig
from rdarts_tf.config.evaluate import folder_name
from rdarts_tf.engine import startup
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.runs import lengths, placing, same_data, schemas
from rdarts_tf.runs.files import damage
from rdarts_tf.runs.run_dir import RunDir


def main(config, paths):
    if config.what not in ANALYSES:
        raise UserError(f"unknown --what={config.what}; there are: {', '.join(ANALYSES)}")
    if not paths:
        raise UserError("nothing to analyze; give run directories or CSV files")
    for path in paths:
        registry.distrust(path)
    alone = len(paths) == 1 and pathlib.Path(paths[0]).is_dir()
    inside = placing.inside(paths[0], "analysis") if alone and not config.out else "analysis"
    folder = pathlib.Path(config.out or inside)
    replace = config.overwrite or (alone and not config.out)
    if not replace:
        placing.check_free(folder, [f"{config.what}.csv"])  # the others are known later
    files = dict(ANALYSES[config.what](config, paths))
    placing.write_files(folder, files, replace=replace)
    return 0


def trajectories(config, paths):
    """Yields (file name, content): a figure for each group of runs, and trajectory.csv."""
    from rdarts_tf.drawing import plots  # not earlier: matplotlib takes a second to load

    curves = [pair for path in paths for pair in _trajectories(config, path)]
    curves.sort(key=lambda pair: (pair[0].figure, *pair[0].run.values()))
    for figure in dict.fromkeys(recorded.figure for recorded, _ in curves):
        panels = trajectory.panels(pair for pair in curves if pair[0].figure == figure)
        drawn = plots.trajectories(panels, title=figure.replace("_", " "))
        yield f"{'_'.join(filter(None, ('trajectory', figure)))}.png", plots.to_png(drawn)
    yield "trajectory.csv", csv_table.to_bytes(trajectory.rows(curves))


def spectra(config, paths):
    """Yields (file name, content): the Hessian of each checkpoint anew, its spectrum drawn and listed."""
    from rdarts_tf.analysis import spectrum
    from rdarts_tf.drawing import plots

    found = [measured for path in paths for measured in _hessians(config, pathlib.Path(path))]
    for name in dict.fromkeys(name for name, *_ in found):
        values = {epoch: values for run, epoch, values in found if run == name}
        yield f"spectrum_{name}.png", plots.to_png(plots.spectra(values, title=name))
    yield (
        "spectrum.csv",
        csv_table.to_bytes([row for each in found for row in spectrum.rows(*each)]),
    )


def discretizations(config, paths):
    """Yields discretization.csv, a row for each checkpoint."""
    yield (
        "discretization.csv",
        csv_table.to_bytes([row for path in paths for row in _discretized(config, path)]),
    )


def regrets(config, paths):
    """Yields (file name, content): regret.png with a line for runs of different seeds, regret.csv."""
    from rdarts_tf.analysis import regret
    from rdarts_tf.drawing import plots

    settings = [_searched(path) for path in paths]
    table = _regret_table(config, settings)
    labels = regret.labels([_without_free(each) for each in settings])
    _check_seeds(paths, labels, settings)
    rows = [_regret_rows(table, path) for path in paths]
    score = regret.score_of(table.space)
    lines = {
        label: regret.line([rows[k] for k, other in enumerate(labels) if other == label], score)
        for label in dict.fromkeys(labels)
    }
    for label, line in lines.items():
        print(regret.told(label, line))
    title = f"{spaces.label(settings[0]['space'])} on {settings[0]['dataset']}"
    yield "regret.png", plots.to_png(plots.regrets(lines, title=title))
    names = [
        {"label": label, "seed": each["seed"], "run": pathlib.Path(path).resolve().name}
        for label, each, path in zip(labels, settings, paths, strict=True)
    ]
    every = [name | row for name, run in zip(names, rows, strict=True) for row in run]
    yield "regret.csv", csv_table.to_bytes(every)


def _hessians(config, path):
    """Yields (name of the run, epoch, eigenvalues ascending) of each whole epoch's checkpoint."""
    for run, epoch in _checkpoints(config, path, eigensolver="full"):
        found = _measure(run, epoch, path)
        print(f"{path}, epoch {epoch}: lambda_max {found.lambda_max:.4g}")
        yield path.resolve().name, epoch, found.spectrum


def _discretized(config, path):
    """Yields a row of discretization.csv for each whole epoch's checkpoint."""
    startup.load_tensorflow()
    from rdarts_tf.engine import discretization  # not earlier: it loads TensorFlow

    for run, epoch in _checkpoints(config, pathlib.Path(path)):
        row = discretization.row(
            run.problem,
            run.net,
            run.validation_epoch(epoch),
            run.space,
            edge_weights=run.edge_weights(),
            genotype=run.genotype(),
        )
        name = run.problem.METRICS[-1].name
        drops = (f"{row[f'{mode}/{name}_drop']:.4f}" for mode in ("running", "batch"))
        print(
            f"{path}, epoch {epoch}: {name} worsens by {next(drops)} with running statistics, by "
            f"{next(drops)} with those of the batch"
        )
        yield {"run": pathlib.Path(path).resolve().name, "epoch": epoch} | row


def _checkpoints(config, path, **changes):
    """Yields (search_run.SearchRun with its weights, epoch) of each whole epoch's checkpoint.

    Args:
        changes: of the run's configuration, in addition to --data_dir: TFDS imports what the files of a
            data set name, so a record must not say where they are.
    """
    recorded, run_dir = _recorded(path), RunDir(path)
    checkpoints = [(epoch, file) for (epoch, step), file in run_dir.list_checkpoints() if not step]
    if not checkpoints:
        raise UserError(
            f"run {path} holds no checkpoint of a whole epoch; search with --keep_checkpoints=2 or "
            "more, or 0 for all"
        )
    changes |= {"data_dir": config.data_dir, "strategy": "auto"}
    settings = dataclasses.replace(search_config.of_record(recorded), **changes)
    if settings.make_method().selection:
        raise UserError(
            f"run {path} has sampled its architectures; only a run that trains alpha can be analysed so"
        )
    startup.load_tensorflow()
    from rdarts_tf.engine import search_run  # not earlier: TensorFlow takes seconds to load

    run = search_run.SearchRun(settings, run_dir)
    same_data.check_same_data(run_dir.read_json("dataset.json"), run.data.record(), path)
    run.logbook.decisions = run_dir.read_decisions()
    run.decisions.extend(recorded, 0)
    for num_epochs, file in sorted(checkpoints):
        run.load(run_dir.load(file))
        yield run, num_epochs - 1


def _measure(run, epoch, path):
    try:
        found = run.measure_curvature(epoch)
    except LookupError as error:
        raise UserError(f"the Hessian of {path} cannot be measured: {error}") from error
    if not math.isfinite(found.lambda_max):
        raise UserError(
            f"the Hessian of {path} after epoch {epoch} is not finite; delete that checkpoint to see "
            "the others"
        )
    return found


# --what: function of (AnalyzeConfig, paths) that yields (file name, content as bytes).
ANALYSES = {
    "trajectory": trajectories,
    "spectrum": spectra,
    "discretization": discretizations,
    "regret": regrets,
}


def _regret_table(config, settings):
    """The regret.Table of the space and data set of all runs."""
    from rdarts_tf.analysis import regret

    pairs = sorted({(each["space"], each["dataset"]) for each in settings})
    if len(pairs) > 1:
        (space, dataset), (other, on) = pairs[:2]
        raise UserError(
            f"runs of {spaces.label(space)} on {dataset} and of {spaces.label(other)} on {on} have no table in common; give runs "
            "of one space and data set"
        )
    space, dataset = pairs[0]
    found = search_config.of_record(settings[0]).make_space()
    rule.check_keeps_all_edges(found)
    path = config.table or regret.SHIPPED / f"{folder_name(f'{spaces.label(space)}_{dataset}')}.csv"
    if not config.table and not path.exists():
        raise UserError(
            f"no table of {spaces.label(space)} on {dataset} comes along; make one by python -m "
            f"rdarts_tf.sweep --space={shlex.quote(space)} --dataset={shlex.quote(dataset)} --exhaustive and give it by --table"
        )
    return regret.read_table(path, found)


def _without_free(recorded):
    """What determines the result of a run."""
    fields = base.fields_of(recorded) | {"extended_after": lengths.told(recorded.get("history"))}
    return {name: value for name, value in fields.items() if name not in base.FREE}


def _check_seeds(paths, labels, settings):
    """Raises UserError when runs of one line have the same seed."""
    seen = {}
    for path, label, each in zip(paths, labels, settings, strict=True):
        if (other := seen.get((label, each["seed"]))) is not None:
            raise UserError(f"{other} and {path} are the same search, seed included; leave one out")
        seen[label, each["seed"]] = path


def _regret_rows(table, path):
    from rdarts_tf.analysis import regret

    run_dir = RunDir(path)
    rows = run_dir.read_metrics()
    if (run_dir.path / "runs").is_dir():
        raise UserError(f"run {path} selects among several searches; give those in {path}/runs")
    if not rows:
        raise UserError(f"run {path} has no finished epoch; go on with the search")
    return regret.run_rows(table, rows, run_dir.read_alphas())


def _trajectories(config, path):
    """[(Trajectory, Curve)] of a run directory or CSV."""
    path = pathlib.Path(path)
    if not path.is_dir():
        spec = config.method or "darts_es"
        return [(found, _curve(found, spec)) for found in trajectory.read_csv(path)]
    own = _recorded(path)["method"]
    found = trajectory.of_run(path.resolve().name, RunDir(path).read_metrics())
    if config.method:
        return [(found, _curve(found, config.method))]
    return [(found, trajectory.curve_of_run(found, _method(own)))]


def _recorded(path):
    """The fields of a run's configuration."""
    recorded = RunDir(path).read_json("config.json")
    if recorded is None:
        raise UserError(f"{path} is no run directory: it holds no config.json")
    if not {"space", "method"} <= set(recorded):
        raise UserError(f"{path} is no run directory of a search")
    return recorded


def _searched(path):
    """`_recorded`, complete."""
    recorded = _recorded(path)
    with damage(pathlib.Path(path) / "config.json"):
        schemas.check(recorded, schemas.SEARCH)
    return recorded


def _curve(found, spec):
    """The Curve of a Trajectory, by the stop rule of a method."""
    method = _method(spec)
    if not hasattr(method, "rule"):
        raise UserError(f"--method={spec} has no stop rule; take darts_es or darts_ada")
    return trajectory.curve(found.history, method.rule)


def _method(spec):
    return search_config.SearchConfig(method=spec).make_method()


def run():
    """The command; exits."""
    flags.run(main, lambda _: AnalyzeConfig, in_run_dir=False)


if __name__ == "__main__":
    run()
