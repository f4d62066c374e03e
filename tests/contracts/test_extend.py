"""--extend: a run becomes longer, its new epochs have the schedule of the new length, the old ones theirs."""

import json
import shutil
import types

import pytest
import tensorflow as tf

from rdarts_tf import analyze, evaluate, export, registry, search, sweep
from rdarts_tf.config import search as search_config
from rdarts_tf.config.analyze import AnalyzeConfig
from rdarts_tf.engine import epochs, evaluation_steps, search_run, search_steps, summaries
from rdarts_tf.errors import UserError
from rdarts_tf.optimizers import cosine
from rdarts_tf.runs import extension, lengths
from rdarts_tf.runs.decisions import Decisions
from rdarts_tf.runs.files import load_npz
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task as images
from tests import in_process, scripted_steps
from tests.toy_task import task

FLAGS = (*scripted_steps.TOY, "--learning_rate=1", "--hessian_every=0", "--keep_checkpoints=0")
SHORT, LONG = 4, 7
LONGER = (f"--epochs={LONG}", "--extend")


@pytest.fixture(autouse=True, scope="module")
def _scheduled():
    """Steps are arithmetic on a weight decay, which falls by a cosine over the run as does the rate."""

    def rates(self, config, epoch):
        rate = cosine(epoch, config.epochs, 1.0)
        return {"learning_rate": rate, "weight_decay": config.weight_decay * rate}

    with pytest.MonkeyPatch.context() as patch:
        scripted_steps.replace_steps(patch)
        patch.setattr(task.Search, "rates", rates)
        yield


@pytest.fixture(scope="module")
def runs(_scheduled, tmp_path_factory):
    """A folder with a finished run, "short", and one that was extended after its end, "long"."""
    folder = tmp_path_factory.mktemp("runs")
    unread = types.SimpleNamespace(readouterr=lambda: ("", ""))
    with pytest.MonkeyPatch.context() as patch:
        for name, flags in (("short", (f"--epochs={SHORT}",)), ("long", LONGER)):
            arguments = (*FLAGS, f"--run_dir={folder / name}", *flags)
            assert in_process.run(patch, unread, search, *arguments)[0] == 0
            if name == "short":
                shutil.copytree(folder / "short", folder / "long")
    return folder


@pytest.fixture
def short(runs, tmp_path):
    """The RunDir of a copy of the finished run, called "run"."""
    return RunDir(shutil.copytree(runs / "short", tmp_path / "run"))


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """(exit code, stdout, stderr) of a search in the run directory "run"."""

    def command(*flags):
        where = f"--run_dir={tmp_path / 'run'}"
        return in_process.run(monkeypatch, capsys, search, *FLAGS, where, *flags)

    return command


@pytest.fixture
def run(command, tmp_path):
    """The RunDir of a search that ends well."""

    def run(*flags):
        code, out, err = command(*flags)
        assert code == 0, out + err
        return RunDir(tmp_path / "run")

    return run


def killed(monkeypatch, command, where, *flags, at=None):
    """Ends a search as kill -9 would, when `where` is called, in epoch `at` if that is given."""
    kind, method = where
    kept = getattr(kind, method)

    def end(self, *args, **kwargs):
        if at is not None and self.epoch != at:
            return kept(self, *args, **kwargs)
        raise epochs.Interrupted("killed", 137)

    with monkeypatch.context() as patch:
        patch.setattr(kind, method, end)
        assert command(*flags)[0] == 137


TRAIN, DECIDE = (epochs.EpochRun, "_train_blocks"), (search_run.SearchRun, "_decide")
FINISH = (search_run.SearchRun, "_finish")


def rates(run_dir):
    return [row["search/learning_rate"] for row in run_dir.read_metrics()]


def recorded(run_dir):
    return run_dir.read_json("config.json")


