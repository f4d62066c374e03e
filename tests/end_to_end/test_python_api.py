"""A search from Python on arrays: interrupted, resumed, evaluated, exported, moved."""

import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets

import rdarts_tf
from rdarts_tf import registry
from tests import in_process, scripted_steps

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = {
    "space": "s5",
    "epochs": 8,  # it must be interrupted before its end
    "layers": 1,
    "init_channels": 2,
    "batch_size": 300,
    "alpha_step": "first_order",
    "hessian_every": 0,
    "seed": None,
}

# What a user's own process is like before and after a search that is interrupted.
SCRIPT = """
import json, pathlib, random, sys
import numpy as np
import tensorflow as tf
import rdarts_tf
from tensorflow.python.framework import config
sys.path.insert(0, {root!r})
from tests.end_to_end import test_python_api as test_api

def settings():
    return [
        config.is_op_determinism_enabled(),
        tf.config.optimizer.get_experimental_options(),
        tf.config.experimental.tensor_float_32_execution_enabled(),
        tf.config.threading.get_intra_op_parallelism_threads(),
        [str(device) for device in tf.config.get_visible_devices()],
        tf.config.get_soft_device_placement(),
    ]

def draws():
    return [random.random(), float(np.random.rand()), float(tf.random.uniform(()))]

def seeded(between):
    random.seed(1), np.random.seed(1), tf.random.set_seed(1)
    return [draws(), between(), draws()]

def search():
    try:
        rdarts_tf.search(dataset=test_api.dataset(), run_dir={run!r}, **test_api.TINY)
    except KeyboardInterrupt:
        return "interrupted"

before, without = settings(), seeded(lambda: None)
found = seeded(search)
told = {{"settings": [before, settings()], "draws": [without, found]}}
pathlib.Path({told!r}).write_text(json.dumps(told))
"""


def dataset(change=0):
    digits = sklearn_datasets.load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    images[0, 0, 0] += change
    parts = (images[:600], digits.target[:600], images[600:700], digits.target[600:700])
    return rdarts_tf.Dataset.from_arrays(*parts, name="mine", crop_padding=1, flip=False)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", set())
    monkeypatch.setattr(registry, "_DISTRUSTED", set())


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """(run directory, what the script told, what it printed)."""
    folder = tmp_path_factory.mktemp("api")
    run, told = folder / "run", folder / "told.json"
    source = SCRIPT.format(root=str(ROOT), run=str(run), told=str(told))
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it may be ignored here
    )
    printed = ""
    while "epoch 1/8: loss" not in printed:
        assert (line := process.stdout.readline()), printed
        printed += line
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return run, json.loads(told.read_text()), printed + rest


@pytest.fixture(scope="module")
def finished(interrupted):
    """The Run after the same call in this process."""
    path, *_ = interrupted
    return rdarts_tf.search(dataset=dataset(), run_dir=path, **TINY)


def test_an_interrupt_waits_for_the_checkpoint_and_is_raised(interrupted):
    path, told, printed = interrupted
    assert told["draws"][1][1] == "interrupted"
    assert "epoch 1/8: loss" in printed
    assert "the same command goes on from there" in printed
    assert "Traceback" not in printed
    assert not (path / "genotype.json").exists()
    assert not list(path.rglob("*.tmp"))


def test_the_caller_stays_as_it_was(interrupted):
    _, told, _ = interrupted
    before, after = told["settings"]
    assert before == after
    (first, _, second), (first_too, _, second_too) = told["draws"]
    assert (first, second) == (first_too, second_too)


def test_the_same_call_goes_on(finished):
    assert [row["epoch"] for row in finished.history] == list(range(8))
    assert finished.alphas["normal"].shape == (8, 2, 3)
    assert finished.genotype.cells.keys() == {"normal", "reduce"}
    assert finished.config["dataset"] == dataset().spec


def test_the_same_call_finds_it_finished(finished, capsys):
    run = rdarts_tf.search(dataset=dataset(), run_dir=finished.path, **TINY)
    assert "is finished" in capsys.readouterr().out
    assert str(run) == str(finished)


def test_so_does_the_command(finished, monkeypatch, capsys):
    flags = [f"--flagfile={finished.path / 'flags.cfg'}", f"--run_dir={finished.path}"]
    code, stdout, _ = in_process.run(monkeypatch, capsys, rdarts_tf.search, *flags)
    assert code == 0 and "is finished" in stdout


def test_other_flags_are_refused_in_the_commands_words(finished, capsys):
    with pytest.raises(
        rdarts_tf.UserError,
        match="other flags: --epochs=9 .the run has 8.; go on with it by --extend",
    ):
        rdarts_tf.search(dataset=dataset(), run_dir=finished.path, **TINY | {"epochs": 9})
    assert "error" not in capsys.readouterr().out


def test_other_arrays_are_refused(finished):
    with pytest.raises(rdarts_tf.UserError, match="digest of the content"):
        rdarts_tf.search(dataset=dataset(change=1), run_dir=finished.path, **TINY)
    assert len(list((finished.path / "data").iterdir())) == 1


@pytest.mark.slow
def test_a_moved_run_is_evaluated_and_exported(finished, tmp_path, monkeypatch):
    finished.path.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    try:
        run = rdarts_tf.open_run("moved")
        monkeypatch.chdir("/")
        result = run.evaluate(seeds=(3,), epochs=1, layers=1, init_channels=2)
        assert [each["seed"] for each in result.seeds] == [3]
        assert result.error_mean == np.mean([each["error"] for each in result.seeds])
        assert result.num_parameters > 0 and result.path in (tmp_path / "moved").rglob("*")
        assert list(run.results.values()) == [result]
        file = run.export("keras")
        assert file.parent == tmp_path / "moved" / "export" and file.suffix == ".keras"
        with pytest.raises(rdarts_tf.UserError, match="exists; choose another --out"):
            run.export("keras")
    finally:
        (tmp_path / "moved").rename(finished.path)


def test_a_plugin_of_the_callers(tmp_path, monkeypatch, capsys):
    scripted_steps.replace_steps(monkeypatch)
    flags = (*scripted_steps.TOY, "--epochs=2", f"--run_dir={tmp_path}")
    assert in_process.run(monkeypatch, capsys, rdarts_tf.search, *flags)[0] == 0
    monkeypatch.setattr(registry, "_TRUSTED", set())
    with pytest.raises(rdarts_tf.UserError, match="give --plugin=tests.toy_task"):
        rdarts_tf.open_run(tmp_path).space  # noqa: B018
    run = rdarts_tf.open_run(tmp_path, plugin="tests.toy_task")
    assert run.alphas["toy"].shape == (2, 1, 2) and run.space.name == "toy"
