"""Test errors of a report, in the layout of the paper's tables and beside their values.

Functions of run_records.Records, all of paper.TASK but where they say otherwise, that return blocks of report_page.
"""

import math

from rdarts_tf.reporting import paper
from rdarts_tf.reporting.page import Cell, Heading, Paragraph, Table
from rdarts_tf.reporting.tables import (
    DASH,
    SEARCH,
    an_example,
    curvature,
    family,
    fill_by_searching,
    mean_of,
    missing,
    number,
    tested,
)

_PAPER_EPOCHS = 600  # of its trainings from scratch


def errors(records, defaults):
    """Part 2: test errors in the layout of the paper's tables.

    Args:
        defaults: {field: value} of a search's configuration.
    """
    yield Heading("Test errors beside the paper's")
    if not records:
        yield from fill_by_searching()
        return
    yield Paragraph(
        "In %, the paper's in brackets, in the layout of its tables; rows and columns without any "
        "value are left out."
    )
    yield Heading("Tables 1 and 6: mean of several searches", level=3)
    yield from _mean_errors(records, defaults)
    yield Heading("Table 3: the selected of several searches", level=3)
    yield from _selected_errors(records, defaults)
    yield from full_spaces(records, defaults)
    yield Heading("Table 5: drop path during the search", level=3)
    yield from _drop_path_runs(records, defaults)


def full_spaces(records, defaults):
    """Table 4, by DARTS and R-DARTS(L2), of a task's records; nothing where there is no such run."""
    printed, doubts = paper.full_spaces()
    methods, spaces = ("darts", "rdarts_l2"), paper.FULL_SPACES.values()
    found = [r for r in records if r.space in spaces and r.method in methods]
    if found:
        yield Heading("Table 4: full spaces", level=3)
        yield from _error_table(_tested_cells(found, defaults), printed, doubts)
        untested = [r.evaluate_command for r in found if r.genotype and not r.tests]
        yield from missing("Runs of it without a test; commands that lead to it:", untested)
        searched = {(*an_example([r]), r.method) for r in found}
        others = {"darts": "'best_of(darts, seeds=4)'", "rdarts_l2": "rdarts_l2"}
        lacking = [
            f"{SEARCH.format(space, dataset)} --method={spec}"
            for space, dataset in sorted({each[:2] for each in searched})
            for method, spec in others.items()
            if (space, dataset, method) not in searched
        ]
        yield from missing("Its other searches:", lacking)


def _mean_errors(records, defaults):
    """Over searches that differ in nothing but the seed, with the paper's regularisation."""
    printed, doubts = paper.mean_errors()
    groups = {}
    parts = [part for part in family(records) if part.tests and part not in records]
    for record in [*records, *parts]:
        if not record.selects and _is_plain(record, defaults):
            settings = (*sorted((k, str(v)) for k, v in record.settings().items()),)
            groups.setdefault((record.dataset, record.space, settings), []).append(record)
    ours = {}
    for (dataset, space, _), group in groups.items():
        row = ours.setdefault((dataset, space), {})
        tested = [record for record in group if record.tests]
        if tested:
            row.setdefault(group[0].method, []).append(_mean_cell(tested, defaults))
    yield from _error_table(ours, printed, doubts)
    if not any(ours.values()):
        space, dataset = an_example(records)
        commands = [f"{SEARCH.format(space, dataset)} --seed={seed}" for seed in (1, 2, 3)]
        untested = [r.evaluate_command for r in records if r.genotype and not r.selects]
        yield from missing(
            "Evaluated searches by DARTS or its variants fill it:", untested or commands
        )


def _tested_cells(records, defaults):
    """{(data set, space): {method: [Cell, ...]}} of the first test of each record; see `_error_table`."""
    ours = {}
    for record in records:
        row = ours.setdefault((record.dataset, record.space), {})
        for test in record.tests[:1]:
            note = protocol(record.searched, [test], defaults)
            row.setdefault(record.method, []).append(Cell(tested(record), notes=(note,)))
    return ours


def _is_plain(record, defaults):
    """Whether a run has the regularisation of Tables 1 and 6."""
    names = ("weight_decay", "drop_path_prob")
    return all(math.isclose(_strength(record, n, defaults), defaults[n]) for n in names)


def _strength(record, name, defaults):
    """Of its configuration, which may lack it."""
    found = record.config.get(name)
    return defaults[name] if found is None else found


def _mean_cell(group, defaults):
    """Mean +- population standard deviation over searches that differ in the seed."""
    tests = [record.tests[0] for record in group]
    text = mean_of(group[0].score, [test.mean for test in tests])
    seeds = ", ".join(str(seed) for seed in sorted(record.config["seed"] for record in group))
    return Cell(text, notes=(f"{protocol(group[0], tests, defaults)} Search seeds: {seeds}.",))


