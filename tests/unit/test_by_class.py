"""Errors by class and balanced losses, against counts by hand and against scikit-learn."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from rdarts_tf.engine import examination
from rdarts_tf.errors import UserError
from rdarts_tf.reporting import page
from rdarts_tf.reporting.by_class import by_class as part_of_report
from rdarts_tf.runs import record_reading
from rdarts_tf.tasks.image_classification import by_class, data, metrics, task
from rdarts_tf.tasks.image_classification.options import EvaluateConfig
from tests import recorded_runs


def answers_of(num_classes, *, n=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes - 1, n).astype(np.int32)  # the last class does not occur
    logits = rng.normal(size=(n, num_classes)).astype(np.float32)
    logits[np.arange(n), labels] += 1
    return logits, labels


@pytest.mark.parametrize("num_classes", [3, 10, 101])
def test_facts_are_those_of_scikit_learn(num_classes):
    logits, labels = answers_of(num_classes)
    table = sum(
        by_class.confusions(logits[rows], labels[rows]) for rows in (slice(25), slice(25, None))
    )
    names = [f"c{i}" for i in range(num_classes)]
    found = by_class.facts(table, by_class.in_top_5(logits, labels), names)
    predicted, every = logits.argmax(-1), np.arange(num_classes)
    expected = sklearn_metrics.confusion_matrix(labels, predicted, labels=every)
    np.testing.assert_array_equal(table, expected)
    assert ("confusions" in found) == (num_classes <= 100)
    balanced = sklearn_metrics.recall_score(
        labels, predicted, labels=np.unique(labels), average="macro"
    )
    assert found["balanced_accuracy"] == pytest.approx(balanced)
    assert found["error_by_class"][names[-1]] is None
    recalls = sklearn_metrics.recall_score(labels, predicted, labels=[0], average=None)
    assert found["error_by_class"]["c0"] == pytest.approx(1 - recalls[0])
    if num_classes < 10:
        assert "top_5_accuracy" not in found
    else:
        top_5 = sklearn_metrics.top_k_accuracy_score(labels, logits, k=5, labels=every)
        assert found["top_5_accuracy"] == pytest.approx(top_5)
    json.dumps(found)


def test_balanced_weights():
    labels = np.array([0] * 6 + [1] * 2 + [3] * 1)
    weights = by_class.balanced_weights(labels, 4)
    np.testing.assert_allclose(weights[[0, 1, 3]], [9 / 18, 9 / 6, 9 / 3])
    assert weights[labels].mean() == pytest.approx(1)


def test_class_weights_weigh_what_is_minimised_and_not_what_is_told():
    images = np.zeros((8, 8, 8, 1), np.uint8)
    split = data.Split(images, np.array([0] * 6 + [1] * 2, np.int32))
    dataset = data.Dataset("toy", split, split, ("a", "b"), (0.5,), (0.5,))
    logits = tf.constant(np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32))
    batch = tf.constant(images), tf.constant(split.labels)
    found = {}
    for weights in ("none", "balanced"):
        config = EvaluateConfig(batch_size=4, class_weights=weights, auxiliary_weight=0.5)
        problem = task.Evaluation(config, dataset, seed=0)
        call = lambda images, **_: (logits, 2 * logits)  # noqa: E731
        mode = {"rates": {"drop_path_prob": 0.0}, "seed": None, "training": True}
        output = problem.loss(call, batch, [], **mode)
        found[weights] = float(output.total), float(problem.sums(output.outputs, batch)[0])
    main, side = (metrics.cross_entropy(k * logits, split.labels).numpy() for k in (1, 2))
    losses = main + 0.5 * side
    assert found["none"] == pytest.approx((losses.sum(), main.sum()))
    balanced = (losses * np.array([8 / 12] * 6 + [2] * 2)).sum()
    assert found["balanced"] == pytest.approx((balanced, main.sum()))


def test_answers_are_those_of_the_network():
    class Problem:
        @staticmethod
        def loss(call, batch, carry, *, rates, seed, training):
            assert not training
            return types.SimpleNamespace(outputs=call(batch[0]))

    batches = tf.data.Dataset.from_tensor_slices((np.arange(5.0), np.arange(5))).batch(2)
    found = list(examination.answers(Problem, lambda x: 3 * x, batches))
    assert [list(outputs) for outputs, _ in found] == [[0, 3], [6, 9], [12]]
    assert [list(labels) for _, (_, labels) in found] == [[0, 1], [2, 3], [4]]


def test_means_over_seeds():
    found = [
        {"a": 1.0, "b": {"c": None, "d": 2}, "e": [[1, 2]]},
        {"a": 2.0, "b": {"c": 1, "d": 4}, "e": [[3, 4]]},
    ]
    assert examination.mean(found) == {"a": 1.5, "b": {"c": None, "d": 3.0}, "e": [[2.0, 3.0]]}


def test_the_report_tells_of_classes(tmp_path):
    run = recorded_runs.write_run(tmp_path / "run")
    recorded_runs.write_result(run, [0.1, 0.2])
    (file,) = run.glob("evaluate/*/result.json")
    result = json.loads(file.read_text())
    logits, labels = answers_of(10)
    table, top_5 = by_class.confusions(logits, labels), by_class.in_top_5(logits, labels)
    examined = by_class.facts(table, top_5, [f"class {i}" for i in range(10)])
    records, _ = record_reading.read([run])
    assert list(part_of_report(records)) == []
    file.write_text(json.dumps(result | {"examined": examined}))
    records, _ = record_reading.read([run])
    blocks = list(part_of_report(records))
    text = page.to_markdown("title", blocks)
    assert f"balanced accuracy {100 * examined['balanced_accuracy']:.2f} %, top-5" in text
    assert "class 9" in text and "–" in text
    (picture,) = (block for block in blocks if isinstance(block, page.Picture))
    assert picture.content.startswith(b"\x89PNG")
    file.write_text(json.dumps(result | {"examined": examined | {"balanced_accuracy": "much"}}))
    with pytest.raises(UserError, match="balanced_accuracy is no number"):
        record_reading.read([run])
