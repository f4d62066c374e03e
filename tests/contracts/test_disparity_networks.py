"""Sizes, counts and resolutions of disparity networks, as their design has them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.genotypes import genotype as genotype_lib
from rdarts_tf.genotypes import rule
from rdarts_tf.spaces.s6 import SPACE
from rdarts_tf.tasks.disparity.derived_network import DerivedNetwork
from rdarts_tf.tasks.disparity.size import Size
from rdarts_tf.tasks.disparity.supernet import Supernet

# (weights, l of the resolution 1 / 2^l, channels of the output), Zela et al. 2020, app. E, 24 channels.
SUPERNET = {
    "stem1": (7104, 1, 48),
    "stem2": (115296, 2, 96),
    "feature": (184128, 3, 144),
    "encoder0": (67920, 3, 144),
    "encoder1": (703200, 4, 288),
    "encoder2": (335424, 4, 288),
    "encoder3": (2800896, 5, 576),
    "encoder4": (1306752, 5, 576),
    "prediction5": (5185, 5, 1),
    "decoder0": (739104, 4, 288),
    "prediction4": (2593, 4, 1),
    "decoder1": (620688, 3, 144),
    "prediction3": (1297, 3, 1),
    "decoder2": (159432, 2, 72),
    "prediction2": (649, 2, 1),
}
DERIVED = {
    "stem1": (7104, 1, 48),
    "stem2": (115296, 2, 96),
    "feature": (42720, 3, 144),
    "encoder0": (51216, 3, 144),
    "encoder1": (143904, 4, 288),
    "encoder2": (274368, 4, 288),
    "encoder3": (576384, 5, 576),
    "encoder4": (1074048, 5, 576),
    "encoder5": (2258688, 6, 1152),
    "prediction6": (10369, 6, 1),
    "decoder0": (2354496, 5, 576),
    "prediction5": (5185, 5, 1),
    "decoder1": (2310816, 4, 288),
    "prediction4": (2593, 4, 1),
    "decoder2": (581712, 3, 144),
    "prediction3": (1297, 3, 1),
    "decoder3": (148008, 2, 72),
    "prediction2": (649, 2, 1),
}


def genotype(*names):
    """Of S6, with the given primitives in turn."""
    cells = {}
    for cell_type, cell in SPACE.cells.items():
        states = [state for kept in cell.kept for state in range(kept)]
        cells[cell_type] = tuple((names[i % len(names)], s) for i, s in enumerate(states))
    return rule.of_space(SPACE, cells)


def built(net):
    net.build()
    return net


def weights(layer):
    return sum(v.shape.num_elements() for v in layer.trainable_variables)


def images(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.4, 0.6, (1, height, width, 3)).astype("float32") for _ in range(2)]


def recorded_shapes(net, monkeypatch, height, width):
    """{layer: shape of its output} of a pass that computes nothing."""
    shapes, called = {}, keras.layers.Layer.__call__

    def record(self, *args, **kwargs):
        y = called(self, *args, **kwargs)
        if self.name in SUPERNET | DERIVED:
            shapes[self.name] = y.shape
        return y

    monkeypatch.setattr(keras.layers.Layer, "__call__", record)
    spec = tf.TensorSpec((1, height, width, 3))
    tf.function(lambda a, b: net(a, b), autograph=False).get_concrete_function(spec, spec)
    return shapes


@pytest.mark.parametrize("kind", ["supernet", "derived"])
def test_weights_and_resolutions_of_every_layer(kind, monkeypatch):
    if kind == "supernet":
        table, side, total = SUPERNET, (192, 384), 7_049_668
        net = built(Supernet(SPACE, Size(24, 2, 5, 3, 40), normalised=False))
    else:
        table, side, total = DERIVED, (384, 768), 9_958_853
        net = built(
            DerivedNetwork(genotype("sep_conv_3x3"), Size(24, 2, 6, 4, 40), normalised=False)
        )
    shapes = recorded_shapes(net, monkeypatch, *side)
    layers = {layer.name: layer for layer in net.layers}
    assert layers.keys() == table.keys() == shapes.keys()
    for name, (num, level, channels) in table.items():
        images = 2 if name in ("stem1", "stem2", "feature") else 1
        expected = (images, side[0] >> level, side[1] >> level, channels)
        assert (weights(layers[name]), tuple(shapes[name])) == (num, expected), name
    assert net.num_parameters() == total


COUNTS = [
    (("sep_conv_3x3",), (2, 2, 3, 2, 3), 11_035),
    (("sep_conv_3x3",), (6, 2, 3, 2, 8), 69_699),
    (("max_pool_3x3",), (24, 2, 6, 4, 40), 6_060_485),
]


@pytest.mark.parametrize(("names", "size", "num"), COUNTS)
def test_weights_of_derived_networks(names, size, num):
    net = built(DerivedNetwork(genotype(*names), Size(*size), normalised=False))
    assert net.num_parameters() == num


def test_weights_and_alphas_of_a_small_supernet():
    net = built(Supernet(SPACE, Size(2, 2, 3, 2, 3)))
    assert net.num_parameters() == 18_947
    assert {t: tuple(a.shape) for t, a in net.alphas.items()} == {
        "normal": (9, 3), "reduce": (9, 3), "upsample": (15, 3)
    }  # fmt: skip


def test_a_derived_network_is_saved_and_stopped_predictions_change_no_value(tmp_path):
    size = Size(2, 1, 1, 1, 2)
    keras.utils.set_random_seed(1)
    net = built(DerivedNetwork(genotype("skip_connect", "sep_conv_3x3"), size))
    pair = images(12, 20)
    expected = net(*pair)[-1]
    assert expected.shape == (1, 6, 10, 1) and np.all(expected >= 0)
    net.save(tmp_path / "net.keras")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "net.keras")(*pair)[-1], expected
    )
    stopped = DerivedNetwork.from_config(net.get_config() | {"stop_prediction": True})
    stopped.build()
    stopped.set_weights(net.get_weights())
    np.testing.assert_array_equal(stopped(*pair)[-1], expected)
    gradients = []
    for either in (net, stopped):
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(either(*pair)[-1])
        gradients.append(tape.gradient(y, either.heads[0].kernel.value))
    assert gradients[1] is None and np.abs(gradients[0]).max() > 0


def test_a_genotype_is_read_without_concatenations():
    """As the authors of AutoDispNet print theirs."""
    found = genotype("sep_conv_3x3")
    text = str(found)
    for cell_type, concat in (("normal", "2, 5"), ("reduce", "2, 5"), ("upsample", "4, 7")):
        text = text.replace(f", {cell_type}_concat=range({concat})", "")
    assert "concat" not in text and genotype_lib.parse(text) == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("('sep_conv_3x3', 0)", "('sep_conv_5x5', 0)"), ["sep_conv_5x5", "known are"]),
        (("upsample_concat=range(4, 7)", "upsample_concat=[3, 4]"), ["upsample", "4 inputs"]),
    ],
)
def test_a_genotype_that_cannot_be_built_is_refused(change, words):
    with pytest.raises(genotype_lib.GenotypeError) as caught:
        DerivedNetwork(str(genotype("sep_conv_3x3")).replace(*change), Size(2, 1, 1, 1, 2))
    assert all(word in str(caught.value) for word in words)
