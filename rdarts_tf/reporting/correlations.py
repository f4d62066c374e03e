"""What curvature goes with, in figures of a report: the discretisation drop and the test error.

Functions of run_records.Records that return blocks of report_page.
"""

import dataclasses
import itertools

import numpy as np
from scipy import stats

from rdarts_tf.analysis import trajectory
from rdarts_tf.drawing import plots
from rdarts_tf.reporting import charts, paper, series
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Picture, Table
from rdarts_tf.reporting.tables import by_searching, by_task, family, missing

_MIN_POINTS = 3  # two always lie on a line
_MOST_LABELS = 21
_STATISTICS = {"running": "running statistics", "batch": "statistics of each batch"}


def discretisation(records):
    """Part 7: what the one-shot model loses when it is made discrete, against lambda_max."""
    yield Heading("Figure 5: discretisation drop against lambda_max")
    searches = [record for record in family(records) if record.curvature() and not record.selects]
    groups = [(group[0].metric, _drop_panels(group)) for group in by_task(searches).values()]
    groups = [(metric, panels) for metric, panels in groups if panels]
    for number, (metric, panels) in enumerate(groups):
        yield _drop_picture(f"discretisation{f'_{number}' * (number > 0)}.png", metric, panels)
    lacking = [record for record in searches if not record.drops]
    ready = [record.discretize_command for record in lacking if record.has_checkpoints]
    yield from missing("Runs without it; commands that measure it:", ready)
    if not groups and not ready and searches:
        first = _plain_first(searches, records)
        yield from missing(
            "It needs checkpoints of epochs with a lambda_max; a search that keeps all:",
            [first.repeat_command("keep_checkpoints", 0)],
        )
    if not searches:
        yield from by_searching("It needs a search that measures lambda_max and keeps checkpoints:")


def drops_by_strength(records):
    """Figure 17: the drop after the last epoch that has one, where searches vary a strength."""
    measured = [record for record in family(records) if record.drops]
    pictures = [
        picture
        for number, (regulariser, every) in enumerate(series.of_tasks(measured))
        for picture in _strength_pictures(f"drop_by_strength_{number}", regulariser, every)
    ]
    if pictures:
        yield Heading("Figure 17: discretisation drop by strength of regularisation")
        yield from pictures


def correlations(records):
    """Part 8: lambda_max against the test error, with coefficients, by space and data set."""
    groups = {}
    for record in family(records):
        if record.curvature():
            groups.setdefault((record.space, record.dataset), []).append(record)
    scores = dict.fromkeys(record.score.words for record in records) or ("error",)
    score = " or ".join(scores)
    yield Heading(f"Figure 4: lambda_max against test {score}")
    for number, (key, group) in enumerate(groups.items()):
        title = ", ".join(key)
        tested = [record for record in group if record.tests]
        if tested:
            words = tested[0].score.words
            yield Heading(f"lambda_max against test {words}: {title}", level=3)
            if len(tested) > 1:
                yield _correlation_picture(f"correlation_{number}.png", tested, title)
            yield from _coefficients(tested, _plain_first(group, records))
    untested = [record for record in records if record.curvature() and not record.tests]
    yield from missing(
        f"Runs without a test {score}; commands that lead to it:",
        [r.evaluate_command if r.genotype else r.resume_command for r in untested],
    )
    if not groups:
        yield from by_searching("It needs searches that measure lambda_max, and their evaluation:")


def _plain_first(group, records):
    """One of the group; not the part of a selection, beside which no other run belongs."""
    return next((record for record in group if record in records), group[0])


def _drop_panels(searches):
    """{label of the x axis: {run: points}} of searches of a task; of many by space and data set."""
    few, panels = sum(bool(r.drops) for r in searches) <= _MOST_LABELS, {}
    for mode, words in _STATISTICS.items():
        for record in searches:
            if points := _drop_points(record, mode):
                label = record.label if few else f"{record.space}, {record.dataset}"
                groups = panels.setdefault(f"lambda_max ({words})", {})
                groups.setdefault(label, []).extend(points)
    return panels


