"""One process at a time works in a directory. No file is left behind: the directory itself is locked."""

import contextlib
import fcntl
import os
import pathlib
import time

from rdarts_tf.runs import placing
from rdarts_tf.runs.files import RunDirError

_SECONDS = 30.0  # the processes of a killed run take a moment to end
_LOCKS = {}  # {path: file descriptor}


def lock(path):
    """Keeps other processes out of a directory, made where it is missing, for as long as this one lives.

    Returns:
        whether this process had not done so before.
    Raises:
        RunDirError: another process works in it.
        OSError: it cannot be made.
    """
    place, give_up = pathlib.Path(path).resolve(), time.monotonic() + _SECONDS
    if _is_held(place):
        return False
    while (found := _locked(place)) is None:
        if time.monotonic() > give_up:
            raise RunDirError(
                f"another process works in {path}; wait for its end, or choose another --run_dir"
            )
        time.sleep(0.2)
    _LOCKS[place] = found
    return True


@contextlib.contextmanager
def locked(path):
    """`lock` for as long as this is open; a directory that stays empty is not left behind.

    Raises:
        RunDirError: it cannot be made, or another process works in it.
    """
    placing.check_folder(path, "--run_dir")
    try:
        made = [each for each in (path, *path.parents) if not each.exists()]
        mine = lock(path)
    except OSError as error:
        raise RunDirError(
            f"cannot write to run directory {path}: {error.strerror}; choose another --run_dir"
        ) from error
    try:
        yield
    finally:
        for each in made:
            with contextlib.suppress(OSError):  # not empty
                each.rmdir()
        if mine and (found := _LOCKS.pop(path.resolve(), None)) is not None:
            os.close(found)


def _is_held(path):
    """Whether this process has locked what is there; a directory that was deleted meanwhile is another."""
    if path not in _LOCKS:
        return False
    if path.exists() and os.path.samestat(os.fstat(_LOCKS[path]), path.stat()):
        return True
    os.close(_LOCKS.pop(path))
    return False


def _locked(path):
    """The file descriptor of the directory, locked; None: another process has locked it."""
    path.mkdir(parents=True, exist_ok=True)
    found = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists() and os.path.samestat(os.fstat(found), path.stat()):
            return found  # else it was deleted meanwhile
    except BlockingIOError:
        pass
    except OSError:
        return found  # a file system without locks
    os.close(found)
    return None