def assert_same_bits(one, two):
    for name in ("alphas.npz", f"checkpoints/epoch_{LONG:04d}_step_000000.npz"):
        a, b = (load_npz(run_dir.path / name) for run_dir in (one, two))
        assert a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)
    assert rates(one) == rates(two)
    assert recorded(one) == recorded(two)


def test_new_epochs_have_the_schedule_of_the_new_length(runs):
    run_dir = RunDir(runs / "long")
    first = load_npz(runs / "short" / "alphas.npz")["toy"]
    expected = [cosine(e, SHORT if e < SHORT else LONG, 1.0) for e in range(LONG)]
    assert rates(run_dir) == pytest.approx(expected)
    assert (load_npz(run_dir.path / "alphas.npz")["toy"][:SHORT] == first).all()
    assert recorded(run_dir)["history"] == [{"epochs": SHORT, "until": SHORT}]
    assert recorded(run_dir)["epochs"] == LONG and "extending" not in recorded(run_dir)
    assert f"--epochs={LONG}" in (run_dir.path / "flags.cfg").read_text()


def test_an_unfinished_run_becomes_longer_and_then_longer_still(run, command, monkeypatch):
    killed(monkeypatch, command, TRAIN, f"--epochs={SHORT}", at=2)
    run(f"--epochs={SHORT + 1}", "--extend")
    run_dir = run(*LONGER)
    in_force = [SHORT, SHORT, SHORT + 1, SHORT + 1, SHORT + 1, LONG, LONG]
    assert rates(run_dir) == pytest.approx([cosine(e, n, 1.0) for e, n in enumerate(in_force)])
    history = [{"epochs": SHORT, "until": 2}, {"epochs": SHORT + 1, "until": SHORT + 1}]
    assert recorded(run_dir)["history"] == history


def test_an_epoch_that_is_begun_keeps_its_schedule(run, command, monkeypatch):
    with monkeypatch.context() as patch:
        train = epochs.EpochRun._train_blocks

        def train_blocks(self, block):
            if self.epoch == 1:
                self.stop = types.SimpleNamespace(exit_code=143)
                self._interrupt(5)
            return train(self, block)

        patch.setattr(epochs.EpochRun, "_train_blocks", train_blocks)
        assert command(f"--epochs={SHORT}")[0] == 143
    run_dir = run(*LONGER)
    assert rates(run_dir)[1:3] == pytest.approx([cosine(1, SHORT, 1.0), cosine(2, LONG, 1.0)])
    assert recorded(run_dir)["history"] == [{"epochs": SHORT, "until": 2}]


@pytest.mark.parametrize(
    ("where", "at", "again"),
    [(TRAIN, SHORT + 1, ()), (DECIDE, None, ("--extend",)), (FINISH, None, ())],
    ids=["in an epoch", "before the first new epoch", "before the result"],
)
def test_killed_it_ends_with_the_same_bits(runs, short, command, monkeypatch, where, at, again):
    result = (short.path / "genotype.json").read_text()
    killed(monkeypatch, command, where, *LONGER, at=at)
    assert (short.path / "genotype.json").read_text() == result
    assert recorded(short)["extending"] and short.read_genotype() is None
    code, out, _ = command(f"--epochs={LONG}", *again)
    assert code == 0 and "is finished" not in out
    assert_same_bits(RunDir(runs / "long"), short)
    for flags in (("--extend",), ()):
        assert "is finished" in command(f"--epochs={LONG}", *flags)[1]


