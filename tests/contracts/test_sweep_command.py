"""The sweep command in this process: which runs it starts and what it refuses; nothing is trained."""

import dataclasses
import json
import pathlib
import shlex

import pytest

from rdarts_tf import sweep
from rdarts_tf.analysis import regret
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import flags
from rdarts_tf.config import search as search_config
from rdarts_tf.config import sweep as sweep_config
from rdarts_tf.runs import executor
from rdarts_tf.runs import given as given_cells
from rdarts_tf.spaces import space_file
from rdarts_tf.spaces.s5 import SPACE
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import in_process, toy_task
from tests.in_process import sentence


@pytest.fixture
def started(monkeypatch):
    """The (tasks, settings) that reached the executor; every run succeeds."""
    return in_process.record_tasks(monkeypatch)


@pytest.fixture
def command(monkeypatch, capsys, started, tmp_path):
    """command(*arguments) -> (exit code, stdout, stderr), in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: in_process.run(monkeypatch, capsys, sweep, *arguments)


def searches(tasks):
    """The SearchConfigs of the tasks' first commands."""
    return [flags.parse(search_config.of_given, task.commands[0][2:])[0] for task in tasks]


# The grid.
def test_the_grid_has_every_combination(command, started):
    grid = ("--space=s1,s2", "--dataset=digits", "--seeds=1,2,3", "--out=all/")
    method = "--method=darts, darts_es(window=5, factor=1.3)"
    code, _, stderr = command(*grid, method, "--executor=local", "--", "--epochs=20", "--layers=3")
    assert code == 0, stderr
    ((tasks, settings),) = started
    assert settings.executor == "local"
    assert [(c.space, c.method, c.seed) for c in searches(tasks)] == [
        (space, method, seed)
        for space in ("s1", "s2")
        for method in ("darts", "darts_es(window=5, factor=1.3)")
        for seed in (1, 2, 3)
    ]
    assert {(c.dataset, c.epochs, c.layers) for c in searches(tasks)} == {("digits", 20, 3)}
    assert tasks[0].folder == pathlib.Path("all/s1_digits_darts_s1")
    assert tasks[0].commands[0][:2] == ("-m", "rdarts_tf.search")
    assert tasks[0].commands[0][-1] == "--run_dir=all/s1_digits_darts_s1"
    assert len({task.folder for task in tasks}) == len({task.name for task in tasks}) == 12


def test_what_the_grid_leaves_open_is_as_a_search_has_it(command, started, tmp_path):
    (tmp_path / "own.cfg").write_text("--space=s4\n--dataset=digits\n--seed=7\n")
    assert command("--space=s2,s3", "--", "--flagfile=own.cfg")[0] == 0
    found = searches(started[0][0])
    assert [(c.space, c.dataset, c.method, c.seed) for c in found] == [
        ("s2", "digits", "darts", 7),
        ("s3", "digits", "darts", 7),
    ]


def test_where_runs_are_executed(command, started):
    given = ("--address=auto", "--cpus_per_run=3", "--gpus_per_run=0.5", "--executor=ray")
    assert command("--dataset=digits", *given)[0] == 0
    settings = started[0][1]
    assert (settings.address, settings.cpus_per_run, settings.gpus_per_run) == ("auto", 3, 0.5)
    assert settings.executor == "ray"


def test_what_varies_tells_runs_apart_by_name_where_it_makes_them_differ(command, started):
    vary = "--vary=weight_decay=0.0003,27e-4 'alpha_step=exact, first_order'"
    assert command("--dataset=digits", "--seeds=1", vary, "--", "--layers=3")[0] == 0
    tasks = started[0][0]
    found = [(c.weight_decay, c.alpha_step, c.layers) for c in searches(tasks)]
    steps = ("exact", "first_order")
    assert found == [(decay, step, 3) for decay in (3e-4, 27e-4) for step in steps]
    assert [task.folder.name for task in tasks] == [
        "s1_digits_darts_s1",  # as without --vary
        "s1_digits_darts_alpha_step-first_order_s1",
        "s1_digits_darts_weight_decay-0.0027_s1",
        "s1_digits_darts_weight_decay-0.0027_alpha_step-first_order_s1",
    ]
    assert command("--dataset=digits", "--seeds=1", "--vary=weight_decay=3e-4")[0] == 0
    assert started[1][0][0].folder == tasks[0].folder


