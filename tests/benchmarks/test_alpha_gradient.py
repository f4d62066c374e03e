"""The comparison of second-order terms on a tiny checkpoint."""

import dataclasses

import keras
import pytest
import tensorflow as tf

from benchmarks import alpha_gradient
from rdarts_tf.engine import distribution, search_steps
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import options, task


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run of S4 with one node and one cell, as after its first epoch."""
    monkeypatch.setattr(distribution, "configure_runtime", lambda: None)  # it is for good
    settings = options.SearchConfig(
        space="s4", nodes=1, layers=1, init_channels=2, dataset="digits", batch_size=8
    )
    keras.utils.set_random_seed(0)
    problem, strategy = task.Search(settings, settings.load_dataset()), tf.distribute.get_strategy()
    search = search_steps.Search(problem, problem.network(), config=settings, strategy=strategy)
    run = RunDir(tmp_path)
    run.create()
    run.write_json("config.json", dataclasses.asdict(settings))
    run.save_checkpoint({k: v.numpy() for k, v in search.variables().items()}, epoch=1)
    return tmp_path


@pytest.mark.slow
def test_a_small_difference_is_the_derivative_unless_its_draws_differ(run_dir, capsys):
    alpha_gradient.main([f"--run_dir={run_dir}", "--batches=2", "--radii", "0.1", "1e-6"])
    lines = capsys.readouterr().out.splitlines()[3:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[:3] for row in rows[:4]] == [
        ["0", "0.1", "same"],
        ["0", "1e-06", "same"],
        ["0", "0.1", "own"],
        ["0", "1e-06", "own"],
    ]
    assert len(rows) == 8
    for row in rows:
        error = float(row[-1])
        if row[1:3] == ["1e-06", "same"]:
            assert error < 1e-4  # float64; no kink lies within 1e-6 of w
        if row[1:3] == ["1e-06", "own"]:
            assert error > 1e3  # noise, divided by 2e-6