def test_as_many_epochs_or_a_new_run_are_as_without(short, command, run):
    before = recorded(short)
    assert "is finished" in command(f"--epochs={SHORT}", "--extend")[1]
    assert recorded(short) == before and "history" not in before
    shutil.rmtree(short.path)
    assert recorded(run("--epochs=1", "--extend")) == before | {"epochs": 1}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((f"--epochs={LONG}",), [f"--epochs={LONG} (the run has {SHORT})", "by --extend"]),
        ((f"--epochs={SHORT - 1}", "--extend"), ["--extend makes a run longer", f"{SHORT} epochs"]),
        (("--epochs=7", "--seed=5", "--extend"), ["--seed=5 (the run has 2)", "choose another"]),
        (("--epochs=7", "--overwrite", "--extend"), ["--overwrite starts anew"]),
    ],
)
def test_what_cannot_be_is_one_sentence(short, command, flags, words):
    before = {p: p.stat().st_mtime_ns for p in short.path.rglob("*")}
    code, _, err = command(*flags)
    assert code == 2 and all(word in err for word in words), err
    assert err.count("\n") == 1
    assert {p: p.stat().st_mtime_ns for p in short.path.rglob("*")} == before
    assert ("--extend" in err) == (not any("seed" in flag for flag in flags))


@pytest.mark.parametrize(
    ("method", "word"),
    [
        ("darts_es", "stopped, with the architecture of epoch 3"),
        ("rdarts_l2", "rdarts_l2 selects among several searches"),
        ("random_ws(budget=authors)", "number of steps of random_ws"),
        ("darts", "no checkpoint to go on from"),
    ],
)
def test_a_run_that_cannot_become_longer(tmp_path, method, word):
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    short = search_config.of_space("s5")(method=method, epochs=20)
    run_dir.write_description(short, {})
    (run_dir.path / "genotype.json").write_text("{}")
    if method == "darts_es":
        run_dir.write_json("decisions.json", [{"decision": "stop", "epoch": 3}])
    longer = search_config.of_space("s5")(method=method, epochs=30)
    with pytest.raises(UserError, match=word):
        extension.check_search(longer, run_dir, remedy="choose another", extend=True)
    assert not extension.check_search(short, run_dir, remedy="choose another", extend=True)


def test_epochs_run_again_after_a_rollback_have_the_length_of_the_rollback(tmp_path):
    run_dir = RunDir(tmp_path)
    run_dir.create()

    def decisions(num_epochs):
        config = search_config.of_space("s5")(method="darts_ada", epochs=num_epochs)
        book = Logbook(run_dir, "")
        book.decisions = run_dir.read_decisions()
        found = Decisions(config.make_method(), config, book)
        found.history = (run_dir.read_json("config.json") or {}).get("history", [])
        return found, config

    _, config = decisions(4)
    run_dir.write_description(config, {})
    longer, config = decisions(8)
    assert longer.extend(run_dir.read_json("config.json"), 4)
    run_dir.write_description(config, {}, history=longer.history)
    back = {"decision": "rollback", "epoch": 1, "epochs": 8, "carried_out": True}
    run_dir.write_json("decisions.json", [back])
    longer, config = decisions(8)
    assert [longer.in_force(e).epochs for e in range(6)] == [4, 4, 8, 8, 8, 8]
    assert [longer.in_force(e).weight_decay for e in (1, 2)] == pytest.approx([3e-4, 3e-3])
    longest, _ = decisions(12)
    longest.extend(run_dir.read_json("config.json"), 3)
    assert longest.history == [{"epochs": 4, "until": 2}, {"epochs": 8, "until": 3}]
    assert [longest.in_force(e).epochs for e in range(6)] == [4, 4, 8, 12, 12, 12]


def test_darts_ada_goes_back_from_a_new_epoch(run):
    flags = ("--method=darts_ada(frequency=1, window=1, delta=2, start_epoch=0, factor=1e-9)",)
    flags += ("--hessian_every=1",)
    first = run("--epochs=2", *flags)
    assert first.read_json("decisions.json") is None
    run_dir = run("--epochs=5", "--extend", *flags)
    decisions = run_dir.read_json("decisions.json")
    assert [(d["epoch"], d["epochs"]) for d in decisions] == [(0, 5), (0, 5)]
    assert recorded(run_dir)["history"] == [{"epochs": 2, "until": 2}]
    expected = [cosine(e, 2 if e == 0 else 5, 1.0) for e in range(5)]  # epoch 1 was run again
    assert rates(run_dir) == pytest.approx(expected)


