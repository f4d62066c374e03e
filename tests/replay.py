"""Replays recorded curvature through the methods and compares with the authors' decisions.

    python tests/replay.py DIR

DIR holds eigenvalue_trajectories.csv (lambda_max, its local average and the genotype at epochs 0, 2,
..., 48, 49 of each run) and early_stopping.csv (what the authors' stopping class decided on them).
Prints a line per miss and a line of counts; exits with 1 on any miss, with 2 if DIR is unusable.
Compared are numbers to 1e-6 relative, the margin to its four digits, all else for equality.
"""

import collections
import math
import pathlib
import sys

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rdarts_tf.analysis import trajectory
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.methods import base, darts_ada, darts_es
from rdarts_tf.tasks.image_classification.options import SearchConfig

NUMBER = 1e-6
MARGIN = 1e-3  # recorded with four digits
# column of early_stopping.csv: arguments of darts_es
VARIANTS = {
    "stop_epoch_factor_1.3333_delta4": {"factor": 1 / 0.75},
    "stop_epoch_factor_1.3333_delta5": {"factor": 1 / 0.75, "delta": 5},
}


def read(folder):
    """[(name, rows of the trajectory, row of early_stopping.csv)], one for each run.

    Raises:
        UserError: a file is missing or no such CSV, or the files hold different runs.
    """
    folder = pathlib.Path(folder)
    rows = trajectory.read_rows(folder / "eigenvalue_trajectories.csv")
    stops = trajectory.read_rows(folder / "early_stopping.csv")
    if set(rows) != set(stops) or any(len(stop) != 1 for stop in stops.values()):
        odd = sorted(set(rows) ^ set(stops)) or sorted(k for k, v in stops.items() if len(v) > 1)
        raise UserError(f"{folder} needs one row of early_stopping.csv a run, unlike {odd[0]}")
    return [(" ".join(key), rows[key], stops[key][0]) for key in rows]


def compare(rows, stop):
    """Yields (quantity, ours, theirs, equal) of everything recorded about a run.

    Args:
        rows: of eigenvalue_trajectories.csv; stop: of early_stopping.csv.
    """
    history = trajectory.history(rows)
    yield from local_averages(rows, history)
    yield from decisions(stop, history)
    yield from stops(stop, history)
    yield from genotypes(rows, stop, history)
    yield from offline(stop, history)


def local_averages(rows, history):
    ours = darts_es.Method().rule.averages(history)
    yield _same("lists of epochs", [epoch for epoch, _, _ in ours], [int(r["epoch"]) for r in rows])
    for (epoch, _, average), row in zip(ours, rows, strict=False):
        yield _close(f"local averages, epoch {epoch}", average, row["lambda_max_local_avg"])


def decisions(stop, history):
    """Epoch by epoch, as a search would ask, up to the first that is not to go on."""
    fires, to = stop["decision_epoch"], int(stop["stop_epoch"])
    for method, wanted in ((darts_es.Method(), base.Stop), (darts_ada.Method(), base.Rollback)):
        for epoch, decision in _decisions(method, history):
            theirs = wanted(to) if str(epoch) == fires else base.CONTINUE
            yield _same(f"decisions ({wanted.__name__}), epoch {epoch}", decision, theirs)


def stops(stop, history):
    """The test that fired and how close the others came."""
    method, last = darts_es.Method(), len(history) - 1
    epoch, decision = _last_decision(method, history)
    growths = [method.rule.growth(history[: now + 1]) for now in range(epoch + 1)]
    ratios = [growth.ratio for growth in growths if growth]
    yield _same("decision epochs", str(epoch) if decision else "", stop["decision_epoch"])
    yield _same("stop epochs", decision.epoch if decision else last, int(stop["stop_epoch"]))
    if stop["decision_epoch"]:
        yield _close("ratios at the decision", ratios[-1], stop["ratio_at_decision"])
    margin = min((abs(ratio / method.rule.factor - 1) for ratio in ratios), default=math.nan)
    theirs = stop["smallest_relative_margin_to_factor"]
    yield _close("smallest margins", margin, theirs, tolerance=MARGIN)
    for column, arguments in VARIANTS.items():
        yield _same(column, _stop_epoch(darts_es.Method(**arguments), history), int(stop[column]))


def genotypes(rows, stop, history):
    """The architectures at our stop epoch and at the end."""
    by_epoch = {int(row["epoch"]): row for row in rows}
    stop_epoch = _stop_epoch(darts_es.Method(), history)
    for column, epoch in (("genotype_at_stop", stop_epoch), ("genotype_final", len(history) - 1)):
        yield _same(column, str(_genotype(by_epoch[epoch])), stop[column])
        yield _same(f"{column}, parsed", _genotype(by_epoch[epoch]), genotype.parse(stop[column]))


def offline(stop, history):
    ours = darts_es.Method().rule.offline_stop_epoch(history)
    ours = len(history) - 1 if ours is None else ours
    yield _same("stop epochs of the plot scripts", ours, int(stop["stop_epoch_plot_script_rule"]))


def _decisions(method, history):
    """Yields (epoch, decision) up to the first that is not CONTINUE."""
    config = SearchConfig(epochs=len(history))
    for epoch in range(len(history)):
        decision = method.after_epoch(config, history[: epoch + 1])
        yield epoch, decision
        if decision is not base.CONTINUE:
            return


def _last_decision(method, history):
    *_, last = _decisions(method, history)
    return last


def _stop_epoch(method, history):
    """Of the first Stop; the last epoch if there is none."""
    _, decision = _last_decision(method, history)
    return decision.epoch if decision else len(history) - 1


def _genotype(row):
    """From "skip_connect@1 sep_conv_3x3@0 ...", two a node."""
    cells, concat = {}, {}
    for cell_type in ("normal", "reduce"):
        pairs = [pair.rpartition("@") for pair in row[f"genotype_{cell_type}"].split()]
        cells[cell_type] = tuple((name, int(state)) for name, _, state in pairs)
        concat[cell_type] = tuple(range(2, 2 + len(pairs) // 2))
    return genotype.Genotype(cells, concat)


def _same(quantity, ours, theirs):
    return quantity, ours, theirs, ours == theirs


def _close(quantity, ours, theirs, *, tolerance=NUMBER):
    theirs = float(theirs)
    near = ours is not None and abs(ours - theirs) <= tolerance * abs(theirs)  # NaN is not
    return quantity, ours, theirs, near


def main(folders):
    if len(folders) != 1:
        print("usage: python tests/replay.py DIR", file=sys.stderr)
        return 2
    try:
        results = [(name, list(compare(rows, stop))) for name, rows, stop in read(folders[0])]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        print(f"error: {folders[0]} cannot be replayed: {error}", file=sys.stderr)
        return 2
    counts, misses = collections.Counter(), 0
    for name, rows in results:
        for quantity, ours, theirs, equal in rows:
            counts[quantity.partition(",")[0]] += 1
            if not equal:
                misses += 1
                print(f"miss: {name}: {quantity}: {ours}, recorded {theirs}")
    compared = ", ".join(f"{count} {quantity}" for quantity, count in counts.items())
    print(f"{len(results)} runs: {misses} misses of {counts.total()} ({compared})")
    return int(misses > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
