"""What curvature goes with, in figures of a report: the discretisation drop and the test error.

Functions of run_records.Records that return blocks of report_page.
"""

import dataclasses

import numpy as np
from scipy import stats

from rdarts_tf.analysis import trajectory
from rdarts_tf.drawing import plots
from rdarts_tf.reporting import charts
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Picture, Table
from rdarts_tf.reporting.tables import by_searching, family, missing

_MIN_POINTS = 3  # two always lie on a line
_DROP = {
    "running/accuracy_drop": "running statistics",
    "batch/accuracy_drop": "statistics of each batch",
}


def discretisation(records):
    """Part 7: what the one-shot model loses when it is made discrete, against lambda_max."""
    yield Heading("Discretisation drop against lambda_max")
    searches = [record for record in family(records) if record.curvature() and not record.selects]
    panels = {
        f"lambda_max ({words})": {
            record.label.replace("$", r"\$"): points
            for record in searches
            if (points := _drop_points(record, name))
        }
        for name, words in _DROP.items()
    }
    panels = {label: groups for label, groups in panels.items() if groups}
    if panels:
        figure = charts.scatter(
            panels, y_label="accuracy drop, points of %", title="discretisation drop"
        )
        yield Picture(
            "discretisation.png",
            plots.to_png(figure),
            "accuracy drop against lambda_max",
            "Accuracy that the one-shot model loses when alpha is replaced by its discrete version "
            "with the same weights, a point for each checkpoint; BatchNorm with running statistics "
            "and with those of each batch. As Figure 5b of the paper.",
        )
    lacking = [record for record in searches if not record.drops]
    ready = [record.discretize_command for record in lacking if record.has_checkpoints]
    yield from missing("Runs without it; commands that measure it:", ready)
    if not panels and not ready and searches:
        first = _plain_first(searches, records)
        yield from missing(
            "It needs checkpoints of epochs with a lambda_max; a search that keeps all:",
            [first.repeat_command("keep_checkpoints", 0)],
        )
    if not searches:
        yield from by_searching("It needs a search that measures lambda_max and keeps checkpoints:")


def correlations(records):
    """Part 8: lambda_max against the test error, with coefficients, by space and data set."""
    yield Heading("lambda_max against test error")
    groups = {}
    for record in family(records):
        if record.curvature():
            groups.setdefault((record.space, record.dataset), []).append(record)
    for number, (key, group) in enumerate(groups.items()):
        title = ", ".join(key)
        tested = [record for record in group if record.tests]
        if tested:
            yield Heading(f"lambda_max against test error: {title}", level=3)
            if len(tested) > 1:
                yield _correlation_picture(f"correlation_{number}.png", tested, title)
            yield from _coefficients(tested, _plain_first(group, records))
    untested = [record for record in records if record.curvature() and not record.tests]
    yield from missing(
        "Runs without a test error; commands that lead to it:",
        [r.evaluate_command if r.genotype else r.resume_command for r in untested],
    )
    if not groups:
        yield from by_searching("It needs searches that measure lambda_max, and their evaluation:")


def _plain_first(group, records):
    """One of the group; not the part of a selection, beside which no other run belongs."""
    return next((record for record in group if record in records), group[0])


def _drop_points(record, name):
    """[(lambda_max, drop in points)] of the checkpoints at whose epoch lambda_max was measured."""
    history = record.metrics
    pairs = [
        (history[row["epoch"]].get(trajectory.LAMBDA_MAX), 100 * row[name])
        for row in record.drops
        if name in row and 0 <= row["epoch"] < len(history)
    ]
    return [pair for pair in pairs if pair[0] is not None]


def _correlation_picture(name, records, title):
    panels = {"lambda_max of the result's epoch": {}, "mean lambda_max up to there": {}}
    for record in records:
        error = 100 * record.tests[0].error_mean
        values = (record.lambda_max, record.mean_lambda_max)
        for groups, value in zip(panels.values(), values, strict=True):
            groups.setdefault(record.method.replace("$", r"\$"), []).append((value, error))
    figure = charts.scatter(panels, y_label="test error, %", title=title.replace("$", r"\$"))
    alt = f"test error against lambda_max of {title}"
    caption = "Test error of the retrained cells, a point for each run; as Figure 4 of the paper."
    return Picture(name, plots.to_png(figure), alt, caption)


def _coefficients(records, example):
    """Pearson and Spearman of both forms of lambda_max.

    Args:
        example: a Record; another run like it would be one more point.
    """
    errors = [record.tests[0].error_mean for record in records]
    count = len(errors)
    if count < _MIN_POINTS:
        seed = example.config["seed"] + 1
        search = example.repeat_command("seed", seed)
        again = dataclasses.replace(example, path=example.repeat_path("seed", seed))
        yield from missing(
            f"n = {count}; coefficients need {_MIN_POINTS} evaluated runs: {_MIN_POINTS - count} more. "
            "Another seed, or another regularisation, gives one:",
            [search, again.evaluate_command],
        )
        return
    columns = [[r.lambda_max for r in records], [r.mean_lambda_max for r in records]]
    names = ("lambda_max of the result's epoch", "mean lambda_max up to there")
    rows = [
        (name, _rounded(stats.pearsonr, values, errors), _rounded(stats.spearmanr, values, errors))
        for name, values in zip(names, columns, strict=True)
    ]
    header = ("correlation with the test error", "Pearson", "Spearman", "n")
    yield Table(header, tuple(tuple(map(Cell, (*row, str(count)))) for row in rows))
    yield Paragraph("The paper: Pearson 0.867 over 24 architectures of S1 on CIFAR-10.")


def _rounded(coefficient, x, y):
    """A correlation coefficient; none where one side does not vary."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "not defined"
    return f"{coefficient(x, y).statistic:.3f}"
