"""The search command as a user runs it; what concerns the engine, on the toy task in this process."""

import json
import shutil
import signal
import time

import numpy as np
import pytest

from rdarts_tf import search as search_command
from rdarts_tf.config import flags as flags_lib
from rdarts_tf.config import search as config_lib
from rdarts_tf.engine import epochs, search_steps
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs.files import load_npz
from tests import forked, in_process, scripted_steps

TINY = (
    "--space=s5",
    "--dataset=digits",
    "--epochs=3",
    "--batch_size=128",
    "--init_channels=4",
    "--layers=1",
    "--arch_learning_rate=0.01",
    "--drop_path_prob=0.2",
    "--cutout_length=4",
    "--hessian_every=0",  # tracing it costs; see test_decisions.py
)


def start(run_dir, *flags):
    return forked.Python("-m", "rdarts_tf.search", *TINY, f"--run_dir={run_dir}", *flags)


def search(run_dir, *flags):
    return start(run_dir, *flags).result()


def wait_for(run_dir, pattern, process, *, seconds=300):
    end = time.monotonic() + seconds
    while not list(run_dir.glob(pattern)):
        assert process.poll() is None, process.result()
        assert time.monotonic() < end
        time.sleep(0.05)


def final_state(run_dir):
    return load_npz(sorted((run_dir / "checkpoints").glob("*.npz"))[-1])


def assert_same_run(first, second):
    a, b = final_state(first), final_state(second)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    one, two = np.load(first / "alphas.npz"), np.load(second / "alphas.npz")
    for name in one.files:
        np.testing.assert_array_equal(one[name], two[name])
    rows = [(d / "metrics.jsonl").read_text().splitlines() for d in (first, second)]
    for x, y in zip(*rows, strict=True):
        x, y = json.loads(x), json.loads(y)
        for name in ("search/step_seconds", "curvature/seconds"):
            x.pop(name, None), y.pop(name, None)
        assert x == y


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("exact") / "run"
    result = search(run_dir)
    assert result.returncode == 0, result.stderr
    return run_dir, result


def test_leaves_the_files_of_a_run(finished):
    run_dir, result = finished
    found = genotype.parse((run_dir / "genotype.txt").read_text())
    assert found == genotype.parse((run_dir / "genotype.json").read_text())
    assert str(found) in result.stdout
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[-1]["search/loss"] < rows[0]["search/loss"]
    alphas = np.load(run_dir / "alphas.npz")["reduce"]  # the only cell is a reduction
    assert alphas.shape == (3, 2, 3)
    assert np.abs(alphas[2] - alphas[0]).max() > 0.01
    assert list((run_dir / "tensorboard").glob("events*"))
    assert len(list((run_dir / "checkpoints").glob("*.npz"))) == 2
    assert json.loads((run_dir / "dataset.json").read_text())["image_shape"] == [8, 8, 1]


@pytest.fixture
def command(monkeypatch, capsys):
    """command(*flags) -> (exit code, stdout, stderr) of a search in this process."""
    return lambda *flags: in_process.run(monkeypatch, capsys, search_command, *flags)


def test_a_finished_run_says_so(finished, command):
    run_dir, _ = finished
    before = final_state(run_dir)
    code, stdout, _ = command(*TINY, f"--run_dir={run_dir}")
    assert code == 0
    assert "is finished" in stdout
    assert before.keys() == final_state(run_dir).keys()


def test_other_flags_for_an_existing_run_are_refused_by_name(finished, command):
    run_dir, _ = finished
    code, _, stderr = command(*TINY, f"--run_dir={run_dir}", "--seed=7", "--momentum=0.5")
    assert code == 2
    assert "--seed=7 (the run has 2)" in stderr
    assert "--momentum=0.5 (the run has 0.9)" in stderr
    assert (run_dir / "genotype.json").exists()


def test_the_flagfile_of_a_run_gives_its_configuration(finished):
    flagfile = f"--flagfile={finished[0] / 'flags.cfg'}"
    given, _ = flags_lib.parse(config_lib.of_given, [flagfile])
    recorded = json.loads((finished[0] / "config.json").read_text())
    assert given == config_lib.of_record(recorded)
    assert (given.batch_size, given.init_channels, given.drop_path_prob) == (128, 4, 0.2)


def test_killed_in_mid_run_and_resumed_equals_uninterrupted(finished, tmp_path):
    run_dir, killed = finished[0], tmp_path / "killed"
    process = start(killed)
    wait_for(killed, "checkpoints/epoch_0001*.npz", process)
    time.sleep(np.random.default_rng().uniform(0, 0.5))
    process.kill()
    process.result()
    result = search(killed)
    assert result.returncode == 0, result.stderr
    assert "resuming" in result.stdout
    assert_same_run(run_dir, killed)


