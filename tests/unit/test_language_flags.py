"""Flags of language modelling that no run of a command looks at: dropout, penalties, batches, selection."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.tasks.language_model import options, task
from rdarts_tf.tasks.language_model.corpus import Corpus
from rdarts_tf.tasks.language_model.network import Outputs

NONE = {"dropout": 0.0, "dropouth": 0.0, "dropoutx": 0.0, "dropouti": 0.0, "dropoute": 0.0}
MASKS = dict(zip(NONE, ("output", "h", "x", "embedding", "word"), strict=True))
TOKENS = np.tile(np.arange(5, dtype=np.int32), 24)
CORPUS = Corpus("words", tuple("abcde"), TOKENS, TOKENS, TOKENS)


def problem(kind=task.Search, **changes):
    fields = {"hidden": 40, "batch_size": 6, "bptt": 5, "eval_batch_size": 4} | NONE | changes
    if kind is task.Search:
        return kind(options.SearchConfig(**fields), CORPUS)
    return kind(options.EvaluateConfig(epochs=1, split="test", **fields), CORPUS, seed=0)


@pytest.mark.parametrize("kind", [task.Search, task.Evaluation])
@pytest.mark.parametrize("name", NONE)
def test_each_rate_of_dropout_is_that_of_one_mask(name, kind):
    def call(tokens, hidden, *, masks, sampled=False):
        return masks

    tokens, hidden = tf.zeros([6, 5], tf.int32), tf.zeros([6, 40])
    masks = problem(kind, **{name: 0.5}).outputs(call, tokens, hidden, tf.constant([1, 2]))
    (mask,) = masks.values()
    assert [*masks] == [MASKS[name]]
    assert set(np.unique(mask)) == {0.0, 2.0}
    if name != "dropoute":  # of five words
        assert np.mean(mask) == pytest.approx(1.0, abs=0.25)


def test_penalties_on_outputs():
    raw, dropped = np.random.default_rng(0).normal(size=(2, 3, 2, 4)).astype(np.float32)
    found = Outputs(logits=None, raw=tf.constant(raw), dropped=tf.constant(dropped), hidden=None)

    def penalties(**changes):
        return float(problem(**({"slowness_penalty": 0.0} | changes))._penalties(found))

    assert penalties() == 0
    assert penalties(activation_penalty=2.0) == pytest.approx(2 * np.mean(dropped**2), rel=1e-6)
    steps = np.diff(raw, axis=0)
    assert penalties(slowness_penalty=3.0) == pytest.approx(3 * np.mean(steps**2), rel=1e-6)


def test_columns_of_the_text_that_is_scored_and_of_that_which_tests():
    found = problem(task.Evaluation, test_batch_size=3)
    assert found.scored.shape[1] == 4 and found.tested.shape[1] == 3
    assert found.carries["test"] == [(3, 40)]


def test_the_size_of_the_network_that_scores_cells():
    config = options.SearchConfig(select_hidden=7, bptt=11)
    assert config.selection_flags()["hidden"] == 7
    assert config.selection_flags()["bptt"] == 11
    assert dataclasses.replace(config, select_hidden=None).selection_flags()["hidden"] is None


@pytest.mark.parametrize(
    ("preset", "dataset", "sizes"),
    [
        ("auto", "ptb", (850, 1600, 64)),
        ("auto", "python_docs", (200, 60, 20)),
        ("paper", "python_docs", (850, 1600, 64)),
        ("small", "ptb", (200, 60, 20)),
    ],
)
def test_presets(preset, dataset, sizes):
    found = options.EvaluateConfig.defaults(preset, dataset, None)
    assert (found["hidden"], found["epochs"], found["batch_size"]) == sizes
