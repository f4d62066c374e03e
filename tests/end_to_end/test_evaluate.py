"""The evaluate command as a user runs it; what concerns the engine, on the toy task in this process."""

import json
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import evaluate as evaluate_command
from rdarts_tf.config import base, flags
from rdarts_tf.config import evaluate as config_lib
from rdarts_tf.engine import evaluation_steps
from rdarts_tf.runs import given
from rdarts_tf.runs.files import load_npz
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task as images
from tests import forked, in_process, scripted_steps
from tests.toy_task import task

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
    result = evaluate(run_dir)
    assert result.returncode == 0, result.stderr
    return run_dir / "evaluate" / "digits", result


def test_reports_sizes_first_and_the_error_last(finished):
    folder, result = finished
    lines = result.stdout.splitlines()
    assert " parameters (" in lines[0] and "multiply-adds" in lines[0]
    record = json.loads((folder / "result.json").read_text())
    errors = [seed["error"] for seed in record["seeds"]]
    assert f"{100 * np.mean(errors):.2f} +- {100 * np.std(errors):.2f} %" in result.stdout
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


@pytest.fixture
def command(monkeypatch, capsys):
    """command(run directory, *flags) -> (exit code, stdout, stderr) of an evaluation in this process."""

    def command(run_dir, *arguments):
        where = f"--run_dir={run_dir}"
        return in_process.run(monkeypatch, capsys, evaluate_command, where, *arguments)

    return command


def test_other_flags_for_the_same_name_are_refused(finished, command):
    code, _, stderr = command(finished[0].parents[1], *TINY, "--drop_path_prob=0.1")
    assert code == 2
    assert "--drop_path_prob=0.1 (the run has 0.2)" in stderr


@pytest.mark.slow
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


def test_the_flag_file_of_an_evaluation_gives_its_configuration(finished):
    folder, run_dir = finished[0], finished[0].parents[1]
    arguments = [f"--flagfile={folder / 'flags.cfg'}", f"--run_dir={run_dir}"]
    found = config_lib.resolve(flags.parse(given.evaluation, arguments)[0], RunDir(run_dir))
    recorded = RunDir(folder).read_json("config.json")
    assert base.differences(found, recorded) == [] and recorded["batch_size"] == 256


def test_the_search_split_trains_and_scores_on_the_parts_of_the_search(
    command, tmp_path, monkeypatch
):
    """Of 1437 training images 359 train, 1078 are scored."""
    seen = {"train": 0, "score": 0}

    def count(iterator, first, last, part):
        batches = [next(iterator) for _ in range(int(first), int(last))]
        seen[part] += sum(len(labels) for *_, labels in batches)
        return last, tf.constant(0.5)

    def train_block(self, iterator, first, last, epoch, rates):
        return count(iterator, first, last, "train")

    def validate_block(self, iterator, first, last, epoch):
        count(iterator, first, last, "score")

    monkeypatch.setattr(evaluation_steps.Evaluation, "train_block", train_block)
    monkeypatch.setattr(evaluation_steps.Evaluation, "validate_block", validate_block)
    monkeypatch.setattr(images.Evaluation, "examined", None)
    run_dir = searched(tmp_path / "run")
    code, _, stderr = command(
        run_dir, *TINY, "--split=search", "--epochs=1", "--auxiliary_weight=0", "--drop_path_prob=0"
    )
    assert code == 0, stderr
    record = json.loads((run_dir / "evaluate/digits_search/result.json").read_text())
    assert record["split"] == "search" and seen == {"train": 359, "score": 1078}
    assert record["num_parameters"] == record["num_parameters_with_auxiliary_head"]


def test_a_data_set_with_other_classes_than_recorded_is_refused(finished, command, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(finished[0].parents[1], run_dir)
    path = run_dir / "evaluate/digits/dataset.json"
    record = json.loads(path.read_text())
    record["class_names"] = record["class_names"][:7]
    del record["digest"]  # as an earlier version left it
    path.write_text(json.dumps(record))
    code, _, stderr = command(run_dir, *TINY, "--seeds=3")
    assert code == 2
    assert "10 classes now, the run had 7" in stderr


# The toy task, whose steps are arithmetic; see tests/scripted_steps.py.

TOY = ("--genotype=Genotype(toy=[('on', 0)], toy_concat=[1])", *scripted_steps.TOY, "--epochs=3")


@pytest.fixture
def toy(monkeypatch, command, tmp_path):
    """toy(*flags) -> (folder of the evaluation, exit code, stdout, stderr)."""
    scripted_steps.replace_steps(monkeypatch)
    folder = tmp_path / "run/evaluate/tests.toy_task"
    return lambda *flags: (folder, *command(tmp_path / "run", *TOY, *flags))


def test_the_scores_of_the_last_epochs_are_averaged_over_seeds(toy, monkeypatch):
    losses = iter([3.0, 2.0, 0.5, 0.25, 1.0, 1.5])

    def validate_block(self, iterator, first, last, epoch):
        self.totals[0].assign_add(next(losses))
        self.totals[-1].assign_add(1.0)

    half = tf.constant(0.5)
    monkeypatch.setattr(evaluation_steps.Evaluation, "train_block", lambda *a: (a[3], half))
    monkeypatch.setattr(evaluation_steps.Evaluation, "validate_block", validate_block)
    monkeypatch.setattr(task.Evaluation, "KEEPS_BEST", False)
    folder, code, stdout, stderr = toy("--seeds=1,2")
    assert code == 0, stderr
    record = json.loads((folder / "result.json").read_text())
    assert [(each["seed"], each["loss"]) for each in record["seeds"]] == [(1, 0.5), (2, 1.5)]
    assert (record["loss_mean"], record["loss_std"]) == (1.0, 0.5)  # of the population
    assert "1.0000 +- 0.5000" in stdout


def test_finished_seeds_are_not_trained_again(toy):
    folder, code, *_ = toy("--seeds=1,2")
    assert code == 0
    before = (folder / "seed_2/metrics.jsonl").stat().st_mtime_ns
    _, code, stdout, stderr = toy("--seeds=2")
    assert code == 0, stderr
    assert "epoch" not in stdout.replace("epochs", "")
    assert (folder / "seed_2/metrics.jsonl").stat().st_mtime_ns == before
    record = json.loads((folder / "result.json").read_text())
    assert [seed["seed"] for seed in record["seeds"]] == [1, 2]  # all that are done


def test_the_flag_file_of_an_evaluation_reproduces_it_without_the_run(toy, command, tmp_path):
    folder, code, *_ = toy("--seeds=2")
    assert code == 0
    code, _, stderr = command(tmp_path / "again", f"--flagfile={folder / 'flags.cfg'}")
    assert code == 0, stderr
    assert_same(folder / "seed_2", tmp_path / "again/evaluate/tests.toy_task/seed_2")
