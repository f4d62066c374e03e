"""Smaller spaces of what a search found strong: the rule, and the command on recorded runs."""

import dataclasses
import json
import shlex

import numpy as np
import pytest

from rdarts_tf import shrink
from rdarts_tf.analysis import shrinking
from rdarts_tf.config import spaces
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.spaces import darts, rnn, s1, s6
from rdarts_tf.spaces.base import CellSpace, Space
from tests import in_process
from tests.recorded_runs import write_json, write_run, write_selection

ROWS = (("none", "a", "b", "c"), ("d", "none", "none", "none"))


def of_rows(rows):
    return Space("a.b", {"cell": CellSpace(rows, 1)})


def test_the_strongest_stay_in_their_order_and_none_goes_first():
    weights = {"cell": np.array([[0.9, 0.04, 0.02, 0.04], [0.1, 0.4, 0.2, 0.3]])}
    found = shrinking.shrink(of_rows(ROWS), weights, 2)
    assert found == dataclasses.replace(of_rows((("a", "c"), ("d", "none"))), name="a_b_keep2")
    equal = {"cell": np.full((2, 4), 0.25)}
    assert shrinking.shrink(of_rows(ROWS), equal, 1).primitives == {"cell": (("a",), ("d",))}


def test_s1_comes_from_the_full_space_in_two_rounds():
    """Weights by which S1's two are the strongest, two more next, and `none` above all."""
    space = darts.SPACE
    for keep in (4, 2):
        weights = {
            t: np.array(
                [
                    [
                        2.0 if n == "none" else float(n in s1.SPACE.cell(t).primitives[e])
                        for n in names
                    ]
                    for e, names in enumerate(cell.primitives)
                ]
            )
            for t, cell in space.cells.items()
        }
        space = shrinking.shrink(space, weights, keep)
    assert space.primitives == s1.SPACE.primitives and space.name == "darts_keep4_keep2"


@pytest.mark.parametrize("keep", [0, -1, 8, 100])
def test_a_number_out_of_range_is_refused(keep):
    with pytest.raises(UserError, match=f"--keep={keep} must be from 1 to 7: .* 8 primitives"):
        shrinking.shrink(darts.SPACE, {}, keep)


@pytest.fixture
def command(monkeypatch, capsys):
    return lambda *flags: in_process.run(monkeypatch, capsys, shrink, *flags)


def record(path, space, alphas, **given):
    """A finished run with these alphas, {cell type: [epochs, E, K]}."""
    cells = {t: np.zeros(c.alpha_shape) for t, c in space.cells.items()}
    found = json.loads(rule.derive(space, cells).to_json())
    write_run(path, space=space.name, searched=space, genotype=found, **given)
    np.savez(path / "alphas.npz", **alphas)
    return path


def drawn(space, epochs=3, seed=0):
    rng = np.random.default_rng(seed)
    return {t: rng.normal(size=(epochs, *c.alpha_shape)) for t, c in space.cells.items()}


def strongest(names, alpha, keep):
    """By hand: the names of the largest alphas but that of none."""
    named = sorted(
        (value, name) for value, name in zip(alpha, names, strict=True) if name != "none"
    )
    return {name for _, name in named[-keep:]}


@pytest.mark.parametrize("space, dataset", [(rnn.SPACE, "words"), (s6.SPACE, "pairs")])
def test_spaces_of_other_tasks_shrink(command, tmp_path, space, dataset):
    alphas = drawn(space)
    validated = {"validation/perplexity": 9.0, "validation/epe": 1.0}
    run = record(tmp_path / "run", space, alphas, dataset=dataset, validated=validated)
    code, out, err = command(run, "--keep=2")
    assert code == 0, err
    words = shlex.split(out.splitlines()[-1])
    assert words[:4] == ["next:", "python", "-m", "rdarts_tf.search"]
    assert words[5:] == [f"--dataset={dataset}"]
    found = spaces.make(words[4].removeprefix("--space="))
    assert found.task == space.task and found.name == f"{space.name}_keep2"
    for t, cell in found.cells.items():
        assert dataclasses.replace(cell, primitives=space.cell(t).primitives) == space.cell(t)
        for row, before, alpha in zip(
            cell.primitives, space.cell(t).primitives, alphas[t][-1], strict=True
        ):
            assert set(row) == strongest(before, alpha, 2)
    pictures = {path.name for path in (run / "shrink").glob("*.png")}
    assert pictures == {f"{found.name}_{t}.png" for t in space.cells}


def test_the_alphas_are_those_of_the_result(command, tmp_path):
    """The epoch at which a search stopped; of a selection, the winner."""
    alphas = drawn(s1.SPACE)
    run = record(tmp_path / "run", s1.SPACE, alphas)
    write_json(run / "decisions.json", [{"decision": "stop", "epoch": 1}])
    assert command(run, "--keep=1", f"--out={tmp_path / 'here.json'}")[0] == 0
    found = spaces.make(f"space_file({tmp_path / 'here.json'})")
    names, alpha = s1.SPACE.cell("normal").primitives, alphas["normal"][1]
    expected = [strongest(row, a, 1) for row, a in zip(names, alpha, strict=True)]
    assert [set(row) for row in found.cell("normal").primitives] == expected
    selection = write_selection(tmp_path / "selection")
    np.savez(selection / "runs/l2_0.0009/alphas.npz", **{t: a[1:] for t, a in alphas.items()})
    np.savez(selection / "runs/l2_0.0003/alphas.npz", **{t: -a[1:] for t, a in alphas.items()})
    assert command(selection, "--keep=1")[0] == 0
    found = spaces.make(f"space_file({selection / 'shrink/s1_keep1.json'})")
    last = [strongest(row, a, 1) for row, a in zip(names, alphas["normal"][2], strict=True)]
    assert [set(row) for row in found.cell("normal").primitives] == last


def test_what_cannot_be_shrunk_is_one_sentence_and_nothing_is_written(command, tmp_path):
    run = record(tmp_path / "run", s1.SPACE, drawn(s1.SPACE))
    files = sorted(tmp_path.rglob("*"))

    def refused(words, *flags):
        code, out, err = command(*flags)
        assert code == 2 and not out and words in err and err.count("\n") == 1, err
        assert sorted(tmp_path.rglob("*")) == files

    refused("give the directory of one search, not 0")
    refused("not 2", run, run, "--keep=1")
    refused("give --keep", run)
    refused("--keep=2 must be from 1 to 1", run, "--keep=2")
    refused("is no run directory", tmp_path, "--keep=1")
    refused("cannot write to", run, "--keep=1", f"--out={run / 'config.json/x.json'}")
    refused("config.json exists", run, "--keep=1", f"--out={run / 'config.json'}")
    np.savez(run / "alphas.npz", **{t: a[:1] for t, a in drawn(s1.SPACE).items()})
    refused("alphas.npz is damaged", run, "--keep=1")
    np.savez(run / "alphas.npz", **{t: a + np.nan for t, a in drawn(s1.SPACE).items()})
    refused("not finite", run, "--keep=1")
    (run / "alphas.npz").unlink()
    files.remove(run / "alphas.npz")
    refused("has no alphas", run, "--keep=1")
    (run / "genotype.json").unlink()
    files.remove(run / "genotype.json")
    refused("is not finished; go on with it by python -m rdarts_tf.search", run, "--keep=1")
