"""Sampled architectures on two replicas, in a process of its own: equal to one device, and resumed."""

import json
import shutil

import numpy as np
import pytest

from rdarts_tf.runs.files import load_npz
from tests import forked

COMMON = """
import sys
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from rdarts_tf.engine import path_search
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification.options import SearchConfig

# Little to trace, which each replica does.
SearchConfig.make_space = lambda self: uniform("tiny", ("avg_pool_3x3", "skip_connect"), num_nodes=1)

def make(path, strategy):
    run_dir = RunDir(path)
    run_dir.create()
    return path_search.make_run(SearchConfig(
        space="s5", dataset="digits", epochs=2, batch_size=359, layers=1, init_channels=2,
        strategy=strategy, method="random_ws(n_samples=4, top=2, score_batches=1)"), run_dir)
"""
RUN = """
run = make(sys.argv[1], "mirrored")
assert run.trainer.strategy.num_replicas_in_sync == 2
run.run()
"""
# Both replicas get the same five images, so that each normalises as the single device does.
STEP = """
found = []
for strategy, copies in (("one", 1), ("mirrored", 2)):
    run = make(sys.argv[1], strategy)
    images, labels = next(iter(run.validation_epoch(0).take(1)))
    part = [tf.concat([x[:5]] * copies, axis=0) for x in (images, labels)]
    paths = run.method.edge_weights(run.space, np.random.default_rng(0), 3)
    data = tf.data.Dataset.from_tensors(tuple(part)).repeat()
    data = path_search.with_paths(data, paths)
    rates = {"learning_rate": 0.1, "weight_decay": 0.01, "drop_path_prob": 0.0}
    rates = {name: tf.constant(rate) for name, rate in rates.items()}
    at = tf.constant(0), tf.constant(3), tf.constant(0)
    done, loss = run.trainer.search_block(iter(data), *at, rates)
    assert int(done) == 3
    run.trainer.reset("score")
    run.trainer.validate_block(iter(data), *at)
    found.append([v.numpy() for v in run.net.variables] + list(run.trainer.metrics().values()))
for one, two in zip(*found, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
assert any(np.abs(v).max() > 0.5 for v in found[0][:-2])
"""


def python(script, path):
    result = forked.python("-c", COMMON + script, path)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_steps_of_two_replicas_with_equal_parts_equal_those_of_one_device(tmp_path):
    python(STEP, tmp_path / "run")


@pytest.mark.slow
def test_resumed_on_two_replicas_equals_uninterrupted(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    python(RUN, whole)
    shutil.copytree(whole, resumed)
    last = "checkpoints/epoch_0002_step_000000.npz"
    for name in (last, "genotype.json", "genotype.txt"):
        (resumed / name).unlink()
    selection = json.loads((resumed / "selections/epoch_0001.json").read_text())
    selection["scored"], selection["top"] = selection["scored"][:2], []
    (resumed / "selections/epoch_0001.json").write_text(json.dumps(selection))
    assert "after 1 of 2 epochs, step 2" in python(RUN, resumed)
    one, two = load_npz(whole / last), load_npz(resumed / last)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    for name in ("genotype.txt", "selections/epoch_0001.json"):
        assert (whole / name).read_text() == (resumed / name).read_text()
