"""The supernet of every registered space: builds, counts, runs, saves."""

import dataclasses
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.layers.cell import Cell
from rdarts_tf.layers.primitives import PRIMITIVES
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.disparity import options as disparity_options
from rdarts_tf.tasks.disparity import primitives
from rdarts_tf.tasks.image_classification import data, options, task
from rdarts_tf.tasks.image_classification.options import SearchConfig
from rdarts_tf.tasks.image_classification.supernet import Supernet, reduction_cells
from rdarts_tf.tasks.language_model import options as language_options
from rdarts_tf.tasks.language_model.recurrent_cell import ACTIVATIONS

MODULES = [registry.load("spaces", name)[0] for name in registry.names("spaces")]
SPACES = {module.SPACE.name: module.SPACE for module in MODULES if hasattr(module, "SPACE")}
IMAGE_SPACES = {n: s for n, s in SPACES.items() if set(s.cell_types) == {"normal", "reduce"}}
every_space = pytest.mark.parametrize("name", IMAGE_SPACES)
SEED = [3, 4]


def is_uniform(space):
    return all(len(set(by_edge)) == 1 for by_edge in space.primitives.values())


# One node has 2 edges instead of 14, from both inputs.
SMALL = {n: s.with_nodes(1) if is_uniform(s) else s for n, s in IMAGE_SPACES.items()}


def supernet(space, *, image=(8, 8, 3), classes=3, channels=2, cells=3, **options):
    space = SMALL[space] if isinstance(space, str) else space
    net = Supernet(space, classes, channels=channels, num_cells=cells, **options)
    net.build((None, *image))
    return net


def drawn(image=(8, 8, 3), batch=2, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(batch, *image)).astype(dtype)


def count(net):
    return sum(v.shape.num_elements() for v in net.trainable_variables)


def test_options_name_the_primitives_of_the_networks():
    """By which a space is checked before TensorFlow is loaded."""
    assert tuple(PRIMITIVES) == options.PRIMITIVES
    assert disparity_options.PRIMITIVES == primitives.NAMES
    assert set(language_options.PRIMITIVES) == {"none", *ACTIVATIONS}


# Trainable parameters of the authors' networks: 16 channels, 8 cells, 10 classes.
COUNTS = {"s1": 405146, "s2": 665466, "s3": 665466, "s4": 624506, "darts": 1930618}
COUNTS_100 = {"s1": 428276, "s2": 688596, "s4": 647636}


@pytest.mark.parametrize(
    "name", ["s1", *(pytest.param(name, marks=pytest.mark.slow) for name in list(COUNTS)[1:])]
)
def test_the_number_of_parameters_is_the_authors(name):
    net = supernet(SPACES[name], image=(32, 32, 3), classes=10, channels=16, cells=8)
    assert count(net) == COUNTS[name]
    if name in COUNTS_100:  # 90 more columns of the classifier and its bias
        assert count(net) + 90 * (net.dense_kernel.shape[0] + 1) == COUNTS_100[name]


def test_the_number_of_parameters_with_100_classes():
    net = supernet("s1", image=(32, 32, 3), classes=100, channels=16, cells=8)
    assert count(net) == COUNTS_100["s1"]


# Image, channels of the supernet and number of cells; each space runs through all of them.
@pytest.mark.parametrize("image, cells", [((8, 8, 1), 3), ((9, 9, 4), 2), ((9, 8, 1), 1)], ids=str)
@every_space
def test_runs_on_even_and_odd_images(name, image, cells):
    net = supernet(name, image=image, cells=cells)
    for training in (True, False):
        logits = net(drawn(image), seed=SEED, training=training)
        assert logits.shape == (2, 3) and logits.dtype == tf.float32
        assert np.all(np.isfinite(logits))


@every_space
def test_alphas_are_not_weights(name):
    net = supernet(name, cells=2)
    alphas = list(net.alphas.values())
    assert [a.shape for a in alphas] == [net.space.cell(t).alpha_shape for t in net.alphas]
    assert not {id(v) for v in net.trainable_variables} & {id(a) for a in alphas}
    assert {id(a) for a in alphas} <= {id(v) for v in net.non_trainable_variables}
    assert all(0 < np.abs(a.numpy()).max() < 0.01 for a in alphas)  # N(0, 1e-3)


@every_space
def test_every_weight_and_alpha_has_a_gradient(name):
    net = supernet(name, dtype="float64")
    alphas = [tf.convert_to_tensor(a) for a in net.alphas.values()]
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        edge_weights = dict(zip(net.alphas, map(tf.nn.softmax, alphas), strict=True))
        logits = net(drawn(dtype=np.float64), edge_weights=edge_weights, seed=SEED, training=True)
        loss = tf.reduce_sum(logits**2)
    g_w, g_alpha = tape.gradient(loss, (net.trainable_variables, alphas))
    assert all(g is not None for g in (*g_w, *g_alpha))
    for g in g_alpha:  # a constant added to a row of alpha changes nothing
        np.testing.assert_allclose(np.sum(g, axis=1), 0.0, atol=1e-12 * np.abs(g).max())
        assert np.any(g)


