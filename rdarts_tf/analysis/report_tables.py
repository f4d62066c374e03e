"""The tables of a report: runs, errors beside the paper's, selections.

Functions of run_records.Records that return blocks of report_page.
"""

import math
import statistics

from rdarts_tf.analysis import paper
from rdarts_tf.analysis.report_page import Cell, Commands, Heading, Paragraph, Table

DASH = "–"
_SEARCH = "python -m rdarts_tf.search --space={} --dataset={}"
_MAX_COMMANDS = 8
_PAPER_EPOCHS = 600  # of its trainings from scratch


def runs(records):
    """Part 1: a row for each run and each part of a selection."""
    yield Heading("Runs")
    if not records:
        yield from _fill_by_searching()
        return
    header = ("run", "space", "data set", "method", "regularisation", "result", "seed")
    header += ("validation accuracy, %", "lambda_max", "skips", "parameters", "test error, %")
    yield Table(header, tuple(map(_run_row, family(records))), num_labels=6)
    yield Paragraph(
        "Validation accuracy is that of the one-shot model, lambda_max the last measured, both at "
        "the epoch of the result. Skips are those of the normal cell. Parameters are those of the "
        "retrained network without its auxiliary head; its test error is mean ± population "
        "standard deviation over n trainings."
    )
    unfinished = [r.resume_command for r in records if not r.genotype]
    yield from missing("Searches that are not finished go on with", unfinished)
    untested = [r.evaluate_command for r in records if r.genotype and not r.tests]
    yield from missing("Where the test error is missing, it comes from", untested)


def errors(records, defaults):
    """Part 2: test errors in the layout of the paper's tables.

    Args:
        defaults: {field: value} of a search's configuration.
    """
    yield Heading("Test errors beside the paper's")
    if not records:
        yield from _fill_by_searching()
        return
    yield Paragraph(
        "In %, the paper's in brackets, in the layout of its tables; rows and columns without any "
        "value are left out."
    )
    yield Heading("Tables 1 and 6: mean of several searches", level=3)
    yield from _mean_errors(records, defaults)
    yield Heading("Table 3: the selected of several searches", level=3)
    yield from _selected_errors(records, defaults)
    yield Heading("Table 5: drop path during the search", level=3)
    yield from _drop_path_runs(records, defaults)


def selections(records):
    """Part 3: what each selection chose among."""
    yield Heading("Selections")
    found = [record for record in records if record.selection]
    for record in found:
        yield Heading(record.label, level=3)
        yield _selection_table(record.selection)
        yield Paragraph(
            "Validation error: of the cells retrained on the search's training half, scored on its "
            "validation half. Lambda_max: at the end of the search."
        )
    pending = [r.resume_command for r in records if r.selects and not r.selection]
    yield from missing("These selections are not finished; they go on with", pending)
    if not found and not pending:
        space, dataset = _an_example(records)
        yield from missing(
            "No run selects among others; R-DARTS does:",
            [f"{_SEARCH.format(space, dataset)} --method={m}" for m in ("rdarts_l2", "rdarts_dp")],
        )


def family(records):
    """The records, and behind each the parts of its selection."""
    return [each for record in records for each in (record, *family(record.parts))]


def missing(text, commands):
    """What would fill a gap: a sentence and the commands; nothing if there are none."""
    if commands:
        rest = len(commands) - _MAX_COMMANDS
        more = (f"# and so on for {rest} more",) if rest > 0 else ()
        yield Paragraph(text)
        yield Commands((*commands[:_MAX_COMMANDS], *more))


def percent(fraction, digits=2):
    return DASH if _is_missing(fraction) else f"{100 * fraction:.{digits}f}"


def curvature(value):
    return DASH if _is_missing(value) else f"{value:.3g}"


def _is_missing(number):
    return number is None or not math.isfinite(number)


def _fill_by_searching():
    return missing(
        "No run directory was given; a search makes one:", [_SEARCH.format("s1", "digits")]
    )


def _an_example(records):
    """(space, data set) for a command that continues what the user has."""
    return (records[0].space, records[0].config["dataset"]) if records else ("s1", "digits")


