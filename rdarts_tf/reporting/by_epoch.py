"""Figure 3 of Zela et al. 2020: validation, test and curvature by epoch of the search, over its seeds.

Functions of run_records.Records that return blocks of report_page.
"""

import dataclasses
import math
import shlex
import statistics

import numpy as np

from rdarts_tf.config import base
from rdarts_tf.config import task as tasks
from rdarts_tf.drawing import plots
from rdarts_tf.methods.tracker import LAMBDA_MAX
from rdarts_tf.reporting.page import Heading, Paragraph, Picture
from rdarts_tf.reporting.tables import by_searching, family, missing

_EVERY = 5  # epochs between those that the paper retrains
_MOST_COLUMNS = 4
_LAMBDA_MAX = r"$\lambda_{max}$"


def by_epoch(records):
    """A picture for runs that differ in space and seed only, where epochs of theirs were evaluated."""
    yield Heading("Figure 3: validation, test and lambda_max by epoch of the search")
    searches = [r for r in family(records) if not r.selects and r.metrics]
    drawn = [group for group in _alike(searches) if _all_tests(group)]
    number = 0
    for group in drawn:
        how = _most_used(group)
        spaces = list(dict.fromkeys(record.space for record in group))
        for first in range(0, len(spaces), _MOST_COLUMNS):
            columns = {
                space: [_Series(record, how) for record in group if record.space == space]
                for space in spaces[first : first + _MOST_COLUMNS]
            }
            yield _picture(f"by_epoch_{number}.png", columns, how)
            number += 1
        yield from _what_else(group, how)
    others = [r for r in records if r in searches and r.genotype]
    others = [r for r in others if not any(r in group for group in drawn)]
    scores = " or ".join(dict.fromkeys(record.score.words for record in others))
    yield from missing(
        f"The test {scores} of what a search would have returned earlier comes from",
        [_command(record, _default_epochs(record)) for record in others],
    )
    if not searches:
        yield from by_searching("It needs a search, and evaluations of its epochs:")


class _Series:
    """Numbers of a search by epoch, as drawn.

    Attributes:
        validation, test, lambda_max: {epoch: number}.
    """

    def __init__(self, record, how):
        self.record = record
        self.validation = _known({e: record.one_shot(row) for e, row in enumerate(record.metrics)})
        self.lambda_max = _known({e: row.get(LAMBDA_MAX) for e, row in enumerate(record.metrics)})
        self.test = {e: found.mean for e in record.by_epoch if (found := _test(record, e, how))}


def _alike(searches):
    """[[Record]] of those that differ in space and seed only."""
    groups = {}
    for record in searches:
        settings = {k: str(v) for k, v in record.settings().items() if k != "space"}
        groups.setdefault((record.dataset, *sorted(settings.items())), []).append(record)
    return list(groups.values())


def _how(evaluation):
    """What determines an evaluation but for its cells and seeds, a tuple of (field, value)."""
    unlike = {*base.FREE, "genotype", "extending"}
    settings = {k: v for k, v in evaluation.config.items() if k not in unlike}
    return tuple(sorted((settings | {"epochs": evaluation.epochs}).items(), key=str))


def _tests(record, epoch):
    found = record.by_epoch.get(epoch, ())
    return [e for e in found if e.split == "test" and e.dataset == record.dataset]


def _most_used(group):
    """The `_how` of most evaluations of a group, of the longest among equals."""
    hows = [_how(test) for test in _all_tests(group)]
    return max(hows, key=lambda how: (hows.count(how), dict(how)["epochs"]))


def _all_tests(group):
    return [test for record in group for epoch in record.by_epoch for test in _tests(record, epoch)]


def _test(record, epoch, how):
    """The Evaluation of an epoch that was made so, with most seeds; None: there is none."""
    found = [test for test in _tests(record, epoch) if _how(test) == how]
    return max(found, key=lambda test: test.num_seeds, default=None)


def _known(values):
    return {e: value for e, value in values.items() if value is not None and math.isfinite(value)}


