"""A whole search on two replicas, and its resumption, each in a process of its own."""

import json
import shutil

import numpy as np
import pytest

from rdarts_tf.runs.files import load_npz
from tests import forked

SCRIPT = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from rdarts_tf.engine import search_run
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification.options import SearchConfig

# Little to trace, which each replica does.
SearchConfig.make_space = lambda self: uniform("tiny", ("avg_pool_3x3", "skip_connect"), num_nodes=1)

run_dir = RunDir(sys.argv[1])
run_dir.create()
run = search_run.SearchRun(SearchConfig(
    space="s5", dataset="digits", epochs=2, batch_size=359, layers=1, init_channels=2,
    strategy="mirrored", alpha_step="first_order", drop_path_prob=0.2, cutout="false",
    arch_learning_rate=0.01, keep_checkpoints=0), run_dir)
assert run.trainer.strategy.num_replicas_in_sync == 2
run.run()
"""


def search(run_dir):
    result = forked.python("-c", SCRIPT, run_dir)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_resumed_on_two_replicas_equals_uninterrupted(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    search(whole)
    shutil.copytree(whole, resumed)
    last = "checkpoints/epoch_0002_step_000000.npz"
    for name in (last, "genotype.json", "genotype.txt"):
        (resumed / name).unlink()
    assert "after 1 of 2 epochs" in search(resumed)
    one, two = load_npz(whole / last), load_npz(resumed / last)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert (whole / "genotype.txt").read_text() == (resumed / "genotype.txt").read_text()
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[1]["search/loss"] < rows[0]["search/loss"]
