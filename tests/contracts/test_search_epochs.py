"""evaluate --search_epoch: what a search would have returned after earlier epochs, trained."""

import json

import pytest

import rdarts_tf
from rdarts_tf import evaluate, registry, search, sweep
from rdarts_tf.engine import epochs, evaluation_run
from rdarts_tf.runs import child, record_reading
from rdarts_tf.runs.files import load_npz
from tests import in_process, recorded_runs, scripted_steps

CELLS = [f"Genotype(toy=[({name!r}, 0)], toy_concat=range(1, 2))" for name in ("on", "off")]


@pytest.fixture(scope="module", autouse=True)
def _scripted():
    with pytest.MonkeyPatch.context() as patch:
        scripted_steps.replace_steps(patch)
        yield


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """The folder of a search of three epochs, which found "on", "off" and "off"."""
    folder = tmp_path / "run"
    flags = (*scripted_steps.TOY, "--epochs=3", f"--run_dir={folder}")
    assert in_process.run(monkeypatch, capsys, search, *flags)[0] == 0
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row, text in zip(rows, (CELLS[0], CELLS[1], CELLS[1]), strict=True):
        row["genotype"] = text
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture
def command(monkeypatch, capsys, run):
    """command(*flags) -> (exit code, stdout, stderr) of an evaluation of two epochs."""
    common = (f"--run_dir={run}", "--epochs=2", "--plugin=tests.toy_task")
    return lambda *flags: in_process.run(monkeypatch, capsys, evaluate, *common, *flags)


def evaluations(run):
    """{epoch: folder of its evaluation}."""
    found = sorted((run / "search_epochs").glob("*/evaluate/tests.toy_task"))
    return {int(path.parts[-3].removeprefix("epoch_")): path for path in found}


def read(path, name):
    return json.loads((path / name).read_text())


def weights(folder):
    return load_npz(sorted(folder.glob("seed_1/checkpoints/*.npz"))[-1])


def test_each_epochs_cells_are_trained_in_a_directory_of_their_own(command, run, tmp_path):
    code, out, err = command("--search_epoch=0,2", "--seeds=1,2")
    assert code == 0, err
    found = evaluations(run)
    assert {k: read(path, "result.json")["genotype"] for k, path in found.items()} == {
        0: CELLS[0],
        2: CELLS[1],
    }
    assert all(len(read(path, "result.json")["seeds"]) == 2 for path in found.values())
    assert all(f"files:       {path}" in out for path in found.values())
    assert not (run / "evaluate").exists()
    of_space = "--space=tests.toy_task"
    assert command(f"--genotype={CELLS[1]}", of_space)[0] == 0  # the same training by hand
    alone = weights(run / "evaluate/tests.toy_task")
    again = weights(found[2])
    assert alone.keys() == again.keys() and all((alone[k] == again[k]).all() for k in alone)
    before = found[0] / "seed_1/metrics.jsonl"
    written = before.stat().st_mtime_ns
    code, out, _ = command("--search_epoch=0,1")
    assert (
        code == 0 and before.stat().st_mtime_ns == written and list(evaluations(run)) == [0, 1, 2]
    )
    flags = f"--flagfile={found[0] / 'flags.cfg'}"
    assert command(flags, of_space, f"--run_dir={tmp_path / 'other'}")[0] == 0


def test_a_stop_between_epochs_goes_on(command, run, monkeypatch):
    plain = evaluation_run.EvaluationRun.run

    def interrupted(self):
        if "epoch_0001" in str(self.run_dir.path):
            raise epochs.Interrupted("stopped", 143)
        return plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation_run.EvaluationRun, "run", interrupted)
        assert command("--search_epoch=0,1,2")[0] == 143
    done = [k for k, path in evaluations(run).items() if (path / "result.json").exists()]
    assert done == [0]
    assert command("--search_epoch=0,1,2")[0] == 0
    assert all((path / "result.json").exists() for path in evaluations(run).values())
    assert list(evaluations(run)) == [0, 1, 2]


