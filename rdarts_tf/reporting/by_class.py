"""The part of a report on how retrained networks do on each class."""

from rdarts_tf.drawing import plots
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Picture, Table
from rdarts_tf.reporting.tables import DASH, family


def by_class(records):
    """A table and a picture for each evaluation whose task tells of classes; nothing if none does."""
    found = [(r, test) for r in family(records) for test in r.evaluations if test.examined]
    if found:
        yield Heading("Errors by class")
    for number, (record, test) in enumerate(found):
        told, name = test.examined, f"{record.label}, {test.name}"
        yield Heading(f"Classes of {name}", level=3)
        errors = told["error_by_class"]
        rows = [(Cell(each), Cell(_percent(error))) for each, error in errors.items()]
        yield Table(("class", "error, %"), tuple(rows))
        top_5 = told.get("top_5_accuracy")
        yield Paragraph(
            f"Means over {test.num_seeds} trainings; balanced accuracy "
            f"{_percent(told['balanced_accuracy'])} %"
            + (f", top-5 accuracy {_percent(top_5)} %." if top_5 is not None else ".")
        )
        if told.get("confusions"):
            content = plots.to_png(plots.confusions(told["confusions"], list(errors)))
            yield Picture(f"confusions_{number}.png", content, f"confusions of {name}")


def _percent(share):
    return DASH if share is None else f"{100 * share:.2f}"
