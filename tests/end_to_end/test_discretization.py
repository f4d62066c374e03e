"""The discretisation drop of a run: python -m rdarts_tf.analyze --what=discretization."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import analyze as command
from rdarts_tf.datasets import digits
from rdarts_tf.engine import search_run, search_steps
from rdarts_tf.engine.discretization import discrete_weights, score
from rdarts_tf.genotypes.rule import derive
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig
from rdarts_tf.tasks.image_classification.supernet import Supernet
from tests import in_process

SPACE = uniform("small", ("none", "skip_connect", "sep_conv_3x3"), num_nodes=2)


@pytest.fixture
def analyze(monkeypatch, capsys):
    """(exit code, stdout, stderr) of the command in this process."""
    flags = ("--what=discretization",)
    return lambda *paths: in_process.run(monkeypatch, capsys, command, *flags, *paths)


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


def test_the_accuracy_at_alpha_is_the_one_that_the_search_recorded(analyze, tmp_path, monkeypatch):
    """Whose step moves all variables at random."""

    def search_block(self, iterator, first, last, epoch, rates):
        rng = np.random.default_rng(0)
        for variable in self.net.variables:
            noise = rng.normal(size=variable.shape)
            moving = "moving" in variable.name or "variance" in variable.name
            variable.assign(variable + 0.1 * (np.abs(noise) if moving else noise))
        for alpha in self.net.alphas.values():
            alpha.assign(rng.normal(size=alpha.shape))
        return last, tf.constant(0.5)

    monkeypatch.setattr(search_steps.Search, "search_block", search_block)
    config = SearchConfig(
        space="s5",
        dataset="digits",
        epochs=1,
        batch_size=256,
        init_channels=4,
        layers=1,
        hessian_every=0,
    )
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    search_run.SearchRun(config, run_dir, say=lambda line: None).run()
    code, _, err = analyze(run_dir.path)
    assert code == 0, err
    (row,) = csv.DictReader((run_dir.path / "analysis/discretization.csv").open())
    recorded = run_dir.read_metrics()[-1]
    assert float(row["running/accuracy_alpha"]) == pytest.approx(recorded["validation/accuracy"])
    assert float(row["running/loss_alpha"]) == pytest.approx(recorded["validation/loss"], rel=1e-4)
    assert float(row["batch/loss_alpha"]) != pytest.approx(recorded["validation/loss"], rel=1e-3)
    drop = float(row["batch/accuracy_alpha"]) - float(row["batch/accuracy_discrete"])
    assert float(row["batch/accuracy_drop"]) == pytest.approx(drop)


def test_another_directory_is_refused(analyze, tmp_path):
    code, _, err = analyze(tmp_path)
    assert code == 2
    assert f"{tmp_path} is no run directory" in err
