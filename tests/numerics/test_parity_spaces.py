"""Parity files of our own making in the layout of S3 and S4; their weights come from S2."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.spaces.base import edges
from tests import parity, parity_search
from tests.parity_supernet import TYPES, Fixture

S2 = pathlib.Path(__file__).resolve().parents[1] / "data" / "supernet_s2.npz"


def write_as(space, path, *, alphas=None, seed=0):
    """Writes S2's weights and batches as a file with the primitives of `space`.

    Args:
        alphas: {cell type: [num_edges, num_ops]}; None draws them.
    Returns:
        the arrays written.
    """
    arrays = dict(np.load(S2))
    meta = json.loads(str(arrays["meta"]))
    rng = np.random.default_rng(seed)
    primitives = registry.load("spaces", space)[0].SPACE.primitives
    names = primitives["normal"][0]
    renamed = {f"op{k}_{n}": f"op{names.index(n)}_{n}" for k, n in enumerate(_S2) if n in names}
    arrays = {k: v for k, v in arrays.items() if k.split("/")[0] in ("param", "data")}
    arrays = {_renamed(k, renamed): v for k, v in arrays.items() if _renamed(k, renamed)}
    for cell_type in TYPES:
        meta[f"primitives_{cell_type}"] = primitives[cell_type]
        drawn = 0.5 * rng.normal(size=(14, len(names)))
        arrays[f"alpha/{cell_type}"] = drawn if alphas is None else alphas[cell_type]
    if "noise" in names:
        arrays |= dict(_noise(meta, rng))
    arrays["meta"] = json.dumps(meta)
    np.savez(path, **arrays)
    return arrays


_S2 = ("skip_connect", "sep_conv_3x3")


def _renamed(key, renamed):
    """`key` with another number of the operation, None if `renamed` has no such operation."""
    parts = key.split("/")
    if len(parts) > 3 and parts[3].startswith("op"):
        if parts[3] not in renamed:
            return None
        parts[3] = renamed[parts[3]]
    return "/".join(parts)


def _noise(meta, rng):
    size, channels = meta["image"], meta["C"]
    for cell in range(meta["layers"]):
        if cell in meta["reduction_cells"]:
            size, channels = size // 2, channels * 2
        for e, (node, state) in enumerate(edges(4)):
            sample = rng.normal(size=(meta["batch"], channels, size, size))
            key = f"noise/cell{cell}/edge{e:02d}_node{node}_from{state}/op0_noise"
            yield key, sample.astype(np.float32)


def test_s4_noise_alone_gives_the_logits_of_the_tensors_of_the_file(tmp_path):
    one_hot = np.tile([200.0, -200.0], (14, 1))  # the softmax is 1 and 1e-174
    arrays = write_as("s4", tmp_path / "s4.npz", alphas={"normal": one_hot, "reduce": one_hot})
    nodes = [0.0] * 4
    for e, (node, state) in enumerate(edges(4)):
        sample = arrays[f"noise/cell2/edge{e:02d}_node{node}_from{state}/op0_noise"]
        nodes[node] += sample.astype(np.float64).mean((2, 3))  # [batch, C]
    features = np.concatenate(nodes, axis=1)
    logits = features @ arrays["param/classifier/weight"].T + arrays["param/classifier/bias"]
    fixture = Fixture(tmp_path / "s4.npz")
    for name in ("train", "valid"):  # both batches meet the same noise
        actual, _ = fixture.forward(fixture.w, fixture.alpha, fixture.batch(name)[0])
        np.testing.assert_allclose(actual, logits, rtol=1e-13, atol=1e-13)  # rounding


@pytest.mark.parametrize("space", ["s3", "s4"])
def test_gradient_of_alpha_is_the_slope_of_the_loss(space, tmp_path):
    write_as(space, tmp_path / "file.npz")
    f = Fixture(tmp_path / "file.npz")
    loss = f.loss("valid")
    rng = np.random.default_rng(1)
    direction = [tf.constant(rng.normal(size=a.shape)) for a in f.alpha]
    _, _, gradient = parity_search._value_and_gradients(loss, f.w, f.alpha)
    slope = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
    at = [[a + h * d for a, d in zip(f.alpha, direction, strict=True)] for h in (1e-6, -1e-6)]
    numeric = (loss(f.w, at[0]) - loss(f.w, at[1])) / 2e-6
    # rounding 1e-16 / 1e-6, curvature 1e-12
    np.testing.assert_allclose(numeric, slope, rtol=1e-7, atol=1e-9)


def test_a_file_without_its_noise_is_refused(tmp_path, capsys):
    path = tmp_path / "file.npz"
    arrays = write_as("s4", path)
    del arrays["noise/cell1/edge05_node2_from0/op0_noise"]
    np.savez(path, **arrays)
    assert parity.main([str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and str(path) in error and "\n" not in error
    assert "noise/cell1/edge05_node2_from0/op0_noise" in error
