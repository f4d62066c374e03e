"""Files are whole on disk before they get their name; what is cut back or pruned is no more than asked."""

import os

import numpy as np
import pytest

from rdarts_tf.runs import files
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.run_dir import RunDir


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    run.create()
    return run


def test_a_file_is_on_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    path, seen = tmp_path / "file", []
    path.write_text("old")
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        seen.append(("fsync", os.fstat(descriptor).st_size, path.read_text()))
        sync(descriptor)

    def move(source, target):
        seen.append(("replace", source.read_text(), path.read_text()))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", move)
    files.write(path, lambda file: file.write(b"newer"))
    assert seen[:2] == [("fsync", 5, "old"), ("replace", "newer", "old")]
    assert path.read_text() == "newer"


def save(run, *positions):
    for epoch, step in positions:
        run.save_checkpoint({"w": np.zeros(1)}, epoch=epoch, step=step)


def positions(run):
    return [position for position, _ in run.list_checkpoints()]


def test_pruning_leaves_as_many_as_are_to_be_kept(run):
    save(run, *((epoch, 0) for epoch in range(1, 6)))
    run.prune_checkpoints(keep=2, oldest_needed=5)
    assert positions(run) == [(5, 0), (4, 0)]


def test_of_an_epoch_that_is_needed_its_end_is_kept_not_its_middle(run):
    save(run, (3, 0), (3, 5), (4, 0))
    run.prune_checkpoints(keep=1, oldest_needed=3)
    assert positions(run) == [(4, 0), (3, 0)]


def test_the_checkpoint_that_a_rollback_returns_to_stays(run):
    assert run.num_epochs_begun() == 0
    save(run, (1, 0), (2, 0), (2, 5))
    assert run.num_epochs_begun() == 3
    run.delete_checkpoints_after(2)
    assert positions(run) == [(2, 0), (1, 0)] and run.num_epochs_begun() == 2


def test_alphas_stand_in_the_order_of_the_epochs(run):
    book = Logbook(run, "")
    for epoch in range(3):
        book.add({"epoch": epoch}, {"normal": np.full((2, 2), float(epoch))})
    book.cut(2)
    book.write()
    assert run.read_alphas()["normal"][:, 0, 0].tolist() == [0, 1]


def test_hessians_are_cut_back_to_the_checkpoint(run):
    for epoch in range(4):
        run.save_hessian(epoch, {"lambda_max": 1.0, "hessian": None})
    run.forget_hessians(2)
    assert sorted(p.name for p in run.hessians.iterdir()) == ["epoch_0000.npz", "epoch_0001.npz"]
    assert files.load_npz(run.hessians / "epoch_0001.npz").keys() == {"lambda_max"}
