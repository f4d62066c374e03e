"""The authors' numbers, in float64; `python tests/parity.py FILE` prints them for any such file."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests import parity, parity_derived, parity_search
from tests.parity_supernet import TYPES, Fixture

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
S1, S2 = (DATA / f"supernet_{space}.npz" for space in ("s1", "s2"))


@pytest.fixture(
    scope="module", params=[S1, pytest.param(S2, marks=pytest.mark.slow)], ids=["s1", "s2"]
)
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
    rows = parity.compared(fixture, group)
    return {name for name, error, tolerance in rows if not error <= tolerance}


def test_one_wrong_weight_is_noticed():
    fixture = Fixture(S1)
    kernel = fixture.w[7].numpy()
    kernel.flat[3] *= 1 + 1e-6
    fixture.w[7] = tf.constant(kernel)
    assert {"logits_train", "logits_valid", "loss_train"} <= failures(
        parity_search.forward, fixture
    )


def test_a_wrong_momentum_is_noticed_in_the_virtual_step_only():
    fixture = Fixture(S1)
    fixture.meta["sgd_momentum"] = 0.9 + 1e-6
    assert failures(parity_search.gradients, fixture) == {"unrolled"}


def test_exact_and_finite_difference_are_told_apart():
    fixture = Fixture(S1)
    for cell_type in TYPES:
        exact = fixture.arrays[f"second_order/grad_exact/{cell_type}"]
        fixture.arrays[f"second_order/grad_fd/{cell_type}"] = exact
    assert failures(parity_search.second_order, fixture) == {"grad_fd"}


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


# Files of which a part is gone.
INPUTS = ("meta", "param/", "bn_moving/", "alpha/", "momentum/", "data/")


def part_of(path, target, *names, inputs=INPUTS, **changes):
    """Writes those arrays of a file whose names start with one of `inputs` and `names`."""
    arrays = {k: v for k, v in np.load(path).items() if k.startswith((*inputs, *names))}
    np.savez(target, **(arrays | changes))
    return target


def report(path, capsys):
    """(exit code, names of the quantities, last line)."""
    code = parity.main([str(path)])
    _, *lines = capsys.readouterr().out.splitlines()
    return code, [line.split()[0] for line in lines[:-1]], lines[-1].strip()


KEPT = ("logits_train", "activation_train/cell1", "logits_valid_evalmode", "genotype_draws/")
COMPARED = ["logits_train", "activation_train", "logits_valid_evalmode", "genotype_draws"]


def test_what_is_there_is_compared_and_the_rest_counted(tmp_path, capsys):
    path = part_of(S1, tmp_path / "file.npz", *KEPT)
    assert report(path, capsys) == (0, COMPARED, "40 absent")
    wrong = {"activation_train/cell1": np.load(S1)["activation_train/cell1"] * 1.001}
    part_of(S1, path, *KEPT, **wrong)
    assert report(path, capsys) == (1, COMPARED, "40 absent")


def test_without_an_input_only_what_follows_from_it_is_absent(tmp_path, capsys):
    inputs = ("meta", "param/", "alpha/", "data/train")
    path = part_of(S1, tmp_path / "file.npz", *KEPT, "grad_train", "unrolled", inputs=inputs)
    names = ["logits_train", "activation_train", "grad_train", "grad_train_alpha"]
    expected = [*names, "grad_train_norm", "genotype_draws"]
    assert report(path, capsys) == (0, expected, "38 absent")


def test_without_alpha_the_drawn_genotypes_are_compared(tmp_path, capsys):
    path = part_of(S1, tmp_path / "file.npz", *KEPT, inputs=("meta", "param/"))
    assert report(path, capsys) == (0, ["genotype_draws"], "43 absent")


def test_without_the_virtual_weights_our_own_take_their_place(tmp_path, capsys):
    path = part_of(S1, tmp_path / "file.npz", "second_order/dalpha_direct")
    assert report(path, capsys) == (0, ["dalpha_direct"], "43 absent")


@pytest.mark.parametrize("factor, code", [(1, 0), (1.001, 1)])
def test_a_part_of_a_derived_network(factor, code, tmp_path, capsys):
    name = "train/grad/classifier/weight"
    changes = {name: np.load(EVALNET)[name] * factor}
    path = part_of(EVALNET, tmp_path / "file.npz", "train/loss_aux", **changes)
    names = ["train/loss_aux", "train/grad", "params_total", "params_without_auxiliary"]
    assert report(path, capsys) == (code, names, "10 absent")


# The command.
def test_main_reports_what_is_out_of_tolerance(tmp_path, monkeypatch, capsys):
    arrays = dict(np.load(S1))
    arrays["logits_valid"][2, 3] += 1e-9
    np.savez(tmp_path / "file.npz", **arrays)
    monkeypatch.setattr(parity_search, "GROUPS", (parity_search.forward,))
    assert parity.main([str(S1)]) == 0
    capsys.readouterr()
    assert parity.main([str(tmp_path / "file.npz")]) == 1
    failed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "FAIL" in line]
    assert failed == ["logits_valid"]


def with_an_unknown_weight(path):
    np.savez(path, **np.load(S1), **{"param/cell0/unknown/kernel": np.zeros(3)})


def with_nothing_to_compare(path):
    part_of(S1, path)


def without_meta(path):
    part_of(S1, path, *KEPT, inputs=INPUTS[1:])


def without_weights(path):
    part_of(S1, path, *KEPT, inputs=("meta", "alpha/", "data/"))


@pytest.mark.parametrize(
    "spoil, names",
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("no archive"), ""),
        (lambda path: np.savez(path, a=1), "meta"),
        (with_an_unknown_weight, "cell0/unknown/kernel"),
        (with_nothing_to_compare, "nothing to compare"),
        (without_meta, "meta"),
        (without_weights, "weights"),
    ],
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
