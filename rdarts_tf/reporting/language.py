"""Perplexities beside Table 4 and Figure 19 of Zela et al. 2020.

Functions of run_records.Records, all of TASK, that return blocks of report_page.
"""

import math

from rdarts_tf.drawing import plots
from rdarts_tf.reporting import charts, errors, series
from rdarts_tf.reporting.page import Heading, Paragraph, Picture
from rdarts_tf.reporting.tables import family, missing

TASK = "language_model"  # of its runs
_STRENGTHS = (5e-7, 15e-7, 45e-7, 135e-7)  # of the paper's searches


def perplexities(records, defaults):
    """Table 4's row and perplexity by strength of L2, where there are such runs.

    Args:
        defaults: {field: value} of a search's configuration.
    """
    if found := [*errors.full_spaces(records, defaults), *_figure_19(records)]:
        yield Heading("Perplexities beside the paper's, which stand in brackets")
        yield from found


def _figure_19(records):
    """Perplexities by strength; nothing where searches have only one."""
    searches = [
        record for record in family(records) if record.method == "darts" and not record.selects
    ]
    points = _points(searches)
    strengths = {x for found in points.values() for x, _ in found}
    if len(strengths) < 2:
        return
    yield Heading("Figure 19: perplexity by L2", level=3)
    yield _picture(points)
    yield Paragraph(
        "The paper, on PTB and the reduced space: from 5e-7 to 45e-7 the median test perplexity "
        "falls, and the validation perplexity of the one-shot model rises."
    )
    untested = [
        record.evaluate_command for record in searches if record.genotype and not record.tests
    ]
    yield from missing("Runs without a test perplexity; commands that lead to it:", untested)
    lacking = [s for s in _STRENGTHS if not any(math.isclose(s, x) for x in strengths)]
    given = set(records)
    if base := next((record for record in searches if record in given), None):
        commands = [base.repeat_command("weight_decay", f"{strength:g}") for strength in lacking]
        yield from missing("Strengths of the paper that are not among them:", commands)


def _points(records):
    """{what: [(L2, perplexity)]}."""
    test, one_shot = "test, retrained", "validation, one-shot model"
    found = {test: [], one_shot: []}
    for record in records:
        strength = record.config["weight_decay"]
        last = (record.history or [{}])[-1].get("validation/perplexity")
        tested = [evaluation.mean for evaluation in record.tests[:1]]
        found[test] += [(strength, number) for number in series.drawable(tested)]
        found[one_shot] += [(strength, number) for number in series.drawable([last])]
    return {what: points for what, points in found.items() if points}


def _picture(points):
    figure = charts.scatter(
        {"L2 regularisation of the search": points},
        y_label="perplexity",
        title="perplexity by L2",
        x_scale="log",
    )
    return Picture(
        "perplexity_by_l2.png",
        plots.to_png(figure),
        "perplexity against L2 regularisation",
        "Perplexity of retrained cells and of the one-shot models, a point for each search; as "
        "Figure 19 of the paper.",
    )
