"""The figures of a report: curvature, alpha and cells over a search.

Functions of run_records.Records that return blocks of report_page.
"""

import dataclasses
import itertools
import re

from scipy import special

from rdarts_tf.analysis import trajectory
from rdarts_tf.drawing import cell_plot, plots
from rdarts_tf.reporting import charts
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Picture, Table
from rdarts_tf.reporting.tables import DASH, by_searching, curvature, family, missing

MOST_RUNS = 20  # whose edge weights and cells are drawn: seconds a run


def trajectories(records, recorded):
    """Part 4: lambda_max over the epochs, stops and rollbacks.

    Args:
        recorded: (trajectory.Trajectory, methods.base.Method) pairs of CSV files.
    """
    yield Heading("Figures 6, 13, 14: lambda_max over the epochs")
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
        yield from by_searching("A search records it:")
    yield from _beyond(found)
    for number, record in enumerate(found[:MOST_RUNS]):
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
    yield from _beyond([group[0] for group in groups.values()])
    for number, group in enumerate([*groups.values()][:MOST_RUNS]):
        others = f" and {len(group) - 1} more" if len(group) > 1 else ""
        yield Heading(f"Cells of {group[0].label}{others}", level=3)
        if others:
            yield Paragraph(f"Found by {', '.join(record.label for record in group)}.")
        for cell_type in group[0].genotype.cells:
            figure = cell_plot.draw_cell(group[0].genotype, cell_type, title=f"{cell_type} cell")
            name = f"cells_{number}_{_file_name(cell_type)}.svg"
            yield Picture(name, plots.to_svg(figure), f"{cell_type} cell of {group[0].label}")
    pending = [r.resume_command for r in records if not r.genotype]
    yield from missing("Searches that are not finished have no cells yet; they go on with", pending)
    if not records:
        yield from by_searching("A search finds them:")


def _beyond(found):
    """What a page says of the runs that would make it too long."""
    if more := found[MOST_RUNS:]:
        text = f"Shown of {MOST_RUNS} runs; of {len(more)} others the page about one alone does:"
        yield from missing(text, [more[0].report_command])


def _trajectory(record):
    """(trajectory.Trajectory, methods.base.Method) of a search, all its epochs."""
    found = trajectory.of_run(record.label, record.metrics)
    figure = f"{record.space}, {record.dataset}"
    return dataclasses.replace(
        found, figure=figure, panels={"": record.label}
    ), record.make_method()


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


def _file_name(text):
    return re.sub(r"\W+", "-", text)
