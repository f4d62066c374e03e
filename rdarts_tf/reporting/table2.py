"""Table 2 of Zela et al. 2020, disparity by strength of regularisation, beside runs."""

from rdarts_tf.reporting import paper
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Table
from rdarts_tf.reporting.tables import DASH, family, number

TASK = "disparity"  # of its runs
_SCALE, _L2 = 1.0, 3e-4  # what a table has where it varies the other
_DATASET = "flying_things3d"


def rows():
    """{(augmentation scale, L2 factor): row of strings, EPE in pixels}; the last wins where both are there."""
    found = {
        (float(row["augmentation_scale"]), _L2): row
        for row in paper.rows("table2a_disparity_augmentation")
    }
    return found | {
        (_SCALE, float(row["l2_factor"])): row for row in paper.rows("table2b_disparity_l2")
    }


def errors(records):
    """A row for each search of disparity cells by DARTS.

    Args:
        records: run_records.Records, all of TASK.
    """
    yield Heading("Disparity beside the paper's Table 2")
    found = [record for record in family(records) if record.method == "darts" and record.history]
    if found:
        found.sort(key=lambda r: (r.dataset, *_strengths(r), r.config["seed"]))
        header = ("data set", "augmentation scale", "L2", "seed", "validation EPE, pixels")
        header += ("test EPE, pixels", "parameters, M")
        yield Table(header, tuple(_row(record, rows()) for record in found), num_labels=4)
    yield Paragraph(
        "In brackets the paper's, of FlyingThings3D, validated at half size. It has two values at scale 1 "
        "and 3e-4, 4.61 and 3.95, 3.12 and 3.25; the later ones stand here."
    )


def _strengths(record):
    return record.config["augmentation_scale"], record.config["weight_decay"]


def _full_size(record):
    """Name of the data of the tests: cells that are searched on halved pairs are tested on whole ones."""
    return record.dataset.removesuffix(" at half size")


def _test(record):
    """The longest evaluation on test pairs, or None."""
    name = _full_size(record)
    found = [e for e in record.evaluations if e.split == "test" and e.dataset == name]
    return max(found, key=lambda e: (e.epochs, e.num_seeds), default=None)


def _row(record, printed):
    row = printed.get(_strengths(record), {}) if _full_size(record) == _DATASET else {}
    test, last = _test(record), record.history[-1]
    scale, l2 = _strengths(record)
    notes = (f"Paper: {row['doubt']}.",) if row.get("doubt") else ()
    validated = number(record.metric, last.get("validation/epe"))
    millions = f"{test.num_parameters / 1e6:.2f}" if test else DASH
    return (
        Cell(record.dataset),
        Cell(f"{scale:g}"),
        Cell(f"{l2:g}"),
        Cell(str(record.config["seed"])),
        Cell(validated, row.get("search_model_valid_epe", ""), notes),
        Cell(
            number(record.score, test.mean) if test else DASH,
            row.get("flyingthings3d_test_epe", ""),
        ),
        Cell(millions, row.get("params_millions", "")),
    )