# The list.
def test_the_list_has_a_run_a_line(command, started, tmp_path):
    (tmp_path / "runs.txt").write_text(
        "# weight decay\n--weight_decay=0.0027 --run_dir=runs/strong  # Figure 10\n\n"
        "--space=s5 '--method=darts_es(window=5, factor=1.3)'\n"
    )
    assert command("--list=runs.txt", "--", "--dataset=digits")[0] == 0
    tasks = started[0][0]
    assert [task.folder for task in tasks] == [
        pathlib.Path("runs/strong"),
        pathlib.Path("runs/s5_digits_darts_es-window-5--factor-1.3-_s2"),
    ]
    first, second = searches(tasks)
    assert (first.weight_decay, first.dataset) == (0.0027, "digits")
    assert second.method == "darts_es(window=5, factor=1.3)"
    assert tasks[0].commands[0].count("--run_dir=runs/strong") == 1


# Retraining.
def test_what_is_found_is_retrained(command, started):
    given = ("--evaluate", "--evaluate_flags=--epochs=10 --name='my eval'")
    assert command("--dataset=digits", "--seeds=1", *given)[0] == 2  # a name with a space
    assert not started
    given = ("--evaluate", "--evaluate_flags=--epochs=10 --layers=3")
    assert command("--dataset=digits", "--seeds=1", *given)[0] == 0
    (task,) = started[0][0]
    where = ("--dataset=digits", "--run_dir=runs/s1_digits_darts_s1")
    assert task.commands[1] == ("-m", "rdarts_tf.evaluate", "--epochs=10", "--layers=3", *where)


def test_what_is_found_is_analysed(command, started):
    given = ("--evaluate", "--analyze=discretization, spectrum")
    assert command("--dataset=digits", "--seeds=1", *given, "--", "--data_dir=all")[0] == 0
    (task,) = started[0][0]
    folder = "runs/s1_digits_darts_s1"
    assert [command[1:4] for command in task.commands[2:]] == [
        ("rdarts_tf.analyze", folder, "--what=discretization"),
        ("rdarts_tf.analyze", folder, "--what=spectrum"),
    ]
    assert all("--data_dir=all" in command for command in (task.commands[0], *task.commands[2:]))


# Printing.
def test_a_dry_run_prints_what_can_be_pasted(command, started, tmp_path):
    method = "darts_es(window=5, factor=1.3)"
    given = ("--space=s1", "--dataset=digits", f"--method={method}", "--seeds=1", "--evaluate")
    code, stdout, _ = command("--dry_run", *given, "--", "--epochs=2")
    assert code == 0 and not started
    first, second = map(shlex.split, stdout.splitlines())
    assert first[:3] == ["python", "-m", "rdarts_tf.search"]
    parsed, own = flags.parse(search_config.of_given, first[3:])
    assert (parsed.method, parsed.epochs, parsed.seed) == (method, 2, 1)
    assert second[:4] == ["python", "-m", "rdarts_tf.evaluate", "--dataset=digits"]
    assert second[4:] == [f"--run_dir={own['run_dir']}"]
    assert list(tmp_path.iterdir()) == []