def _drop_picture(name, metric, panels):
    """How much worse the last metric of the one-shot model gets."""
    change, y_label = _drop_words(metric)
    figure = charts.scatter(panels, y_label=y_label, title="discretisation drop")
    more = metric.better > 0
    words = metric.words[0].upper() + metric.words[1:]
    return Picture(
        name,
        plots.to_png(figure),
        f"{change} against lambda_max",
        f"{words} that the one-shot model {'loses' if more else 'gains'} when alpha is replaced by "
        "its discrete version with the same weights, a point for each checkpoint; BatchNorm with "
        "running statistics and with those of each batch. As Figure 5b of the paper.",
    )


def _drop_words(metric):
    """("accuracy drop", "accuracy drop, points of %")."""
    change = f"{metric.words} {'drop' if metric.better > 0 else 'rise'}"
    unit = "points of %" if metric.unit == "%" else metric.unit
    return change, ", ".join(filter(None, (change, unit)))


def _strength_pictures(name, regulariser, every):
    """Yields Pictures of the drops of the series.Series of a task."""
    change, y_label = _drop_words(every[0].records[0].metric)
    found = {}
    for each, (mode, words) in itertools.product(every, _STATISTICS.items()):
        if numbers := each.numbers(lambda record, mode=mode: _last_drop(record, mode)):
            found.setdefault(each.panel, {})[f"{each.label}, {words}"] = numbers
    title = f"{change} by {regulariser.words}"
    for file, panels in series.pages(name, found):
        figure = charts.by_strength(panels, x_label=regulariser.words, y_label=y_label, title=title)
        caption = (
            "Means and population standard deviations over searches; as Figure 17 of the paper."
        )
        yield Picture(file, plots.to_png(figure), title, caption)


def _last_drop(record, mode):
    """The drop up to the epoch of the result, as told; None where there is none."""
    name = f"{mode}/{record.metric.name}_drop"
    rows = [row for row in record.drops if name in row and row["epoch"] < len(record.history)]
    last = max(rows, key=lambda row: row["epoch"], default=None)
    return last and record.metric.factor * last[name]


def _drop_points(record, mode):
    """[(lambda_max, drop as told)] of the checkpoints at whose epoch lambda_max was measured."""
    history, metric = record.metrics, record.metric
    name = f"{mode}/{metric.name}_drop"
    pairs = [
        (history[row["epoch"]].get(trajectory.LAMBDA_MAX), metric.factor * row[name])
        for row in record.drops
        if name in row and 0 <= row["epoch"] < len(history)
    ]
    return [pair for pair in pairs if pair[0] is not None]


def _correlation_picture(name, records, title):
    panels = {"lambda_max of the result's epoch": {}, "mean lambda_max up to there": {}}
    score = records[0].score
    for record in records:
        tested = score.factor * record.tests[0].mean
        values = (record.lambda_max, record.mean_lambda_max)
        for groups, value in zip(panels.values(), values, strict=True):
            groups.setdefault(record.method, []).append((value, tested))
    y_label = f"test {score.heading}"
    figure = charts.scatter(panels, y_label=y_label, title=title)
    alt = f"test {score.words} against lambda_max of {title}"
    caption = f"Test {score.words} of the retrained cells, a point for each run; as Figure 4 of the paper."
    return Picture(name, plots.to_png(figure), alt, caption)


def _coefficients(records, example):
    """Pearson and Spearman of both forms of lambda_max.

    Args:
        example: a Record; another run like it would be one more point.
    """
    scores, score = [record.tests[0].mean for record in records], records[0].score
    count = len(scores)
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
        (name, _rounded(stats.pearsonr, values, scores), _rounded(stats.spearmanr, values, scores))
        for name, values in zip(names, columns, strict=True)
    ]
    header = (f"correlation with the test {score.words}", "Pearson", "Spearman", "n")
    yield Table(header, tuple(tuple(map(Cell, (*row, str(count)))) for row in rows))
    if records[0].task == paper.TASK:
        yield Paragraph("The paper: Pearson 0.867 over 24 architectures of S1 on CIFAR-10.")


def _rounded(coefficient, x, y):
    """A correlation coefficient; none where one side does not vary."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return "not defined"
    return f"{coefficient(x, y).statistic:.3f}"
