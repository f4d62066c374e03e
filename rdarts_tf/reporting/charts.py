"""Figures of a report that `plots` does not have: alpha over the epochs, points, strengths, spectra."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rdarts_tf.analysis import spectrum
from rdarts_tf.drawing import heatmap, plots

# The same colour in every figure; others take the rest in turn.
PRIMITIVE_COLORS = {
    "none": "#a0a0a0",
    "skip_connect": "tab:red",
    "identity": "tab:red",
    "max_pool_3x3": "tab:orange",
    "avg_pool_3x3": "#d9a400",
    "sep_conv_3x3": "tab:blue",
    "sep_conv_5x5": "tab:cyan",
    "dil_conv_3x3": "tab:green",
    "dil_conv_5x5": "tab:purple",
    "noise": "#303030",
}
OTHER_COLORS = ("tab:pink", "tab:brown", "tab:olive", "#6060c0")
MARKERS = "osD^v"
_FEW_EPOCHS = 10
_LEAST_HEIGHT = 0.02  # of a panel of edge weights: less would draw rounding as movement
_COLUMNS = 4  # of panels
_BINS = 24


def alpha_evolution(edge_weights, *, primitives, title, num_inputs=2, chosen=()):
    """Figure of edge weights over the epochs: a panel for each edge, a row for each node.

    Args:
        edge_weights: [epochs, E, K]; node i receives states 0 .. num_inputs + i - 1.
        primitives: E lists of K names.
        title: text above.
        chosen: (edge, op) indices that are drawn bold.
    Returns:
        matplotlib Figure.
    """
    edge_weights = np.asarray(edge_weights)
    places = _places(edge_weights.shape[1], num_inputs)
    num_rows, num_columns = (max(axis) + 1 for axis in zip(*places, strict=True))
    width, height = 1.7 * num_columns + 0.8, 1.2 * num_rows + 1.2
    figure = Figure(figsize=(width, height), dpi=plots.DPI)
    # Fixed margins in inches: a layout engine takes as long as all the rest.
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.1 / width, bottom=0.8 / height, top=1 - 0.6 / height
    )
    figure.subplots_adjust(wspace=0.1, hspace=0.42)
    figure.suptitle(plots.plain(title), fontsize=11)
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey=True)
    for place in np.ndindex(grid.shape):
        if place not in places:
            grid[place].remove()
    labels = heatmap.edge_labels(len(places), num_inputs)
    colors = _primitive_colors(name for names in primitives for name in names)
    for edge, (place, label) in enumerate(zip(places, labels, strict=True)):
        axes = grid[place]
        bold = {op for chosen_edge, op in chosen if chosen_edge == edge}
        _draw_edge_weights(axes, edge_weights[:, edge], [colors[n] for n in primitives[edge]], bold)
        axes.set_title(label, fontsize=9)
    axes.set_ylim(_limits(edge_weights))  # of all panels, since they share it
    for axes in grid[-1]:
        axes.set_xlabel("epoch", fontsize=8)
    figure.supylabel("edge weight", fontsize=9)
    lines = [Line2D([], [], color=c, label=plots.short_name(n)) for n, c in colors.items()]
    per_row = max(2 * num_columns, 3)
    figure.legend(handles=lines, loc="lower center", ncols=per_row, fontsize=8)
    return figure


def scatter(panels, *, y_label, title, x_scale="linear", share_y=True, styles=None):
    """Figure of points, panels side by side.

    Args:
        panels: {label of the x axis: {label of points: [(x, y), ...]}}; points of the same label
            share colour and marker.
        y_label: of all panels.
        title: text above.
        x_scale: linear or log.
        share_y: whether the panels have one scale.
        styles: {label of points: `point_style`}; None: in turn.
    Returns:
        matplotlib Figure.
    """
    styles = styles or _styles(panels)
    figure, grid = _grid(len(panels), title, y_label, styles, share_y=share_y)
    for axes, (x_label, groups) in zip(grid, panels.items(), strict=True):
        for label, points in groups.items():
            axes.plot(*plots.drawable(points).T, linestyle="none", **styles[label])
        axes.set_xlabel(plots.plain(x_label))
        axes.set_xscale(x_scale)
    _legend(figure, styles, linestyle="none")
    return figure


def by_strength(panels, *, x_label, y_label, title):
    """Figure of means with population standard deviations, and of each number, by strength.

    Strengths stand in equal steps, since those of L2 are multiples and may be 0.

    Args:
        panels: {title of a panel: {label: {strength: [number, ...]}}}; lines of the same label share
            colour and marker.
        x_label, y_label: of all panels.
        title: text above.
    Returns:
        matplotlib Figure.
    """
    styles = _styles(panels)
    figure, grid = _grid(len(panels), title, y_label, styles, share_y=False)
    groups = [points for lines in panels.values() for points in lines.values()]
    strengths = sorted({strength for points in groups for strength in points})
    for axes, (name, lines) in zip(grid, panels.items(), strict=True):
        for label, points in lines.items():
            _draw_means(axes, points, strengths, styles[label])
        axes.set(xlabel=x_label, xlim=(-0.4, len(strengths) - 0.6))
        axes.set_title(plots.plain(name), fontsize=10)
        axes.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
    _legend(figure, styles)
    return figure


def spectra(columns, *, title):
    """Figure of the 30 eigenvalues of the largest magnitude, above, and of their distribution, below.

    As Figures 15 and 16 of Zela et al. 2020.

    Args:
        columns: {title of a column: {label: eigenvalues [n]}}; lines of the same label share a colour.
    Returns:
        matplotlib Figure.
    """
    styles = {label: {"color": style["color"]} for label, style in _styles(columns).items()}
    figure, grid = _grid(2 * len(columns), title, "", styles, share_y="row", columns=len(columns))
    above, below = grid[: len(columns)], grid[len(columns) :]
    for upper, lower, (name, lines) in zip(above, below, columns.items(), strict=True):
        largest = {label: spectrum.largest(values) for label, values in lines.items()}
        edges = np.histogram_bin_edges(np.concatenate([*largest.values()]), bins=_BINS)
        for label, values in largest.items():
            upper.plot(range(1, len(values) + 1), values, ".-", linewidth=0.6, **styles[label])
            lower.stairs(np.histogram(values, edges)[0], edges, linewidth=1.4, **styles[label])
        upper.set_title(plots.plain(name), fontsize=10)
        upper.set_xlabel("eigenvalue, by magnitude")
        lower.set_xlabel(r"$\lambda$")
        lower.locator_params(axis="x", nbins=6)
    above[0].set_ylabel(r"$\lambda_i$ of $\nabla^2_\alpha\,L_{valid}$")
    below[0].set_ylabel("eigenvalues")
    _legend(figure, styles)
    return figure


def point_style(color, marker):
    """Keywords of `plot`, by two numbers."""
    return {
        "color": plots.CURVE_COLORS[color % len(plots.CURVE_COLORS)],
        "marker": MARKERS[marker % len(MARKERS)],
        "markersize": 6,
        "alpha": 0.85,
    }


def _styles(panels):
    """{label: style} of panels {name: {label: ...}}."""
    labels = dict.fromkeys(label for groups in panels.values() for label in groups)
    turn = len(plots.CURVE_COLORS)
    return {label: point_style(index, index // turn) for index, label in enumerate(labels)}


def _grid(num, title, y_label, styles, *, share_y, columns=_COLUMNS):
    """(Figure, its axes), with place for a legend below; margins are fixed, see `alpha_evolution`."""
    num_columns, num_rows = min(num, columns), -(-num // columns)
    panel = 4.4 if num_columns < 3 else 3.4
    width = max((panel + 0.7) * num_columns + 0.6, 6.4)
    below = 0.65 + 0.19 * -(-len(styles) // _num_legend_columns(styles, width))
    height = 3.6 * num_rows + 0.3 + below
    figure = Figure(figsize=(width, height), dpi=plots.DPI)
    figure.suptitle(plots.plain(title), fontsize=11, y=1 - 0.08 / height, va="top")
    place = {"left": 0.95 / width, "right": 1 - 0.25 / width, "top": 1 - 0.6 / height}
    place |= {"bottom": (below + 0.1) / height, "wspace": 0.7 / panel, "hspace": 0.28}
    every = figure.subplots(num_rows, num_columns, squeeze=False, sharey=share_y, gridspec_kw=place)
    for axes in every.flat[num:]:
        axes.remove()
    for axes in every[:, 0]:
        axes.set_ylabel(y_label)
    for axes in every.flat[:num]:
        axes.grid(color="#e0e0e0", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9)
    return figure, list(every.flat[:num])


def _num_legend_columns(styles, width):
    """As many as fit beside each other, four at most."""
    longest = max((len(label) for label in styles), default=0)
    return min(max(int(width / (0.075 * longest + 0.6)), 1), 4)


def _legend(figure, styles, **more):
    lines = [
        Line2D([], [], label=plots.plain(label), **style, **more) for label, style in styles.items()
    ]
    num_columns = _num_legend_columns(styles, figure.get_figwidth())
    figure.legend(handles=lines, loc="lower center", ncols=num_columns, fontsize=8)


def _draw_means(axes, points, strengths, style):
    """A line of means with deviations, and each number small.

    Args:
        points: {strength: [number, ...]}, all of them among the strengths.
    """
    places = {strengths.index(strength): np.array(numbers) for strength, numbers in points.items()}
    places = dict(sorted(places.items()))
    means, deviations = zip(*((n.mean(), n.std()) for n in places.values()), strict=True)
    axes.errorbar([*places], means, deviations, capsize=3, **style)
    for place, numbers in places.items():
        axes.plot([place] * len(numbers), numbers, ".", color=style["color"], alpha=0.35)


def _places(num_edges, num_inputs):
    """(row, column) of each edge's panel: its node, its state."""
    return [(node, state) for node in range(num_edges) for state in range(num_inputs + node)][
        :num_edges
    ]


