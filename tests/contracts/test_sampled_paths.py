"""Sampled architectures in the supernet: the values of computing everything, at the cost of a few."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.engine import search_steps
from rdarts_tf.engine.path_search import with_paths
from rdarts_tf.layers.cell import Cell
from rdarts_tf.methods import random_ws
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification.options import SearchConfig
from rdarts_tf.tasks.image_classification.supernet import Supernet
from tests.contracts.test_training import of_any_size, problem_of

SPACE = uniform(
    "mixed", ("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3", "noise"), num_nodes=2
)
SMALL = uniform("small", ("skip_connect", "sep_conv_3x3", "max_pool_3x3"), num_nodes=1)
LEARNING_RATE, WEIGHT_DECAY, MOMENTUM = 0.05, 0.01, 0.9


def sample(space, num, seed=0):
    return random_ws.Method().edge_weights(space, np.random.default_rng(seed), num)


def path_with(**cells):
    """The path of SMALL with the given primitive numbers on the two edges of each cell type."""
    return {t: np.eye(3, dtype=np.float32)[list(ops)] for t, ops in cells.items()}


@pytest.fixture(scope="module")
def outcomes():
    """(net, paths, {training: both ways: five paths: (logits, gradients, statistics)})."""
    keras.utils.set_random_seed(0)
    net = Supernet(SPACE, 3, channels=2, num_cells=2, dtype="float64", name="supernet")
    net.build((None, 8, 8, 1))
    images = tf.constant(np.random.default_rng(1).normal(size=(4, 8, 8, 1)))
    w = [tf.convert_to_tensor(v.value) for v in net.trainable_variables]
    state = [tf.convert_to_tensor(v.value) for v in net.non_trainable_variables]

    def run(*, sampled, train):
        @tf.function(autograph=False)
        def outcome(path):
            with tf.GradientTape() as tape:
                tape.watch(w)
                logits, moved = net.stateless_call(
                    w,
                    state,
                    images,
                    edge_weights=path,
                    sampled=sampled,
                    seed=tf.constant([1, 2]),
                    training=train,
                )
                loss = tf.reduce_sum(logits**2)
            return (
                logits,
                tape.gradient(loss, w, unconnected_gradients="zero") if train else [],
                moved,
            )

        found = [outcome({t: tf.constant(p[i]) for t, p in paths.items()}) for i in range(5)]
        assert outcome.experimental_get_tracing_count() == 1
        return found

    paths = sample(SPACE, 5)
    both = {train: [run(sampled=s, train=train) for s in (True, False)] for train in (True, False)}
    return net, paths, both


@pytest.mark.parametrize("train", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_logits_and_gradients_equal_those_of_all_operations_times_0_and_1(outcomes, train):
    for (logits, gradients, _), (all_logits, all_gradients, _) in zip(
        *outcomes[2][train], strict=True
    ):
        np.testing.assert_allclose(logits, all_logits, rtol=1e-9, atol=1e-12)
        for one, other in zip(gradients, all_gradients, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)


def test_statistics_move_as_with_all_operations_or_not_at_all(outcomes):
    """Pooling that two edges share included: it moves once."""
    net, paths, both = outcomes
    names = [variable.path for variable in net.non_trainable_variables]
    before = [variable.numpy() for variable in net.non_trainable_variables]
    for i, ((_, _, ours), (_, _, theirs)) in enumerate(zip(*both[True], strict=True)):
        moved = {}
        for name, old, one, other in zip(names, before, ours, theirs, strict=True):
            moved[name] = not np.array_equal(one, old)
            if moved[name]:
                np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert moved["supernet/stem_bn/moving_variance"]
        for name in names:
            op = re.search(r"/cell(\d)/edge(\d\d).*/op(\d)_(?!max).*/moving_variance", name)
            if op:
                cell, edge, k = map(int, op.groups())
                path = paths["reduce" if net.cells[cell].reduction else "normal"]
                assert moved[name] == (path[i, edge, k] == 1), name
    for _, _, ours in both[False][0]:
        for old, one in zip(before, ours, strict=True):
            np.testing.assert_array_equal(one, old)


def test_a_node_without_edges_is_zero():
    keras.utils.set_random_seed(0)
    cell = Cell(SMALL.primitives["normal"], 2, num_nodes=1)
    cell.build((None, 8, 8, 2), (None, 8, 8, 2))
    x = tf.random.stateless_normal((2, 8, 8, 2), (1, 2))
    np.testing.assert_array_equal(cell(x, x, edge_weights=tf.zeros((2, 3)), sampled=True), 0)


@pytest.fixture(scope="module")
def search():
    keras.utils.set_random_seed(1)
    config = SearchConfig(
        init_channels=2, layers=1, batch_size=6, momentum=MOMENTUM, method="random_ws"
    )
    problem, strategy = problem_of(config, SMALL), tf.distribute.get_strategy()
    return search_steps.PathSearch(problem, problem.network(), config=config, strategy=strategy)


def elements(path, num):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(num, 6, 8, 8, 1)).astype(np.float32)
    labels = rng.integers(3, size=(num, 6)).astype(np.int32)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).map(of_any_size)
    return with_paths(data, {t: p[None] for t, p in path.items()}, repeat=num)


def train(search, path, *, num=1, epoch=0, learning_rate=LEARNING_RATE):
    rates = {
        "learning_rate": learning_rate,
        "weight_decay": WEIGHT_DECAY,
        "drop_path_prob": 0.0,
    }
    rates = {name: tf.constant(rate) for name, rate in rates.items()}
    iterator, at = iter(elements(path, num)), (tf.constant(0), tf.constant(num))
    done, loss = search.search_block(iterator, *at, tf.constant(epoch), rates)
    assert int(done) == num
    assert np.isfinite(loss)
    return {name: v.numpy() for name, v in search.variables().items()}


def test_what_is_not_sampled_has_no_gradient_but_weight_decay_and_momentum(search):
    """m <- mu m + lambda w, w <- w - eta m with g = 0; the convolutions of the other edge do move."""
    sep_conv, skip = 1, 0
    train(search, path_with(normal=[sep_conv, sep_conv], reduce=[sep_conv, sep_conv]), num=2)
    before = {name: v.numpy() for name, v in search.variables().items()}
    after = train(search, path_with(normal=[skip, skip], reduce=[skip, sep_conv]))
    names = [n.removeprefix("weights/") for n in before if n.startswith("weights/cell0/edge")]
    unsampled = [n for n in names if "edge00_node0_from0/op1_sep_conv" in n]
    sampled = [n for n in names if "edge01_node0_from1/op1_sep_conv" in n]
    assert len(unsampled) == len(sampled) == 4  # two depthwise, two pointwise kernels
    for name in names:
        w, m = before[f"weights/{name}"], before[f"momentum/{name}"]
        moved = MOMENTUM * m + WEIGHT_DECAY * w
        decayed = w - LEARNING_RATE * moved
        if name in unsampled:
            assert np.abs(m).max() > 0
            np.testing.assert_allclose(after[f"momentum/{name}"], moved, rtol=1e-5, atol=1e-9)
            np.testing.assert_allclose(after[f"weights/{name}"], decayed, rtol=1e-6, atol=1e-9)
        elif name in sampled:
            assert np.abs(after[f"weights/{name}"] - decayed).max() > 1e-6


def test_alpha_stays_as_it_was_initialised(search):
    before = [a.numpy() for a in search.net.alphas.values()]
    train(search, path_with(normal=[1, 1], reduce=[1, 2]))
    for alpha, old in zip(search.net.alphas.values(), before, strict=True):
        np.testing.assert_array_equal(alpha, old)


def test_other_paths_epochs_and_numbers_of_steps_do_not_retrace(search):
    for epoch, num in enumerate((1, 3, 2)):
        path = {t: p[0] for t, p in sample(SMALL, 1, seed=epoch).items()}
        train(search, path, num=num, epoch=epoch, learning_rate=0.01 * epoch)
        validate = elements(path, num)
        search.validate_block(iter(validate), tf.constant(0), tf.constant(num), tf.constant(epoch))
    assert search.search_block.experimental_get_tracing_count() == 1
    assert search.validate_block.experimental_get_tracing_count() == 1
