"""Files written whole or not at all, and read with their damage told. No TensorFlow."""

import contextlib
import errno
import io
import os
import pathlib
import zipfile

import numpy as np

from rdarts_tf.errors import UserError

_MOST_BYTES, _MOST_PACKED = 2**36, 2**26  # of all arrays of a file, unpacked
_MOST_TIMES = 100  # as large as the file, beyond _MOST_PACKED


class RunDirError(UserError):
    """The run directory cannot be used as asked; the message is one sentence with the remedy."""


class NotWritten(RunDirError):
    """The disk gave way under a command that was at work; the same command goes on afterwards."""

    exit_code = 1

    @classmethod
    def of(cls, path, reason, flag="--run_dir"):
        return cls(
            f"cannot write {path}: {reason}; make room or choose another {flag}, then run the same "
            "command again"
        )


def gave_way(error):
    """Whether an OSError tells of the disk, and not of a path that was given."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def save_npz(path, arrays, beside=()):
    """Writes {name: array}.

    Args:
        beside: {name: bytes} of files that go into it, too.
    """

    def save(file):
        np.savez(file, **arrays)
        if beside:
            with zipfile.ZipFile(file, "a") as archive:
                for name, content in beside.items():
                    archive.writestr(name, content)

    write(path, save)


def load_npz(path):
    """{name: array} of a path or file; every array is read and its checksum verified."""
    with _archive(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        return {name.removesuffix(".npy"): _array(archive, name) for name in names}


def load_beside(path):
    """{name: bytes} of what `save_npz` wrote beside the arrays."""
    with _archive(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith(".npy")]
        return {name: archive.read(name) for name in names}


@contextlib.contextmanager
def _archive(path):
    """The zipfile.ZipFile of a path or file; raises ValueError where it would not fit into memory."""
    if isinstance(path, str | os.PathLike) and not pathlib.Path(path).is_file():
        raise ValueError("it is no regular file")
    with zipfile.ZipFile(path) as archive:
        size, packed = sum(each.file_size for each in archive.infolist()), archive.fp.seek(0, 2)
        if size > min(_MOST_BYTES, max(_MOST_PACKED, _MOST_TIMES * packed)):
            raise ValueError(f"it unpacks to {size:,} bytes")
        yield archive


def _array(archive, name):
    """An array whose header says no more than there is."""
    content = io.BytesIO(archive.read(name))
    array = np.lib.format.read_array(content, allow_pickle=False, max_header_size=10_000)
    if content.read(1):
        raise ValueError(f"{name} is longer than its array")
    return array


def check_finite(arrays):
    """Raises ValueError where a number is not finite."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")


@contextlib.contextmanager
def damage(path, remedy="restore it, or run the command that wrote it with --overwrite"):
    """Turns what reading a file that may be anything raises into a RunDirError."""
    try:
        yield
    except RunDirError:
        raise
    except Exception as error:  # numpy's and the archive's readers raise all there is
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        told = f"it has no {told}" if isinstance(error, KeyError) else told
        raise RunDirError(f"{path} is damaged: {told[:300]}; {remedy}") from error


def write(path, write):
    """Writes a file under another name and moves it into place when it is on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