# The toy task, whose steps are arithmetic; see tests/scripted_steps.py.


@pytest.fixture
def toy(monkeypatch, command, tmp_path):
    """toy(name, *flags) -> (run directory, exit code, stdout, stderr) of a search of three epochs."""
    scripted_steps.replace_steps(monkeypatch)

    def toy(name, *flags):
        where = f"--run_dir={tmp_path / name}"
        return tmp_path / name, *command(*scripted_steps.TOY, "--epochs=3", where, *flags)

    return toy


def test_the_flagfile_of_a_run_reproduces_it(toy, command, tmp_path):
    run_dir, code, *_ = toy("run", "--seed=5")
    assert code == 0
    again = (f"--flagfile={run_dir / 'flags.cfg'}", f"--run_dir={tmp_path / 'again'}")
    assert command(*again)[0] == 0
    assert_same_run(run_dir, tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())["seed"] == 5


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_in_mid_epoch(toy, monkeypatch, number, code):
    whole, *_ = toy("whole")
    block = search_steps.Search.search_block

    def interrupted(self, iterator, first, last, epoch, rates):
        if (int(epoch), int(first)) == (1, 5):
            signal.raise_signal(number)
        return block(self, iterator, first, last, epoch, rates)

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "_BLOCK_SECONDS", 1e-9)  # a step each
        patch.setattr(search_steps.Search, "search_block", interrupted)
        stopped, found, _, stderr = toy("stopped")
    assert found == code
    assert "the same command goes on" in stderr
    assert (stopped / "checkpoints/epoch_0001_step_000006.npz").exists()
    _, found, stdout, _ = toy("stopped")
    assert found == 0 and "after 1 of 3 epochs, step 6" in stdout
    assert_same_run(whole, stopped)


def test_a_damaged_checkpoint_is_named_and_skipped(toy, tmp_path):
    whole, *_ = toy("whole")
    run_dir = shutil.copytree(whole, tmp_path / "damaged")
    newest = sorted((run_dir / "checkpoints").glob("*.npz"))[-1]
    content = bytearray(newest.read_bytes())
    content[content.index(b"NUMPY") + 128] ^= 0xFF  # in the first array
    newest.write_bytes(bytes(content))
    (run_dir / "genotype.json").unlink()
    _, code, stdout, stderr = toy("damaged")
    assert code == 0, stderr
    assert newest.name in stdout
    assert "damaged" in stdout
    assert_same_run(whole, run_dir)


def test_a_loss_that_is_not_finite_stops_the_run(toy, monkeypatch):
    nan = search_steps.tf.constant(np.nan)
    monkeypatch.setattr(search_steps.Search, "search_block", lambda *given: (given[3], nan))
    _, code, _, stderr = toy("run")
    assert code == 1
    assert "not finite in epoch 0, step" in stderr
    assert "last good checkpoint: none yet" in stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--space=s9"], ["s9", "darts, rnn"]),
        (["--dataset=mnits"], ["mnits", "cifar10"]),
        (["--method=ddarts"], ["ddarts", "darts"]),
        (["--method=darts(window=3)"], ["window"]),
        (["--batch_size=5000"], ["5000", "at most"]),
        (["--init_channels=5"], ["5", "odd"]),
        (["--nodes=3", "--space=s1"], ["s1", "3"]),
        (["--cutout=true", "--cutout_length=16"], ["cutout_length=16", "8x8"]),
        (["--independent_noise"], ["finite_difference"]),
        (["--dataset=image_folder(/nowhere)"], ["/nowhere"]),
        (["--run_dir=/proc/run"], ["/proc/run"]),
        (["surplus"], ["surplus"]),
        (["--epochs=0"], ["--epochs=0"]),
        (["--spce=s1"], ["spce"]),
        (["--alpha_step=second"], ["second", "exact"]),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, command, flags, words):
    code, _, stderr = command(*TINY, f"--run_dir={tmp_path / 'run'}", *flags)
    assert code == 2
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert all(word in last for word in words), last
    assert not (tmp_path / "run" / "config.json").exists()


def test_help_lists_what_there_is(command):
    text = " ".join(command("--help")[1].split())
    for word in (
        "darts, rnn, rnn_reduced, s1, s2, s3, s4, s5",
        "cifar10, cifar100, digits",
        "--alpha_step",
        "--run_dir",
    ):
        assert word in text
