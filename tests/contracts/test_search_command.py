"""The search command in this process, without its steps: refusals, overwriting, resuming."""

import functools
import shutil
import signal

import numpy as np
import pytest

from rdarts_tf import search
from rdarts_tf.engine import search_steps
from rdarts_tf.runs.run_dir import RunDir
from tests import in_process, stubbed_search
from tests.in_process import sentence

TINY = (
    "--space=s5",
    "--dataset=digits",
    "--epochs=2",
    "--batch_size=300",
    "--init_channels=2",
    "--layers=1",
)


@pytest.fixture
def blocks(monkeypatch):
    return stubbed_search.replace_steps(monkeypatch)


@pytest.fixture
def command(monkeypatch, capsys, blocks):
    """command(run_dir, *flags) -> (exit code, stdout, stderr)."""
    return lambda run_dir, *arguments: in_process.run(
        monkeypatch, capsys, search, *TINY, f"--run_dir={run_dir}", *arguments
    )


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--flagfile=/nowhere.cfg"], ["/nowhere.cfg"]),
        (["--epochs=many"], ["epochs", "many"]),
        (["--train_portion=1"], ["train_portion=1.0", "0.5"]),
        (["--batch_size=800"], ["800", "718"]),
        (["--drop_path_prob=1"], ["drop_path_prob=1.0"]),
        (["--drop_path_prob=0.99999999"], ["drop_path_prob=0.99999999", "float32"]),
        (["--hessian_products=9", "--eigensolver=full"], ["hessian_products=9", "lanczos"]),
        (["--learning_rate=0"], ["learning_rate=0.0"]),
        (["--learning_rate=nan"], ["learning_rate=nan"]),
        (["--weight_decay=inf"], ["weight_decay=inf"]),
        (["--nodes=0"], ["nodes=0"]),
        (["--space=s5(3)"], ["s5", "no arguments"]),
        (["--space=s5("], ["s5("]),
        (["--dataset=digits(size=3)"], ["digits", "size"]),
        (["--dataset=tfds"], ["tfds", "name"]),
        (["--dataset=image_folder('a,b', size=4)"], ["size=4", "8"]),
    ],
)
def test_a_refused_flag_leaves_everything_as_it_was(command, tmp_path, arguments, words):
    (tmp_path / "mine").write_text("text")
    code, _, stderr = command(tmp_path / "run", *arguments)
    assert code == 2
    assert all(word in sentence(stderr) for word in words), stderr
    assert list(contents(tmp_path)) == [tmp_path / "mine"]


def test_overwriting(command, tmp_path):
    run_dir = tmp_path / "run"
    assert command(run_dir)[0] == 0
    (run_dir / "notes.md").write_text("mine")
    before = contents(run_dir)
    code, _, stderr = command(run_dir, "--seed=5")
    assert code == 2
    assert "--seed=5 (the run has 2)" in sentence(stderr)
    assert command(run_dir, "--overwrite", "--seed=5", "--batch_size=800")[0] == 2
    assert contents(run_dir) == before
    code, stdout, _ = command(run_dir, "--overwrite", "--seed=5")
    assert code == 0
    assert "resuming" not in stdout
    assert RunDir(run_dir).read_json("config.json")["seed"] == 5
    assert len(RunDir(run_dir).read_metrics()) == 2
    assert (run_dir / "notes.md").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    "name", ["config.json", "genotype.txt", "checkpoints/epoch_0001_step_000000.npz"]
)
def test_files_of_others_are_never_replaced(command, tmp_path, monkeypatch, name, overwrite):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"mine": 1}')
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    code, _, stderr = command(".", *overwrite)
    assert code == 2 and f"{name} would be replaced" in sentence(stderr)
    assert contents(tmp_path) == before


def test_what_else_is_in_the_directory_stays(command, tmp_path):
    mine = {tmp_path / name: b"mine" for name in ("runs", "notes.md", ".mine.tmp", "log.txt")}
    for path, content in mine.items():
        path.write_bytes(content)
    for arguments in ((), ("--overwrite", "--seed=5")):
        assert command(tmp_path, *arguments)[0] == 0
        assert mine.items() <= contents(tmp_path).items()


def test_a_run_directory_that_can_be_none_is_refused(command, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = contents(tmp_path)
    for name in ("file", "file/run", "link", "link/run"):
        code, _, stderr = command(tmp_path / name, "--overwrite")
        assert code == 2 and "is no folder; choose another --run_dir" in sentence(stderr)
    assert contents(tmp_path) == before and (tmp_path / "link").is_symlink()


def test_a_finished_run_is_left_alone(command, tmp_path):
    run_dir = tmp_path / "run"
    assert command(run_dir)[0] == 0
    before = contents(run_dir)
    (run_dir / ".config.json.123.tmp").write_text("killed just before this took its name")
    code, stdout, _ = command(run_dir, "--keep_checkpoints=5")  # does not change the result
    assert (code, "is finished" in stdout) == (0, True)
    assert contents(run_dir) == before


def test_damaged_runs_are_refused_and_lose_nothing(command, tmp_path):
    whole = tmp_path / "whole"
    assert command(whole)[0] == 0
    (whole / "genotype.json").unlink()
    for pattern in ("config.json", "checkpoints/*.npz"):
        run_dir = tmp_path / "damaged"
        shutil.copytree(whole, run_dir)
        for path in run_dir.glob(pattern):
            path.write_bytes(b"{damaged" + path.read_bytes()[:100])
        before = contents(run_dir)
        code, _, stderr = command(run_dir)
        assert code == 2
        assert "--overwrite" in sentence(stderr)
        assert contents(run_dir) == before
        shutil.rmtree(run_dir)


def test_a_data_set_with_another_number_of_classes_does_not_resume_a_run(command, tmp_path):
    run_dir = tmp_path / "run"
    assert command(run_dir)[0] == 0
    (run_dir / "genotype.json").unlink()
    run = RunDir(run_dir)
    position, arrays = run.load_newest_checkpoint(print)
    arrays["weights/classifier_bias"] = np.zeros(7, np.float32)
    run.save_checkpoint(arrays, epoch=position[0], step=position[1])
    before = contents(run_dir)
    code, _, stderr = command(run_dir)
    assert code == 2
    assert "weights/classifier_bias" in sentence(stderr)
    assert contents(run_dir) == before


def test_a_run_stopped_in_validation_goes_on_there(command, tmp_path, blocks, monkeypatch):
    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:
        terminate = functools.partial(signal.raise_signal, signal.SIGTERM)
        patch.setattr(search_steps.Search, "validate_block", lambda *arguments: terminate())
        code, _, stderr = command(run_dir)
    assert code == 143
    assert "the same command goes on from there" in stderr
    assert [position for position, _ in RunDir(run_dir).list_checkpoints()] == [(0, 3)]
    assert blocks[-1][:3:2] == (0, 3)  # all three steps of epoch 0 are done
    blocks.clear()
    code, stdout, _ = command(run_dir)
    assert code == 0
    assert "after 0 of 2 epochs, step 3" in stdout
    assert {block[0] for block in blocks} == {1}
    assert [row["epoch"] for row in RunDir(run_dir).read_metrics()] == [0, 1]
