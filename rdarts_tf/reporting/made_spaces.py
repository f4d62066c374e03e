"""Spaces that lay in files, drawn as Figure 9 of Zela et al. 2020 and beside S1, which was made so, too."""

from rdarts_tf.drawing import plots, space_plot
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Picture, Table
from rdarts_tf.reporting.tables import family
from rdarts_tf.spaces import s1


def made_spaces(records):
    """Blocks of the spaces that `rdarts_tf.shrink` or a user wrote to files; nothing without such runs."""
    groups = {}
    for record in family(records):
        if record.space != record.config["space"]:
            groups.setdefault(record.space, []).append(record)
    if groups:
        yield Heading("Spaces from files")
    for number, (label, group) in enumerate(groups.items()):
        space = group[0].make_space()
        yield Heading(f"Space {label}", level=3)
        yield Paragraph(f"Searched by {', '.join(record.label for record in group)}.")
        for cell_type in space.cells:
            title = f"{cell_type} cell of {label}"
            figure = space_plot.draw_space(space, cell_type, title=title)
            yield Picture(f"space_{number}_{cell_type}.svg", plots.to_svg(figure), title)
        if _shape(space) == _shape(s1.SPACE):
            yield from _beside_s1(space)


def _shape(space):
    return {t: (c.num_nodes, c.num_inputs, c.alpha_shape) for t, c in space.cells.items()}


def _beside_s1(space):
    """The primitives of each edge and those of S1."""
    rows, common = [], []
    for cell_type, cell in space.cells.items():
        printed = s1.SPACE.cell(cell_type)
        for edge, own, others in zip(cell.edges, cell.primitives, printed.primitives, strict=True):
            common.append(len(set(own) & set(others)))
            texts = (cell_type, _told(edge, cell.num_inputs), ", ".join(own), ", ".join(others))
            rows.append((*map(Cell, texts), Cell(str(common[-1]))))
    yield Paragraph(
        f"Of {len(common)} edges {common.count(2)} have both primitives of S1, {common.count(1)} one and "
        f"{common.count(0)} none; two of seven drawn at random would give about 1, 13 and 13."
    )
    header = ("cell", "edge", "primitives", "of S1", "in common")
    yield Table(header, tuple(rows), num_labels=4)


def _told(edge, num_inputs):
    node, state = edge
    source = f"input {state}" if state < num_inputs else f"node {state - num_inputs}"
    return f"node {node} ← {source}"
