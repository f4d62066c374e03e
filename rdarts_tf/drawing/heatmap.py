"""The heat map of a cell's edge weights."""

import numpy as np
from matplotlib.colors import PowerNorm

from rdarts_tf.drawing import cell_graph, plots


def alpha_heatmap(edge_weights, *, primitives, title, num_inputs=2):
    """Heat map of edge weights, one row for each edge in target-major order.

    Where all edges share their primitives these label the columns; else each field names its own.
    The colour scale is 0 to 1 at every epoch, with square-root steps to tell small weights apart.

    Args:
        edge_weights: [E, K]; node i receives states 0 .. num_inputs + i - 1.
        primitives: E lists of K names.
        title: text above.
    Returns:
        matplotlib Figure.
    Raises:
        ValueError: shapes disagree or E is not the number of edges of a full cell.
    """
    edge_weights = np.asarray(edge_weights)
    heatmap = AlphaHeatmap(edge_weights.shape, primitives=primitives, num_inputs=num_inputs)
    return heatmap.painted(edge_weights, title=title)


class AlphaHeatmap:
    """`alpha_heatmap` of one cell at many epochs, laid out once, which takes half of the time.

    Args:
        shape: (E, K).
        primitives, num_inputs: see there; Raises, too.
    """

    def __init__(self, shape, *, primitives, num_inputs=2):
        _check_primitives(primitives, shape)
        num_edges, num_ops = shape
        shared = all(list(names) == list(primitives[0]) for names in primitives)
        column_width = 0.62 if shared else 1.35
        size = (column_width * num_ops + 1.9, 0.27 * num_edges + (1.5 if shared else 0.8))
        self.figure = plots.Figure(figsize=size, dpi=plots.DPI, layout="constrained")
        axes = self.figure.add_subplot()
        norm = PowerNorm(0.5, vmin=0, vmax=1)
        self._image = axes.imshow(np.zeros(shape), cmap="viridis", norm=norm, aspect="auto")
        columns = [plots.short_name(n) for n in primitives[0]] if shared else [""] * num_ops
        axes.set_xticks(range(num_ops), columns, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(num_edges), edge_labels(num_edges, num_inputs))
        axes.tick_params(length=0, labelsize=8)
        self._fields = {
            (edge, op): (
                "" if shared else plots.short_name(primitives[edge][op]) + "  ",
                axes.text(op, edge, "", ha="center", va="center", fontsize=7),
            )
            for edge, op in np.ndindex(shape)
        }
        colorbar = self.figure.colorbar(self._image, ax=axes, ticks=[0, 0.05, 0.2, 0.5, 1])
        colorbar.ax.tick_params(labelsize=7)

    def painted(self, edge_weights, *, title):
        """The Figure, the same each time, with edge weights [E, K] of numpy and a title."""
        self._image.set_data(edge_weights)
        for at, (name, text) in self._fields.items():
            text.set_text(f"{name}{edge_weights[at]:.2f}")
            text.set_color("black" if self._image.norm(edge_weights[at]) > 0.6 else "white")
        self._image.axes.set_title(plots.plain(title), fontsize=10)
        return self.figure

    def pixels(self, edge_weights, *, title):
        """`plots.to_image` of what is `painted`."""
        image = plots.to_image(self.painted(edge_weights, title=title))
        self.figure.set_layout_engine("none")  # as the first one was laid out
        return image


def edge_labels(num_edges, num_inputs):
    """One "node <- state" for each edge, target-major, for matplotlib."""
    labels, num_nodes = [], 0
    while len(labels) < num_edges:
        num_nodes += 1
        states = cell_graph.state_labels(num_nodes, num_inputs)
        *before, node = [name if name.isdigit() else f"${name}$" for name in states]
        labels += [rf"{node} $\leftarrow$ {state}" for state in before]
    if len(labels) != num_edges:
        raise ValueError(f"{num_edges} edges; a cell of {num_nodes} nodes has {len(labels)}")
    return labels


def _check_primitives(primitives, shape):
    lengths = {len(names) for names in primitives}
    if len(primitives) != shape[0] or lengths != {shape[1]}:
        raise ValueError(
            f"edge weights {list(shape)} but {len(primitives)} edges with {sorted(lengths)} "
            "primitives; give one list of K names for each of the E edges"
        )