# Refusals.
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space=s1,s9"], ["s9", "s1"]),
        (["--method=darts_es(window=5"], ["darts_es(window=5", "not closed"]),
        (["--method=darts_es(windows=5)"], ["windows"]),
        (["--seeds=1,a"], ["--seed=a"]),
        (["--seeds="], ["--seeds is empty"]),
        (["--seeds=1,1"], ["two runs", "runs/s1_digits_darts_s1", "--run_dir"]),
        (["--", "--epochs=many"], ["epochs", "many"]),
        (["--", "--epoch=3"], ["epoch"]),
        (["--", "epochs=3"], ["unexpected argument 'epochs=3'"]),
        (["--", "--overwrite"], ["--overwrite", "delete"]),
        (["--seeds=1,2", "--", "--run_dir=here"], ["two runs", "here"]),
        (["--seeds=1", "--", "--seed=3"], ["--seeds", "before --", "--seed "]),
        (["--", "--init_channels=5"], ["5", "odd"]),
        (["--", "--flagfile=nowhere.cfg"], ["nowhere.cfg"]),
        (["--evaluate_flags=--epochs=3"], ["needs --evaluate"]),
        (["--evaluate", "--evaluate_flags=--epochs=0"], ["epochs=0"]),
        (["--evaluate", "--evaluate_flags=--init_channels=5"], ["5", "odd"]),
        (["--evaluate", "--evaluate_flags=--genotype=DARTS_V2"], ["--genotype"]),
        (["--evaluate", "--evaluate_flags=--overwrite"], ["--overwrite"]),
        (["--evaluate", "--evaluate_flags='--epochs=3"], ["evaluate_flags", "quotation"]),
        (["--list=nowhere.txt"], ["leave --dataset out"]),
        (["--vary=layers"], ["--vary=layers has 'layers'", "weight_decay="]),
        (["--vary=layers="], ["--vary=layers is empty"]),
        (["--vary=layers=3 layers=5"], ["each once"]),
        (["--vary=seed=1,2"], ["--vary=seed=1,2", "none of space"]),
        (["--vary=layer=3"], ["layer"]),
        (["--vary=layers=3,3"], ["two runs"]),
        (["--vary=run_dir=a"], ["--vary=run_dir", "behind --"]),
        (["--vary=layers='3"], ["--vary=", "quotation"]),
        (["--vary=layers=3", "--", "--layers=5"], ["--layers", "before --"]),
        (["--analyze=regret"], ["regret", "discretization, spectrum"]),
        (["--analyze=spectrum", "--method=rdarts_l2"], ["rdarts_l2", "spectrum"]),
        (["--exhaustive", "--space=s5", "--vary=layers=3"], ["--vary=layers=3"]),
        (["--exhaustive", "--space=s5", "--analyze=spectrum"], ["--analyze=spectrum"]),
        (["--exhaustive"], ["one --space, such as s5"]),
        (["--exhaustive", "--space=s5,s5"], ["one --space, such as s5"]),
        (["--exhaustive", "--space=s1"], ["'s1'", "one node"]),
        (["--exhaustive", "--space=s5", "--method=darts"], ["--method=darts"]),
        (["--exhaustive", "--space=s5", "--evaluate"], ["--evaluate"]),
        (["--exhaustive", "--space=s5", "--", "--split=search"], ["--split"]),
        (["--exhaustive", "--space=s5", "--", "--dataset=svhn"], ["--dataset", "before --"]),
        (["--exhaustive", "--space=s5", "--", "--arch_learning_rate=1"], ["arch_learning_rate"]),
        (["--exhaustive", "--space=s5", "--seeds=1,1"], ["--seeds=1,1"]),
        (["--exhaustive", "--space=s5", "--seeds="], ["--seeds"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_started(
    command, started, tmp_path, arguments, words
):
    code, _, stderr = command("--dataset=digits", *arguments)
    assert code == 2
    assert all(word in sentence(stderr) for word in words), stderr
    assert not started and list(tmp_path.iterdir()) == []


def test_a_list_that_cannot_be_read_is_refused(command, started, tmp_path):
    for text, words in {"# none\n": "names no run", "--space='s1\n": "line 1"}.items():
        (tmp_path / "runs.txt").write_text(text)
        code, _, stderr = command("--list=runs.txt")
        assert code == 2 and words in sentence(stderr)
    code, _, stderr = command("--list=nowhere.txt")
    assert code == 2 and "nowhere.txt" in sentence(stderr)
    assert not started


def test_a_directory_of_another_run_is_refused(command, started, tmp_path):
    folder = tmp_path / "runs/s1_digits_darts_s1"
    folder.mkdir(parents=True)
    settings = SearchConfig(dataset="digits", seed=1, epochs=7)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(settings)))
    code, _, stderr = command("--dataset=digits", "--seeds=1,2")
    assert code == 2 and not started
    assert "--epochs=50 (the run has 7)" in sentence(stderr)
    assert command("--dataset=digits", "--seeds=1,2", "--", "--epochs=7")[0] == 0


