"""Finds run directories and reads what a report shows of them. No TensorFlow."""

import dataclasses
import os
import pathlib
import re

import numpy as np

from rdarts_tf import reading, registry
from rdarts_tf.analysis import csv_table, regret, spectrum
from rdarts_tf.errors import UserError
from rdarts_tf.runs import files, schemas, search_epochs
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.runs.run_records import Evaluation, Record

_EXAMINED = {"balanced_accuracy": schemas.NUMBER, "error_by_class": {"*?": schemas.NUMBER}}
_EXAMINED |= {"top_5_accuracy?": schemas.NUMBER, "confusions?": [[schemas.NUMBER]]}
_EXAMINED |= {"*": schemas.ANY}
_HESSIAN = re.compile(r"epoch_(\d{4,9})\.npz")
_WITH_HEAD = "num_parameters_with_auxiliary_head"


def read(paths):
    """What the run directories at or below `paths` hold, each once.

    Returns:
        Records; sentences of the runs whose space, task or method cannot be imported, or may not.
    Raises:
        UserError: there is none, or one of their files is damaged.
    """
    found, seen = [], set()
    for path in map(pathlib.Path, paths):
        runs = list(_find(path, set()))
        if not runs:
            raise UserError(
                f"{path} holds no run: neither it nor a folder below has the config.json of a search"
            )
        found += [run for run in runs if run.resolve() not in seen]
        seen |= {run.resolve() for run in runs}
    for run in found:
        registry.distrust(run)
    parents = [run.resolve().parent for run in found]
    common = pathlib.Path(os.path.commonpath(parents)) if found else None
    refused = []
    return _read_all(found, common, refused), refused


def _read_all(paths, common, refused):
    """Records; appends to `refused` the sentences of the others."""
    records = []
    for path in paths:
        record = _described(path, common)
        try:
            record.check_plugins()
        except UserError as error:
            refused.append(str(error))
        else:
            records.append(_read(record, common, refused))
    return records


def _find(path, seen):
    """Yields the run directories at or below a folder, but not those inside of others."""
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    if RunDir(path).holds("search"):
        yield path
        return
    for folder in _folders(path):
        yield from _find(folder, seen)


def _folders(path):
    try:
        return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _described(path, common):
    """The Record of a run as far as its config.json tells."""
    config = _config(path)
    label = pathlib.Path(os.path.relpath(path.resolve(), common)).as_posix()
    return Record(path=path, label=label, config=config, dataset=config["dataset"])


def _read(record, common, refused):
    """A Record with all that its run directory holds."""
    path, run_dir, runs = record.path, RunDir(record.path), record.path / "runs"
    found = list(_find(runs, set())) if runs.is_dir() else []
    record = dataclasses.replace(
        record,
        dataset=(run_dir.read_json("dataset.json") or {}).get("name") or record.dataset,
        metrics=run_dir.read_metrics(),
        alphas=run_dir.read_alphas(),
        decisions=run_dir.read_decisions(),
        genotype=None if record.config.get("extending") else run_dir.read_genotype(),
        evaluations=tuple(_evaluations(path, record.score.name)),
        drops=_drops(path, record.metric.name),
        spectra=_spectra(path, record.config),
        has_checkpoints=any(not step for (_, step), _ in run_dir.list_checkpoints()),
        selection=_selection(record),
        parts=tuple(_read_all(found, common, refused)),
    )
    _check(record)
    return dataclasses.replace(record, by_epoch=_by_epoch(record))


def _config(path):
    config = RunDir(path).read_json("config.json")
    with damage(path / "config.json"):
        schemas.check(config, schemas.SEARCH)
        for name in ("space", "dataset", "method"):
            registry.parse(config[name])
    return config


def _check(record):
    """Raises UserError unless all alphas, decisions and cells fit the space and the epochs."""
    space = record.make_space()
    with damage(record.path / "alphas.npz"):
        for cell_type, values in record.alphas.items():
            if values.shape[1:] != space.cell(cell_type).alpha_shape:
                raise ValueError(f"alpha of cell {cell_type!r} has shape {list(values.shape)}")
    with damage(record.path / "decisions.json"):
        if late := [d for d in record.decisions if d["epoch"] >= max(len(record.metrics), 1)]:
            raise ValueError(f"it decides for epoch {late[0]['epoch']}, which is not there")
    with damage(record.path / "genotype.json"):
        if record.genotype and set(record.genotype.cells) != set(space.cell_types):
            raise ValueError(f"its cells are {', '.join(record.genotype.cells)}")