@every_space
def test_keras_file_round_trip(name, tmp_path):
    net = supernet(name, image=(8, 8, 1), batch_norm={"gamma_initializer": "ones"}, name="net")
    net(drawn((8, 8, 1)), seed=SEED, training=True)  # moves the statistics of BatchNorm
    rng = np.random.default_rng(1)
    for v in net.alphas.values():
        v.assign(rng.normal(size=v.shape))
    net.save(tmp_path / "net.keras")
    restored = keras.models.load_model(tmp_path / "net.keras")
    assert restored.space == net.space and restored.get_config() == net.get_config()
    assert len(restored.variables) == len(net.variables)
    for v, value in zip(restored.variables, net.variables, strict=True):
        np.testing.assert_array_equal(v.numpy(), value.numpy())
    x = drawn((8, 8, 1), seed=2)
    np.testing.assert_array_equal(restored(x, seed=SEED), net(x, seed=SEED))


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("name", [name for name, s in IMAGE_SPACES.items() if is_uniform(s)])
def test_other_numbers_of_nodes(name, nodes):
    space = IMAGE_SPACES[name].with_nodes(nodes)
    assert {len(cell.edges) for cell in space.cells.values()} == {nodes * (nodes + 3) // 2}
    net = supernet(space, cells=1)
    assert net(drawn(), seed=SEED, training=True).shape == (2, 3)
    assert net.dense_kernel.shape[0] == nodes * 4  # one reduction: 2 -> 4 channels


def test_s5_has_81_architectures():
    choices = [tuple(map(tuple, a.values())) for a in SPACES["s5"].architectures()]
    assert len(set(choices)) == SPACES["s5"].num_architectures() == 81


# The network.
@pytest.mark.parametrize(
    "cells, expected", [(1, [0]), (2, [0, 1]), (3, [1, 2]), (8, [2, 5]), (20, [6, 13])]
)
def test_reduction_cells(cells, expected):
    assert reduction_cells(cells) == expected


def test_edge_weights_default_to_the_softmax_of_alpha():
    net = supernet("s3", cells=2)
    edge_weights = {}
    for cell_type, v in net.alphas.items():
        v.assign(np.random.default_rng(1).normal(size=v.shape))
        e = np.exp(v.numpy())
        edge_weights[cell_type] = tf.constant(e / e.sum(1, keepdims=True))
    expected = net(drawn(), edge_weights=edge_weights)
    np.testing.assert_allclose(net(drawn()), expected, atol=1e-5)  # float32


@pytest.mark.parametrize("sampled", [True, False])
def test_a_network_of_none_sees_nothing(sampled):
    net = supernet(uniform("zeros", ("none", "none")))
    net.dense_bias.assign([1.0, 2.0, 3.0])
    path = {t: tf.eye(1, 2, [cell.alpha_shape[0]])[:, 0] for t, cell in net.space.cells.items()}

    def logits():
        return net(drawn(), edge_weights=path, sampled=sampled, training=True)

    for found in (logits(), tf.function(logits, autograph=False)()):
        np.testing.assert_array_equal(found, [[1.0, 2.0, 3.0]] * 2)


def test_only_training_moves_the_statistics():
    net = supernet("s5", cells=2)
    state = [v for v in net.non_trainable_variables if "moving" in v.name]
    before = [v.numpy() for v in state]
    net(drawn(), training=False)
    assert all(np.array_equal(v.numpy(), b) for v, b in zip(state, before, strict=True))
    net(drawn(), training=True)
    assert not any(np.array_equal(v.numpy(), b) for v, b in zip(state, before, strict=True))


def test_stateless_calls_move_nothing_but_return_what_would_move():
    net = supernet("s5", cells=2)
    w, state = (
        [v.value for v in x] for x in (net.trainable_variables, net.non_trainable_variables)
    )
    before = [v.numpy() for v in net.non_trainable_variables]
    logits, moved = net.stateless_call(w, state, drawn(), training=True)
    after = [v.numpy() for v in net.non_trainable_variables]
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
    np.testing.assert_allclose(net(drawn(), training=True), logits, rtol=1e-5)  # float32
    for v, value in zip(net.non_trainable_variables, moved, strict=True):
        np.testing.assert_allclose(v.numpy(), value, rtol=1e-5, atol=1e-6)  # float32


def test_noise_follows_the_seed():
    net = supernet("s4", cells=2)
    first, again, other = (net(drawn(), seed=seed).numpy() for seed in (SEED, SEED, [9, 9]))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    unseeded = [net(drawn()).numpy() for _ in range(2)]
    assert np.abs(unseeded[0] - unseeded[1]).max() > 1e-4


def test_drop_path_acts_in_training_only():
    net, options = supernet("s2", cells=2), {"seed": SEED}
    plain = net(drawn(), training=True).numpy()
    zero = net(drawn(), drop_path_prob=tf.constant(0.0), training=True, **options)
    np.testing.assert_allclose(zero, plain, rtol=1e-5, atol=1e-6)  # float32
    options["drop_path_prob"] = tf.constant(0.5)
    first, again = (net(drawn(), training=True, **options).numpy() for _ in range(2))
    np.testing.assert_allclose(first, again, rtol=1e-5, atol=1e-6)
    assert np.abs(first - plain).max() > 1e-3
    np.testing.assert_array_equal(net(drawn(), **options), net(drawn()))


def test_drop_path_without_a_seed_is_refused():
    net = supernet("s5", cells=1)
    with pytest.raises(ValueError, match="drop path needs a seed"):
        net(drawn(), drop_path_prob=tf.constant(0.1), training=True)


def test_without_any_path_only_the_bias_remains():
    net = supernet("s5", cells=1)
    net.dense_bias.assign([1.0, 2.0, 3.0])
    prob = tf.constant(1 - 1e-6)
    logits = net(drawn(), drop_path_prob=prob, seed=SEED, training=True)
    np.testing.assert_array_equal(logits, [[1.0, 2.0, 3.0]] * 2)


def test_one_trace_serves_all_rates_and_alphas():
    net, traces = supernet("s5", cells=2), []

    @tf.function
    def logits(x, prob, seed):
        traces.append(1)
        return net(x, drop_path_prob=prob, seed=seed, training=True)

    for t in range(3):
        net.alphas["normal"].assign_add(tf.ones_like(net.alphas["normal"]))
        logits(tf.constant(drawn()), tf.constant(0.1 * t), tf.constant([1, t]))
    assert len(traces) == 1


def test_half_precision_returns_float32_logits():
    net = supernet("s2", cells=2, dtype="mixed_bfloat16")
    logits = net(tf.cast(drawn(), tf.bfloat16), training=True)
    assert logits.dtype == tf.float32 and np.all(np.isfinite(logits))
    assert all(v.dtype == "float32" for v in net.variables)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"channels": 3}, "channels must be even and positive, not 3"),
        ({"channels": 0}, "not 0"),
        ({"num_cells": 0}, "cells must be at least 1, not 0"),
        ({"num_classes": 1}, "classes must be at least 2, not 1"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Supernet(SPACES["s2"], **({"num_classes": 10} | arguments))


def test_the_space_may_be_given_as_its_fields():
    space = SPACES["s1"]
    assert Supernet(dataclasses.asdict(space), 10, num_cells=1).space == space


def test_cell_configuration_round_trip():
    for cell in supernet("s1").cells:
        restored = Cell.from_config(cell.get_config())
        assert restored.get_config() == cell.get_config()
        assert restored.primitives == cell.primitives


def test_every_class_is_saved_under_a_name_of_its_own():
    """One of another task under the same name would be what a .keras file is loaded as."""
    written = r'register_keras_serializable\("(.+)"\)\s+class (\w+)'
    files = pathlib.Path(registry.__file__).parent.rglob("*.py")
    names = [name for file in files for name in re.findall(written, file.read_text())]
    assert len(names) > 20 and len(set(names)) == len(names)


def test_the_stem_of_large_images():
    """The first cell reads states of a quarter and an eighth of the image, and reduces the former."""
    net = supernet("s5", image=(96, 104, 3), cells=1, stem="imagenet")
    assert net.cells[0].previous_reduction
    s0, s1 = net.stem(np.zeros((2, 96, 104, 3), np.float32))
    assert (s0.shape, s1.shape) == ((2, 24, 26, 2), (2, 12, 13, 2))
    assert net(np.zeros((2, 96, 104, 3), np.float32)).shape == (2, 3)
    assert Supernet.from_config(net.get_config()).stem_name == "imagenet"


@pytest.mark.parametrize(
    ("side", "asked", "stem"),
    [(96, "auto", "imagenet"), (95, "auto", "cifar"), (32, "imagenet", "imagenet")],
)
def test_which_stem_a_search_takes(side, asked, stem):
    split = data.Split(np.zeros((4, side, side, 1), np.uint8), np.arange(4, dtype=np.int32) % 2)
    images = data.Dataset("toy", split, split, ("a", "b"), (0.5,), (0.5,))
    config = SearchConfig(space="s5", batch_size=2, init_channels=2, layers=1, stem=asked)
    assert task.Search(config, images).network().stem_name == stem
