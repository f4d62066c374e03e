"""The network of a genotype: the authors' sizes, what it does, what it refuses, saving."""

import csv
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.genotypes import named
from rdarts_tf.genotypes.genotype import GenotypeError, parse
from rdarts_tf.layers.derived_cell import DerivedCell
from rdarts_tf.layers.drop_path import drop_path
from rdarts_tf.layers.primitives import PRIMITIVES
from rdarts_tf.tasks.image_classification.auxiliary_head import pool_to_2x2
from rdarts_tf.tasks.image_classification.derived_network import DerivedNetwork, stem_for

COUNTS = pathlib.Path(__file__).resolve().parents[1] / "data" / "param_counts.csv"
SEED = [3, 4]
SMALL = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 2), "
    "('dil_conv_3x3', 1)], normal_concat=range(2, 4), reduce=[('skip_connect', 0), "
    "('avg_pool_3x3', 1), ('none', 0), ('sep_conv_3x3', 2)], reduce_concat=range(2, 4))"
)


def network(genotype=SMALL, *, image=(8, 8, 3), classes=3, channels=2, cells=3, **options):
    options = {"batch_norm": {"gamma_initializer": "ones"}} | options
    net = DerivedNetwork(genotype, classes, channels=channels, num_cells=cells, **options)
    net.build((None, *image))
    return net


def drawn(image=(8, 8, 3), batch=4, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *image)).astype(np.float32)


def of(primitive):
    """A genotype with one node, of which one operation is `primitive`."""
    pairs = f"[('{primitive}', 1), ('skip_connect', 0)]"
    return f"Genotype(normal={pairs}, normal_concat=[2], reduce={pairs}, reduce_concat=[2])"


# Sizes.
ROWS = list(csv.DictReader(COUNTS.open()))


@pytest.mark.parametrize(
    "row",
    [ROWS[0], *(pytest.param(row, marks=pytest.mark.slow) for row in ROWS[1:])],
    ids=lambda row: row["space"],
)
def test_the_number_of_parameters_is_the_authors(row):
    net = network(
        row["genotype"],
        image=(32, 32, 3),
        classes=int(row["num_classes"]),
        channels=int(row["C"]),
        cells=int(row["layers"]),
    )
    assert net.num_parameters() == int(row["params_total"])
    assert net.num_parameters(auxiliary=False) == int(row["params_without_auxiliary"])


def test_the_published_size_of_darts_v2():
    genotype = named.read("DARTS_V2")
    net = network(genotype, image=(32, 32, 3), classes=10, channels=36, cells=20)
    assert net.num_parameters(auxiliary=False) == 3_349_342
    assert net.num_parameters() == 3_825_768
    assert round(net.multiply_adds(32, 32) / 1e6) == 528


@pytest.mark.parametrize("stem, image", [("cifar", (32, 32, 3)), ("imagenet", (96, 96, 3))])
@pytest.mark.parametrize("name", ["NASNet", "AmoebaNet"])  # neither has a dilated convolution
def test_multiply_adds_are_those_that_tensorflow_counts(name, stem, image):
    net = network(named.read(name), image=image, cells=3, stem=stem)
    graph = tf.function(lambda x: net(x)).get_concrete_function(tf.TensorSpec([1, *image])).graph
    counted = 0
    for op in graph.get_operations():
        if op.type in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
            kernel, output = op.inputs[1].shape.as_list(), op.outputs[0].shape.as_list()
            pixels = np.prod(output[: -1 if len(output) == 4 else 1])
            # FactorizedReduce multiplies a block matrix whose other half is zero.
            reshape = op.inputs[0].op
            block = reshape.type == "Reshape" and reshape.inputs[0].op.type == "ConcatV2"
            counted += int(pixels * np.prod(kernel)) // (2 if block else 1)
    assert net.multiply_adds(*image[:2]) == counted


# What it does.
@pytest.mark.parametrize("primitive", PRIMITIVES)
@pytest.mark.parametrize("image, cells", [((8, 8, 1), 3), ((9, 8, 4), 2)], ids=str)
def test_every_primitive_runs_on_even_and_odd_images(primitive, image, cells):
    net = network(of(primitive), image=image, cells=cells)
    logits, auxiliary = net(drawn(image), drop_path_prob=0.2, seed=SEED, training=True)
    assert logits.shape == auxiliary.shape == (4, 3)
    assert np.all(np.isfinite(logits)) and np.all(np.isfinite(auxiliary))
    assert net(drawn(image)).shape == (4, 3)


