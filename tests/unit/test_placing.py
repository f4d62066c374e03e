"""Nothing of the user's is lost where an export is put."""

import json
import pathlib

import pytest

from rdarts_tf.errors import UserError
from rdarts_tf.runs import placing


def exported(path, content="new"):
    """What a SavedModel of ours looks like."""
    for name in ("variables", "assets", "assets.extra"):
        (path / name).mkdir(parents=True)
    (path / "saved_model.pb").write_text(content)
    (path / "variables/variables.data-00000-of-00001").touch()
    (path / "assets.extra/metadata.json").write_text(json.dumps({"genotype": "..."}))
    return path


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "written"
    return exported(folder / "model")


def test_an_export_has_marks_and_nothing_else_in_it(written, tmp_path):
    assert placing.is_export(written)
    (written / "variables/notes.md").write_text("mine")
    assert not placing.is_export(written)
    (written / "variables/notes.md").unlink()
    (written / "data").symlink_to(tmp_path)
    assert not placing.is_export(written)
    (written / "data").unlink()
    for content in ("{}", "1", "{"):
        (written / "assets.extra/metadata.json").write_text(content)
        assert not placing.is_export(written)


def test_a_folder_receives_an_export_under_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert placing.target(pathlib.Path("."), "net.keras") == pathlib.Path("net.keras")
    assert placing.target(tmp_path / "new", "net") == tmp_path / "new"
    assert placing.target(exported(tmp_path / "old"), "net") == tmp_path / "old"


@pytest.mark.parametrize("kind", ["folder", "link", "dangling", "linked"])
def test_what_is_no_export_stays_in_spite_of_overwrite(written, tmp_path, kind):
    path, mine = tmp_path / "path", tmp_path / "mine"
    if kind == "linked":  # an export with a link in it
        (exported(path) / "assets/data").symlink_to(mine)
    elif kind == "folder":
        path.mkdir()
        (path / "notes.md").write_text("mine")
    else:
        path.symlink_to(mine)
    if kind == "link":
        mine.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="path is no file and no SavedModel.*choose another --out"):
        placing.move(written, path, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["file/x", "file/x/y", "new/.."])
def test_a_place_that_can_be_none_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="choose another --out"):
        placing.check(tmp_path / name, overwrite=True)
    assert files(tmp_path) == {"file"}


@pytest.mark.parametrize("former", ["file", "export", "link"])
def test_a_former_export_gives_way_by_overwrite(written, tmp_path, former):
    path = tmp_path / "path"
    if former == "file":
        path.write_text("old")
    elif former == "export":
        exported(path, "old")
    else:
        path.symlink_to(exported(tmp_path / "old", "old"))
    before = files(tmp_path)
    with pytest.raises(UserError, match="path exists; choose another --out, or .* --overwrite"):
        placing.move(written, path, overwrite=False)
    assert files(tmp_path) == before
    placing.move(written, path, overwrite=True)
    assert (path / "saved_model.pb").read_text() == "new" and not path.is_symlink()
    assert former != "link" or (tmp_path / "old/saved_model.pb").read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_a_move_that_fails_brings_the_former_export_back(written, tmp_path, monkeypatch):
    path, rename = exported(tmp_path / "path", "old"), pathlib.Path.rename

    def fail(self, target):
        if self == written:
            assert next(tmp_path.glob(".path.*/path/saved_model.pb")).read_text() == "old"
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        placing.move(written, path, overwrite=True)
    assert (path / "saved_model.pb").read_text() == "old"
    assert (written / "saved_model.pb").read_text() == "new" and not list(tmp_path.glob(".*"))