def test_files_of_others_in_the_place_of_a_run_or_a_table_are_refused(command, started, tmp_path):
    (tmp_path / "file").write_text("mine")
    for given in ((), ("--exhaustive", "--space=s5")):
        code, _, stderr = command("--dataset=digits", "--out=file", *given)
        assert code == 2 and "file is no folder" in sentence(stderr)
    run = tmp_path / "runs/s1_digits_darts_s1"
    run.mkdir(parents=True)
    (run / "genotype.txt").write_text("mine")
    code, _, stderr = command("--dataset=digits", "--seeds=1")
    assert code == 2 and "genotype.txt would be replaced" in sentence(stderr)
    (tmp_path / "runs/s5_digits.csv").write_text("mine\n1\n")
    code, _, stderr = command("--dataset=digits", "--space=s5", "--exhaustive")
    assert code == 2 and "s5_digits.csv" in sentence(stderr) and "--out" in sentence(stderr)
    assert not started


# Exit codes.
def test_failed_runs_are_named_with_their_logs(command, monkeypatch):
    codes = iter((0, 1, 2))
    monkeypatch.setattr(
        executor, "run", lambda tasks, _: {task.name: next(codes) for task in tasks}
    )
    code, _, stderr = command("--dataset=digits", "--seeds=1,2,3")
    assert code == 1
    assert [line for line in stderr.splitlines() if line.startswith("error")] == [
        "error: runs/s1_digits_darts_s2 failed with exit code 1, see runs/s1_digits_darts_s2/log.txt",
        "error: runs/s1_digits_darts_s3 failed with exit code 2, see runs/s1_digits_darts_s3/log.txt",
    ]


def test_a_signal_gives_its_exit_code(command, monkeypatch):
    def stopped(tasks, settings):
        raise executor.Stopped(130)

    monkeypatch.setattr(executor, "run", stopped)
    code, _, stderr = command("--dataset=digits")
    assert (code, "the same command goes on" in stderr) == (130, True)


# All architectures.
def train(tasks, _=None, *, leave_out=()):
    """Writes what evaluate would write: the error is 0.01 for each pooling and 0.001 a seed."""
    for task in tasks:
        if task.name in leave_out:
            continue
        given, own = flags.parse(given_cells.evaluation, task.commands[0][2:])
        resolved = evaluate_config.resolve(given, None)
        folder = pathlib.Path(own["run_dir"]) / "evaluate" / resolved.name
        folder.mkdir(parents=True, exist_ok=True)
        error = 0.01 * resolved.genotype.count("max_pool")
        result = {
            **{name: getattr(resolved, name) for name in ("split", "dataset", "epochs")},
            "num_parameters": 10 + resolved.genotype.count("sep_conv"),
            "seeds": [{"seed": s, "error": error + 0.001 * s} for s in resolved.seed_list()],
        }
        (folder / "config.json").write_text(json.dumps(dataclasses.asdict(resolved)))
        (folder / "result.json").write_text(json.dumps(result))
    return {task.name: int(task.name in leave_out) for task in tasks}


EXHAUSTIVE = ("--exhaustive", "--space=s5", "--dataset=digits", "--seeds=1,3")


