"""How lambda_max rose over searches: read from run directories and from the authors' logs.

Either gives the same plain structure: a history, one dict an epoch as in metrics.jsonl.
"""

import dataclasses
import re

from rdarts_tf import reading
from rdarts_tf.errors import UserError
from rdarts_tf.methods import darts_es
from rdarts_tf.methods.tracker import LAMBDA_MAX

RUN_COLUMNS = ("space", "dataset", "drop_path", "l2", "seed", "job")  # what tells runs apart
_ALIASES = {"max_drop_path_prob": "drop_path", "weight_decay": "l2", "eig_max": "lambda_max"}
_DEFAULT_L2 = 3e-4
_MOST_EPOCHS = 10_000


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """What one search recorded.

    Attributes:
        figure: name of the figure that it belongs to; "": that of all run directories.
        panels: {title of a panel: the run's label in it}.
        run: {column: value} that tells it apart.
        history: one dict for each epoch 0, 1, ...; LAMBDA_MAX is missing where it was not measured.
    """

    figure: str
    panels: dict[str, str]
    run: dict[str, str]
    history: list[dict]

    def measured(self):
        """The epochs at which lambda_max was measured."""
        return [e for e, row in enumerate(self.history) if row.get(LAMBDA_MAX) is not None]

    def spacing(self):
        """Epochs between the first two measurements; 1 if there is one."""
        first, second = (*self.measured(), 1 + self.measured()[0])[:2]
        return second - first


@dataclasses.dataclass(frozen=True)
class Curve:
    """A trajectory as it is drawn and written; the lists have one item for each evaluation.

    Attributes:
        epochs, lambda_max, local_average: numbers; None where missing.
        decision_epoch, stop_epoch: where the rule fired and what it returns; None: it did not.
        offline_stop_epoch: what the rule of the authors' plot scripts returns, or None.
        rollbacks: epochs that the search went back to.
    """

    epochs: list[int]
    lambda_max: list[float | None]
    local_average: list[float | None]
    decision_epoch: int | None
    stop_epoch: int | None
    offline_stop_epoch: int | None
    rollbacks: list[int]

    def without_stops(self):
        return dataclasses.replace(
            self, decision_epoch=None, stop_epoch=None, offline_stop_epoch=None
        )

    def local_average_at(self, epoch):
        return self.local_average[self.epochs.index(epoch)]


def curve(history, rule):
    """The Curve of a history.

    Args:
        history: see Trajectory.
        rule: methods.tracker.StopRule.
    """
    epochs, values, averages = zip(*rule.averages(history), strict=True)
    decision_epoch, stop_epoch = rule.first_stop(history)
    return Curve(
        list(epochs),
        list(values),
        list(averages),
        decision_epoch,
        stop_epoch,
        rule.offline_stop_epoch(history),
        rollbacks(history),
    )


def curve_of_run(found, method):
    """The Curve of a run's Trajectory by the stop rule of its method.

    A method without a rule gets that of darts_es at the epochs that were measured; where the rule of
    one that rolls back fired, the search did not stop.

    Args:
        method: methods.base.Method.
    """
    rule = getattr(method, "rule", None) or darts_es.Method(frequency=found.spacing()).rule
    drawn = curve(found.history, rule)
    return drawn.without_stops() if method.frequency and not method.stops else drawn


def rollbacks(history):
    """The epochs after which the regularisation of the inner problem changed: its rollbacks.

    Within a branch weight decay is constant and drop path is a linear ramp from epoch 0.
    """
    strengths = [
        (row.get("search/weight_decay"), row.get("search/drop_path_prob", 0.0) / max(epoch, 1))
        for epoch, row in enumerate(history)
    ]
    return [
        epoch
        for epoch, (before, after) in enumerate(zip(strengths, strengths[1:], strict=False))
        if before[0] != after[0] or (epoch and abs(before[1] - after[1]) > 1e-6)
    ]


