"""Files are whole or absent, checkpoints are pruned and fall back, configurations round-trip."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from rdarts_tf.config import base as config_base
from rdarts_tf.datasets import digits
from rdarts_tf.engine import weight_steps
from rdarts_tf.errors import UserError
from rdarts_tf.runs import locking
from rdarts_tf.runs.files import RunDirError, save_npz
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    run.create()
    return run


def arrays(value):
    return {"weights/a": np.full(3, value), "alpha": np.eye(2) * value}


def test_the_newest_readable_checkpoint_wins_and_damaged_ones_are_named(run):
    for epoch, step in ((1, 0), (2, 0), (2, 7)):
        run.save_checkpoint(arrays(10 * epoch + step), epoch=epoch, step=step)
    assert run.load_newest_checkpoint(print)[0] == (2, 7)
    newest = run.list_checkpoints()[0][1]
    content = bytearray(newest.read_bytes())
    content[content.index(np.full(3, 27).tobytes())] ^= 1  # only the checksum tells
    newest.write_bytes(bytes(content))
    second = run.list_checkpoints()[1][1]
    second.write_bytes(second.read_bytes()[:100])
    warnings = []
    position, found = run.load_newest_checkpoint(warnings.append)
    assert position == (1, 0)
    np.testing.assert_array_equal(found["weights/a"], [10, 10, 10])
    assert [newest.name in warnings[0], second.name in warnings[1]] == [True, True]


def test_damaged_records_in_a_checkpoint_damage_it(run):
    for epoch in (1, 2):
        run.save_checkpoint(
            arrays(epoch), epoch=epoch, step=0, beside={"metrics.jsonl": b"a row of it"}
        )
    newest = run.checkpoint(2)
    content = newest.read_bytes()
    newest.write_bytes(content.replace(b"a row of it", b"a row of IT"))
    said = []
    (position, _) = run.load_newest_checkpoint(said.append)
    assert position == (1, 0)
    assert len(said) == 1 and f"checkpoint {newest} is left out" in said[0]


def test_a_write_that_fails_leaves_the_old_file(run, monkeypatch):
    run.save_checkpoint(arrays(1), epoch=1)

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(UserError, match="cannot write .*disk full; make room"):
        run.save_checkpoint(arrays(2), epoch=1)
    assert [p.name for p in run.checkpoints.iterdir()] == ["epoch_0001_step_000000.npz"]
    assert run.load_newest_checkpoint(print)[1]["weights/a"][0] == 1


def test_pruning_keeps_the_newest_and_what_a_method_needs(run):
    for epoch in range(1, 6):
        run.save_checkpoint(arrays(epoch), epoch=epoch)
    run.save_checkpoint(arrays(9), epoch=2, step=5)
    run.prune_checkpoints(keep=2, oldest_needed=3)
    assert [position for position, _ in run.list_checkpoints()] == [(5, 0), (4, 0), (3, 0)]
    run.prune_checkpoints(keep=0, oldest_needed=5)
    assert len(run.list_checkpoints()) == 3


SEARCH = {"space": "s1", "method": "darts"}


def test_clearing_leaves_files_that_are_not_the_searchs(run):
    run.write_json("config.json", SEARCH)
    run.save_checkpoint(arrays(1), epoch=1)
    run.save_selection(0, {"scored": []})
    mine = (".mine.tmp", "genotype_notes.md", "notes.md", "seed_1/result.json")
    (run.path / "seed_1").mkdir()
    for name in (*mine, "selections/epoch_best.json"):
        run.write_text(name, "mine")
    (run.path / ".config.json.1.tmp").write_text("left by a killed process")
    run.create()
    run.clear("search")
    left = [*mine[:1], "checkpoints", *mine[1:3], "seed_1", "selections"]
    assert sorted(p.name for p in run.path.iterdir()) == left
    assert [p.name for p in run.selections.iterdir()] == ["epoch_best.json"]
    assert run.list_checkpoints() == [] and (run.path / mine[-1]).exists()


def test_clearing_an_evaluation_forgets_its_seeds(run):
    run.write_json("config.json", {"genotype": "", "split": "test"})
    seed = RunDir(run.path / "seed_3")
    seed.create()
    seed.save_checkpoint(arrays(1), epoch=1)
    run.clear("evaluation")
    assert not [path for path in run.path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", ['{"mine": 1}', "[1]", "{", '{"genotype": "", "split": ""}'])
def test_files_of_others_are_not_cleared_and_not_replaced(run, content):
    run.write_text("config.json", content)
    for act in (run.check_ours, run.clear):
        with pytest.raises(UserError, match=r"config\.json would be replaced.*no search"):
            act("search")
    (run.path / "config.json").unlink()
    run.write_text("metrics.jsonl", "")  # what a process killed early leaves
    run.check_ours("search")
    run.write_text("metrics.jsonl", "mine")
    with pytest.raises(UserError, match=r"metrics\.jsonl would be replaced"):
        run.check_ours("search", overwrite=True)


def test_a_damaged_search_is_known_by_its_flags(run):
    run.write_text("config.json", "{")
    run.write_text("flags.cfg", "--space=s1\n--method=darts\n")
    run.clear("search")
    assert not (run.path / "config.json").exists()


def test_clearing_follows_no_links(run, tmp_path):
    run.write_json("config.json", SEARCH)
    run.save_checkpoint(arrays(1), epoch=1)
    run.checkpoints.rename(tmp_path / "elsewhere")
    run.checkpoints.symlink_to(tmp_path / "elsewhere")
    run.check_ours("search")
    link = RunDir(tmp_path / "link")
    link.path.symlink_to(run.path)
    for each in (run, link):
        with pytest.raises(UserError, match="is a link, which --overwrite does not follow"):
            each.clear("search")
    assert len(run.list_checkpoints()) == 1 and run.read_json("config.json") == SEARCH


def test_damaged_json_is_reported(run):
    run.write_text("config.json", "{")
    with pytest.raises(RunDirError, match=r"config\.json is damaged"):
        run.read_json("config.json")


@pytest.mark.parametrize("content", [b"\xff{", b"PK\x03\x04 not really"])
@pytest.mark.parametrize(
    "name, read",
    [
        ("metrics.jsonl", RunDir.read_metrics),
        ("alphas.npz", RunDir.read_alphas),
        ("genotype.json", lambda run: run.read_json("genotype.json")),
    ],
)
def test_a_damaged_file_is_named(run, name, read, content):
    (run.path / name).write_bytes(content)
    with pytest.raises(RunDirError, match=f"{name} is damaged.*--overwrite"):
        read(run)
    assert (run.path / name).read_bytes() == content


def test_without_any_readable_checkpoint_nothing_is_started_anew(run):
    run.save_checkpoint(arrays(1), epoch=1)
    path = run.list_checkpoints()[0][1]
    path.write_bytes(path.read_bytes()[:-50])
    warnings = []
    with pytest.raises(RunDirError, match="no checkpoint in .* can be read; restore one"):
        run.load_newest_checkpoint(warnings.append)
    assert len(warnings) == 1
    assert path.exists()


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_run_directory_that_is_a_file_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    blocked = RunDir(tmp_path / place)
    assert blocked.read_json("config.json") is None
    with pytest.raises(
        RunDirError, match="cannot write to run directory .*choose another --run_dir"
    ):
        blocked.create()
    assert (tmp_path / "file").read_text() == "mine"


def test_arrays_return_what_was_written(run):
    save_npz(run.path / "x.npz", arrays(3))
    assert RunDir(run.path).read_alphas() == {}


def test_only_settings_that_matter_distinguish_runs():
    settings = SearchConfig()
    recorded = dataclasses.asdict(dataclasses.replace(settings, seed=3, data_dir="/other"))
    assert config_base.differences(settings, recorded) == ["--seed=2 (the run has 3)"]


def test_run_directories_have_plain_names():
    settings = SearchConfig(dataset="tfds(mnist, size=32)", seed=1)
    assert settings.default_run_dir() == "runs/s1_tfds-mnist--size-32-_darts_s1"


def test_flag_files_leave_out_what_is_unset():
    text = config_base.to_flags(SearchConfig(sync_batch_norm=True))
    assert "--sync_batch_norm=true\n" in text
    assert "nodes" not in text


def test_xla_is_for_gpus_unless_told_otherwise():
    problem = task.Search(SearchConfig(space="s1"), digits.load())
    assert [problem.compiled(gpus=gpus) for gpus in (0, 1)] == [False, True]
    for jit_compile in ("true", "false"):
        told = SearchConfig(space="s1", jit_compile=jit_compile)
        assert weight_steps._compiles(problem, told) == (jit_compile == "true")


def test_two_processes_do_not_share_a_run_directory(run, monkeypatch):
    hold = "import sys; from rdarts_tf.runs import locking; locking.lock(sys.argv[1]); "
    process = subprocess.Popen(
        [sys.executable, "-c", hold + "print(1, flush=True); input()", str(run.path / "other")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"1\n"
    other = RunDir(run.path / "other")
    monkeypatch.setattr(locking, "_SECONDS", 0.5)
    for _ in range(2):
        with pytest.raises(
            RunDirError, match="another process works in .*/other; wait for its end"
        ):
            other.locked().__enter__()
    process.kill()
    process.communicate()
    with other.locked(), other.locked():  # this process may
        other.write_text("notes", "mine")
    assert not (run.path / "gone").exists()
    with RunDir(run.path / "gone").locked():
        assert (run.path / "gone").exists()
    assert not (run.path / "gone").exists()
