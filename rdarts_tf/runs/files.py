"""Files written whole or not at all, and read with their damage told. No TensorFlow."""

import contextlib
import os
import zipfile
import zlib

import numpy as np

from rdarts_tf.errors import UserError

UNREADABLE = (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError)


class RunDirError(UserError):
    """The run directory cannot be used as asked; the message is one sentence with the remedy."""


def save_npz(path, arrays):
    write(path, lambda file: np.savez(file, **arrays))


def load_npz(path):
    """{name: array} of a path or file; every array is read and its checksum verified."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@contextlib.contextmanager
def damage(path):
    """Turns what reading a damaged file raises into a RunDirError."""
    try:
        yield
    except UNREADABLE as error:
        raise RunDirError(
            f"{path} is damaged or cannot be read: {error}; use --overwrite to start anew"
        ) from error


def write(path, write):
    """Writes a file under another name and moves it into place when it is on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
