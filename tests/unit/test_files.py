"""Files are whole on disk before they get their name; what is cut back or pruned is no more than asked."""

import os

import numpy as np
import pytest

from rdarts_tf.runs import files
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


def test_pruning_leaves_as_many_as_are_to_be_kept(run):
    for epoch in range(1, 6):
        run.save_checkpoint({"w": np.zeros(1)}, epoch=epoch)
    run.prune_checkpoints(keep=2, oldest_needed=5)
    assert [position for position, _ in run.list_checkpoints()] == [(5, 0), (4, 0)]


def test_alphas_stand_in_the_order_of_the_epochs(run):
    for epoch in range(3):
        run.append_alphas({"normal": np.full((2, 2), epoch)})
    run.truncate(2)
    assert run.read_alphas()["normal"][:, 0, 0].tolist() == [0, 1]


def test_hessians_are_cut_back_to_the_checkpoint(run):
    for epoch in range(4):
        run.save_hessian(epoch, {"lambda_max": 1.0, "hessian": None})
    run.truncate(2)
    assert sorted(p.name for p in run.hessians.iterdir()) == ["epoch_0000.npz", "epoch_0001.npz"]
    assert files.load_npz(run.hessians / "epoch_0001.npz").keys() == {"lambda_max"}