def _picture(name, columns, how):
    """The Picture of {space: [_Series]}."""
    some = next(iter(columns.values()))[0].record
    score = some.score
    size = (3.3 * len(columns) + 0.9, 7.2)
    figure = plots.Figure(figsize=size, dpi=plots.DPI, layout="constrained")
    title = f"{some.config['method']}, L2 {some.config['weight_decay']:g}, on {some.dataset}"
    figure.suptitle(plots.plain(title), fontsize=11)
    grid = figure.subplots(3, len(columns), squeeze=False, sharex="col")
    unit = f" ({score.unit})" if score.unit else ""
    rows = {"validation": f"validation {score.words}{unit}", "test": f"test {score.words}{unit}"}
    rows["lambda_max"] = _LAMBDA_MAX
    for axes_of_row, (kind, label), color in zip(
        grid, rows.items(), plots.CURVE_COLORS, strict=False
    ):
        factor = 1 if kind == "lambda_max" else score.factor
        for axes, runs in zip(axes_of_row, columns.values(), strict=True):
            _draw(axes, [getattr(run, kind) for run in runs], factor, color)
        axes_of_row[0].set_ylabel(label)
    for axes, (space, runs) in zip(grid[0], columns.items(), strict=True):
        axes.set_title(plots.plain(f"{space}, n = {len(runs)}"), fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return Picture(name, plots.to_png(figure), title, _caption(score, how))


def _draw(axes, runs, factor, color):
    """The mean of {epoch: number}s, in a band of their standard deviation."""
    epochs = sorted({epoch for run in runs for epoch in run})
    values = [[factor * run[epoch] for run in runs if epoch in run] for epoch in epochs]
    mean = np.array([statistics.fmean(each) for each in values])
    std = np.array([statistics.pstdev(each) for each in values])
    axes.fill_between(epochs, mean - std, mean + std, color=color, alpha=0.2, linewidth=0)
    axes.plot(epochs, mean, ".-", color=color)
    axes.grid(color="#e0e0e0", linewidth=0.6)


def _caption(score, how):
    return (
        f"Validation {score.words} of the one-shot model, test {score.words} of the architecture that the "
        f"search would have returned after the epoch, retrained for {dict(how)['epochs']} epochs, and "
        "lambda_max: mean and population standard deviation over the searches that know the epoch."
    )


def _what_else(group, how):
    """What is not drawn: evaluations made otherwise, epochs that other seeds have, curvature."""
    tests = _all_tests(group)
    drawn = [test for test in tests if _how(test) == how]
    if others := len(tests) - len(drawn):
        yield Paragraph(f"Not drawn: {others} evaluations of epochs with other settings.")
    most = max(drawn, key=lambda test: test.num_seeds)
    flags = (*how, ("seeds", most.config.get("seeds")))
    wanted = sorted({e for record in group for e in record.by_epoch if _test(record, e, how)})
    commands = []
    for record in group:
        known = set(_known_epochs(record))
        if lacking := [e for e in wanted if e in known and not _test(record, e, how)]:
            commands.append(_command(record, lacking, flags))
    yield from missing("Epochs that other runs of the picture have; they come from", commands)
    without = [record for record in group if not record.curvature()]
    yield from missing(
        "Runs of the picture without lambda_max; searches that measure it:",
        [record.repeat_command("hessian_every", 1) for record in without],
    )


def _known_epochs(record):
    """The epochs after which a search recorded its architecture, as far as its rows tell."""
    return [e for e, row in enumerate(record.metrics) if row.get("genotype", "") is not None]


def _default_epochs(record):
    known = _known_epochs(record)
    return [e for e in known if e % _EVERY == 0 or e == known[-1]] or [0]


def _command(record, epochs, flags=()):
    """The evaluation of epochs of a run, by the values of flags that others had."""
    kind = tasks.part(tasks.of_space(record.config["space"]), "EvaluateConfig")
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    values = {
        name: value
        for name, value in flags
        if value != defaults.get(name, value) and name != "dataset" and value is not None
    }
    values |= {"search_epoch": ",".join(map(str, epochs))}
    return f"{record.evaluate_command} {shlex.join(base.argv(values))}"
