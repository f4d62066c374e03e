"""Figures. Like reporting.charts it uses matplotlib without pyplot and so without global state."""

import io
import itertools

import matplotlib
import numpy as np
from matplotlib import figure as matplotlib_figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rdarts_tf.analysis import spectrum

DPI, LARGEST = 120, 1e100  # of what can be drawn
# The paper's order, then more; its yellow darkened to be seen on white.
CURVE_COLORS = ("tab:blue", "tab:red", "tab:green", "#d9a400", "tab:cyan", "tab:purple", "#404040")
STOP = {"marker": "o", "markersize": 9, "linestyle": "none"}
OFFLINE_STOP = STOP | {"markerfacecolor": "white", "markeredgewidth": 2}
ROLLBACK = {"linestyle": ":", "linewidth": 1.4}


def plain(text):
    """A text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


class Figure(matplotlib_figure.Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self):
        return to_png(self)


def confusions(table, names, *, title=""):
    """How often each class is taken for another, as share of the class; the counts in small tables.

    Args:
        table: [true class, answer], counts or their means.
        names: of the classes.
    Returns:
        matplotlib Figure.
    """
    table = np.asarray(table, float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.35 * min(len(names), 40)
    figure = Figure(figsize=(side + 0.6, side), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="viridis", norm=PowerNorm(0.5, vmin=0, vmax=1))
    names = [plain(name) for name in names]
    if len(names) <= 40:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=7)
    for (row, column), count in np.ndenumerate(table if len(names) <= 20 else np.zeros((0, 0))):
        color = "black" if image.norm(shares[row, column]) > 0.6 else "white"
        axes.text(column, row, f"{count:g}", ha="center", va="center", fontsize=6, color=color)
    axes.set_xlabel("answer", fontsize=8)
    axes.set_ylabel("class", fontsize=8)
    axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes).ax.tick_params(labelsize=7)
    return figure


def trajectories(panels, *, title):
    """Figure of lambda_max (thin) and its local average (bold) against the epoch.

    A filled dot is where the search stops, a hollow one where only the rule of the authors' plot
    scripts does, a dotted line where it rolled back to. As Figures 6, 13, 14 of Zela et al. 2020.

    Args:
        panels: {title of a panel: [(label, trajectory.Curve), ...]}, drawn side by side; curves of
            the same label share a colour.
        title: text above.
    Returns:
        matplotlib Figure.
    """
    figure = Figure(figsize=(6.4 * len(panels), 4.4), dpi=DPI, layout="constrained")
    figure.suptitle(plain(title))
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (panel, curves) in zip(all_axes, panels.items(), strict=True):
        labels = list(dict.fromkeys(label for label, _ in curves))
        colors = {n: CURVE_COLORS[i % len(CURVE_COLORS)] for i, n in enumerate(labels)}
        for label, curve in curves:
            _draw_curve(axes, curve, colors[label])
        axes.set(title=plain(panel), xlabel="epoch")
        axes.set_ylim(bottom=0)
        axes.grid(color="#e0e0e0", linewidth=0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(handles=_curve_legend(colors, curves), fontsize=8, loc="best")
    all_axes[0].set_ylabel(r"$\lambda_{max}$ of $\nabla^2_\alpha\,L_{valid}$")
    return figure


def spectra(spectra, *, title):
    """Figure of a run's spectra: the largest eigenvalues by magnitude, and the density of all.

    As Figures 15 and 16 of Zela et al. 2020.

    Args:
        spectra: {epoch: eigenvalues [n]}.
    Returns:
        matplotlib Figure.
    """
    figure = Figure(figsize=(11, 4.2), dpi=DPI, layout="constrained")
    figure.suptitle(plain(title))
    left, right = figure.subplots(1, 2)
    for (epoch, values), color in zip(spectra.items(), itertools.cycle(CURVE_COLORS), strict=False):
        largest = spectrum.largest(values)
        left.plot(range(1, len(largest) + 1), largest, ".-", color=color, label=f"epoch {epoch}")
        right.plot(*spectrum.density(values), color=color)
    left.set(
        xlabel="eigenvalue, by magnitude", ylabel=r"$\lambda_i$ of $\nabla^2_\alpha\,L_{valid}$"
    )
    left.legend(fontsize=8)
    right.set(xlabel=r"$\lambda$", ylabel="density")
    for axes in (left, right):
        axes.grid(color="#e0e0e0", linewidth=0.6)
    return figure


def regrets(lines, *, title):
    """Figure of the test regret, above, and of the one-shot validation score, below, by epoch.

    Means over runs, in bands from the smallest to the largest. As Figures 2 and 10 of Zela et al. 2020.

    Args:
        lines: {label: regret.Line} of the same score.
    Returns:
        matplotlib Figure.
    """
    figure = Figure(figsize=(6.4, 6.4), dpi=DPI, layout="constrained")
    figure.suptitle(plain(title))
    panels, score = figure.subplots(2, 1, sharex=True), next(iter(lines.values())).score
    unit = f" ({score.unit})" if score.unit else ""
    for (label, line), color in zip(lines.items(), itertools.cycle(CURVE_COLORS), strict=False):
        for axes, values in zip(panels, (line.regret, line.validation), strict=True):
            known = np.isfinite(values).all(axis=1)  # a line leads over epochs that are not
            epochs = np.asarray(line.epochs)[known]
            mean, low, high = score.factor * values[known].T  # [3, E]
            axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
            axes.plot(
                epochs,
                mean,
                ".-",
                color=color,
                label=plain(f"{label} ({line.runs})"),
                clip_on=False,
            )
    panels[0].set(ylabel=f"test regret{unit}")
    panels[1].set(ylabel=f"one-shot validation {score.words}{unit}", xlabel="epoch")
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend(fontsize=8)
    for axes in panels:
        axes.set_ylim(bottom=0)
        axes.grid(color="#e0e0e0", linewidth=0.6)
    return figure


def drawable(numbers):
    """Floats [n]; None, what is not finite and what has no room on an axis is NaN, a gap."""
    numbers = np.array(numbers, float)
    return np.where(np.abs(numbers) < LARGEST, numbers, np.nan)


def short_name(primitive):
    """A primitive's name for narrow fields: sep_conv_3x3 -> sep 3x3, skip_connect -> skip."""
    for word in ("_conv", "_pool", "_connect"):
        primitive = primitive.replace(word, "")
    return primitive.replace("_", " ")


