"""Disparity estimation through the engine on tiny pairs: killed and resumed, tested, exported, refused."""

import json

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import evaluate, export, registry, search
from rdarts_tf.engine import epochs, evaluation_run, search_run, search_steps
from rdarts_tf.tasks.disparity import options, references, streams, task
from tests import in_process, stereo_files, tiny_stereo
from tests.killed_runs import assert_same_arrays, interrupt, made_once

DATA = "--dataset=tests.tiny_stereo"
SIZE = ["--stems=1", "--encoder_cells=1", "--decoder_cells=1", "--max_displacement=2"]
SIZE += ["--init_channels=2", "--crop_height=8", "--crop_width=16", "--batch_size=4", DATA]
SEARCH = ["--space=tests.tiny_stereo", *SIZE, "--batch_norm=false"]
GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=[2], "
    "reduce=[('skip_connect', 0), ('sep_conv_3x3', 1)], reduce_concat=[2], "
    "upsample=[('max_pool_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 2), "
    "('sep_conv_3x3', 3)], upsample_concat=[4])"
)
TRAIN = [f"--genotype={GENOTYPE}", *SIZE, "--learning_rate=0.01", "--name=e", "--batch_norm=false"]


@pytest.fixture
def command(monkeypatch, capsys):
    """command(module, *flags) -> (exit code, stdout, the last line of stderr)."""

    def run(module, *flags):
        code, out, err = in_process.run(monkeypatch, capsys, module, *flags)
        return code, out, (err.strip().splitlines() or [""])[-1]

    return run


@pytest.fixture
def traced_once(monkeypatch):
    """All runs of a test have one network and trainer, which begin anew with each."""

    def of_trainer(trainer):
        return list(trainer.variables().values())

    for kind in (task.Search, task.Evaluation):
        monkeypatch.setattr(kind, "network", made_once(kind.network, lambda net: net.variables))
    for owner, name in ((search_run.SearchRun, "TRAINER"), (evaluation_run, "Evaluation")):
        make = made_once(getattr(owner, name), of_trainer)
        monkeypatch.setattr(owner, name, staticmethod(make))


def killed_and_whole(command, monkeypatch, module, flags, tmp_path):
    """Runs twice, once killed between the steps of the second epoch and run again; stdout of the whole one."""
    code, out, err = command(module, *flags, f"--run_dir={tmp_path / 'whole'}")
    assert code == 0, err
    with monkeypatch.context() as patch:
        interrupt(patch, epochs.EpochRun, epoch=1, step=1)
        assert command(module, *flags, f"--run_dir={tmp_path / 'killed'}")[0] == 137
    assert command(module, *flags, f"--run_dir={tmp_path / 'killed'}")[0] == 0
    return out


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
def test_a_search_killed_between_steps_ends_with_the_same_bits(command, tmp_path, monkeypatch):
    """With references and pictures of every epoch."""
    flags = [*SEARCH, "--epochs=2", "--alpha_step=first_order", "--hessian_every=0"]
    out = killed_and_whole(command, monkeypatch, search, flags, tmp_path)
    assert "epe" in out
    for name in ("alphas.npz", "checkpoints/epoch_0002_step_000000.npz"):
        assert_same_arrays(tmp_path / "whole" / name, tmp_path / "killed" / name)
    row = rows_of(tmp_path / "whole")[-1]
    assert row["validation/block_matching_epe"] < row["validation/constant_epe"]
    tags = pictures_by_epoch(tmp_path / "whole/tensorboard")
    names = {f"example/{name}" for name in ("left", "truth", "prediction", "error")}
    assert names <= tags[0] and names <= tags[1]


def pictures_by_epoch(folder):
    found = {}
    for file in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found.setdefault(event.step, set()).update(value.tag for value in event.summary.value)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("traced_once")
def test_an_evaluation_killed_between_steps_is_tested_and_exported(command, tmp_path, monkeypatch):
    flags = [*TRAIN, "--epochs=2", "--seeds=5", "--test_also=tests.tiny_stereo(num=3)"]
    out = killed_and_whole(command, monkeypatch, evaluate, flags, tmp_path)
    assert "test epe" in out and "block matching" in out
    for name in ("checkpoints/epoch_0002_step_000000.npz", "best.npz"):
        whole, killed = (tmp_path / run / "evaluate/e/seed_5" / name for run in ("whole", "killed"))
        assert_same_arrays(whole, killed)
    result = json.loads((tmp_path / "whole/evaluate/e/result.json").read_text())
    rows = rows_of(tmp_path / "whole/evaluate/e/seed_5")
    assert result["seeds"][0]["validation_epe"] == min(row["score/epe"] for row in rows)
    assert result["seeds"][0]["tiny_epe"] == pytest.approx(result["epe_mean"])
    assert result["test_block_matching_epe"] == 0 < result["test_constant_epe"]
    code, out, err = command(export, f"--run_dir={tmp_path / 'whole'}")
    assert code == 0, err
    assert "100.0 % of the pixels" in out


@pytest.mark.slow
def test_a_search_of_sampled_paths(command, tmp_path):
    flags = [*SEARCH, "--method=random_ws(n_samples=3, score_batches=1, top=1)", "--epochs=1"]
    code, _, err = command(search, *flags, f"--run_dir={tmp_path}")
    assert code == 0, err
    cells = json.loads((tmp_path / "genotype.json").read_text())["cells"]
    assert [len(cells[name]) for name in ("normal", "reduce", "upsample")] == [2, 2, 4]