def _evaluations(path, score):
    for file in sorted(path.glob("evaluate/*/result.json")):
        result = RunDir(file.parent).read_json("result.json")
        with damage(file):
            numbers = {name: result[f"{score}_{name}"] for name in ("mean", "std")}
            numbers |= {_WITH_HEAD: result.get(_WITH_HEAD)}
            schemas.check(numbers, {"*?": schemas.NUMBER})
            yield Evaluation(
                name=file.parent.name,
                num_seeds=len(result["seeds"]),
                examined=_examined(result),
                config=RunDir(file.parent).read_json("config.json") or {},
                seeds=tuple(result["seeds"]),
                **{name: result[name] for name in ("split", "dataset", "epochs", "num_parameters")},
                **numbers,
            )


def _by_epoch(record):
    """See `Record.by_epoch`; without evaluations of cells that a former search here would have returned."""
    folders = search_epochs.folders(RunDir(record.path))
    rows = record.metrics if folders else []
    with damage(record.path / "metrics.jsonl"):
        genotypes = regret.genotypes_of_run(record.make_space(), rows, record.alphas)
    found = {
        epoch: tuple(
            evaluation
            for evaluation in _evaluations(folder.path, record.score.name)
            if evaluation.config.get("genotype") == str(genotypes[epoch])
        )
        for epoch, folder in folders.items()
        if epoch < len(genotypes)
    }
    return {epoch: evaluations for epoch, evaluations in found.items() if evaluations}


def _examined(result):
    """What the task says of the answers by class; {} where it says nothing."""
    examined = result.get("examined") or {}
    if examined:
        schemas.check(examined, _EXAMINED)
        num_classes = len(examined["error_by_class"])
        table = examined.get("confusions") or []
        if table and {len(table), *map(len, table)} != {num_classes}:
            raise ValueError(f"its confusions are not of {num_classes} classes")
    return examined


def _drops(path, metric):
    """Rows of a run's discretization.csv."""
    with damage(path / "analysis" / "discretization.csv"):
        rows = _analyzed(path, "discretization")
        names = [name for name in rows[0] if name.endswith(f"/{metric}_drop")] if rows else []
        return [
            {"epoch": int(row["epoch"])} | {name: float(row[name]) for name in names}
            for row in rows
        ]


def _analyzed(path, what):
    """The rows of analysis/WHAT.csv; of a table of several runs, its own; none where there is none."""
    file = path / "analysis" / f"{what}.csv"
    if not file.exists():
        return []
    rows = reading.read_rows(file)
    if len({row["run"] for row in rows}) > 1:
        rows = [row for row in rows if row["run"] == csv_table.plain(path.resolve().name)]
    return rows


def _spectra(path, config):
    """{epoch: eigenvalues} at the first, middle and last epoch of those that have a spectrum."""
    files_of = {}
    if config.get("eigensolver") == "full":
        matches = [(_HESSIAN.fullmatch(file.name), file) for file in path.glob("hessian/*.npz")]
        files_of = {int(match[1]): file for match, file in matches if match}
    found = {epoch: _spectrum(files_of[epoch]) for epoch in spectrum.chosen(files_of)}
    found = {epoch: values for epoch, values in found.items() if values is not None}
    return found or _analyzed_spectra(path)


def _spectrum(file):
    """The eigenvalues in a file of hessian/; None where it has none, or a NaN among them."""
    with damage(file):
        values = files.load_npz(file).get("spectrum")
        if values is None:
            return None
        spectrum.check(values)
        return values if spectrum.is_drawable(values) else None


def _analyzed_spectra(path):
    """Likewise of analysis/spectrum.csv."""
    found = {}
    with damage(path / "analysis" / "spectrum.csv"):
        for row in _analyzed(path, "spectrum"):
            found.setdefault(int(row["epoch"]), []).append(float(row["eigenvalue"]))
    some = {epoch: np.array(found[epoch]) for epoch in spectrum.chosen(found)}
    return {epoch: values for epoch, values in some.items() if spectrum.is_drawable(values)}


def _selection(record):
    numbers = ("weight_decay", "drop_path_prob", "seed", "num_parameters")
    names = (*numbers, record.skips_name, record.validation_score)
    selection = RunDir(record.path).read_json("selection.json")
    with damage(record.path / "selection.json"):
        for run in selection["runs"] if selection else ():
            schemas.check(run, dict.fromkeys(names, schemas.NUMBER) | {"*": schemas.ANY})
    return selection


def damage(path):
    """Turns what a damaged file makes of reading it into a UserError that names it."""
    return files.damage(path, "restore it, or leave the run out")