def test_all_architectures_become_a_table(command, monkeypatch, started):
    counts = []
    monkeypatch.setattr(executor, "run", lambda tasks, _: counts.append(len(tasks)) or train(tasks))
    code, stdout, stderr = command(*EXHAUSTIVE, "--", "--epochs=4", "--layers=2")
    assert (code, counts) == (0, [81]), stderr
    assert "best:  sep-sep_sep-sep, test error 0.20 %" in stdout
    table = regret.read_table("runs/s5_digits.csv", SPACE)
    found = table.trained[("sep_conv_3x3", "max_pool_3x3", "skip_connect", "max_pool_3x3")]
    # 0.02 + mean(0.001, 0.003)
    assert (found.test, found.test_std) == pytest.approx((0.022, 0.001))
    assert (found.num_parameters, *found.how) == (11, 2, 4, 2, 16)


def test_only_what_is_missing_is_trained(command, monkeypatch, started):
    names = ("sep-skip_max-sep", "max-max_max-max")
    monkeypatch.setattr(executor, "run", lambda tasks, _: train(tasks, leave_out=names))
    code, _, stderr = command(*EXHAUSTIVE)
    assert code == 1 and not pathlib.Path("runs/s5_digits.csv").exists()
    assert "error: sep-skip_max-sep failed with exit code 1, see runs/s5_digits/sep-sk" in stderr
    code, stdout, _ = command(*EXHAUSTIVE, "--dry_run")
    assert (code, len(stdout.splitlines())) == (0, 2)
    monkeypatch.setattr(executor, "run", lambda tasks, _: seen.extend(tasks) or train(tasks))
    seen = []
    assert command(*EXHAUSTIVE)[0] == 0
    assert sorted(task.name for task in seen) == sorted(names)
    seen.clear()
    assert command(*EXHAUSTIVE)[0] == 0  # the table anew
    assert seen == []
    assert command(*EXHAUSTIVE[:3], "--seeds=1,3,4")[0] == 0
    assert len(seen) == 81


def test_architectures_trained_with_other_flags_are_refused(command, monkeypatch, started):
    monkeypatch.setattr(executor, "run", train)
    assert command(*EXHAUSTIVE)[0] == 0
    code, _, stderr = command(*EXHAUSTIVE, "--", "--epochs=4")
    assert code == 2
    assert "--epochs=4 (the run has 60)" in sentence(stderr) and "--out" in sentence(stderr)


def test_the_networks_are_those_that_the_paper_retrains_after_a_search(command):
    """`evaluate` would take 36 channels, since a genotype alone tells no space."""
    code, stdout, _ = command("--exhaustive", "--space=s5", "--dataset=cifar10", "--dry_run")
    assert code == 0
    given, _ = flags.parse(given_cells.evaluation, shlex.split(stdout.splitlines()[0])[3:])
    assert (given.init_channels, given.layers) == (16, 20)


@pytest.mark.parametrize("in_a_file", [False, True])
def test_trainings_are_told_the_space_where_the_cells_do_not_tell_the_task(command, in_a_file):
    space = "tests.toy_task"
    if in_a_file:
        pathlib.Path("toy.json").write_text(space_file.to_json(toy_task.SPACE))
        space = "space_file(toy.json)"
    code, stdout, stderr = command(
        "--exhaustive", f"--space={space}", "--dataset=tests.toy_task", "--dry_run"
    )
    assert code == 0, stderr
    words = shlex.split(stdout.splitlines()[0])[3:]
    assert f"--space={space}" in words and "--genotype=Genotype(toy=[('on', 0)]" in " ".join(words)


@pytest.mark.parametrize(
    "field", dataclasses.fields(sweep_config.SweepConfig), ids=lambda f: f.name
)
def test_every_flag_is_used_here(field):
    assert f'"--{field.name}' in pathlib.Path(__file__).read_text()