def test_a_pair_damaged_while_training_is_told_with_exit_code_2(command, tmp_path, monkeypatch):
    for i in range(6):
        names = (f"left/{i}.png", f"right/{i}.png", f"disparity/{i}.pfm")
        stereo_files.write(tmp_path, stereo_files.pair(i, *names, height=12, width=16))

    def search_block(self, iterator, *others):
        for i in range(6):
            (tmp_path / f"right/{i}.png").unlink(missing_ok=True)
        return [next(iterator) for _ in range(9)]

    monkeypatch.setattr(search_steps.Search, "search_block", search_block)
    monkeypatch.setattr(streams, "_AHEAD", 0)
    given = [flag for flag in SEARCH if flag != DATA and "batch_size" not in flag]
    flags = [*given, "--batch_size=1", f"--dataset=stereo_folder({tmp_path})"]
    code, _, err = command(search, *flags, f"--run_dir={tmp_path / 'run'}")
    assert code == 2 and err.startswith(f"error: cannot read {tmp_path}/right/"), err


REFUSED = [
    (["--crop_height=10"], ["--crop_height=10", "no multiple of 4", "take 12"]),
    (["--crop_width=64"], ["8x64", "18x34"]),
    (["--batch_size=100"], ["batch size 100", "6 crops"]),
    (["--decoder_cells=2"], ["--decoder_cells=2", "at most 1"]),
    (["--drop_path_prob=0.2"], ["--drop_path_prob", "image_classification", "disparity"]),
    (["--method=rdarts_dp"], ["rdarts_dp", "--drop_path_prob", "do not have"]),
    (["--method=rdarts_augmentation", "--augmentation_scale=2"], ["--augmentation_scale=2"]),
]


@pytest.mark.parametrize(("flags", "words"), REFUSED)
def test_what_cannot_be_is_one_sentence(command, tmp_path, flags, words):
    names = [flag.partition("=")[0] + "=" for flag in flags]
    given = [flag for flag in SEARCH if not flag.startswith(tuple(names))]
    code, _, err = command(search, *given, *flags, f"--run_dir={tmp_path / 'run'}")
    assert code == 2 and err.startswith("error: ")
    assert all(word in err for word in words), err


def test_cells_are_not_exported(command, tmp_path):
    flags = [f"--genotype={GENOTYPE}", "--what=cell", f"--out={tmp_path}"]
    code, _, err = command(export, *flags)
    assert code == 2 and "--what=cell" in err


def config(**changes):
    sizes = {"stems": 1, "encoder_cells": 1, "decoder_cells": 1, "max_displacement": 2}
    sizes |= {"init_channels": 2, "crop_height": 8, "crop_width": 16, "batch_size": 4}
    return options.SearchConfig(space="s6", dataset="tests.tiny_stereo", **(sizes | changes))


def test_flags_reach_data_and_networks():
    problem = task.Search(config(), tiny_stereo.load())
    assert problem.num_steps == 2
    split = config(train_portion=0.7, batch_size=2)
    assert len(task.Search(split, tiny_stereo.load(valid=False)).train) == 2
    net = task.Search(config(batch_norm=False, stop_prediction=True), tiny_stereo.load()).network()
    assert net.stop_prediction and {v.name for v in net.non_trainable_variables} == {
        "alpha_normal", "alpha_reduce", "alpha_upsample"
    }  # fmt: skip
    rates = [problem.rates(config(learning_rate_min=0.02), epoch) for epoch in (0, 109)]
    assert rates[0]["learning_rate"] == 0.025 and rates[1]["learning_rate"] == pytest.approx(
        0.02, 1e-3
    )
    batches = [
        next(iter(task.Search(config(augmentation_scale=s), tiny_stereo.load()).train_epoch(
            config(augmentation_scale=s), 0)))[0].numpy() for s in (0.0, 1.0)
    ]  # fmt: skip
    assert np.abs(batches[0] - batches[1]).max() > 0


def test_the_method_of_augmentations():
    method = registry.load("methods", "rdarts_augmentation")[0].Method()
    runs = method.runs(config())
    scales = [run.augmentation_scale for run in runs.values()]
    assert scales == [0, 0.1, 0.5, 1, 1.5, 2] and "augmentation_scale_0.1" in runs


def test_presets():
    paper = options.EvaluateConfig.defaults("auto", "flying_things3d", {})
    assert (paper["learning_rate"], paper["init_channels"], paper["encoder_cells"]) == (1e-4, 24, 6)
    assert -(-21_818 // paper["batch_size"]) * paper["epochs"] == 300_025
    assert options.EvaluateConfig.defaults("auto", "motorcycle", {})["stems"] == 1


def test_block_matching_finds_a_shift():
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (20, 45, 3), dtype=np.uint8)
    found = references.block_matching(wide[:, :40], wide[:, 5:], 9)
    assert (found[:, 9:] == 5).all()


def test_scored_images_of_any_size_and_without_truth():
    """What is padded has no part in metrics, and an image without a known pixel does not count."""
    problem = task.Search(config(), tiny_stereo.load())
    (batch,) = problem.score_epoch(config(), 0)
    left, right, truth = batch
    assert left.shape == (3, 20, 36, 3)
    truth = tf.concat([truth[:2], tf.fill([1, 20, 36], np.nan)], axis=0)
    prediction = tf.ones([3, 10, 18, 1])
    sums = problem.sums((tf.constant(6.0), prediction), (left, right, truth))
    known = [part[np.isfinite(part)] for part in truth.numpy()[:2]]
    expected = np.mean([np.abs(part - 1).mean() for part in known])
    assert problem.metrics([float(x) for x in sums]) == pytest.approx(
        {
            "loss": 3.0,
            "off_by_1_pixel": np.mean([(np.abs(part - 1) > 1).mean() for part in known]),
            "off_by_3_pixels": np.mean([(np.abs(part - 1) > 3).mean() for part in known]),
            "epe": expected,
        }
    )
    assert problem.count((left, right, truth)) == 2