def panels(curves):
    """What `plots.trajectories` takes.

    Args:
        curves: (Trajectory, Curve) pairs of a figure.
    """
    found = {}
    for recorded, drawn in curves:
        for panel, label in recorded.panels.items():
            found.setdefault(panel, []).append((label, drawn))
    return found


def rows(curves):
    """One dict for each evaluation of (Trajectory, Curve) pairs; None where there is no value."""
    return [
        {
            **recorded.run,
            "epoch": epoch,
            "lambda_max": value,
            "lambda_max_local_average": average,
            "decision_epoch": drawn.decision_epoch,
            "stop_epoch": drawn.stop_epoch,
            "stop_epoch_plot_scripts": drawn.offline_stop_epoch,
        }
        for recorded, drawn in curves
        for epoch, value, average in zip(
            drawn.epochs, drawn.lambda_max, drawn.local_average, strict=True
        )
    ]


def of_run(name, history):
    """The Trajectory of a search of this package.

    Args:
        name: label of the run.
        history: content of its metrics.jsonl.
    Raises:
        UserError: it holds no curvature.
    """
    found = Trajectory("", {"": name}, {"run": name}, history)
    if not found.measured():
        raise UserError(f"run {name} holds no curvature; search with --method=darts_es")
    return found


def read_csv(path):
    """The Trajectories of the authors' CSV, one row an evaluation.

    A figure holds the runs of a space and data set, beside each other those that differ in the L2
    factor and those that differ in drop path, as Figures 6, 13 and 14 of Zela et al. 2020.

    Raises:
        UserError: no such file, or not of that form.
    """
    return [_of_csv(key, history(rows)) for key, rows in read_rows(path).items()]


def read_rows(path):
    """{run: its rows}, a run being its RUN_COLUMNS; rows are dicts of strings.

    Raises:
        UserError: no such file, or not of that form.
    """
    groups = {}
    try:
        for row in reading.read_rows(path):
            row = {_ALIASES.get(column, column): value for column, value in row.items()}
            groups.setdefault(tuple(row[column] for column in RUN_COLUMNS), []).append(row)
    except KeyError as error:
        raise UserError(
            f"{path} has no column {error}; runs differ in {', '.join(RUN_COLUMNS)}"
        ) from error
    return groups


def history(rows):
    """The history of a run's rows, empty dicts between the evaluations.

    Raises:
        UserError: epochs do not ascend, or lambda_max is missing or no number.
    """
    try:
        epochs = [int(row["epoch"]) for row in rows]
        values = [float(row["lambda_max"]) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"each row needs numbers epoch and lambda_max, not so: {error}") from error
    if not all(0 <= epoch < _MOST_EPOCHS for epoch in epochs):
        raise UserError(f"epoch {str(max(epochs))[:20]} is not from 0 to {_MOST_EPOCHS - 1}")
    if any(b <= a for a, b in zip(epochs, epochs[1:], strict=False)):
        run = " ".join(rows[0][column] for column in RUN_COLUMNS)
        raise UserError(f"the epochs of run {run} do not ascend")
    found = [{"epoch": epoch} for epoch in range(epochs[-1] + 1)]
    for epoch, value in zip(epochs, values, strict=True):
        found[epoch][LAMBDA_MAX] = value
    return found


def _of_csv(key, recorded):
    run = dict(zip(RUN_COLUMNS, key, strict=True))
    figure = f"{run['space']}_{run['dataset']}"
    if not re.fullmatch(r"[\w.-]{1,100}", figure):
        raise UserError(f"{figure[:100]!r} does not name a space and a data set")
    try:
        drop_path, l2 = float(run["drop_path"]), float(run["l2"])
    except (TypeError, ValueError) as error:
        raise UserError(f"drop_path and l2 must be numbers: {error}") from error
    panels = {}
    if drop_path == 0:
        panels["L2 factor, without drop path"] = f"{l2:g}"
    if drop_path > 0 or l2 == _DEFAULT_L2:
        other = "" if l2 == _DEFAULT_L2 else f", L2 {l2:g}"
        panels["drop path, L2 factor 0.0003"] = f"{drop_path:g}{other}"
    return Trajectory(figure, panels, run, recorded)
