"""Where a command puts what it makes: nothing of the user's is lost; no TensorFlow.

A file, or a SavedModel that this package exported, gives way by --overwrite; anything else never does.
"""

import os
import pathlib
import re
import shutil
import tempfile

from rdarts_tf import reading
from rdarts_tf.errors import UserError
from rdarts_tf.runs import files

_EXPORTED = re.compile(
    r"(saved_model|fingerprint)\.pb|variables/variables\.(index|data-\d+-of-\d+)|"
    r"assets\.extra/metadata\.json"
)


def check_folder(path, flag):
    """Raises UserError where a file, or a link to nothing, is in the way of a folder."""
    there = next(p for p in (path, *path.parents) if os.path.lexists(p))
    if not there.is_dir():
        raise UserError(f"cannot write to {path}: {there} is no folder; choose another {flag}")


def inside(run, name):
    """The folder in a run directory where a command writes unless told otherwise.

    Raises:
        UserError: it is a link: a run may be a stranger's, and lead to files that are not its own.
    """
    folder = pathlib.Path(run) / name
    if folder.is_symlink():
        raise UserError(f"{folder} is a link, which is followed only where --out names it")
    return folder


def check_free(folder, names):
    """Raises UserError where one of the files exists."""
    for path in (folder / name for name in names):
        if os.path.lexists(path):
            raise UserError(f"{path} exists; choose another --out, or replace it with --overwrite")


def write_files(folder, contents, *, replace):
    """Writes {name: bytes} into a folder that is made where it is missing, and prints the paths.

    Args:
        replace: files that are there.
    Raises:
        UserError: it cannot be written, or a file is there; files.NotWritten: the disk gave way.
    """
    folder = pathlib.Path(folder)
    if strange := [name for name in contents if pathlib.Path(name).name != name]:
        raise UserError(f"{strange[0][:60]!r} would be written outside of {folder}; rename it")
    if not replace:
        check_free(folder, contents)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            files.write(folder / name, lambda file, content=content: file.write(content))
            print(folder / name)
    except OSError as error:
        if files.gave_way(error):
            raise files.NotWritten.of(folder, error.strerror, "--out") from error
        raise UserError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error


def is_export(path):
    """Whether a folder is a SavedModel that this package exported, and nothing else is in it."""
    try:
        metadata = reading.parse_json(reading.read_bytes(path / "assets.extra" / "metadata.json"))
    except (OSError, ValueError):
        return False
    if not isinstance(metadata, dict) or "genotype" not in metadata:
        return False
    files = (p for p in path.rglob("*") if p.is_symlink() or not p.is_dir())
    return all(_EXPORTED.fullmatch(p.relative_to(path).as_posix()) for p in files)


def target(out, name):
    """The path of an export: `out`, or, where that is a folder and no former export, `name` in it."""
    return out / name if out.is_dir() and not is_export(out) else out


def check(path, *, overwrite):
    """Raises UserError unless an export may be put at `path`."""
    check_folder(path.parent, "--out")
    if path.name == ".." or (os.path.lexists(path) and not (path.is_file() or is_export(path))):
        raise UserError(
            f"{path} is no file and no SavedModel exported here, so it stays; choose another --out"
        )
    if not overwrite:
        check_free(path.parent, [path.name])


def move(written, path, *, overwrite):
    """Puts a finished file or folder in its place; what was there goes when the new one is there.

    If the process is killed between, the old one is in a folder .<name>.* beside.

    Raises:
        UserError: see `check`.
    """
    check(path, overwrite=overwrite)
    if not os.path.lexists(path) or (written.is_file() and path.is_file()):
        written.replace(path)
        return
    aside = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    old = path.rename(aside / path.name)
    try:
        written.rename(path)
    except BaseException:
        if not os.path.lexists(path):
            old.rename(path)
            aside.rmdir()
        raise
    shutil.rmtree(aside)
