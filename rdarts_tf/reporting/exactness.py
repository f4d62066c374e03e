"""Whether the exact gradient of alpha matters: searches that differ in --alpha_step only, side by side.

Functions of run_records.Records that return blocks of report_page.
"""

import statistics

from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Table
from rdarts_tf.reporting.regrets import table_of
from rdarts_tf.reporting.tables import DASH, by_task, curvature, family, number

_STEPS = ("exact", "finite_difference", "first_order")
_OF_THE_STEP = ("alpha_step", "finite_difference_radius", "independent_noise")


def exactness(records):
    """A row for each space and alpha step; nothing where no searches differ in it alone."""
    found = [groups for task in by_task(records).values() if (groups := _groups(task))]
    if not found:
        return
    yield Heading("Does exactness matter?")
    for groups in found:
        score = groups[0][0][1][0].score
        header = ("space", "data set", "alpha step", "searches", "skips", "lambda_max")
        header += (f"test regret, {score.unit}" if score.unit else "test regret",)
        header += (f"test {score.heading}",)
        yield Table(header, tuple(_row(*each) for group in groups for each in group), num_labels=3)
    yield Paragraph(
        "Searches that differ in the gradient of alpha only: mean ± population standard deviation over "
        "their seeds. Skips are those of the found cell, lambda_max is the last measured at its epoch. "
        "Where all architectures of a space were trained, test results are theirs."
    )


def _groups(records):
    """[[(alpha step, its Records), ...]] of searches whose other settings are the same."""
    found = {}
    for record in family(records):
        if record.genotype and record.curvature() and not record.selects:
            settings = record.settings()
            others = sorted((k, str(v)) for k, v in settings.items() if k not in _OF_THE_STEP)
            steps = found.setdefault(tuple(others), {})
            steps.setdefault(settings["alpha_step"], []).append(record)
    several = [steps for steps in found.values() if len(steps) > 1]
    return [[(step, steps[step]) for step in _STEPS if step in steps] for steps in several]


def _row(step, records):
    first, table = records[0], table_of(records[0])
    skips = [record.skips[0] for record in records]
    tests = [record.tests[0].mean for record in records if record.tests]
    regrets = [table.regret(record.genotype) for record in records] if table else []
    if table and not tests:
        tests = [table.test(record.genotype) for record in records]
    texts = (
        *(first.space, first.dataset, step, str(len(records))),
        f"{_spread(skips, lambda value: f'{value:.1f}')} of {first.skips[1]}",
        _spread([record.lambda_max for record in records], curvature),
        _spread(regrets, lambda value: number(first.score, value)),
        _spread(tests, lambda value: number(first.score, value))
        + (f" (n = {len(tests)})" if 0 < len(tests) < len(records) else ""),
    )
    return tuple(map(Cell, texts))


def _spread(values, told):
    """Mean ± population standard deviation; a dash where there is none."""
    if not values:
        return DASH
    spread = f" ± {told(statistics.pstdev(values))}" if len(values) > 1 else ""
    return told(statistics.fmean(values)) + spread
