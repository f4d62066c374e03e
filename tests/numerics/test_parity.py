"""The authors' numbers, in float64; `python tests/parity.py FILE` prints them for any such file."""

import pathlib

import pytest

from tests import parity

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


@pytest.mark.parametrize("space", ["s1", "s2"])
def test_equals_the_authors_implementation(space):
    rows = parity.check(DATA / f"supernet_{space}.npz")
    assert len(rows) >= 30
    assert not [row for row in rows if not row[1] <= row[2]]


def test_a_wrong_weight_is_noticed():
    fixture = parity.Fixture(DATA / "supernet_s1.npz")
    fixture.w[0] += 1e-6
    errors = {name: error for name, error, tolerance in parity._forward(fixture)}
    assert errors["logits_train"] > 1e-9


def test_noise_operations_return_the_tensors_of_the_file(tmp_path):
    """An s4-like file of our own making: only the keys and the layout are under test."""
    import json

    import numpy as np

    from rdarts_tf.layers.primitives import Noise
    from rdarts_tf.spaces.base import edges
    from rdarts_tf.spaces.s4 import SPACE

    arrays = dict(np.load(DATA / "supernet_s2.npz"))
    meta = json.loads(str(arrays["meta"]))
    for cell_type in ("normal", "reduce"):
        meta[f"primitives_{cell_type}"] = SPACE.primitives[cell_type]
    arrays = {k.replace("op1_sep", "op1_sep"): v for k, v in arrays.items() if "op0" not in k}
    arrays["meta"] = json.dumps(meta)
    rng = np.random.default_rng(0)
    sides = {0: 16, 1: 8, 2: 4}
    for cell in range(meta["layers"]):
        for e, (node, state) in enumerate(edges(4)):
            channels = meta["C"] * 2**cell
            shape = (meta["batch"], channels, sides[cell], sides[cell])
            key = f"noise/cell{cell}/edge{e:02d}_node{node}_from{state}/op0_noise"
            arrays[key] = rng.normal(size=shape).astype(np.float32)
    path = tmp_path / "s4.npz"
    np.savez(path, **arrays)
    fixture = parity.Fixture(path)
    images = fixture.batch("train")[0]
    first, second = (fixture.forward(fixture.w, fixture.alpha, images)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    op = fixture.net.cells[1].mixed_ops[5].ops[0]
    assert isinstance(op, Noise)
    key = "noise/cell1/edge05_node2_from0/op0_noise"
    expected = 0.5 * arrays[key].transpose(0, 2, 3, 1).astype(np.float64)
    np.testing.assert_array_equal(op(np.zeros((6, 16, 16, 8)), scale=0.5), expected)
