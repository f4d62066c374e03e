"""Commands that work in one directory at the same time: lock, compare, write; nothing is mixed."""

import contextlib
import json
import shutil
import subprocess
import sys
import time

import pytest

from rdarts_tf import registry
from rdarts_tf.errors import UserError
from rdarts_tf.runs import locking
from rdarts_tf.runs.run_dir import RunDir
from tests import scripted_steps
from tests.scripted_steps import TOY
from tests.toy_task import task

HOLD = "import sys; from rdarts_tf.runs import locking; "
HOLD += "[locking.lock(path) for path in sys.argv[1:]]; print(1, flush=True); input()"


@pytest.fixture
def call(monkeypatch, tmp_path):
    """The exit code of a command in the run directory."""
    monkeypatch.setattr(registry, "_TRUSTED", set())
    scripted_steps.replace_steps(monkeypatch)
    monkeypatch.setattr(locking, "_SECONDS", 0.3)

    def call(name, *arguments):
        where = TOY if name == "search" else ("--plugin=tests.toy_task", *TOY[1:])
        return scripted_steps.call(name, f"--run_dir={tmp_path / 'run'}", *where, *arguments)

    return call


@contextlib.contextmanager
def held(*paths):
    """Another process works in these directories."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"1\n"
    yield process
    process.kill()
    process.communicate()


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_nothing_of_a_running_evaluation_is_deleted(call, tmp_path):
    assert call("search", "--epochs=1") == call("evaluate", "--epochs=2") == 0
    before, folder = contents(tmp_path), tmp_path / "run/evaluate/tests.toy_task"
    with held(folder, folder / "seed_1"):
        for flags in (("--overwrite",), ("--seeds=1,2",), ("--epochs=6", "--overwrite")):
            with pytest.raises(UserError, match="another process works in"):
                call("evaluate", "--epochs=2", *flags)
    assert contents(tmp_path) == before


def test_an_evaluation_that_is_loading_is_not_joined_by_another(call, tmp_path):
    assert call("search", "--epochs=1") == 0
    folder = tmp_path / "run/evaluate/tests.toy_task"
    with held(folder), pytest.raises(UserError, match="another process works in"):
        call("evaluate", "--epochs=2")
    assert not contents(folder)


def test_flags_are_compared_after_the_wait_for_another_process(call, tmp_path, monkeypatch):
    """What it has written meanwhile counts."""
    assert call("search", "--epochs=2") == 0
    done, run = tmp_path / "done", tmp_path / "run"
    run.rename(done)
    monkeypatch.setattr(locking, "_SECONDS", 20.0)
    with held(run) as process:

        def sleep(seconds):
            if not (run / "config.json").exists():
                shutil.copytree(done, run, dirs_exist_ok=True)
                process.kill()
                process.wait()

        monkeypatch.setattr(time, "sleep", sleep)
        with pytest.raises(UserError, match=r"--seed=7 \(the run has 2\)"):
            call("search", "--epochs=2", "--seed=7")
    assert {p.name: c for p, c in contents(run).items()} == {
        p.name: c for p, c in contents(done).items()
    }


def test_overwriting_a_selection_waits_for_whoever_works_in_its_searches(call, tmp_path):
    flags = ("--method=rdarts_l2(values=[0.1])", "--epochs=1", "--select_epochs=1")
    flags += ("--executor=local",)
    assert call("search", *flags) == 0
    before = contents(tmp_path)
    chosen = tmp_path / "run/runs/weight_decay_0.1"
    for path in (chosen, chosen / "evaluate/select"):
        with held(path), pytest.raises(UserError, match="another process works in"):
            call("search", *flags, "--overwrite")
        assert contents(tmp_path) == before
    assert call("search", *flags, "--overwrite") == 0


def test_a_checkpoint_belongs_to_its_flags(call, tmp_path):
    for seed in (1, 2):
        assert call("search", "--epochs=2", f"--seed={seed}") == 0
        (tmp_path / "run").rename(tmp_path / f"seed_{seed}")
    (tmp_path / "seed_1").rename(tmp_path / "run")
    (tmp_path / "run/genotype.json").unlink()
    for path in (tmp_path / "seed_2/checkpoints").iterdir():
        shutil.copy(path, tmp_path / "run/checkpoints")
    with pytest.raises(UserError, match="belongs to a training with other flags"):
        call("search", "--epochs=2", "--seed=1")


def test_a_checkpoint_under_another_name_is_not_taken_up(call, tmp_path):
    assert call("search", "--epochs=3") == 0
    folder = tmp_path / "run/checkpoints"
    (folder / "epoch_0003_step_000000.npz").replace(folder / "epoch_0001_step_000000.npz")
    (folder / "epoch_0002_step_000000.npz").unlink()
    (tmp_path / "run/genotype.json").unlink()
    with pytest.raises(UserError, match="is the checkpoint after epoch 3, step 0"):
        call("search", "--epochs=3")


def test_only_seeds_of_its_flags_are_counted(call, tmp_path):
    assert call("search", "--epochs=1") == 0
    assert call("evaluate", "--seeds=1", "--epochs=2", "--learning_rate=0.1", "--name=other") == 0
    assert call("evaluate", "--seeds=2", "--epochs=2", "--name=mine") == 0
    folder = tmp_path / "run/evaluate"
    shutil.copytree(folder / "other/seed_1", folder / "mine/seed_1")
    assert call("evaluate", "--seeds=2,3", "--epochs=2", "--name=mine") == 0
    result = RunDir(folder / "mine").read_json("result.json")
    assert [each["seed"] for each in result["seeds"]] == [2, 3]
    with pytest.raises(UserError, match="belongs to a training with other flags"):
        call("evaluate", "--seeds=1", "--epochs=2", "--name=mine")


def test_a_selection_counts_only_searches_of_its_flags(call, tmp_path, monkeypatch):
    flags = ("--method=rdarts_l2(values=[0.1])", "--epochs=1", "--select_epochs=1")
    flags += ("--executor=local",)
    run_task = scripted_steps.executor.run_task

    def meddle(task, **kwargs):
        code = run_task(task, **kwargs)
        file = task.folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"seed": 9}))
        return code

    monkeypatch.setattr(scripted_steps.executor, "run_task", meddle)
    with pytest.raises(UserError, match=r"--seed=2 \(the run has 9\)"):
        call("search", *flags)
    assert not (tmp_path / "run/genotype.json").exists()


def test_what_is_refused_leaves_no_directory(call, tmp_path, monkeypatch):
    assert call("search", "--epochs=1") == 0

    def refuse(*args, **kwargs):
        raise UserError("too small")

    monkeypatch.setattr(task.Evaluation, "__init__", refuse)
    with pytest.raises(UserError, match="too small"):
        call("evaluate", "--name=new")
    assert not (tmp_path / "run/evaluate").exists()
