"""Finds run directories and reads what a report shows of them. No TensorFlow."""

import contextlib
import csv
import os
import pathlib

from rdarts_tf import registry
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.runs.run_records import LAMBDA_MAX, Evaluation, Record

_NUMBERS = (LAMBDA_MAX, "validation/accuracy", "search/weight_decay", "search/drop_path_prob")
_CONFIG = ("space", "dataset", "method", "seed", "epochs", "weight_decay", "drop_path_prob")
_RESULT = ("split", "dataset", "epochs", "error_mean", "error_std", "num_parameters")
_WITH_HEAD = "num_parameters_with_auxiliary_head"
_SELECTED = ("name", "method", "lambda_max", "weight_decay", "drop_path_prob", "seed")
_SELECTED += ("skips_normal", "validation_error", "num_parameters")


def read(paths):
    """Records of the run directories at or below `paths`, each once.

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
    return [_read(path, common) for path in found]


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


def _read(path, common):
    run_dir, runs = RunDir(path), path / "runs"
    config = _config(path)
    found = list(_find(runs, set())) if runs.is_dir() else []
    record = Record(
        path=path,
        label=pathlib.Path(os.path.relpath(path.resolve(), common)).as_posix(),
        config=config,
        dataset=_dataset(path) or config["dataset"],
        metrics=_metrics(path),
        alphas=run_dir.read_alphas(),
        decisions=_decisions(path),
        genotype=None if config.get("extending") else _genotype(path),
        evaluations=tuple(_evaluations(path)),
        drops=_drops(path),
        has_checkpoints=any(not step for (_, step), _ in run_dir.list_checkpoints()),
        selection=_selection(path),
        parts=tuple(_read(part, common) for part in found),
    )
    _check_alphas(record)
    return record


def _config(path):
    config = RunDir(path).read_json("config.json")
    with _damage(path / "config.json"):
        _check_numbers(_pick(config, _CONFIG), _CONFIG[3:])
        for name in _CONFIG[:3]:
            registry.parse(config[name])
    return config


def _dataset(path):
    """The full name of the data set as the search recorded it, or None."""
    with _damage(path / "dataset.json"):
        return (RunDir(path).read_json("dataset.json") or {}).get("name")


def _metrics(path):
    rows = RunDir(path).read_metrics()
    with _damage(path / "metrics.jsonl"):
        for epoch, row in enumerate(rows):
            if row["epoch"] != epoch:
                raise ValueError(f"line {epoch + 1} is of epoch {row['epoch']}")
            _check_numbers(row, _NUMBERS, optional=True)
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


def _evaluations(path):
    for file in sorted(path.glob("evaluate/*/result.json")):
        result = RunDir(file.parent).read_json("result.json")
        with _damage(file):
            picked = _pick(result, _RESULT)
            _check_numbers(picked, _RESULT[2:])
            _check_numbers(result, (_WITH_HEAD,), optional=True)
            yield Evaluation(
                name=file.parent.name,
                num_seeds=len(result["seeds"]),
                num_parameters_with_auxiliary_head=result.get(_WITH_HEAD),
                **picked,
            )


def _drops(path):
    """Rows of a run's discretization.csv; of a table of several runs, its own."""
    file = path / "analysis" / "discretization.csv"
    if not file.exists():
        return []
    with _damage(file), file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, strict=True))
        if len({row["run"] for row in rows}) > 1:
            rows = [row for row in rows if row["run"] == path.resolve().name]
        names = [name for name in rows[0] if name.endswith("/accuracy_drop")] if rows else []
        return [
            {"epoch": int(row["epoch"])} | {name: float(row[name]) for name in names}
            for row in rows
        ]


def _selection(path):
    selection = RunDir(path).read_json("selection.json")
    if selection is not None:
        with _damage(path / "selection.json"):
            _pick(selection, ("winner", "runs"))
            for run in selection["runs"]:
                _check_numbers(_pick(run, _SELECTED), _SELECTED[3:])
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
