"""Finds run directories and reads what a report shows of them. No TensorFlow."""

import contextlib
import csv
import dataclasses
import os
import pathlib

from rdarts_tf import registry
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.runs.run_records import LAMBDA_MAX, Evaluation, Record

_NUMBERS = (LAMBDA_MAX, "search/weight_decay", "search/drop_path_prob")
_CONFIG = ("space", "dataset", "method", "seed", "epochs", "weight_decay")
_RESULT = ("split", "dataset", "epochs", "num_parameters")
_WITH_HEAD = "num_parameters_with_auxiliary_head"
_SELECTED = ("name", "method", "lambda_max", "weight_decay", "drop_path_prob", "seed")
_SELECTED += ("num_parameters",)


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
    if _is_search(RunDir(path).read_json("config.json")):
        yield path
        return
    for folder in _folders(path):
        yield from _find(folder, seen)


def _is_search(config):
    return isinstance(config, dict) and {"space", "method"} <= set(config)


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
        dataset=_dataset(path) or record.dataset,
        metrics=_metrics(path, f"validation/{record.metric.name}"),
        alphas=run_dir.read_alphas(),
        decisions=_decisions(path),
        genotype=None if record.config.get("extending") else _genotype(path),
        evaluations=tuple(_evaluations(path, record.score.name)),
        drops=_drops(path, record.metric.name),
        has_checkpoints=any(not step for (_, step), _ in run_dir.list_checkpoints()),
        selection=_selection(record),
        parts=tuple(_read_all(found, common, refused)),
    )
    _check_alphas(record)
    return record


def _config(path):
    config = RunDir(path).read_json("config.json")
    with _damage(path / "config.json"):
        _check_numbers(_pick(config, _CONFIG), _CONFIG[3:])
        _check_numbers(config, ("drop_path_prob",), optional=True)
        for name in _CONFIG[:3]:
            registry.parse(config[name])
    return config


def _dataset(path):
    """The full name of the data set as the search recorded it, or None."""
    with _damage(path / "dataset.json"):
        return (RunDir(path).read_json("dataset.json") or {}).get("name")


def _metrics(path, metric):
    rows = RunDir(path).read_metrics()
    with _damage(path / "metrics.jsonl"):
        for epoch, row in enumerate(rows):
            if row["epoch"] != epoch:
                raise ValueError(f"line {epoch + 1} is of epoch {row['epoch']}")
            _check_numbers(row, (*_NUMBERS, metric), optional=True)
    return rows


def _check_alphas(record):
    """Raises UserError unless all alphas fit the space."""
    space = record.make_space() if record.alphas else None
    with _damage(record.path / "alphas.npz"):
        for cell_type, values in record.alphas.items():
            if values.ndim != 3 or values.shape[1:] != space.cell(cell_type).alpha_shape:
                raise ValueError(f"alpha of cell {cell_type!r} has shape {list(values.shape)}")


def _decisions(path):
    decisions = RunDir(path).read_json("decisions.json") or []
    with _damage(path / "decisions.json"):
        for decision in decisions:
            _check_numbers(_pick(decision, ("decision", "epoch")), ("epoch",))
    return decisions


def _genotype(path):
    file = path / "genotype.json"
    with _damage(file):
        return genotype.parse(file.read_text()) if file.exists() else None


def _evaluations(path, score):
    names = {"mean": f"{score}_mean", "std": f"{score}_std"}
    for file in sorted(path.glob("evaluate/*/result.json")):
        result = RunDir(file.parent).read_json("result.json")
        with _damage(file):
            picked = _pick(result, _RESULT)
            picked |= {field: result[name] for field, name in names.items()}
            _check_numbers(result, (*_RESULT[2:], *names.values()))
            _check_numbers(result, (_WITH_HEAD,), optional=True)
            yield Evaluation(
                name=file.parent.name,
                num_seeds=len(result["seeds"]),
                num_parameters_with_auxiliary_head=result.get(_WITH_HEAD),
                examined=_examined(result),
                **picked,
            )


def _examined(result):
    """What the task says of the answers by class; {} where it says nothing."""
    examined = result.get("examined") or {}
    if examined:
        _check_numbers(
            _pick(examined, ("balanced_accuracy", "error_by_class")), ("balanced_accuracy",)
        )
        _check_numbers(examined, ("top_5_accuracy",), optional=True)
        by_class = examined["error_by_class"]
        _check_numbers(by_class, list(by_class), optional=True)
    return examined


def _drops(path, metric):
    """Rows of a run's discretization.csv; of a table of several runs, its own."""
    file = path / "analysis" / "discretization.csv"
    if not file.exists():
        return []
    with _damage(file), file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, strict=True))
        if len({row["run"] for row in rows}) > 1:
            rows = [row for row in rows if row["run"] == path.resolve().name]
        names = [name for name in rows[0] if name.endswith(f"/{metric}_drop")] if rows else []
        return [
            {"epoch": int(row["epoch"])} | {name: float(row[name]) for name in names}
            for row in rows
        ]


def _selection(record):
    path, names = record.path, (*_SELECTED, record.skips_name, record.validation_score)
    selection = RunDir(path).read_json("selection.json")
    if selection is not None:
        with _damage(path / "selection.json"):
            _pick(selection, ("winner", "runs"))
            for run in selection["runs"]:
                _check_numbers(_pick(run, names), names[3:])
                _check_numbers(run, ("lambda_max",), optional=True)
    return selection


def _pick(values, names):
    return {name: values[name] for name in names}


def _check_numbers(values, names, *, optional=False):
    """Raises ValueError where one is no number, unless it is optional and None or not there."""
    for name in names:
        value = values.get(name)
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is no number: {value!r}")


@contextlib.contextmanager
def _damage(path):
    """Turns what a damaged file makes of reading it into a UserError that names it."""
    try:
        yield
    except KeyError as error:
        raise UserError(f"{path} is damaged: it has no {error}") from error
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{path} is damaged: {error}") from error
