"""The drawing of a cell with matplotlib, without pyplot and so without global state."""

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from rdarts_tf.drawing import cell_graph
from rdarts_tf.drawing.plots import DPI, Figure

BOX_COLORS = {"input": "#b4eeb4", "node": "#add8e6", "output": "#eee8aa"}  # as in the DARTS paper
EDGE_COLOR = "#404040"
TITLE_HEIGHT = 0.35


def draw_cell(genotype, cell_type, *, title):
    """Figure of one cell, left to right, each edge labelled with its operation.

    Args:
        genotype, cell_type: see `cell_graph.cell_graph`.
        title: text above the cell.
    Returns:
        matplotlib Figure.
    """
    graph = cell_graph.cell_graph(genotype, cell_type)
    figure = Figure(figsize=(graph.width, graph.height + TITLE_HEIGHT), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, graph.width))
    axes.set_ylim(0, graph.height + TITLE_HEIGHT)
    axes.axis("off")
    for edge in graph.edges:
        _draw_edge(axes, edge)
    for node in graph.nodes:
        _draw_box(axes, node)
    axes.text(graph.width / 2, graph.height + 0.08, title, ha="center", fontsize=11)
    return figure


def _draw_box(axes, node):
    width, height = cell_graph.BOX_WIDTH, cell_graph.BOX_HEIGHT
    rounding = 0.06
    axes.add_patch(
        FancyBboxPatch(
            (node.x - width / 2, node.y - height / 2),
            width,
            height,
            boxstyle=f"round,pad=0,rounding_size={rounding}",
            facecolor=BOX_COLORS[node.kind],
            edgecolor=EDGE_COLOR,
            linewidth=0.8,
        )
    )
    label = node.label if node.label.isdigit() else f"${node.label}$"
    axes.text(node.x, node.y, label, ha="center", va="center", fontsize=11)


def _draw_edge(axes, edge):
    axes.add_patch(
        FancyArrowPatch(
            path=_smooth_path(edge.points),
            arrowstyle="-|>",
            mutation_scale=8,
            shrinkA=0,
            shrinkB=0,
            color=EDGE_COLOR,
            linewidth=0.9,
        )
    )
    if edge.op:
        background = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axes.text(*edge.label_xy, edge.op, ha="center", va="center", fontsize=8.5, bbox=background)


def _smooth_path(points):
    """Cubic pieces through the points, level at each of them."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in zip(points[:-1], points[1:], strict=True):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
        codes += [Path.CURVE4] * 3
    return Path(vertices, codes)
