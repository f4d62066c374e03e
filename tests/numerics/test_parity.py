"""The authors' numbers, in float64; `python tests/parity.py FILE` prints them for any such file."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.spaces.base import edges
from tests import parity, parity_derived

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
S1, S2 = (DATA / f"supernet_{space}.npz" for space in ("s1", "s2"))


@pytest.fixture(scope="module", params=[S1, S2], ids=lambda path: path.stem)
def rows(request):
    return parity.check(request.param)


def test_equals_the_authors_implementation(rows):
    assert not [row for row in rows if not row[1] <= row[2]]


def test_compares_every_kind_of_quantity(rows):
    names = {quantity for quantity, _, _ in rows}
    assert len(names) == len(rows) == 44
    assert {"logits_train", "grad_exact", "grad_fd", "steps/alpha", "genotype_draws"} <= names
    loose = {"hvp_fd_r1e-7", "hessian/lambda_max_lanczos"}
    assert all(tolerance <= 1e-8 for name, _, tolerance in rows if name not in loose)


def failures(group, fixture):
    return {name for name, error, tolerance in group(fixture) if not error <= tolerance}


def test_one_wrong_weight_is_noticed():
    fixture = parity.Fixture(S1)
    kernel = fixture.w[7].numpy()
    kernel.flat[3] *= 1 + 1e-6
    fixture.w[7] = tf.constant(kernel)
    assert {"logits_train", "logits_valid", "loss_train"} <= failures(parity.forward, fixture)


def test_a_wrong_momentum_is_noticed_in_the_virtual_step_only():
    fixture = parity.Fixture(S1)
    fixture.meta["sgd_momentum"] = 0.9 + 1e-6
    assert failures(parity.gradients, fixture) == {"unrolled"}


def test_exact_and_finite_difference_are_told_apart():
    fixture = parity.Fixture(S1)
    for cell_type in parity.TYPES:
        exact = fixture.arrays[f"second_order/grad_exact/{cell_type}"]
        fixture.arrays[f"second_order/grad_fd/{cell_type}"] = exact
    assert failures(parity.second_order, fixture) == {"grad_fd"}


# Derived networks.
EVALNET = DATA / "evalnet_s1.npz"


def test_derived_network_equals_the_authors_implementation():
    rows = parity.check(EVALNET)
    assert not [row for row in rows if not row[1] <= row[2]]
    names = {quantity for quantity, _, _ in rows}
    assert len(names) == len(rows) == 14
    assert {"eval/logits_aux", "train/loss", "train/grad_norm", "train/bn_moving_after"} <= names


def test_one_wrong_weight_of_a_derived_network_is_noticed():
    fixture = parity_derived.Fixture(EVALNET)
    kernel = fixture.w[7].numpy()
    kernel.flat[3] *= 1 + 1e-6
    fixture.w[7] = tf.constant(kernel)
    assert {"eval/logits", "eval/activation"} <= failures(parity_derived.inference, fixture)


def test_noise_of_a_derived_network_comes_from_the_file(tmp_path):
    """Of cell 4 only the noise remains: node 0 sums two draws, the other nodes are zero."""
    arrays = dict(np.load(EVALNET))
    meta = json.loads(str(arrays["meta"]))
    normal = "('noise', 0), ('noise', 1)" + ", ('none', 0), ('none', 1)" * 3
    head, _, tail = meta["genotype"].partition("normal=[")
    meta["genotype"] = f"{head}normal=[{normal}{tail[tail.index(']') :]}"
    gone = ("cell0/node", "cell2/node", "cell4/node")
    arrays = {k: v for k, v in arrays.items() if not any(cell in k for cell in gone)}
    rng, noise = np.random.default_rng(0), {}
    for cell, channels, size in ((0, 4, 32), (2, 8, 16), (4, 16, 8)):
        for a in (0, 1):
            key = f"noise/cell{cell}/node0_in{a}_from{a}_noise"
            noise[key] = rng.normal(size=(4, channels, size, size)).astype(np.float32)
    arrays |= noise | {"meta": json.dumps(meta)}
    np.savez(tmp_path / "file.npz", **arrays)
    fixture = parity_derived.Fixture(tmp_path / "file.npz")
    draws = [noise[f"noise/cell4/node0_in{a}_from{a}_noise"].astype(np.float64) for a in (0, 1)]
    features = np.concatenate([sum(draws).mean((2, 3)), np.zeros((4, 48))], axis=1)
    logits = features @ arrays["param/classifier/weight"].T + arrays["param/classifier/bias"]
    for mode in (True, False):
        actual, _ = fixture.forward(fixture.w, training=mode)
        actual = actual[0] if mode else actual
        np.testing.assert_allclose(actual, logits, rtol=1e-13, atol=1e-13)  # rounding


# Files of our own making in the layout of S3 and S4; their weights come from S2.
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
    for cell_type in parity.TYPES:
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
    fixture = parity.Fixture(tmp_path / "s4.npz")
    for name in ("train", "valid"):  # both batches meet the same noise
        actual, _ = fixture.forward(fixture.w, fixture.alpha, fixture.batch(name)[0])
        np.testing.assert_allclose(actual, logits, rtol=1e-13, atol=1e-13)  # rounding


@pytest.mark.parametrize("space", ["s3", "s4"])
def test_gradient_of_alpha_is_the_slope_of_the_loss(space, tmp_path):
    write_as(space, tmp_path / "file.npz")
    f = parity.Fixture(tmp_path / "file.npz")
    loss = f.loss("valid")
    rng = np.random.default_rng(1)
    direction = [tf.constant(rng.normal(size=a.shape)) for a in f.alpha]
    _, _, gradient = parity._value_and_gradients(loss, f.w, f.alpha)
    slope = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
    at = [[a + h * d for a, d in zip(f.alpha, direction, strict=True)] for h in (1e-6, -1e-6)]
    numeric = (loss(f.w, at[0]) - loss(f.w, at[1])) / 2e-6
    # rounding 1e-16 / 1e-6, curvature 1e-12
    np.testing.assert_allclose(numeric, slope, rtol=1e-7, atol=1e-9)


# The command.
def test_main_reports_what_is_out_of_tolerance(tmp_path, monkeypatch, capsys):
    arrays = dict(np.load(S1))
    arrays["logits_valid"][2, 3] += 1e-9
    np.savez(tmp_path / "file.npz", **arrays)
    monkeypatch.setattr(parity, "GROUPS", (parity.forward,))
    assert parity.main([str(S1)]) == 0
    capsys.readouterr()
    assert parity.main([str(tmp_path / "file.npz")]) == 1
    failed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert failed == ["logits_valid"]


def without_noise(path):
    arrays = write_as("s4", path)
    del arrays["noise/cell1/edge05_node2_from0/op0_noise"]
    np.savez(path, **arrays)


def with_an_unknown_weight(path):
    np.savez(path, **np.load(S1), **{"param/cell0/unknown/kernel": np.zeros(3)})


@pytest.mark.parametrize(
    "spoil, names",
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("no archive"), ""),
        (lambda path: np.savez(path, a=1), "meta"),
        (without_noise, "noise/cell1/edge05_node2_from0/op0_noise"),
        (with_an_unknown_weight, "cell0/unknown/kernel"),
    ],
    ids=["missing", "no_archive", "no_meta", "no_noise", "unknown_weight"],
)
def test_main_refuses_an_unusable_file_in_one_sentence(spoil, names, tmp_path, capsys):
    path = tmp_path / "file.npz"
    spoil(path)
    assert parity.main([str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and str(path) in error and "\n" not in error
    assert names in error


def test_the_script_finds_the_package_without_installation(tmp_path):
    command = [sys.executable, str(DATA.parent / "parity.py"), "missing.npz"]
    result = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True)
    assert result.returncode == 2
    assert "missing.npz" in result.stderr
