"""Methods that select among several searches, in this process and without their steps."""

import dataclasses
import json

import pytest
import tensorflow as tf

from rdarts_tf import evaluate, search
from rdarts_tf.config import search as config_lib
from rdarts_tf.engine import evaluation_steps, selection_run
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs import executor
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task as images
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import in_process, stubbed_search

NAMES = ("weight_decay_0.0003", "weight_decay_0.03")
CONFIG = SearchConfig(
    space="s5",
    dataset="digits",
    method="rdarts_l2(values=[3e-4, 3e-2])",
    epochs=1,
    layers=1,
    init_channels=4,
    batch_size=128,
    arch_learning_rate=0.01,
    alpha_step="first_order",
    hessian_every=0,
    select_epochs=1,
    select_layers=1,
    select_channels=4,
    executor="local",
)


class Killed(BaseException):
    pass


@pytest.fixture
def select(tmp_path, monkeypatch, capsys):
    """select(name, kill_before=command) -> (RunDir, Genotype); the second cell scores better."""
    commands = {"rdarts_tf.search": search, "rdarts_tf.evaluate": evaluate}
    blocks = stubbed_search.replace_steps(monkeypatch)
    trained = []

    def train_block(self, iterator, first, last, epoch, rates):
        trained.append(self.problem)
        return last, tf.constant(0.5)

    def validate_block(self, iterator, first, last, epoch):
        self.totals[-2].assign_add(1.0 + len({id(problem) for problem in trained}))
        self.totals[-1].assign_add(4.0)

    monkeypatch.setattr(evaluation_steps.Evaluation, "train_block", train_block)
    monkeypatch.setattr(evaluation_steps.Evaluation, "validate_block", validate_block)
    monkeypatch.setattr(images.Evaluation, "examined", None)

    def select(name, *, kill_before=None):
        def run(tasks, settings, *, say):
            for task in tasks:
                for _, module, *flags in task.commands:
                    if (task.name, module) == kill_before:
                        raise Killed
                    code, _, err = in_process.run(monkeypatch, capsys, commands[module], *flags)
                    assert code == 0, err
            return {task.name: 0 for task in tasks}

        monkeypatch.setattr(executor, "run", run)
        run_dir = RunDir(tmp_path / name)
        run_dir.create()
        return run_dir, selection_run.SelectionRun(CONFIG, run_dir).run()

    select.searched, select.trained = blocks, trained
    return select


def result(run_dir):
    return {
        name: json.loads((run_dir / name).read_text())
        for name in ("genotype.json", "selection.json")
    }


def test_the_best_cell_is_selected(select):
    reference, found = select("run")
    selected = reference.read_json("selection.json")
    assert [run["name"] for run in selected["runs"]] == list(NAMES)
    assert [run["validation_error"] for run in selected["runs"]] == [0.5, 0.25]
    assert selected["winner"] == NAMES[1]
    for run in selected["runs"]:
        piece = reference.path / "runs" / run["name"]
        assert run["genotype"] == (piece / "genotype.txt").read_text().strip()
        assert RunDir(piece).read_json("config.json")["weight_decay"] == run["weight_decay"]
        evaluated = RunDir(piece / "evaluate" / "select").read_json("config.json")
        sizes = ("split", "epochs", "layers", "init_channels")
        assert [evaluated[key] for key in sizes] == ["search", 1, 1, 4]
    assert (reference.path / "genotype.txt").read_text() == f"{found}\n"
    assert found == genotype.parse((reference.path / "genotype.json").read_text())
    table = (reference.path / "selection.txt").read_text().splitlines()
    assert [line.split()[0] for line in table] == ["name", *NAMES]
    assert [line.endswith("selected") for line in table[1:]] == [False, True]


def test_killed_twice_and_run_again_it_selects_the_same(select):
    reference, _ = select("whole")
    searched, trained = len(select.searched), len(select.trained)
    select.trained.clear()
    for number, module in enumerate(("evaluate", "search")):
        with pytest.raises(Killed):
            select("killed", kill_before=(NAMES[number], f"rdarts_tf.{module}"))
    run_dir, _ = select("killed")
    assert result(run_dir.path) == result(reference.path)
    # What was finished is not done again.
    assert (len(select.searched), len(select.trained)) == (2 * searched, trained)


def test_a_piece_that_fails_is_named_with_its_log(tmp_path, monkeypatch):
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    monkeypatch.setattr(
        executor, "run", lambda tasks, *a, **k: dict.fromkeys(NAMES, 0) | {NAMES[1]: 1}
    )
    with pytest.raises(executor.Failed, match=f"1 of 2 runs failed: {NAMES[1]}, see .*log.txt"):
        selection_run.SelectionRun(CONFIG, run_dir).run()
    assert not (run_dir.path / "genotype.json").exists()


def test_overwriting_forgets_the_searches(tmp_path, monkeypatch):
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    old = dataclasses.replace(CONFIG, method="rdarts_l2(values=[3e-4, 3e-3])")
    run_dir.write_json("config.json", dataclasses.asdict(old))
    run_dir.write_text("selection.txt", "old")
    searches = config_lib.pieces(old) | {"mine": SearchConfig(dataset="digits")}
    pieces = {name: RunDir(run_dir.path / "runs" / name) for name in searches}
    for name, settings in searches.items():
        pieces[name].create()
        pieces[name].write_json("config.json", dataclasses.asdict(settings))
        pieces[name].write_text(executor.LOG, "")
        chosen = RunDir(pieces[name].path / "evaluate/select")
        chosen.create()
        chosen.write_json("config.json", {"genotype": "", "split": "search"})
    noted = pieces["weight_decay_0.003"].path / "notes.md"
    noted.write_text("mine")

    def run(tasks, settings, **kwargs):
        assert not (run_dir.path / "selection.txt").exists()
        runs = run_dir.path / "runs"
        assert sorted(runs.iterdir()) == [pieces["mine"].path, noted.parent]
        assert list(noted.parent.iterdir()) == [noted]
        left = [path.name for path in pieces["mine"].path.rglob("*") if path.is_file()]
        assert sorted(left) == ["config.json", "config.json", executor.LOG]
        return dict.fromkeys(NAMES, 1)

    monkeypatch.setattr(executor, "run", run)
    with pytest.raises(executor.Failed):
        selection_run.SelectionRun(CONFIG, run_dir).run(overwrite=True)


def test_overwriting_keeps_what_has_the_name_of_a_search(tmp_path, monkeypatch):
    run_dir = RunDir(tmp_path)
    run_dir.write_json("config.json", dataclasses.asdict(CONFIG))
    mine = RunDir(tmp_path / "runs" / NAMES[0])
    mine.create()
    mine.write_json("config.json", dataclasses.asdict(SearchConfig(epochs=7)))
    monkeypatch.setattr(executor, "run", lambda *a, **k: dict.fromkeys(NAMES, 1))
    with pytest.raises(executor.Failed):
        selection_run.SelectionRun(CONFIG, run_dir).run(overwrite=True)
    assert mine.read_json("config.json")["epochs"] == 7
    mine.write_text("config.json", "mine")
    with pytest.raises(UserError, match="config.json would be replaced"):
        selection_run.SelectionRun(CONFIG, run_dir)


def test_every_piece_is_checked_before_any_work(tmp_path):
    bad = dataclasses.replace(
        CONFIG, method="rdarts_dp(values=[0.0, 0.2])", cutout_length=16, init_channels=4
    )
    with pytest.raises(UserError, match="--cutout_length=16 always blanks images of 8x8"):
        selection_run.SelectionRun(bad, RunDir(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