def to_image(figure):
    """Pixels of a figure, uint8 [1, H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[np.newaxis, :, :, :3]  # [1, H, W, 3]


def to_png(figure):
    """A figure as the bytes of a PNG file."""
    return _to_bytes(figure, "png")


def to_svg(figure):
    """A figure as the bytes of an SVG file, without a date and random names."""
    with matplotlib.rc_context({"svg.hashsalt": "rdarts_tf"}):
        return _to_bytes(figure, "svg", metadata={"Date": None})


def _to_bytes(figure, kind, **options):
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _draw_curve(axes, curve, color):
    lambda_max, averages = map(drawable, (curve.lambda_max, curve.local_average))
    axes.plot(curve.epochs, lambda_max, color=color, linewidth=0.7, alpha=0.45)
    axes.plot(curve.epochs, averages, color=color, linewidth=2)
    for epoch in curve.rollbacks:
        axes.axvline(epoch, color=color, **ROLLBACK)
    for epoch, style in ((curve.offline_stop_epoch, OFFLINE_STOP), (curve.stop_epoch, STOP)):
        if epoch is not None:
            average = drawable([curve.local_average_at(epoch)])
            axes.plot([epoch], average, color=color, zorder=3, **style)


def _curve_legend(colors, curves):
    """The labels' colours, and the marks that occur."""
    curves = [curve for _, curve in curves]
    stops = any(curve.stop_epoch is not None for curve in curves)
    offline = any(curve.offline_stop_epoch not in (None, curve.stop_epoch) for curve in curves)
    marks = [
        (stops, "stop", STOP),
        (offline, "stop by the plot scripts", OFFLINE_STOP),
        (any(curve.rollbacks for curve in curves), "rolled back to", ROLLBACK),
    ]
    lines = [
        Line2D([], [], color=color, linewidth=2, label=plain(n)) for n, color in colors.items()
    ]
    return lines + [
        Line2D([], [], color="gray", label=name, **style) for occurs, name, style in marks if occurs
    ]
