"""A disk that is full or read-only, and a run directory that is gone, end a command by one sentence and code 1."""

import errno
import os
import random
import shutil

import pytest
import tensorflow as tf

from rdarts_tf import export, registry
from rdarts_tf.engine import exporting, summaries
from rdarts_tf.errors import UserError
from rdarts_tf.runs import executor, files
from rdarts_tf.runs.files import NotWritten
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification.options import ExportConfig
from tests import scripted_steps
from tests.contracts.test_crash_points import again, call, contents, run_whole
from tests.killed_disk import Disk

TELL = r"cannot write .*: (No space left on device|Read-only file system); make room or .* again"
KINDS = {"full": errno.ENOSPC, "read-only": errno.EROFS}
# The first operations make the directory; what cannot be begun is bad input.
BEGUN = 3
SAMPLE = 2


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", set())
    scripted_steps.replace_steps(monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["darts_ada", "evaluate"])
def test_what_was_begun_ends_with_code_1_and_goes_on(name, kind, tmp_path, monkeypatch, scripted):
    last, number = run_whole(name, tmp_path, monkeypatch)
    for at in random.Random(2).sample(range(BEGUN, number), SAMPLE):
        folder = tmp_path / str(at)
        shutil.copytree(tmp_path / "before", folder)
        error = OSError(KINDS[kind], os.strerror(KINDS[kind]))
        with monkeypatch.context() as patch:
            Disk(patch, folder, at=at, error=error)
            with pytest.raises(NotWritten, match=TELL) as told:
                call(last, folder)
        assert told.value.exit_code == 1
        assert call(again(last, folder), folder) == 0, f"operation {at} failed"
        assert contents(folder) == contents(tmp_path / "whole"), f"operation {at} failed"


def test_a_directory_that_was_deleted_is_not_made_anew(tmp_path, monkeypatch):
    """No lock would keep others out of it."""
    run = RunDir(tmp_path / "run")
    run.create()
    shutil.rmtree(run.path)
    acts = (
        lambda: run.write_json("x.json", {}),
        lambda: run.save_checkpoint({}, epoch=1),
        lambda: run.save_hessian(0, {}),
    )
    for act in acts:
        with pytest.raises(NotWritten, match="No such file or directory; make room"):
            act()
    assert not run.path.exists()
    (tmp_path / "other").mkdir()  # so that the new one has another number
    run.path.mkdir()
    for act in acts:
        with pytest.raises(NotWritten, match="another directory than it was; make room"):
            act()
    assert not any(run.path.iterdir())


def test_tensorboard_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(NotWritten, match="cannot write .*tensorboard: .*; make room") as told:
        summaries.of(RunDir(tmp_path), ("x",))
    assert len(str(told.value).splitlines()) == 1


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "log.txt").mkdir()
    task = executor.Task("x", (), tmp_path)
    with pytest.raises(NotWritten, match=r"cannot write .*log\.txt: Is a directory; make room"):
        executor.run_task(task)


ERRNOS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "of another user": errno.EACCES}


@pytest.mark.parametrize("kind", ERRNOS)
@pytest.mark.parametrize("format", ["png", "savedmodel"])
def test_what_is_exported_or_reported_is_one_sentence(format, kind, tmp_path, monkeypatch):
    """From where the operating system names no file, too."""

    def refuse(*args, **kwargs):
        raise OSError(ERRNOS[kind], os.strerror(ERRNOS[kind]))

    monkeypatch.setattr(files, "write", refuse)
    monkeypatch.setattr(exporting, "export_cell", refuse)
    out = tmp_path / "out"
    config = ExportConfig(genotype="DARTS_V2", what="cell", format=format, out=str(out))
    with pytest.raises(
        UserError, match=rf"cannot write .*{out}: {os.strerror(ERRNOS[kind])}; .*--out"
    ) as told:
        export.main(config, run_dir=None, overwrite=False)
    assert told.value.exit_code == (2 if kind == "of another user" else 1)
    assert isinstance(told.value, NotWritten) == (told.value.exit_code == 1)


def test_a_savedmodel_without_room_is_one_sentence(tmp_path):
    class Full:
        def write_out(self, path, verbose):
            raise tf.errors.ResourceExhaustedError(None, None, f"{path}; No space left\nat: here")

    with pytest.raises(NotWritten, match="cannot write m: .*m; No space left; make room .*--out"):
        exporting._write_out(Full(), tmp_path / "m")
