"""The figures of a report: curvature, alpha, cells, and what curvature goes with.

Functions of run_records.Records that return blocks of report_page.
"""

import dataclasses
import itertools
import re

import numpy as np
from scipy import special, stats

from rdarts_tf.analysis import trajectory
from rdarts_tf.drawing import plots
from rdarts_tf.reporting import charts
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Picture, Table
from rdarts_tf.reporting.tables import DASH, curvature, family, missing

_MIN_POINTS = 3  # two always lie on a line
_DROP = {
    "running/accuracy_drop": "running statistics",
    "batch/accuracy_drop": "statistics of each batch",
}


def trajectories(records, recorded):
    """Part 4: lambda_max over the epochs, stops and rollbacks.

    Args:
        recorded: (trajectory.Trajectory, methods.base.Method) pairs of CSV files.
    """
    yield Heading("lambda_max over the epochs")
    searches = [record for record in family(records) if not record.selects]
    measured = [record for record in searches if record.curvature()]
    curves = [
        (found, trajectory.curve_of_run(found, method))
        for found, method in itertools.chain(map(_trajectory, measured), recorded)
    ]
    for number, (title, group) in enumerate(_figures(curves)):
        figure = plots.trajectories(trajectory.panels(group), title=title)
        content = plots.to_png(figure)
        yield Picture(f"lambda_max_{number}.png", content, f"lambda_max of {title}")
    if curves:
        yield Paragraph(
            "Thin: lambda_max; bold: its local average. A dot marks where the search stops, or, of a "
            "method without a stop rule, where DARTS-ES would; a hollow one where only the rule of "
            "the authors' plot scripts does; a dotted line the epoch that the search went back to."
        )
        yield _stops(curves)
    without = [
        record
        for record in records
        if not record.curvature() and not record.selects and record.method != "random_ws"
    ]
    again = [
        r.repeat_command("hessian_every", 1) if r.metrics else r.resume_command for r in without
    ]
    names = ", ".join(record.label for record in without)
    yield from missing(f"No curvature was measured in {names}; searches that do:", again)
    if not curves and not without:
        yield from missing(
            "A search measures it:",
            ["python -m rdarts_tf.search --space=s1 --dataset=digits --method=darts_es"],
        )


def alphas(records):
    """Part 5: edge weights over the epochs."""
    yield Heading("Edge weights over the epochs")
    found = [record for record in family(records) if record.alphas]
    if found:
        yield Paragraph(
            "Softmax of alpha; a panel for each edge, node ← state; bold: the operations of the "
            "run's genotype."
        )
    else:
        yield from _by_searching("A search records it:")
    for number, record in enumerate(found):
        yield Heading(f"Edge weights of {record.label}", level=3)
        space = record.make_space()
        for cell_type, raw in record.alphas.items():
            figure = charts.alpha_evolution(
                special.softmax(raw, axis=-1),
                primitives=space.cell(cell_type).primitives,
                title=f"{cell_type} cell",
                num_inputs=space.cell(cell_type).num_inputs,
                chosen=_chosen(record.genotype, space, cell_type),
            )
            name = f"edge_weights_{number}_{_file_name(cell_type)}.png"
            yield Picture(name, plots.to_png(figure), f"{record.label}, {cell_type} cell")


def cells(records):
    """Part 6: drawings of the found cells, the same ones once."""
    yield Heading("Cells")
    groups = {}
    for record in family(records):
        if record.genotype:
            groups.setdefault(str(record.genotype), []).append(record)
    for number, group in enumerate(groups.values()):
        others = f" and {len(group) - 1} more" if len(group) > 1 else ""
        yield Heading(f"Cells of {group[0].label}{others}", level=3)
        if others:
            yield Paragraph(f"Found by {', '.join(record.label for record in group)}.")
        for cell_type in group[0].genotype.cells:
            figure = plots.draw_cell(group[0].genotype, cell_type, title=f"{cell_type} cell")
            name = f"cells_{number}_{_file_name(cell_type)}.svg"
            yield Picture(name, plots.to_svg(figure), f"{cell_type} cell of {group[0].label}")
    pending = [r.resume_command for r in records if not r.genotype]
    yield from missing("Searches that are not finished have no cells yet; they go on with", pending)
    if not records:
        yield from _by_searching("A search finds them:")


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
        yield from _by_searching(
            "It needs a search that measures lambda_max and keeps checkpoints:"
        )


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
        yield from _by_searching("It needs searches that measure lambda_max, and their evaluation:")


def _plain_first(group, records):
    """One of the group; not the part of a selection, beside which no other run belongs."""
    return next((record for record in group if record in records), group[0])


def _by_searching(text):
    return missing(
        text, ["python -m rdarts_tf.search --space=s1 --dataset=digits --keep_checkpoints=0"]
    )


def _trajectory(record):
    """(trajectory.Trajectory, methods.base.Method) of a search, all its epochs."""
    found = trajectory.of_run(record.label, record.metrics)
    label = record.label.replace("$", r"\$")  # else matplotlib reads formulas
    figure = f"{record.space}, {record.dataset}".replace("$", r"\$")
    return dataclasses.replace(found, figure=figure, panels={"": label}), record.make_method()


def _figures(curves):
    """Yields (title, [(Trajectory, Curve), ...]) with no more labels than there are colours."""
    names = dict.fromkeys(found.figure for found, _ in curves)
    for name in names:
        group = [pair for pair in curves if pair[0].figure == name]
        title = name.replace("_", " ")
        if group[0][0].panels.keys() != {""}:
            yield title, group
            continue
        most = len(plots.CURVE_COLORS)
        for first in range(0, len(group), most):
            yield title, group[first : first + most]


def _stops(curves):
    header = ("run", "rolled back to", "decided after", "stops at", "by the plot scripts")
    header += ("last lambda_max", "last local average")
    rows = []
    for found, drawn in curves:
        epochs = (drawn.decision_epoch, drawn.stop_epoch, drawn.offline_stop_epoch)
        values = (_last(drawn.lambda_max), _last(drawn.local_average))
        back = ", ".join(map(str, drawn.rollbacks)) or DASH
        texts = (_name(found.run), back)
        texts += tuple(DASH if epoch is None else str(epoch) for epoch in epochs)
        rows.append(tuple(map(Cell, texts + tuple(map(curvature, values)))))
    return Table(header, tuple(rows))


def _name(run):
    """What tells a Trajectory apart: the label of a run, or the columns of a CSV file."""
    return run.get("run") or " ".join(f"{column}={value}" for column, value in run.items())


def _last(values):
    return next((value for value in reversed(values) if value is not None), None)


def _chosen(genotype, space, cell_type):
    """{(edge, op)} of a genotype's cell, as far as they are of the space."""
    edges, primitives = space.cell(cell_type).edges, space.cell(cell_type).primitives
    pairs = genotype.cells.get(cell_type, ()) if genotype else ()
    nodes = genotype.targets(cell_type) if pairs else ()
    places = [((node, state), name) for node, (name, state) in zip(nodes, pairs, strict=True)]
    return {
        (edges.index(place), list(primitives[edges.index(place)]).index(name))
        for place, name in places
        if place in edges and name in primitives[edges.index(place)]
    }


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


def _file_name(text):
    return re.sub(r"\W+", "-", text)