def protocol(record, tests, defaults, *, without=()):
    """What tells a value of ours from the paper's: epochs of retraining and all settings but `without`."""
    changed = [
        f"{name}={value}"
        for name, value in record.settings().items()
        if value != defaults.get(name, value)
        and name not in ("space", "dataset", *without)
        and (name != "method" or "(" in value)
    ]
    epochs = ", ".join(str(epochs) for epochs in sorted({test.epochs for test in tests}))
    as_paper = record.task != paper.TASK or epochs == str(_PAPER_EPOCHS)
    paper_epochs = "" if as_paper else f" (the paper: {_PAPER_EPOCHS})"
    changed = ", ".join(changed) or "the default settings"
    return f"Ours: searched with {changed}, retrained for {epochs} epochs{paper_epochs}."


def _error_table(ours, printed, doubts):
    """A row for each data set and space of `ours`.

    Args:
        ours: {(data set, space): {method: [Cell, ...]}}, a Cell for each other setting.
        printed, doubts: see paper.selected.
    """
    ours = {key: row for key, row in ours.items() if row or key in printed}
    if not ours:
        return
    columns = [
        method
        for method in paper.METHODS
        if any(method in row for row in ours.values())
        or any(method in printed.get(key, ()) for key in ours)
    ]
    rows = []
    for key in sorted(ours):
        cells = {method: list(ours[key].get(method, [])) for method in columns}
        for line in range(max(1, *map(len, cells.values()))):
            doubt = (doubts[key],) if key in doubts and not line else ()
            labels = (Cell(key[0]), Cell(key[1], notes=tuple(f"Paper: {d}." for d in doubt)))
            values = (
                _beside(cells[m][line : line + 1], printed.get(key, {}).get(m) if not line else "")
                for m in columns
            )
            rows.append((*labels, *values))
    header = ("data set", "space", *(paper.METHODS[method] for method in columns))
    yield Table(header, tuple(rows), num_labels=2)


def _beside(cells, printed):
    """Our Cell, if there is one, with the paper's value."""
    own = cells[0] if cells else Cell("" if printed else DASH)
    return Cell(own.text, printed or "", own.notes, own.strong)


def _selected_errors(records, defaults):
    printed, doubts = paper.selected()
    chosen = [record for record in records if record.selects]
    yield from _error_table(_tested_cells(chosen, defaults), printed, doubts)
    untested = [r.evaluate_command for r in chosen if r.genotype and not r.tests]
    yield from missing("Selections without a test error; it comes from", untested)
    if not chosen:
        space, dataset = an_example(records)
        methods = ("rdarts_l2", "rdarts_dp", "'best_of(darts, seeds=4)'")
        yield from missing(
            "Runs that select among several searches fill it:",
            [f"{SEARCH.format(space, dataset)} --method={method}" for method in methods],
        )


def _drop_path_runs(records, defaults):
    """A row for each search by DARTS with L2 as in the paper, by drop path and seed.

    Several selections may have done the same search, whose rows are alike.
    """
    printed = paper.drop_path_runs()
    found = [
        record
        for record in family(records)
        if record.config["method"] == "darts"
        and math.isclose(record.config["weight_decay"], defaults["weight_decay"])
    ]
    drop_path = {record: _strength(record, "drop_path_prob", defaults) for record in found}
    if not any(drop_path[r] > 0 or r.dataset == "cifar10" for r in found):
        space, dataset = an_example(records)
        commands = [
            f"{SEARCH.format(space, dataset)} --drop_path_prob={p}" for p in (0.2, 0.4, 0.6)
        ]
        yield from missing("Searches by DARTS with drop path fill it:", commands)
        return
    header = ("data set", "space", "drop path", "seed", "validation accuracy, %")
    header += ("test accuracy, %", "parameters, M", "lambda_max")
    found.sort(key=lambda r: (r.dataset, r.space, drop_path[r], r.config["seed"]))
    rows = (_drop_path_row(record, drop_path[record], printed, defaults) for record in found)
    yield Table(header, tuple(dict.fromkeys(rows)), num_labels=2)
    yield Paragraph(
        "Parameters with auxiliary head. Seeds have only their numbers in common with the paper's."
    )


def _drop_path_row(record, drop_path, printed, defaults):
    config, test = record.config, record.tests[0] if record.tests else None
    key = (record.dataset, record.space, drop_path, config["seed"])
    row, last = printed.get(key, {}), (record.history or [{}])[-1]
    parameters = test and test.num_parameters_with_auxiliary_head
    return (
        Cell(record.dataset),
        Cell(record.space),
        Cell(f"{drop_path:g}"),
        Cell(str(config["seed"]), notes=(protocol(record, [test], defaults),) if test else ()),
        Cell(
            number(record.metric, last.get("validation/accuracy")), row.get("search_valid_acc", "")
        ),
        Cell(number(record.metric, 1 - test.mean) if test else DASH, row.get("test_acc", "")),
        Cell(f"{parameters / 1e6:.2f}" if parameters else DASH, row.get("params_millions", "")),
        Cell(curvature(record.lambda_max), row.get("lambda_max_end_of_search", "")),
    )
