"""The evaluate command in this process: what it refuses, and what it fills in."""

import json
import types

import numpy as np
import pytest

from rdarts_tf import evaluate
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config.base import ConfigError
from rdarts_tf.engine import evaluation_run
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification.options import EvaluateConfig
from tests import in_process
from tests import pictures_of_tests as files

PAIRS = "[('sep_conv_3x3', 1), ('skip_connect', 0)]"
GENOTYPE = f"Genotype(normal={PAIRS}, normal_concat=[2], reduce={PAIRS}, reduce_concat=[2])"


@pytest.fixture
def command(monkeypatch, capsys):
    """command(*flags) -> (exit code, stdout, stderr)."""
    return lambda *flags: in_process.run(monkeypatch, capsys, evaluate, *flags)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([f"--genotype={GENOTYPE.replace('sep_conv_3x3', 'sep_conv_9x9')}"], ["sep_conv_9x9"]),
        ([f"--genotype={GENOTYPE.replace(', (', '], x=[(', 1)}"], ["cannot read"]),
        ([f"--genotype={GENOTYPE.replace(', 1)', ', 2)')}"], ["2", "no such state"]),
        ([f"--genotype={GENOTYPE.replace('[2]', '[3]')}"], ["concat [3]"]),
        ([f"--genotype={GENOTYPE.replace('reduce_concat=[2]', 'reduce_concat=[1]')}"], ["input"]),
        (["--genotype=DARTS_V3"], ["DARTS_V3", "DARTS_V2"]),
        ([], ["no genotype", "rdarts_tf.search"]),
        (["--genotype=DARTS_V2", "--seeds=1,1"], ["--seeds=1,1"]),
        (["--genotype=DARTS_V2", "--cutout_length=16"], ["cutout_length=16", "8x8"]),
        (["--genotype=DARTS_V2", "--init_channels=5"], ["5", "odd"]),
        (["--genotype=DARTS_V2", "--batch_size=5000"], ["5000", "at most"]),
        (["--genotype=DARTS_V2", "--dataset=mnits"], ["mnits"]),
        (["--genotype=DARTS_V2", "--name=a/b"], ["a/b"]),
        (["--genotype=DARTS_V2", "--name=.."], ["--name=..", "dots"]),
        (["--genotype=DARTS_V2", "--name=.", "--overwrite"], ["--name=.", "dots"]),
        (["--genotype=DARTS_V2", "--name="], ["--name is empty"]),
        (["--genotype=DARTS_V2", "--weight_decay=nan"], ["weight_decay=nan"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(command, tmp_path, flags, words):
    code, _, stderr = command(f"--run_dir={tmp_path / 'run'}", "--dataset=digits", *flags)
    assert code == 2
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert all(word in last for word in words), last
    assert not (tmp_path / "run").exists()


def test_without_run_or_genotype_there_is_nothing_to_train(command):
    code, _, stderr = command()
    assert code == 2
    assert "give --run_dir of a finished search, or --genotype" in stderr


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("name", ["config.json", "result.json", "seed_1/metrics.jsonl"])
def test_files_of_others_are_never_replaced(command, tmp_path, name, overwrite):
    mine = tmp_path / "evaluate/here" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"mine": 1}')
    flags = (f"--run_dir={tmp_path}", "--genotype=DARTS_V2", "--dataset=digits", "--name=here")
    code, _, stderr = command(*flags, *overwrite)
    assert code == 2 and f"{mine} would be replaced" in stderr
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]
    assert mine.read_text() == '{"mine": 1}'


# Presets.
@pytest.mark.parametrize(
    ("dataset", "space", "channels", "cells"),
    [
        ("cifar10", "s1", 36, 20),
        ("cifar10", "s3", 36, 20),
        ("cifar10", "s2", 16, 20),
        ("cifar10", "s4", 16, 20),
        ("cifar100", "s1", 16, 8),
        ("svhn", "s4", 16, 8),
        ("cifar100", "darts", 36, 20),
    ],
)
def test_the_papers_sizes(dataset, space, channels, cells, tmp_path):
    (tmp_path / "genotype.json").write_text(GENOTYPE)
    (tmp_path / "config.json").write_text(json.dumps({"space": space, "dataset": dataset}))
    config = evaluate_config.resolve(EvaluateConfig(), RunDir(tmp_path))
    assert (config.init_channels, config.layers) == (channels, cells)
    assert (config.epochs, config.batch_size) == (600, 96)
    own = EvaluateConfig(layers=3, epochs=7)
    config = evaluate_config.resolve(own, RunDir(tmp_path))
    assert (config.init_channels, config.layers, config.epochs) == (channels, 3, 7)


def test_where_an_evaluation_without_a_run_goes():
    config = EvaluateConfig(genotype="DARTS_V2", dataset="tfds(mnist)")
    assert evaluate_config.default_run_dir(config) == "runs/DARTS_V2_tfds-mnist"
    config = EvaluateConfig(genotype=GENOTYPE)
    assert evaluate_config.default_run_dir(config).startswith("runs/genotype_")
    with pytest.raises(ConfigError, match="--seeds=1,a"):
        EvaluateConfig(seeds="1,a").seed_list()


class Untrained:
    """An EvaluationRun that trains nothing."""

    batch_sizes, examined, net = [], {}, None

    def __init__(self, config, run_dir, *, problem, seed, **_):
        self.logbook = types.SimpleNamespace(of=config.seed_identity(seed))
        self.batch_sizes.append((config.batch_size, problem.num_steps))

    def run(self):
        row = {"epoch": 0, "train/loss": 1.0, "score/loss": 1.0, "score/accuracy": 0.5}
        return row | {"train/accuracy": 0.5}


def test_a_default_batch_is_never_larger_than_the_data(command, tmp_path, monkeypatch):
    for i in range(20):
        files.write(tmp_path / "mine" / "ab"[i % 2] / f"{i}.png", np.full((8, 8), 9 * i, np.uint8))
    monkeypatch.setattr(evaluation_run, "EvaluationRun", Untrained)
    data_dir = f"--data_dir={tmp_path}"
    flags = (
        f"--run_dir={tmp_path}",
        f"--genotype={GENOTYPE}",
        "--dataset=image_folder(mine)",
        data_dir,
    )
    flags += ("--layers=1", "--init_channels=2", "--auxiliary_weight=0")
    code, stdout, _ = command(*flags)
    num = Untrained.batch_sizes[-1][0]
    assert code == 0 and 13 <= num < 20 and Untrained.batch_sizes[-1] == (num, 1)
    assert f"--batch_size={num}, all training examples, instead of 64" in stdout
    assert command(*flags, "--seeds=1,2")[0] == 0  # the same evaluation goes on
    assert command(*flags, "--batch_size=8")[0] == 2
    code, _, stderr = command(*flags, "--name=other", "--batch_size=64")
    assert code == 2 and "batch size 64 is larger than the training split" in stderr
    assert command(*flags, "--name=half", "--split=search")[0] == 0
    assert Untrained.batch_sizes[-1][0] == num // 2
