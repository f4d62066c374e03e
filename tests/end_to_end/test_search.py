"""The search command as a user runs it."""

import json
import os
import signal
import time

import numpy as np
import pytest

from rdarts_tf import search as search_command
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs.files import load_npz
from tests import forked, in_process

TINY = (
    "--space=s5",
    "--dataset=digits",
    "--epochs=3",
    "--batch_size=128",
    "--init_channels=4",
    "--layers=1",
    "--arch_learning_rate=0.01",
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
        del x["search/step_seconds"], y["search/step_seconds"]
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


def test_a_finished_run_says_so(finished):
    run_dir, _ = finished
    before = final_state(run_dir)
    result = search(run_dir)
    assert result.returncode == 0
    assert "is finished" in result.stdout
    assert before.keys() == final_state(run_dir).keys()


def test_other_flags_for_an_existing_run_are_refused_by_name(finished):
    run_dir, _ = finished
    result = search(run_dir, "--seed=7", "--momentum=0.5")
    assert result.returncode == 2
    assert "--seed=7 (the run has 2)" in result.stderr
    assert "--momentum=0.5 (the run has 0.9)" in result.stderr
    assert (run_dir / "genotype.json").exists()


def test_flagfile_of_a_run_reproduces_it(finished, tmp_path):
    run_dir, _ = finished
    flags = (f"--flagfile={run_dir / 'flags.cfg'}", f"--run_dir={tmp_path / 'again'}")
    result = forked.python("-m", "rdarts_tf.search", *flags)
    assert result.returncode == 0, result.stderr
    assert_same_run(run_dir, tmp_path / "again")


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


def test_finite_difference_killed_and_resumed(tmp_path):
    flags = ("--alpha_step=finite_difference", "--drop_path_prob=0.2", "--cutout_length=4")
    flags += ("--epochs=2",)
    assert search(tmp_path / "whole", *flags).returncode == 0
    process = start(tmp_path / "killed", *flags)
    wait_for(tmp_path / "killed", "checkpoints/epoch_0001*.npz", process)
    process.kill()
    process.result()
    assert search(tmp_path / "killed", *flags).returncode == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_a_checkpoint_in_mid_epoch(finished, tmp_path, number, code):
    stopped = tmp_path / "stopped"
    process = start(stopped)
    wait_for(stopped, "config.json", process)
    time.sleep(3)  # Python handles it when the first block, which is traced then, returns
    os.kill(process.pid, number)
    result = process.result()
    assert result.returncode == code, result.stderr
    assert "the same command goes on" in result.stderr
    assert list((stopped / "checkpoints").glob("*.npz"))
    if number == signal.SIGTERM:  # what follows is the same for both
        assert search(stopped).returncode == 0
        assert_same_run(finished[0], stopped)


def test_a_damaged_checkpoint_is_named_and_skipped(finished, tmp_path):
    import shutil

    run_dir = tmp_path / "damaged"
    shutil.copytree(finished[0], run_dir)
    newest = sorted((run_dir / "checkpoints").glob("*.npz"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(bytes(content))
    (run_dir / "genotype.json").unlink()
    result = search(run_dir)
    assert result.returncode == 0, result.stderr
    assert newest.name in result.stdout
    assert "damaged" in result.stdout
    assert_same_run(finished[0], run_dir)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    result = search(tmp_path / "run", "--learning_rate=1e9", "--grad_clip=1e9")
    assert result.returncode == 1
    assert "not finite in epoch 0, step" in result.stderr
    assert "last good checkpoint: none yet" in result.stderr


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
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys, flags, words):
    given = (*TINY, f"--run_dir={tmp_path / 'run'}", *flags)
    code, _, stderr = in_process.run(monkeypatch, capsys, search_command, *given)
    assert code == 2
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert all(word in last for word in words), last
    assert not (tmp_path / "run" / "config.json").exists()


def test_help_lists_what_there_is():
    text = " ".join(search("unused", "--help").stdout.split())
    for word in (
        "darts, rnn, rnn_reduced, s1, s2, s3, s4, s5",
        "cifar10, cifar100, digits",
        "--alpha_step",
        "--run_dir",
    ):
        assert word in text