@pytest.mark.parametrize("side", [96, 101])
def test_large_images_take_the_imagenet_stem(side):
    stem = stem_for((side, side, 3))
    assert stem == "imagenet" and stem_for((95, side, 3)) == "cifar"
    net = network(image=(side, side, 3), stem=stem)
    assert net.auxiliary_head.bn_2 is None
    assert net.cells[0].previous_reduction and not net.cells[1].previous_reduction
    logits, auxiliary = net(drawn((side, side, 3), 2), training=True)
    assert logits.shape == auxiliary.shape == (2, 3)


def test_every_weight_has_a_gradient():
    net = network(dtype="float64")
    with tf.GradientTape() as tape:
        logits, auxiliary = net(drawn(), drop_path_prob=0.1, seed=SEED, training=True)
        loss = tf.reduce_sum(logits**2) + tf.reduce_sum(auxiliary**2)
    assert all(np.any(g) for g in tape.gradient(loss, net.trainable_variables))


def test_only_training_asks_the_auxiliary_head():
    net, bare = network(), network(auxiliary=False)
    assert isinstance(net(drawn(), training=True), tuple)
    assert net(drawn()).shape == bare(drawn(), training=True).shape == (4, 3)
    assert net.num_parameters(auxiliary=False) == bare.num_parameters()


def test_drop_path_spares_the_identity_only():
    """One node: drop path of identity + operation is identity + dropped operation."""
    x = drawn((8, 8, 2))
    for name, spared in (("skip_connect", True), ("max_pool_3x3", False), ("noise", False)):
        cell = DerivedCell([("none", 0), (name, 1)], [2], 2)
        cell.build(x.shape, x.shape)
        plain = cell(x, x, seed=SEED, training=True).numpy()
        seeds = tf.random.experimental.stateless_split(SEED, 4)
        expected = plain if spared else drop_path(tf.constant(plain), 0.5, seed=seeds[3]).numpy()
        dropped = cell(x, x, drop_path_prob=0.5, seed=SEED, training=True)
        np.testing.assert_allclose(dropped, expected, rtol=1e-6)
        kept = np.any(expected, axis=(1, 2, 3))
        assert kept.all() if spared else 0 < kept.sum() < 4
        still = cell(x, x, drop_path_prob=0.5, seed=SEED, training=False)
        np.testing.assert_array_equal(still, cell(x, x, seed=SEED, training=False))


def test_drop_path_without_a_seed_is_refused():
    with pytest.raises(ValueError, match="drop path needs a seed"):
        network()(drawn(), drop_path_prob=0.1, training=True)


def test_noise_is_drawn_in_test_mode_too():
    net = network(of("noise"), cells=2)
    first, second = net(drawn()).numpy(), net(drawn()).numpy()
    assert np.abs(first - second).max() > 1e-4
    np.testing.assert_array_equal(net(drawn(), seed=SEED), net(drawn(), seed=SEED))


def test_the_output_is_the_concatenation_that_the_genotype_names():
    genotype = SMALL.replace("normal_concat=range(2, 4)", "normal_concat=[3]")
    net = network(genotype.replace("reduce_concat=range(2, 4)", "reduce_concat=[3, 2]"))
    assert [cell.output_channels for cell in net.cells] == [2, 8, 16]


@pytest.mark.parametrize(
    "side, windows", [(8, [(0, 5), (3, 8)]), (7, [(0, 5), (2, 7)]), (2, [(0, 1), (1, 2)])]
)
def test_windows_of_the_auxiliary_head(side, windows):
    x = drawn((side, side, 3), 2)
    expected = [[x[:, a:b, c:d].mean((1, 2)) for c, d in windows] for a, b in windows]
    pooled = pool_to_2x2(tf.constant(x)).numpy().transpose(1, 2, 0, 3)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5, atol=1e-6)