def test_random_ws_trains_and_selects_to_the_new_end(monkeypatch, capsys, tmp_path):
    def search_block(self, iterator, first, last, epoch, rates):
        return last, tf.constant(0.5)

    monkeypatch.setattr(search_steps.PathSearch, "search_block", search_block)
    monkeypatch.setattr(search_steps.PathSearch, "validate_block", lambda *args: None)
    flags = ("--space=s5", "--dataset=digits", "--layers=1", "--init_channels=2")
    flags += ("--batch_size=256", "--method=random_ws(n_samples=3, score_batches=1, top=1)")
    flags += (f"--run_dir={tmp_path / 'run'}",)
    for longer in (("--epochs=2",), ("--epochs=3", "--extend")):
        code, _, err = in_process.run(monkeypatch, capsys, search, *flags, *longer)
        assert code == 0, err
    run_dir = RunDir(tmp_path / "run")
    rows = run_dir.read_metrics()
    assert [bool(row["genotype"]) for row in rows] == [False, True, True]
    assert rows[-1]["genotype"] == (run_dir.path / "genotype.txt").read_text().strip()
    in_force = [cosine(e, n, 0.025, 0.001) for e, n in enumerate((2, 2, 3))]
    assert rates(run_dir) == pytest.approx(in_force)


def test_old_checkpoints_are_analysed_with_their_rates(runs, monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", {"tests.toy_task"})
    run_dir = RunDir(runs / "long")
    found = [
        (epoch, run.problem.rates(run.decisions.in_force(epoch), epoch)["learning_rate"])
        for run, epoch in analyze._checkpoints(AnalyzeConfig(), run_dir.path)
    ]
    assert found == list(enumerate(rates(run_dir)))


def test_a_sweep_extends(short, monkeypatch, capsys):
    def lines(*flags):
        where = f"--run_dir={short.path}"
        arguments = ("--dry_run", "--", *FLAGS, where, *flags)
        return in_process.run(monkeypatch, capsys, sweep, *arguments)

    code, out, _ = lines(*LONGER)
    assert code == 0 and "--extend" in out
    code, _, err = lines(f"--epochs={LONG}")
    assert code == 2 and "by --extend" in err


def test_an_extended_run_is_no_repetition_of_one_that_was_not():
    plain = {"method": "darts", "weight_decay": 3e-4, "seed": 1}
    longer = plain | {"history": [{"epochs": 20, "until": 12}], "extending": True}
    one, other = map(analyze._without_free, (plain, longer))
    assert one["extended_after"] == "no epoch"
    assert other == plain | {"extended_after": "12 of 20 epochs"}


def test_lengths():
    history = lengths.history_of([20] * 12 + [30] * 3)
    assert history == [{"epochs": 20, "until": 12}, {"epochs": 30, "until": 15}]
    assert [lengths.at(history, e, 40) for e in (0, 11, 12, 14, 15)] == [20, 20, 30, 30, 40]
    assert lengths.history_of([]) == [] and lengths.at([], 3, 40) == 40


# Evaluations.

TINY = ("--genotype=DARTS_V2", "--dataset=digits", "--layers=1", "--init_channels=2")


@pytest.fixture
def evaluated(monkeypatch, capsys, tmp_path):
    """(exit code, stdout, stderr) of an evaluation whose blocks of steps do nothing."""
    seen = []

    def train_block(self, iterator, first, last, epoch, rates):
        seen.append((int(epoch), float(rates["learning_rate"])))
        return last, tf.constant(0.5)

    monkeypatch.setattr(evaluation_steps.Evaluation, "train_block", train_block)
    monkeypatch.setattr(evaluation_steps.Evaluation, "validate_block", lambda *args: None)
    monkeypatch.setattr(images.Evaluation, "examined", None)
    monkeypatch.setattr(
        summaries, "SearchSummaries", lambda *a, **k: types.SimpleNamespace(**BOARD)
    )

    def evaluated(*flags):
        where = f"--run_dir={tmp_path / 'run'}"
        return in_process.run(monkeypatch, capsys, evaluate, *TINY, where, *flags)

    evaluated.rates = lambda: dict(seen)
    evaluated.folder = RunDir(tmp_path / "run" / "evaluate" / "digits")
    return evaluated


BOARD = dict.fromkeys(
    ("hparams", "epoch", "pictures", "flush", "close"), lambda *args, **kwargs: None
)


def test_an_evaluation_extends_seed_by_seed(evaluated, monkeypatch, capsys, tmp_path):
    folder = evaluated.folder
    assert evaluated("--epochs=1", "--seeds=1,2")[0] == 0
    for seed_dir in folder.seeds().values():  # as an earlier version left it
        old = seed_dir.read_json("result.json")
        del old["epochs"]
        seed_dir.write_json("result.json", old)
    code, _, err = evaluated("--epochs=2")
    assert code == 2 and "--epochs=2 (the run has 1)" in err and "by --extend" in err

    code, out, err = evaluated("--epochs=2", "--extend", "--seeds=1")
    assert code == 0, err
    assert "--seeds=2 trains on" in out
    result = folder.read_json("result.json")
    assert [each["seed"] for each in result["seeds"]] == [1] and result["epochs"] == 2
    assert evaluated.rates()[1] == pytest.approx(0.0125)
    before = [{"epochs": 1, "until": 1}]
    assert recorded(folder)["history"] == {"1": before, "2": before}

    assert evaluated("--epochs=2", "--seeds=2")[0] == 0  # without --extend: as long as the others
    assert [each["seed"] for each in folder.read_json("result.json")["seeds"]] == [1, 2]
    assert len(folder.seeds()[2].read_metrics()) == 2
    assert recorded(folder)["history"] == {"1": before, "2": before}


def test_a_killed_extension_is_neither_averaged_nor_exported(
    evaluated, monkeypatch, capsys, tmp_path
):
    assert evaluated("--epochs=1", "--seeds=1,2")[0] == 0
    blocks = evaluation_steps.Evaluation.train_block

    def train_block(self, iterator, first, last, epoch, rates):
        if int(epoch) == 2:
            raise epochs.Interrupted("killed", 137)
        return blocks(self, iterator, first, last, epoch, rates)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation_steps.Evaluation, "train_block", train_block)
        assert evaluated("--epochs=3", "--extend", "--seeds=1,2")[0] == 137
    folder = evaluated.folder
    assert folder.read_json("result.json")["epochs"] == 1
    where = f"--run_dir={tmp_path / 'run'}"
    code, _, err = in_process.run(monkeypatch, capsys, export, where)
    assert code == 2 and "from 1 to 3 epochs" in err
    assert evaluated("--epochs=3", "--seeds=1,2")[0] == 0
    result = folder.read_json("result.json")
    assert [(each["seed"], each["epochs"]) for each in result["seeds"]] == [(1, 3), (2, 3)]
    assert recorded(folder)["history"]["1"] == [{"epochs": 1, "until": 1}]
    for seed in (1, 2):
        seen = [row["train/learning_rate"] for row in folder.seeds()[seed].read_metrics()]
        assert seen == pytest.approx([0.025, cosine(1, 3, 0.025), cosine(2, 3, 0.025)])


def test_a_seed_without_checkpoints_cannot_go_on(evaluated):
    assert evaluated("--epochs=1")[0] == 0
    seed_dir = evaluated.folder.seeds()[1]
    for _, path in seed_dir.list_checkpoints():
        path.unlink()
    before = json.dumps(recorded(evaluated.folder))
    code, _, err = evaluated("--epochs=2", "--extend")
    assert code == 2 and "no checkpoint to go on from" in err
    assert json.dumps(recorded(evaluated.folder)) == before
