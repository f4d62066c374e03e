"""The tables of a report that need no paper: runs and selections; what its other parts share.

Functions of run_records.Records that return blocks of report_page.
"""

import math
import shlex
import statistics

from rdarts_tf.reporting.page import Cell, Commands, Heading, Paragraph, Table

DASH = "–"
SEARCH = "python -m rdarts_tf.search --space={} --dataset={}"
_MAX_COMMANDS = 8


def runs(records):
    """Part 1: a row for each run and each part of a selection."""
    yield Heading("Runs")
    if not records:
        yield from fill_by_searching()
        return
    groups = by_task(records)
    for task, group in groups.items():
        if len(groups) > 1:
            yield Heading(f"Runs of the task {task}", level=3)
        yield from _runs_of_task(group)


def refusals(sentences):
    """Of part 1: the runs of which nothing can be shown."""
    return [Paragraph(f"Not shown: {sentence}") for sentence in sentences]


def _runs_of_task(records):
    metric, score = records[0].metric, records[0].score
    header = ("run", "space", "data set", "method", "regularisation", "result", "seed")
    header += (f"validation {metric.heading}", "lambda_max", "skips", "parameters")
    header += (f"test {score.heading}",)
    yield Table(header, tuple(map(_run_row, family(records))), num_labels=6)
    tests = [test for record in family(records) for test in record.tests]
    with_head = not tests or any(test.num_parameters_with_auxiliary_head for test in tests)
    yield Paragraph(
        f"Validation {metric.words} is that of the one-shot model, lambda_max the last measured, both "
        f"at the epoch of the result. Skips are those of the {records[0].cell_type} cell. Parameters "
        f"are those of the retrained network{' without its auxiliary head' if with_head else ''}; "
        f"its test {score.words} is mean ± population standard deviation over n trainings."
    )
    unfinished = [r.resume_command for r in records if not r.genotype]
    yield from missing("Searches that are not finished go on with", unfinished)
    untested = [r.evaluate_command for r in records if r.genotype and not r.tests]
    yield from missing(f"Where the test {score.words} is missing, it comes from", untested)


def selections(records):
    """Part 3: what each selection chose among."""
    yield Heading("Selections")
    found = [record for record in records if record.selection]
    for record in found:
        yield Heading(record.label, level=3)
        yield _selection_table(record)
        yield Paragraph(
            f"Validation {record.score.words}: of the cells retrained on the search's training half, scored on its "
            "validation half. Lambda_max: at the epoch of the result."
        )
    pending = [r.resume_command for r in records if r.selects and not r.selection]
    yield from missing("These selections are not finished; they go on with", pending)
    if not found and not pending:
        space, dataset = an_example(records)
        drops_paths = not records or "drop_path_prob" in records[0].config
        methods = ("rdarts_l2", "rdarts_dp")[: 1 + drops_paths]
        yield from missing(
            "No run selects among others; R-DARTS does:",
            [f"{SEARCH.format(space, dataset)} --method={method}" for method in methods],
        )


def by_task(records):
    """{task: its records}; numbers of different tasks do not belong together."""
    groups = {}
    for record in records:
        groups.setdefault(record.task, []).append(record)
    return groups


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


def by_searching(text):
    """`missing` of what any search would give."""
    return missing(
        text, ["python -m rdarts_tf.search --space=s1 --dataset=digits --keep_checkpoints=0"]
    )


def number(quantity, value):
    """A value below the heading of its tasks.base.Metric or Score."""
    return DASH if _is_missing(value) else quantity.number(value)


def curvature(value):
    return DASH if _is_missing(value) else f"{value:.3g}"


def _is_missing(number):
    return number is None or not math.isfinite(number)


def fill_by_searching():
    return missing(
        "No run directory was given; a search makes one:", [SEARCH.format("s1", "digits")]
    )


def an_example(records):
    """(space, data set) for a command that continues what the user has."""
    if not records:
        return "s1", "digits"
    some = min(records, key=lambda record: "(" in record.config["space"])  # a content is long
    return tuple(shlex.quote(some.config[name]) for name in ("space", "dataset"))


def _run_row(record):
    tests, config = record.tests, record.config
    others = [f"evaluate/{e.name}" for e in record.evaluations if e.split == "test"]
    others = [name for name in others if not tests or name != f"evaluate/{tests[0].name}"]
    notes = (f"Not shown: {', '.join(others)}",) if others else ()
    parameters = tests[0].num_parameters if tests else None
    metric = record.metric
    validated = (record.searched.history or [{}])[-1].get(f"validation/{metric.name}")
    return (
        Cell(record.label),
        Cell(record.space),
        Cell(record.dataset),
        Cell(config["method"]),
        Cell(regularisation(record)),
        Cell(_state(record)),
        Cell(str(config["seed"])),
        Cell(number(metric, validated)),
        Cell(curvature(record.lambda_max)),
        Cell("{} of {}".format(*record.skips) if record.skips else DASH),
        Cell(f"{parameters:,}" if parameters else DASH),
        Cell(tested(record) if tests else DASH, notes=notes),
    )


def regularisation(record):
    """L2 factor and, if the task has it, drop path; where rollbacks raised them, first and last."""
    if record.selects:
        return "see Selections" if record.selection else DASH
    names = {"L2": "weight_decay", "drop path": "drop_path_prob"}
    first = {words: record.config.get(name) for words, name in names.items()}
    first = {words: value for words, value in first.items() if value is not None}
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


def tested(record):
    """0.37 ± 0.13 (n = 3): its best known test."""
    score, test = record.score, record.tests[0]
    spread = f" ± {number(score, test.std)}" if test.num_seeds > 1 else ""
    return f"{number(score, test.mean)}{spread} (n = {test.num_seeds})"


def mean_of(score, numbers):
    """4.00 ± 0.82 (n = 3): mean and population standard deviation over searches."""
    spread = f" ± {number(score, statistics.pstdev(numbers))}" if len(numbers) > 1 else ""
    return f"{number(score, statistics.fmean(numbers))}{spread} (n = {len(numbers)})"


def _selection_table(record):
    header = ("run", "method", "seed", "L2", "drop path", "skips", "lambda_max")
    header += (f"validation {record.score.heading}", "parameters", "")
    rows = tuple(_selection_row(record, run) for run in record.selection["runs"])
    return Table(header, rows, num_labels=2)


def _selection_row(record, run):
    wins = run["name"] == record.selection["winner"]
    texts = (
        str(run["name"]),
        str(run["method"]),
        str(run["seed"]),
        f"{run['weight_decay']:g}",
        f"{run['drop_path_prob']:g}",
        str(run[record.skips_name]),
        curvature(run.get("lambda_max")),
        number(record.score, run[record.validation_score]),
        f"{run['num_parameters']:,}",
        "winner" if wins else "",
    )
    return tuple(Cell(text, strong=wins) for text in texts)
