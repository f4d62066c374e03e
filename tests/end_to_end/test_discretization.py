"""The discretisation drop of a run: python -m rdarts_tf.analyze --what=discretization."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.datasets import digits
from rdarts_tf.engine import search_run
from rdarts_tf.engine.discretization import discrete_weights, score
from rdarts_tf.genotypes.rule import derive
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig
from rdarts_tf.tasks.image_classification.supernet import Supernet
from tests import forked

SPACE = uniform("small", ("none", "skip_connect", "sep_conv_3x3"), num_nodes=2)


def analyze(*arguments):
    return forked.python("-m", "rdarts_tf.analyze", "--what=discretization", *arguments)


def test_discrete_weights_are_one_at_the_operations_of_the_genotype():
    weights = {"normal": np.array([[0.8, 0.1, 0.1]] * 4 + [[0.1, 0.1, 0.8]])}
    weights["reduce"] = np.array([[0.2, 0.3, 0.5]] * 5)
    genotype = derive(SPACE, weights)
    discrete = discrete_weights(SPACE, genotype)
    # edges (0,0) (0,1) (1,0) (1,1) (1,2): node 0 keeps both, node 1 its last and its first
    expected = [[0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_array_equal(discrete["normal"], expected)
    np.testing.assert_array_equal(discrete["reduce"].sum(1), [1, 1, 1, 1, 0])


def test_score_moves_nothing_and_knows_both_modes_of_batch_norm():
    net = Supernet(SPACE, 3, channels=2, num_cells=1)
    net.build((None, 8, 8, 1))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 8, 8, 1)).astype(np.float32), rng.integers(3, size=6)
    problem = task.Search(SearchConfig(space="s5", dataset="digits"), digits.load())
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    before = [v.numpy() for v in net.variables]
    uniform_weights = {t: np.full((5, 3), 1 / 3) for t in SPACE.cell_types}
    results = [
        score(problem, net, batches, uniform_weights, batch_statistics=mode)
        for mode in (False, True)
    ]
    assert all(np.array_equal(v.numpy(), b) for v, b in zip(net.variables, before, strict=True))
    weights = {t: tf.constant(p, tf.float32) for t, p in uniform_weights.items()}
    logits = net(x, edge_weights=weights, training=False)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
    assert results[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert results[0]["accuracy"] == pytest.approx(np.mean(np.argmax(logits, -1) == y))
    assert abs(results[0]["loss"] - results[1]["loss"]) > 1e-3


def test_the_accuracy_at_alpha_is_the_one_that_the_search_recorded(tmp_path):
    config = SearchConfig(
        space="s5",
        dataset="digits",
        epochs=1,
        batch_size=256,
        init_channels=4,
        layers=1,
        alpha_step="first_order",
        hessian_every=0,
    )
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    search_run.SearchRun(config, run_dir, say=lambda line: None).run()
    result = analyze(str(run_dir.path))
    assert result.returncode == 0, result.stderr
    (row,) = csv.DictReader((run_dir.path / "analysis/discretization.csv").open())
    recorded = run_dir.read_metrics()[-1]
    assert float(row["running/accuracy_alpha"]) == pytest.approx(recorded["validation/accuracy"])
    assert float(row["running/loss_alpha"]) == pytest.approx(recorded["validation/loss"], rel=1e-4)
    drop = float(row["batch/accuracy_alpha"]) - float(row["batch/accuracy_discrete"])
    assert float(row["batch/accuracy_drop"]) == pytest.approx(drop)


def test_another_directory_is_refused(tmp_path):
    result = analyze(str(tmp_path))
    assert result.returncode == 2
    assert f"{tmp_path} is no run directory" in result.stderr
