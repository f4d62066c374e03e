"""Test regret over a search, of spaces whose architectures were all trained.

Functions of run_records.Records that return blocks of report_page.
"""

from rdarts_tf.analysis import regret
from rdarts_tf.config.evaluate import folder_name
from rdarts_tf.drawing import plots
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.reporting.page import Heading, Paragraph, Picture
from rdarts_tf.reporting.tables import family


def table_of(record):
    """The regret.Table of a run's space and data set, beside its directory or in this package; None: neither."""
    name = folder_name(f"{record.space}_{record.config['dataset']}") + ".csv"
    paths = [folder / name for folder in (record.path.parent, regret.SHIPPED)]
    if not (found := [path for path in paths if path.is_file()]):
        return None
    try:
        rule.check_keeps_all_edges(record.make_space())
    except UserError:  # of other nodes than those of the table
        return None
    return regret.read_table(found[0], record.make_space())


def regrets(records):
    """Regret and one-shot validation by epoch, a line for runs of different seeds; nothing without a table."""
    groups = {}
    for record in family(records):
        if record.metrics and not record.selects and (table := table_of(record)):
            groups.setdefault((record.space, record.dataset), []).append((record, table))
    if groups:
        yield Heading("Figures 2, 10: test regret by epoch")
    for number, ((space, dataset), pairs) in enumerate(groups.items()):
        lines, title = _lines(pairs), f"{space} on {dataset}"
        figure = plots.regrets(lines, title=title)
        yield Picture(
            f"regret_{number}.png",
            plots.to_png(figure),
            f"test regret and one-shot validation by epoch of {title}",
            "The test result of the architecture of each epoch less that of the best of all, which were "
            "trained from scratch, and the validation of the one-shot model. As Figures 2 and 10 of the paper.",
        )
        yield Paragraph(". ".join(regret.told(*pair) for pair in lines.items()) + ".")


def _lines(pairs):
    """{label: regret.Line} of (Record, regret.Table) pairs."""
    score, runs = pairs[0][0].score, {}
    for label, (record, table) in zip(_labels(pairs), pairs, strict=True):
        rows = regret.run_rows(table, record.metrics, record.alphas or {})
        runs.setdefault(label, []).append(rows)
    return {label: regret.line(found, score) for label, found in runs.items()}


def _labels(pairs):
    return regret.labels(
        [record.settings() | {"seed": record.config["seed"]} for record, _ in pairs]
    )
