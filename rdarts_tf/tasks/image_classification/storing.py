"""Where decoded images are kept: in memory, or where they are too many in a file of the run. No TensorFlow.

RUN/data/images_KEY/{images.npy,facts.json}
"""

import hashlib
import json
import os
import pathlib
import shutil

import numpy as np

from rdarts_tf.tasks.image_classification.data import DatasetError

_GIB = 2**30
_INSIDE = ("runs", "evaluate", "search_epochs")  # folders of what is a part of a run
_MEMINFO = pathlib.Path("/proc/meminfo")
_CGROUP = pathlib.Path("/sys/fs/cgroup")


class Store:
    """Room for the images of a data set.

    Args:
        run_dir: path of the run; None: there is none, and all images are in memory.
        limit_gib: of images in memory; None: half of what is free.
    """

    def __init__(self, run_dir=None, limit_gib=None):
        self.runs = list(runs(run_dir))
        half = free_bytes() / 2
        self.limit = half if limit_gib is None else limit_gib * _GIB

    def images(self, shape, fill, *, source):
        """Images that are decoded now, or were before into a file.

        Args:
            shape: (n, h, w, c).
            fill: (uint8 array of that shape) -> facts, ready for JSON, that tell how it was filled.
            source: what determines the images, ready for JSON; it names the file.
        Returns:
            (uint8 array, facts).
        Raises:
            DatasetError: the file cannot be written.
        """
        if not self.runs or np.prod(shape, dtype=np.int64) <= self.limit:
            array = np.empty(shape, np.uint8)
            return array, fill(array)
        key = hashlib.sha256(json.dumps([list(shape), source]).encode()).hexdigest()[:16]
        places = [run / "data" / f"images_{key}" for run in self.runs]
        folder = next((place for place in places if place.is_dir()), None) or _filled(
            places[0], shape, fill
        )
        try:
            facts = json.loads((folder / "facts.json").read_text())
            return np.load(folder / "images.npy", mmap_mode="r"), facts
        except (OSError, ValueError) as error:
            raise DatasetError(f"{folder} cannot be read ({error}); delete it") from error


def _filled(folder, shape, fill):
    """Makes the folder, whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        for left in folder.parent.glob(f".{folder.name}.*.tmp"):
            shutil.rmtree(left)
        unfinished.mkdir(parents=True)
        array = np.lib.format.open_memmap(unfinished / "images.npy", "w+", np.uint8, shape)
        facts = fill(array)
        array.flush()
        (unfinished / "facts.json").write_text(json.dumps(facts))
        unfinished.rename(folder)
    except OSError as error:
        raise DatasetError(
            f"cannot keep the decoded images in {folder.parent}: {error.strerror}; choose another "
            "--run_dir, or let memory take them by --cache_gib"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def runs(run_dir):
    """Yields a run directory and those that it is a part of, RUN of RUN/runs/X, RUN/evaluate/X and so on."""
    run = run_dir and pathlib.Path(run_dir).resolve()
    while run:
        yield run
        run = run.parent.parent if run.parent.name in _INSIDE else None


def free_bytes():
    """Memory that this process may still take; infinite where that is not to be known."""
    found = [float("inf")]
    if _MEMINFO.exists():
        lines = (line.split() for line in _MEMINFO.read_text().splitlines())
        found += [1024 * int(words[1]) for words in lines if words[0] == "MemAvailable:"]
    limit, used = (_CGROUP / f"memory.{name}" for name in ("max", "current"))
    if limit.exists() and (text := limit.read_text().strip()).isdecimal():
        found.append(int(text) - int(used.read_text()))
    return min(found)
