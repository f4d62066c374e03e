"""The reproduce command in this process: its experiments, the runs they share, its page; nothing is trained."""

import dataclasses
import pathlib
import shlex

import pytest

from rdarts_tf import report, reproduce
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import flags
from rdarts_tf.config import reproduce as reproduce_config
from rdarts_tf.config import search as search_config
from rdarts_tf.runs import estimate, executor
from rdarts_tf.runs import given as given_cells
from rdarts_tf.tasks.image_classification.options import EvaluateConfig, SearchConfig
from tests import in_process
from tests.recorded_runs import write_json, write_run

NAMES = reproduce_config.names("paper")


@pytest.fixture
def started(monkeypatch):
    """The (tasks, settings) that reached the executor; every run leaves what a search leaves."""
    return in_process.record_tasks(monkeypatch, end=write_found)


@pytest.fixture
def command(monkeypatch, capsys, started, tmp_path):
    """command(*arguments) -> (exit code, stdout, stderr), in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: in_process.run(monkeypatch, capsys, reproduce, *arguments)


@pytest.fixture
def pages(monkeypatch):
    """(settings, run directories) of the pages that are written; drawing them takes seconds."""
    seen = []
    monkeypatch.setattr(report, "write", lambda *given: seen.append(given))
    return seen


@pytest.fixture
def write(monkeypatch, tmp_path):
    """write(name, text) makes an experiment of small scale, beside which there are no others."""
    monkeypatch.setattr(reproduce_config, "FOLDER", tmp_path / "experiments")
    (tmp_path / "experiments/small").mkdir(parents=True)
    return lambda name, text: (tmp_path / f"experiments/small/{name}.cfg").write_text(text)


def write_found(task):
    """What a search without any epoch would write."""
    config = dataclasses.asdict(searched(task.commands[0]))
    space = search_config.space_of(config["space"])
    write_run(task.folder, curvature=(), genotype=None, searched=space, **config)


def searched(command):
    return flags.parse(search_config.of_given, command[2:])[0]


def printed(command, *arguments):
    """[words of each printed command], the estimate."""
    code, stdout, stderr = command(*arguments, "--dry_run")
    assert code == 0, stderr
    comments = [line for line in stdout.splitlines() if line.startswith("#")]
    lines = [shlex.split(line) for line in stdout.splitlines() if not line.startswith("#")]
    assert all(line[:2] == ["python", "-m"] for line in lines)
    return lines, comments[0]


def sentence(found):
    code, _, stderr = found
    assert code == 2, stderr
    return in_process.sentence(stderr)


def write_evaluation(task):
    """What evaluate would write."""
    given, own = flags.parse(given_cells.evaluation, task.commands[0][2:])
    resolved = evaluate_config.resolve(given, None)
    path = pathlib.Path(own["run_dir"]) / "evaluate" / resolved.name
    result = {"num_parameters": 1, "seeds": [{"seed": 1, "error": 0.1}]}
    result |= {name: getattr(resolved, name) for name in ("split", "dataset", "epochs")}
    write_json(path / "result.json", result)
    write_json(path / "config.json", dataclasses.asdict(resolved))


# The experiments that come along.
@pytest.mark.parametrize("scale", reproduce_config.SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_flags_that_are_accepted(command, tmp_path, name, scale):
    text = (reproduce_config.FOLDER / scale / f"{name}.cfg").read_text()
    assert text.startswith("# ")  # what it is
    given = ["--dataset=cifar10"] if "=cifar10,cifar100,svhn" in text else []  # one of three alike
    lines, told = printed(command, name, f"--scale={scale}", *given)
    assert lines and "runs, roughly" in told
    assert list(tmp_path.iterdir()) == []


def test_both_scales_have_the_papers_tables_and_figures():
    experiments = {f"table{n}" for n in range(1, 7)} | {"exactness"}
    experiments |= {f"figure{n}" for n in range(2, 20) if n != 9}  # which is a drawing
    for scale in reproduce_config.SCALES:
        assert set(reproduce_config.names(scale)) == experiments
    assert NAMES[:3] == ["exactness", "figure2", "figure3"] and NAMES[-1] == "table6"


def test_the_searches_of_the_paper(command):
    lines, told = printed(command, "table5", "--scale=paper")
    searches = [searched(line[1:]) for line in lines if line[2] == "rdarts_tf.search"]
    assert {c.dataset for c in searches} == {"cifar10"} and len(searches) == 48
    assert {(c.space, c.drop_path_prob, c.seed) for c in searches} == {
        (space, prob, seed)
        for space in ("s1", "s2", "s3", "s4")
        for prob in (0.0, 0.2, 0.4, 0.6)
        for seed in (1, 2, 3)
    }
    # Appendix C.
    assert {(c.epochs, c.batch_size, c.layers, c.init_channels) for c in searches} == {
        (50, 64, 8, 16)
    }
    assert {(c.weight_decay, c.learning_rate, c.arch_learning_rate) for c in searches} == {
        (3e-4, 0.025, 3e-4)
    }
    assert len(lines) == 96 and told.startswith("# 48 runs, roughly ")


def test_figures_share_runs(command):
    """A run has the same directory wherever it is needed, and is done once."""
    apart = [printed(command, name)[0] for name in ("table1", "table5", "figure8")]
    together = printed(command, "table1", "table5", "figure8")[0]
    folders = [{line[-1] for line in lines if line[2] == "rdarts_tf.search"} for lines in apart]
    shared = "--run_dir=runs/small/s2_digits_darts_s1"
    assert all(shared in found for found in folders)
    assert "--run_dir=runs/small/s2_digits_darts_drop_path_prob-0.4_s1" in folders[1]
    assert "--run_dir=runs/small/s2_digits_darts_weight_decay-0.0027_s1" in folders[2]
    searches = [line[-1] for line in together if line[2] == "rdarts_tf.search"]
    assert sorted(searches) == sorted(set.union(*folders))
    evaluated = [line[-1] for line in together if line[2] == "rdarts_tf.evaluate"]
    assert sorted(evaluated) == sorted(searches)


def test_what_only_some_need_of_a_run_is_done_too(command):
    lines, _ = printed(command, "figure6", "figure15", "table5")
    modules = [line[2] for line in lines if "runs/small/s2_digits_darts_s1" in " ".join(line)]
    assert sorted(modules) == ["rdarts_tf.analyze", "rdarts_tf.evaluate", "rdarts_tf.search"]


# Data sets.
def test_some_of_the_data_sets(command):
    lines, _ = printed(command, "table1", "--scale=paper", "--dataset=svhn")
    assert {searched(line[1:]).dataset for line in lines[::2]} == {"svhn"}
    lines, _ = printed(command, "table4", "--scale=paper", "--dataset=ptb")
    assert {searched(line[1:]).space for line in lines[::2]} == {"rnn"}


def test_data_of_ones_own(command):
    lines, told = printed(command, "table5", "--dataset=image_folder(mine)", "--data_dir=all")
    assert {searched(line[1:]).dataset for line in lines[::2]} == {"image_folder(mine)"}
    assert all("--data_dir=all" in line for line in lines)
    assert "24 of 24 trainings not counted" in told


# Refusals.
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["name what", "table1"]),
        (["figure9"], ["'figure9' is no experiment", "table1"]),
        (["table1", "../small/table1"], ["is no experiment"]),
        (["table1", "--dataset="], ["--dataset is empty"]),
        (["table1", "--dataset=digits,mine"], ["--dataset=digits,mine", "or only others"]),
        (["table4", "--dataset=mine"], ["table4", "--dataset=mine", "digits"]),
        (["table1", "--dataset=nowhere"], ["nowhere"]),
        (["table1", "--scale=large"], ["scale", "large"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_started(
    command, started, tmp_path, arguments, words
):
    told = sentence(command(*arguments))
    assert all(word in told for word in words), told
    assert not started and list(tmp_path.iterdir()) == []


def test_two_trainings_of_one_directory_are_refused(command, started, write):
    write("table1", "--space=s1 --dataset=digits --seeds=1 -- --epochs=3")
    write("table2", "--space=s1 --dataset=digits --seeds=1 -- --epochs=4")
    told = sentence(command("table1", "table2"))
    assert "runs/small/s1_digits_darts_s1" in told and "--epochs=4 (the run has 3)" in told
    assert not started
    evaluated = "--space=s1 --dataset=digits --seeds=1 --evaluate --evaluate_flags=--epochs={}"
    write("table2", evaluated.format(3) + "\n\n" + evaluated.format(4))
    assert "evaluate/digits" in sentence(command("table2"))


def test_a_directory_of_another_run_is_refused(command, started, write):
    write("table1", "--space=s1 --dataset=digits --seeds=1 -- --epochs=3")
    write_run(pathlib.Path("runs/small/s1_digits_darts_s1"), seed=1, epochs=4)
    assert "--epochs=3 (the run has" in sentence(command("table1"))
    assert not started


# Runs and their page.
TWO = "# Two runs.\n--space=s1 --dataset=digits --seeds=1,2\n-- --flagfile=common/all.cfg --layers=3\n"


def test_the_page_is_about_the_runs(command, started, pages, write, tmp_path):
    write("table1", TWO)
    (tmp_path / "experiments/small/common").mkdir()
    (tmp_path / "experiments/small/common/all.cfg").write_text("--epochs=1  # each\n")
    write_run(tmp_path / "runs/small/other", seed=5)
    names = ["runs/small/s1_digits_darts_s1", "runs/small/s1_digits_darts_s2"]
    for _ in range(2):  # again, it goes on and writes the page anew
        code, stdout, stderr = command("table1")
        assert code == 0, stderr
        config, folders = pages.pop()
        assert (config.out, config.overwrite) == ("runs/small/report_table1", True)
        assert [str(folder) for folder in folders] == names
    assert stdout.startswith("# 2 runs, roughly 0.0 GPU-hours")
    assert [[task.name for task in tasks] for tasks, _ in started] == [names] * 2
    config = searched(started[0][0][0].commands[0])
    assert (config.epochs, config.layers, config.seed) == (1, 3, 1)


def test_where_runs_are_executed(command, monkeypatch, write):
    write("table1", TWO.replace("--flagfile=common/all.cfg", "--epochs=1"))
    seen = []
    monkeypatch.setattr(
        executor, "run", lambda tasks, settings: seen.append(settings) or {t.name: 0 for t in tasks}
    )
    given = ("--address=auto", "--cpus_per_run=3", "--gpus_per_run=0.5", "--executor=ray")
    assert command("table1", *given, "--out=here")[0] == 0
    assert (seen[0].address, seen[0].cpus_per_run, seen[0].gpus_per_run) == ("auto", 3, 0.5)
    assert (seen[0].executor, seen[0].folder) == ("ray", "here")


def test_a_failed_run_gives_its_exit_code_and_a_page_of_the_others(
    command, monkeypatch, pages, write
):
    write("table1", TWO.replace("--flagfile=common/all.cfg", "--epochs=1"))

    def run(tasks, settings):
        write_found(tasks[0])
        return {task.name: code for task, code in zip(tasks, (0, 1), strict=True)}

    monkeypatch.setattr(executor, "run", run)
    code, _, stderr = command("table1")
    assert code == 1 and "s1_digits_darts_s2 failed with exit code 1" in stderr
    assert [str(folder) for folder in pages[0][1]] == ["runs/small/s1_digits_darts_s1"]

    def stopped(tasks, settings):
        raise executor.Stopped(130)

    monkeypatch.setattr(executor, "run", stopped)
    code, _, stderr = command("table1")
    assert (code, "the same command goes on" in stderr) == (130, True)


def test_all_architectures_become_the_table_of_the_page(command, monkeypatch, write):
    write(
        "figure2",
        "--space=s5 --dataset=digits --exhaustive --seeds=1 -- --epochs=2\n\n"
        "--space=s5 --dataset=digits --seeds=1 -- --epochs=1",
    )

    def run(tasks, settings):
        for task in tasks:
            if task.commands[0][1] == "rdarts_tf.evaluate":
                write_evaluation(task)
        write_found(tasks[-1])
        return {task.name: 0 for task in tasks}

    monkeypatch.setattr(executor, "run", run)
    code, stdout, stderr = command("figure2")
    assert code == 0, stderr
    assert stdout.splitlines()[1].startswith("# 82 runs, ")
    table = pathlib.Path("runs/small/s5_digits.csv")
    assert len(table.read_text().splitlines()) == 82 and f"table: {table}" in stdout
    page = pathlib.Path("runs/small/report_figure2/report.md").read_text()
    assert "| s5_digits_darts_s1 |" in page


# The estimate.
def test_gpu_hours_of_a_search_and_of_an_evaluation():
    plain = SearchConfig(space="s2", hessian_every=2)
    measured = 50 * 391 * (0.109 + 0.587) + 25 * 5.82  # seconds on the space that was measured
    assert estimate.gpu_hours(plain) == pytest.approx(measured / 3600)
    first = dataclasses.replace(plain, alpha_step="first_order", hessian_every=0)
    assert estimate.gpu_hours(first) == pytest.approx(50 * 391 * 2 * 0.109 / 3600)
    sampled = dataclasses.replace(plain, method="random_ws")
    assert estimate.gpu_hours(sampled) == pytest.approx(50 * 391 * 0.109 / 3600)
    trained = EvaluateConfig(genotype="DARTS_V2", dataset="cifar10", seeds="1,2", epochs=600)
    trained = dataclasses.replace(trained, layers=20, batch_size=96, train_portion=0.5)
    steps = 600 * 521
    assert estimate.gpu_hours(trained) == pytest.approx(2 * steps * 0.061 / 3600)
    four = dataclasses.replace(plain, method="rdarts_l2")
    selected = 100 * 261 * 0.061  # on half of the images
    assert estimate.gpu_hours(four) == pytest.approx(4 * (measured + selected) / 3600)
    assert estimate.gpu_hours(dataclasses.replace(plain, dataset="ptb")) is None


@pytest.mark.parametrize(
    "field", dataclasses.fields(reproduce_config.ReproduceConfig), ids=lambda f: f.name
)
def test_every_flag_is_used_here(field):
    assert f'"--{field.name}' in pathlib.Path(__file__).read_text()
