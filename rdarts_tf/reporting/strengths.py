"""Test errors of a report by strength of regularisation: Figures 7, 8, 11, 12 and 18 of Zela et al. 2020.

Functions of run_records.Records that return blocks of report_page.
"""

import itertools
import math

from rdarts_tf.drawing import plots
from rdarts_tf.reporting import charts, errors, language, paper, series
from rdarts_tf.reporting.page import Cell, Heading, Picture, Table
from rdarts_tf.reporting.tables import DASH, family, mean_of, missing


def errors_by_strength(records, defaults):
    """A section for each task and regulariser of which its searches have several strengths.

    Args:
        defaults: {field: value} of a search's configuration.
    """
    given, numbers = set(records), itertools.count()
    found = [each for each in family(records) if each in given or each.tests]
    found = [each for each in found if each.task != language.TASK]  # has Figure 19
    for regulariser, every in series.of_tasks(found):
        score, figures = every[0].records[0].score, ", ".join(map(str, regulariser.figures))
        yield Heading(f"Figures {figures}: test {score.words} by {regulariser.words}")
        tested = [each for one in every for each in _tested(one)]
        yield from _pictures(regulariser, score, tested, next(numbers))
        if tested:
            yield _table(regulariser, score, tested, defaults)
        untested = [r for each in every for r in each.records if not r.tests]
        yield from missing(
            f"Runs without a test {score.words}; commands that lead to it:",
            [r.evaluate_command if r.genotype else r.resume_command for r in untested],
        )
        yield from missing(
            "Strengths of the paper that are not among them:",
            [command for each in every for command in _lacking(regulariser, each, given)],
        )


def _tested(every):
    """Yields the Series of the tested runs of a Series, one for each number of epochs of retraining."""
    lengths = sorted({record.tests[0].epochs for record in every.records if record.tests})
    for epochs in lengths:
        label = f"{every.label}, retrained for {epochs} epochs" if len(lengths) > 1 else None
        yield every.only(lambda r, n=epochs: r.tests and r.tests[0].epochs == n, label)


def _pictures(regulariser, score, tested, number):
    """Yields Pictures: test errors by strength, and against one-shot validation errors."""
    one, two, three = regulariser.figures
    y_label, means, pairs, styles = f"test {score.heading}", {}, {}, {}
    labels = sorted({each.label for each in tested})
    strengths = sorted({strength for each in tested for strength in each.runs})
    for each in tested:
        if numbers := each.numbers(_test):
            means.setdefault(each.panel, {})[each.label] = numbers
        x_label = f"{each.panel}: one-shot validation {score.heading}"
        for strength, records in each.runs.items():
            points = [(_validation(record), _test(record)) for record in records]
            if points := [point for point in points if len(series.drawable(point)) == 2]:
                label = f"{each.label}, {regulariser.words} {strength:g}"
                pairs.setdefault(x_label, {})[label] = points
                place = labels.index(each.label), strengths.index(strength)
                styles[place] = label, charts.point_style(*reversed(place))
    styles = dict(style for _, style in sorted(styles.items()))
    title = f"test {score.words} by {regulariser.words}"
    caption = (
        "Means and population standard deviations over searches, each search small; as Figures "
        f"{one} and {three} of the paper."
    )
    for name, panels in series.pages(f"by_strength_{number}", means):
        figure = charts.by_strength(panels, x_label=regulariser.words, y_label=y_label, title=title)
        yield Picture(name, plots.to_png(figure), title, caption)
    title = f"test against one-shot validation {score.words}"
    caption = f"A point for each search; Figure {two} of the paper draws both by strength."
    for name, panels in series.pages(f"one_shot_by_strength_{number}", pairs):
        figure = charts.scatter(panels, y_label=y_label, title=title, share_y=False, styles=styles)
        yield Picture(name, plots.to_png(figure), title, caption)


def _test(record):
    """As told."""
    return record.score.factor * record.tests[0].mean


def _validation(record):
    """The score of the one-shot model at the result's epoch, as told; None where it is not recorded."""
    found = record.one_shot((record.history or [{}])[-1])
    return None if found is None else record.score.factor * found


def _table(regulariser, score, tested, defaults):
    """Means by strength, in brackets the paper's."""
    rows = [(each, _printed(regulariser, each, defaults)) for each in tested]
    strengths = sorted({strength for each, row in rows for strength in (*each.runs, *row)})
    header = ("data set", "space", "method", *(f"{strength:g}" for strength in strengths))
    cells = (
        (
            *_row_labels(regulariser, each, defaults),
            *(_mean(score, each.runs.get(s, ()), row.get(s, "")) for s in strengths),
        )
        for each, row in rows
    )
    return Table(header, tuple(cells), num_labels=3)


def _row_labels(regulariser, each, defaults):
    first, tests = each.records[0], [record.tests[0] for record in each.records]
    note = errors.protocol(first, tests, defaults, without=(regulariser.field,))
    return Cell(first.dataset), Cell(first.space), Cell(each.label, notes=(note,))


def _printed(regulariser, each, defaults):
    """{strength: text} of the paper, whose other regulariser has its default strength."""
    first = each.records[0]
    others = [other.field for other in series.REGULARISERS if other is not regulariser]
    if first.task != paper.TASK or any(each.settings[n] != defaults[n] for n in others):
        return {}
    found = paper.by_strength(regulariser.field)
    return found.get((first.dataset, first.space, first.method), {})


def _mean(score, records, printed):
    means = [record.tests[0].mean for record in records]
    return Cell(mean_of(score, means) if means else "" if printed else DASH, printed)


def _lacking(regulariser, each, given):
    """Yields commands of searches by the other strengths of the paper, of images."""
    first = next((record for record in each.records if record in given), None)
    if first and first.task == paper.TASK:
        for strength in regulariser.strengths:
            if not any(math.isclose(strength, known) for known in each.runs):
                yield first.repeat_command(regulariser.field, f"{strength:g}")
