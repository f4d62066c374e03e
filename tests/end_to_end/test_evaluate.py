"""The evaluate command as a user runs it."""

import json
import shutil
import time

import numpy as np
import pytest

from rdarts_tf.runs.files import load_npz
from tests import forked

PAIRS = "[('sep_conv_3x3', 1), ('skip_connect', 0)]"
GENOTYPE = f"Genotype(normal={PAIRS}, normal_concat=[2], reduce={PAIRS}, reduce_concat=[2])"
TINY = ("--dataset=digits", "--epochs=3", "--batch_size=256", "--init_channels=4", "--layers=2")


def start(run_dir, *flags):
    return forked.Python("-m", "rdarts_tf.evaluate", *TINY, f"--run_dir={run_dir}", *flags)


def evaluate(run_dir, *flags):
    return start(run_dir, *flags).result()


def searched(path, genotype=GENOTYPE):
    """A run directory as a finished search leaves it, as far as it is read."""
    path.mkdir(parents=True)
    (path / "genotype.json").write_text(genotype)
    config = {"space": "s2", "dataset": "digits", "train_portion": 0.25}
    (path / "config.json").write_text(json.dumps(config))
    return path


def arrays_of(folder):
    return load_npz(sorted((folder / "checkpoints").glob("*.npz"))[-1])


def assert_same(first, second):
    a, b = arrays_of(first), arrays_of(second)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    rows = [(d / "metrics.jsonl").read_text().splitlines() for d in (first, second)]
    for x, y in zip(*rows, strict=True):
        x, y = json.loads(x), json.loads(y)
        del x["train/step_seconds"], y["train/step_seconds"]
        assert x == y
    assert (first / "result.json").read_text() == (second / "result.json").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = searched(tmp_path_factory.mktemp("evaluate") / "run")
    result = evaluate(run_dir, "--seeds=1,2")
    assert result.returncode == 0, result.stderr
    return run_dir / "evaluate" / "digits", result


def test_reports_sizes_first_and_the_error_last(finished):
    folder, result = finished
    lines = result.stdout.splitlines()
    assert " parameters (" in lines[0] and "multiply-adds" in lines[0]
    record = json.loads((folder / "result.json").read_text())
    errors = [seed["error"] for seed in record["seeds"]]
    assert record["error_mean"] == pytest.approx(np.mean(errors))
    assert record["error_std"] == pytest.approx(np.std(errors))  # of the population
    assert f"{100 * np.mean(errors):.2f} +- {100 * np.std(errors):.2f} %" in result.stdout
    assert [seed["seed"] for seed in record["seeds"]] == [1, 2]
    assert record["num_parameters"] < record["num_parameters_with_auxiliary_head"] - 300_000


def test_schedules_and_the_last_epochs_error(finished):
    folder, _ = finished
    rows = [json.loads(x) for x in (folder / "seed_1/metrics.jsonl").read_text().splitlines()]
    cosine = 0.025 * (1 + np.cos(np.pi * np.arange(3) / 3)) / 2
    np.testing.assert_allclose([row["train/learning_rate"] for row in rows], cosine)
    ramp = [row["train/drop_path_prob"] for row in rows]
    np.testing.assert_allclose(ramp, [0, 0.2 / 3, 0.4 / 3])
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]
    record = json.loads((folder / "result.json").read_text())
    assert record["seeds"][0]["error"] == 1 - rows[-1]["score/accuracy"]
    assert list((folder / "seed_1/tensorboard").glob("events*"))


def test_finished_seeds_are_not_trained_again(finished):
    folder, _ = finished
    before = (folder / "seed_2/metrics.jsonl").stat().st_mtime_ns
    result = evaluate(folder.parents[1], "--seeds=2")
    assert result.returncode == 0, result.stderr
    assert "epoch" not in result.stdout.replace("epochs", "")
    assert (folder / "seed_2/metrics.jsonl").stat().st_mtime_ns == before
    record = json.loads((folder / "result.json").read_text())
    assert [seed["seed"] for seed in record["seeds"]] == [1, 2]  # all that are done


def test_other_flags_for_the_same_name_are_refused(finished):
    folder, _ = finished
    result = evaluate(folder.parents[1], "--drop_path_prob=0.1")
    assert result.returncode == 2
    assert "--drop_path_prob=0.1 (the run has 0.2)" in result.stderr


def test_killed_and_resumed_equals_uninterrupted(finished, tmp_path):
    run_dir = searched(tmp_path / "run")
    process = start(run_dir)
    folder, end = run_dir / "evaluate/digits/seed_1", time.monotonic() + 300
    while not list(folder.glob("checkpoints/epoch_0001*.npz")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.result()
    assert not (folder / "result.json").exists()
    result = evaluate(run_dir)
    assert result.returncode == 0, result.stderr
    assert "resuming" in result.stdout
    assert_same(finished[0] / "seed_1", folder)


def test_the_flag_file_of_an_evaluation_reproduces_it_without_the_run(finished, tmp_path):
    folder, _ = finished
    result = evaluate(tmp_path / "again", f"--flagfile={folder / 'flags.cfg'}", "--seeds=2")
    assert result.returncode == 0, result.stderr
    assert_same(folder / "seed_2", tmp_path / "again/evaluate/digits/seed_2")


def test_the_search_split_trains_and_scores_on_the_parts_of_the_search(tmp_path):
    run_dir = searched(tmp_path / "run")
    flags = ("--split=search", "--epochs=1", "--auxiliary_weight=0", "--drop_path_prob=0")
    result = evaluate(run_dir, *flags)
    assert result.returncode == 0, result.stderr
    folder = run_dir / "evaluate/digits_search"
    record = json.loads((folder / "result.json").read_text())
    assert record["split"] == "search"
    # 1437 training images: 359 train, 1078 are scored
    assert (record["error_mean"] * 1078) % 1 == pytest.approx(0, abs=1e-3)
    assert arrays_of(folder / "seed_1")["totals/2"] == 359
    assert record["num_parameters"] == record["num_parameters_with_auxiliary_head"]


def test_a_data_set_with_other_classes_than_recorded_is_refused(finished, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(finished[0].parents[1], run_dir)
    path = run_dir / "evaluate/digits/dataset.json"
    record = json.loads(path.read_text())
    record["class_names"] = record["class_names"][:7]
    del record["digest"]  # as an earlier version left it
    path.write_text(json.dumps(record))
    result = evaluate(run_dir, "--seeds=3")
    assert result.returncode == 2
    assert "10 classes now, the run had 7" in result.stderr