def test_what_cannot_be_is_one_sentence_before_any_work(command, run, monkeypatch, capsys):
    def refused(words, *flags):
        code, _, err = command(*flags)
        assert code == 2 and words in err and err.count("\n") == 1, err
        assert not (run / "search_epochs").exists()

    refused("--search_epoch=3 is not in", "--search_epoch=0,3")
    refused("has the epochs 0 to 2", "--search_epoch=2147483647")
    for text in ("a", "1,1", "-1", "1.5", "0,", "9999999999"):
        refused(f"--search_epoch={text} is no list", f"--search_epoch={text}")
    both = ("--space=tests.toy_task", f"--genotype={CELLS[0]}")
    refused("and no --genotype", "--search_epoch=1", *both)
    refused("is for --genotype", "--search_epoch=1", "--space=tests.toy_task")
    rows = (run / "metrics.jsonl").read_text().splitlines()
    rows[1] = json.dumps(json.loads(rows[1]) | {"genotype": None})
    (run / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    refused("recorded no architecture after it; it did after 0, 2", "--search_epoch=0,1")
    (run / "metrics.jsonl").write_text("")
    refused("no finished epoch", "--search_epoch=0")
    code, _, err = in_process.run(monkeypatch, capsys, evaluate, "--search_epoch=0")
    assert code == 2 and "give --run_dir of that search" in err
    (run / "config.json").unlink()
    (run / "flags.cfg").unlink()
    refused("needs --run_dir of a search", "--search_epoch=0")


def test_a_selection_names_its_searches(monkeypatch, capsys, tmp_path):
    folder = recorded_runs.write_selection(tmp_path / "chosen", epochs=3)
    flags = (f"--run_dir={folder}", "--search_epoch=0")
    code, _, err = in_process.run(monkeypatch, capsys, evaluate, *flags)
    assert code == 2 and f"{folder}/runs/weight_decay_0.0009" in err and err.count("\n") == 1


def test_they_are_read_by_epoch_unless_the_search_is_another_now(command, run, monkeypatch):
    assert command("--search_epoch=0,1")[0] == 0
    monkeypatch.setattr(registry, "_TRUSTED", {"tests.toy_task"})
    (record,), _ = record_reading.read([run])
    assert {k: len(found) for k, found in record.by_epoch.items()} == {0: 1, 1: 1}
    assert not record.evaluations and not record.tests
    path = evaluations(run)[1] / "config.json"
    path.write_text(path.read_text().replace("'off'", "'on'"))
    (record,), _ = record_reading.read([run])
    assert list(record.by_epoch) == [0]


def test_from_python(command, run, monkeypatch):
    def started(name, arguments):
        assert name == "evaluate" and "--search_epoch=0,2" in arguments
        assert command("--search_epoch=0,2")[0] == 0
        return []

    monkeypatch.setattr(child, "run", started)
    found = rdarts_tf.open_run(run, plugin="tests.toy_task").evaluate(search_epoch=(0, 2), epochs=2)
    assert {k: result.genotype for k, result in found.items()} == {0: CELLS[0], 2: CELLS[1]}


def test_a_sweep_knows_how_many_epochs_its_searches_have(monkeypatch, capsys):
    def sweep_of(epochs, *flags):
        own = ("--evaluate", f"--evaluate_flags=--search_epoch={epochs}", "--dry_run")
        given = (*scripted_steps.TOY, *own, "--", "--epochs=3", *flags)
        return in_process.run(monkeypatch, capsys, sweep, *given)

    code, out, err = sweep_of("0,2")
    assert code == 0 and "rdarts_tf.evaluate --search_epoch=0,2" in out, err
    code, out, err = sweep_of("0,3")
    assert code == 2 and not out and "--search_epoch=3 is none of the 3 epochs" in err
    code, out, err = sweep_of("0", "--method=best_of(darts, seeds=2)")
    assert code == 2 and not out and "selects among searches" in err