def _limits(edge_weights):
    """(lowest, highest) that a panel shows; None where there is nothing to show."""
    finite = edge_weights[np.isfinite(edge_weights)]
    if not finite.size:
        return None, None
    middle, height = (finite.max() + finite.min()) / 2, np.ptp(finite)
    half = max(1.1 * height, _LEAST_HEIGHT) / 2
    return middle - half, middle + half


def _draw_edge_weights(axes, weights, colors, bold):
    """Lines of the columns of weights [epochs, K]."""
    marker = "." if len(weights) <= _FEW_EPOCHS else None  # a single point makes no line
    for op, color in enumerate(colors):
        width = 2.4 if op in bold else 1.0
        axes.plot(weights[:, op], color=color, linewidth=width, marker=marker, markersize=4)
    axes.grid(color="#e8e8e8", linewidth=0.5)
    axes.tick_params(labelsize=7)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _primitive_colors(names):
    """{name: colour} in the order of PRIMITIVE_COLORS, others behind."""
    names = dict.fromkeys(names)
    known = {name: color for name, color in PRIMITIVE_COLORS.items() if name in names}
    others = [name for name in names if name not in known]
    return known | {
        name: OTHER_COLORS[index % len(OTHER_COLORS)] for index, name in enumerate(others)
    }