def test_half_precision_returns_float32_logits():
    net = network(dtype="mixed_bfloat16")
    for logits in net(drawn(), drop_path_prob=0.1, seed=SEED, training=True):
        assert logits.dtype == tf.float32 and np.all(np.isfinite(logits))
    assert all(v.dtype == "float32" for v in net.variables)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_keras_file_round_trip(stem, tmp_path):
    net = network(image=(96, 96, 1), stem=stem)
    net(drawn((96, 96, 1)), training=True)  # moves the statistics of BatchNorm
    net.save(tmp_path / "net.keras")
    restored = keras.models.load_model(tmp_path / "net.keras")
    assert restored.get_config() == net.get_config() and restored.genotype == net.genotype
    x = drawn((96, 96, 1), seed=2)
    np.testing.assert_array_equal(restored(x), net(x))


# What it refuses.
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"channels": 3}, "channels must be even"),
        ({"num_cells": 0}, "cells must be at least 1"),
        ({"num_classes": 1}, "classes must be at least 2"),
        ({"stem": "vgg"}, "unknown stem 'vgg'; there are: cifar, imagenet"),
        ({"genotype": SMALL.replace("none", "nothing")}, "unknown primitive 'nothing'"),
        ({"genotype": SMALL[:90]}, "cannot read a genotype"),
        ({"genotype": SMALL.replace("reduce_concat=range(2,", "reduce_concat=range(1,")}, "input"),
        ({"genotype": "Genotype(recurrent=[('tanh', 0)], concat=[1])"}, "unknown primitive 'tanh'"),
        ({"genotype": "Genotype(normal=[('none', 0), ('none', 1)], normal_concat=[2])"}, "reduce"),
    ],
)
def test_impossible_networks_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DerivedNetwork(**({"genotype": SMALL, "num_classes": 10, "channels": 4} | arguments))


def test_an_image_too_small_for_the_auxiliary_head_is_refused():
    with pytest.raises(ValueError, match="at least 2x2, not 1x1"):
        network(image=(4, 4, 3))(drawn((4, 4, 3)), training=True)


# Published cells.
@pytest.mark.parametrize("name", named.TEXTS)
def test_published_cells(name, tmp_path):
    genotype = named.read(name)
    assert parse(str(genotype)) == parse(genotype.to_json()) == genotype
    for text in (str(genotype), genotype.to_json()):
        (tmp_path / "cell.txt").write_text(text + "\n")
        assert named.read(str(tmp_path / "cell.txt")) == genotype
        assert named.read(text) == genotype


def test_what_is_no_genotype_is_told_in_one_sentence():
    with pytest.raises(GenotypeError, match="no genotype 'DARTS_V3'.*DARTS_V1, DARTS_V2, NASNet"):
        named.read("DARTS_V3")


@pytest.mark.parametrize("reduction", [False, True])
def test_nodes_of_any_number_of_edges(reduction):
    """Node 0 has one edge, node 1 none, node 2 three."""
    pairs = [("max_pool_3x3", 1), ("none", 0), ("skip_connect", 2), ("skip_connect", 2)]
    cell = DerivedCell(pairs, (2, 3, 4), 4, reduction=reduction, sizes=(1, 0, 3))
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32))
    node_0, node_1, node_2 = np.split(cell(images, images).numpy(), 3, axis=-1)
    assert np.abs(node_0).max() > 0.1
    np.testing.assert_array_equal(node_1, np.zeros_like(node_0))
    np.testing.assert_allclose(node_2, 2 * node_0, rtol=1e-6)
    assert DerivedCell.from_config(cell.get_config()).sizes == (1, 0, 3)


def test_a_network_of_such_cells_is_that_of_its_text():
    nodes = "[[('sep_conv_3x3', 0)], [('conv_1x1', 2), ('none', 0), ('conv_3x1_1x3', 1)], []]"
    text = f"Genotype(normal={nodes}, normal_concat=[2, 4], reduce={nodes}, reduce_concat=[2, 3])"
    net = DerivedNetwork(text, 3, channels=4, num_cells=3, auxiliary=False)
    net.build((None, 8, 8, 3))
    assert [cell.sizes for cell in net.cells] == [(1, 3, 0)] * 3
    assert net(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 3)
    assert parse(net.get_config()["genotype"]) == parse(text)
