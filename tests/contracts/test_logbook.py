"""Where records no longer agree with the checkpoint, the checkpoint counts: to the same bits, and it is told."""

import io
import json
import shutil

import numpy as np
import pytest

from rdarts_tf import registry
from rdarts_tf.engine import epochs
from rdarts_tf.errors import UserError
from rdarts_tf.runs.files import load_npz
from rdarts_tf.runs.run_dir import RunDir
from tests import scripted_steps
from tests.contracts.test_crash_points import contents
from tests.scripted_steps import ADA, TOY

FLAGS = (*TOY, f"--method={ADA}", "--epochs=6", "--keep_checkpoints=0")


@pytest.fixture(scope="module", autouse=True)
def _scripted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_TRUSTED", set())
        scripted_steps.replace_steps(patch)
        yield


@pytest.fixture(scope="module")
def runs(_scripted, tmp_path_factory):
    """A folder with a run from begin to end, "whole", and one that was killed after epoch 3, "killed"."""
    folder = tmp_path_factory.mktemp("runs")
    assert search(folder / "whole") == 0
    train = epochs.EpochRun._train_blocks

    def train_blocks(self, block):
        if self.epoch == 4:
            raise epochs.Interrupted("killed", 137)
        return train(self, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs.EpochRun, "_train_blocks", train_blocks)
        assert search(folder / "killed") == 137
    return folder


@pytest.fixture
def killed(runs, tmp_path):
    return shutil.copytree(runs / "killed", tmp_path / "run")


def search(path, *flags):
    return scripted_steps.call("search", *FLAGS, f"--run_dir={path}", *flags)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def last_line_changed(content):
    *lines, last = content.splitlines(keepends=True)
    row = json.loads(last) | {"curvature/lambda_max": 1e9}
    return b"".join([*lines, json.dumps(row).encode() + b"\n"])


ROWS = {
    "cut": lambda content: b"".join(content.splitlines(keepends=True)[:2]),
    "torn": lambda content: content[:-40],
    "doubled": lambda content: content + content.splitlines(keepends=True)[-1],
    "twice": lambda content: content + content,
    "another's": last_line_changed,
    "no object": lambda content: b"[1]\n" * 4,
    "NULs": lambda content: content + b"\0" * 100,
    "blank": lambda content: b"\n\n",
    "mark": lambda content: b"\xef\xbb\xbf" + content,
    "garbage": lambda content: b"\xff{",
}
ALPHAS = {
    "cut": lambda content: npz(toy=load_npz(io.BytesIO(content))["toy"][:2]),
    "other cell": lambda content: npz(normal=np.zeros((4, 1, 2))),
    "no array": lambda content: b"PK\x03\x04 not really",
    "a scalar": lambda content: npz(toy=1.0),
    "no archive": lambda content: b"\x93NUMPY",
    "changed": lambda content: npz(toy=load_npz(io.BytesIO(content))["toy"] + 1),
}
DECISIONS = {
    "cut": lambda content: b"[]",
    "one": lambda content: json.dumps(json.loads(content)[:1]).encode(),
    "no fields": lambda content: b"[{}, {}]",
    "a number": lambda content: b"3",
    "another's": lambda content: content.replace(b'"epoch": 1', b'"epoch": 0'),
}
CHANGES = [
    (name, told, change)
    for name, changes in (
        ("metrics.jsonl", ROWS),
        ("alphas.npz", ALPHAS),
        ("decisions.json", DECISIONS),
    )
    for told, change in (("removed", None), *changes.items())
]


@pytest.mark.parametrize(("name", "told", "change"), CHANGES)
def test_a_changed_record_is_written_anew(runs, killed, capsys, name, told, change):
    assert len(RunDir(killed).read_decisions()) == 2
    content = (killed / name).read_bytes()
    (killed / name).unlink()
    if change:
        (killed / name).write_bytes(change(content))
    assert search(killed) == 0
    out, whole = capsys.readouterr().out, contents(runs / "whole")
    assert contents(killed) == whole
    assert (f"{name} is written anew from epoch_0004" in out) == (told != "mark")


def test_records_that_agree_are_not_told_of(runs, killed, capsys):
    assert search(killed) == 0
    assert "written anew" not in capsys.readouterr().out
    assert contents(killed) == contents(runs / "whole")


def test_a_directory_or_a_link_to_nothing_in_place_of_a_record_is_one_sentence(killed):
    (killed / "metrics.jsonl").unlink()
    (killed / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*metrics\.jsonl: Is a directory"):
        search(killed)


def without_records(killed):
    """As an earlier version has left it."""
    for path in (killed / "checkpoints").iterdir():
        arrays = load_npz(path)
        np.savez(path, **arrays)


def test_an_earlier_run_needs_its_records(runs, killed):
    without_records(killed)
    rows = (killed / "metrics.jsonl").read_bytes()
    (killed / "metrics.jsonl").write_bytes(ROWS["cut"](rows))
    with pytest.raises(UserError, match=r"metrics\.jsonl holds 2 epochs, .* that after 4"):
        search(killed)
    (killed / "metrics.jsonl").write_bytes(ROWS["twice"](rows))
    with pytest.raises(UserError, match="line 5 is of epoch 0"):
        search(killed)
    (killed / "metrics.jsonl").write_bytes(rows + b"{torn")
    assert search(killed) == 0
    assert contents(killed) == contents(runs / "whole")


def test_a_checkpoint_that_is_not_finite_is_not_taken_up(runs, killed, capsys):
    path = killed / "checkpoints/epoch_0004_step_000000.npz"
    np.savez(path, **load_npz(path) | {"weights/w": np.float64("nan")})
    assert search(killed) == 0
    assert "weights/w holds numbers that are not finite" in capsys.readouterr().out
    assert contents(killed) == contents(runs / "whole")


def test_ada_deletes_nothing_before_it_has_read_where_it_returns_to(killed, tmp_path, monkeypatch):
    load = RunDir.load

    def damaged(path):
        if path.name == "epoch_0002_step_000000.npz":
            path.write_bytes(b"damaged")
        return load(path)

    monkeypatch.setattr(RunDir, "load", staticmethod(damaged))
    with pytest.raises(UserError, match="epoch_0002_step_000000.npz is damaged"):
        search(tmp_path / "new")
    names = sorted(path.name[:10] for path in (tmp_path / "new/checkpoints").iterdir())
    assert names == ["epoch_0001", "epoch_0002", "epoch_0003"]


@pytest.mark.parametrize("change", ["removed", "damaged", "older"])
def test_an_evaluation_needs_the_state_that_scored_best(killed, tmp_path, change):
    flags = ("evaluate", f"--run_dir={tmp_path / 'e'}", *TOY, "--epochs=4", "--seeds=1")
    flags += ("--genotype=Genotype(toy=[('on', 0)], toy_concat=[1])",)
    assert scripted_steps.call(*flags) == 0
    seed = tmp_path / "e/evaluate/tests.toy_task/seed_1"
    best, before = seed / "best.npz", load_npz(seed / "best.npz")
    (seed / "result.json").unlink()
    best.unlink()
    if change != "removed":
        np.savez(best, **before | {"best_epoch": np.int64(0)})
    if change == "damaged":
        best.write_bytes(best.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"best\.npz is (missing or not that of epoch 1|damaged)"):
        scripted_steps.call(*flags)