def _run_row(record):
    tests, config = record.tests, record.config
    others = [f"evaluate/{e.name}" for e in record.evaluations if e.split == "test"]
    others = [name for name in others if not tests or name != f"evaluate/{tests[0].name}"]
    notes = (f"Not shown: {', '.join(others)}",) if others else ()
    parameters = tests[0].num_parameters if tests else None
    accuracy = (record.searched.history or [{}])[-1].get("validation/accuracy")
    return (
        Cell(record.label),
        Cell(record.space),
        Cell(record.dataset),
        Cell(config["method"]),
        Cell(_regularisation(record)),
        Cell(_state(record)),
        Cell(str(config["seed"])),
        Cell(percent(accuracy)),
        Cell(curvature(record.lambda_max)),
        Cell(_skips(record.genotype)),
        Cell(f"{parameters:,}" if parameters else DASH),
        Cell(_test_error(tests[0]) if tests else DASH, notes=notes),
    )


def _regularisation(record):
    """L2 factor and drop path; where rollbacks raised them, first and last."""
    if record.selects:
        return "see Selections" if record.selection else DASH
    config = record.config
    first = {"L2": config["weight_decay"], "drop path": config["drop_path_prob"]}
    last = (record.metrics or [{}])[-1].get("search/weight_decay")
    raised = {"L2": last} if last is not None and not math.isclose(last, first["L2"]) else {}
    return ", ".join(
        f"{name} {value:g}" + (f" → {raised[name]:g}" if name in raised else "")
        for name, value in first.items()
    )


def _state(record):
    done, wanted = len(record.metrics), record.config["epochs"]
    rollbacks = [d["epoch"] for d in record.decisions if d["decision"] == "rollback"]
    back = f", rolled back to {', '.join(map(str, rollbacks))}" if rollbacks else ""
    if record.selects:
        return f"chose {record.selection['winner']}" if record.selection else "not finished"
    if record.stop_epoch is not None:
        return f"stopped at epoch {record.stop_epoch}{back}"
    if record.genotype:
        return f"finished, {done} epochs{back}" if done else "finished"
    return f"{done} of {wanted} epochs so far{back}"


def _skips(genotype):
    pairs = genotype.cells.get("normal") if genotype else None
    return f"{genotype.count('skip_connect', 'normal')} of {len(pairs)}" if pairs else DASH


def _test_error(test):
    """0.37 ± 0.13 (n = 3)"""
    spread = f" ± {percent(test.error_std)}" if test.num_seeds > 1 else ""
    return f"{percent(test.error_mean)}{spread} (n = {test.num_seeds})"


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
        space, dataset = _an_example(records)
        commands = [f"{_SEARCH.format(space, dataset)} --seed={seed}" for seed in (1, 2, 3)]
        untested = [r.evaluate_command for r in records if r.genotype and not r.selects]
        yield from missing(
            "Evaluated searches by DARTS or its variants fill it:", untested or commands
        )


def _is_plain(record, defaults):
    """Whether a run has the regularisation of Tables 1 and 6."""
    names = ("weight_decay", "drop_path_prob")
    return all(math.isclose(record.config[name], defaults[name]) for name in names)


def _mean_cell(group, defaults):
    """Mean +- population standard deviation over searches that differ in the seed."""
    tests = [record.tests[0] for record in group]
    means = [test.error_mean for test in tests]
    spread = f" ± {percent(statistics.pstdev(means))}" if len(means) > 1 else ""
    text = f"{percent(statistics.fmean(means))}{spread} (n = {len(means)})"
    seeds = ", ".join(str(seed) for seed in sorted(record.config["seed"] for record in group))
    return Cell(text, notes=(f"{_protocol(group[0], tests, defaults)} Search seeds: {seeds}.",))


def _protocol(record, tests, defaults):
    """What tells a value of ours from the paper's: epochs of retraining and all other settings."""
    changed = [
        f"{name}={value}"
        for name, value in record.settings().items()
        if value != defaults.get(name, value)
        and name not in ("space", "dataset")
        and (name != "method" or "(" in value)
    ]
    epochs = ", ".join(str(epochs) for epochs in sorted({test.epochs for test in tests}))
    paper_epochs = "" if epochs == str(_PAPER_EPOCHS) else f" (the paper: {_PAPER_EPOCHS})"
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
    ours = {}
    chosen = [record for record in records if record.selects]
    for record in chosen:
        row = ours.setdefault((record.dataset, record.space), {})
        for test in record.tests[:1]:
            note = _protocol(record.searched, [test], defaults)
            row.setdefault(record.method, []).append(Cell(_test_error(test), notes=(note,)))
    yield from _error_table(ours, printed, doubts)
    untested = [r.evaluate_command for r in chosen if r.genotype and not r.tests]
    yield from missing("Selections without a test error; it comes from", untested)
    if not chosen:
        space, dataset = _an_example(records)
        methods = ("rdarts_l2", "rdarts_dp", "'best_of(darts, seeds=4)'")
        yield from missing(
            "Runs that select among several searches fill it:",
            [f"{_SEARCH.format(space, dataset)} --method={method}" for method in methods],
        )


def _drop_path_runs(records, defaults):
    """A row for each search by DARTS with L2 as in the paper, by drop path and seed."""
    printed = paper.drop_path_runs()
    found = [
        record
        for record in family(records)
        if record.config["method"] == "darts"
        and math.isclose(record.config["weight_decay"], defaults["weight_decay"])
    ]
    if not any(r.config["drop_path_prob"] > 0 or r.dataset == "cifar10" for r in found):
        space, dataset = _an_example(records)
        commands = [
            f"{_SEARCH.format(space, dataset)} --drop_path_prob={p}" for p in (0.2, 0.4, 0.6)
        ]
        yield from missing("Searches by DARTS with drop path fill it:", commands)
        return
    header = ("data set", "space", "drop path", "seed", "validation accuracy, %")
    header += ("test accuracy, %", "parameters, M", "lambda_max")
    found.sort(key=lambda r: (r.dataset, r.space, r.config["drop_path_prob"], r.config["seed"]))
    rows = tuple(_drop_path_row(record, printed, defaults) for record in found)
    yield Table(header, rows, num_labels=2)
    yield Paragraph(
        "Parameters with auxiliary head. Seeds have only their numbers in common with the paper's."
    )


def _drop_path_row(record, printed, defaults):
    config, test = record.config, record.tests[0] if record.tests else None
    key = (record.dataset, record.space, config["drop_path_prob"], config["seed"])
    row, last = printed.get(key, {}), (record.history or [{}])[-1]
    parameters = test and test.num_parameters_with_auxiliary_head
    return (
        Cell(record.dataset),
        Cell(record.space),
        Cell(f"{config['drop_path_prob']:g}"),
        Cell(str(config["seed"]), notes=(_protocol(record, [test], defaults),) if test else ()),
        Cell(percent(last.get("validation/accuracy")), row.get("search_valid_acc", "")),
        Cell(percent(1 - test.error_mean) if test else DASH, row.get("test_acc", "")),
        Cell(f"{parameters / 1e6:.2f}" if parameters else DASH, row.get("params_millions", "")),
        Cell(curvature(record.lambda_max), row.get("lambda_max_end_of_search", "")),
    )


def _selection_table(selection):
    header = ("run", "method", "seed", "L2", "drop path", "skips", "lambda_max")
    header += ("validation error, %", "parameters", "")
    return Table(
        header,
        tuple(_selection_row(run, run["name"] == selection["winner"]) for run in selection["runs"]),
        num_labels=2,
    )


def _selection_row(run, wins):
    texts = (
        str(run["name"]),
        str(run["method"]),
        str(run["seed"]),
        f"{run['weight_decay']:g}",
        f"{run['drop_path_prob']:g}",
        str(run["skips_normal"]),
        curvature(run["lambda_max"]),
        percent(run["validation_error"]),
        f"{run['num_parameters']:,}",
        "winner" if wins else "",
    )
    return tuple(Cell(text, strong=wins) for text in texts)
