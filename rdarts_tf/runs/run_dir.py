"""The files of a run: written whole or not at all, read without TensorFlow.

config.json (also what --extend changed, see `lengths`) · flags.cfg · dataset.json (see `same_data`) ·
environment.json (versions and machine by epoch) · metrics.jsonl (a line an epoch) · alphas.npz ([epochs, E, K] per cell
type) · hessian/epoch_*.npz · decisions.json (stops and rollbacks) · selections/epoch_*.json
(architectures that were scored) · checkpoints/*.npz · tensorboard/ · genotype.json · genotype.txt, and
genotype_last_epoch.* where a method stopped at an earlier one.
A run that selects among several searches: runs/<name> · selection.json · selection.txt
"""

import contextlib
import dataclasses
import fcntl
import io
import json
import os
import pathlib
import re
import time
import zipfile
import zlib

import numpy as np

from rdarts_tf.config.base import to_flags
from rdarts_tf.errors import UserError
from rdarts_tf.runs import placing

_UNREADABLE = (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError)
_LOCK_SECONDS = 30.0  # the processes of a killed run take a moment to end
_CHECKPOINT = re.compile(r"epoch_(\d+)_step_(\d+)\.npz")
# What a training writes: config.json, which tells whose directory it is, is deleted last.
_FILES = ("genotype.json", "genotype.txt", "genotype_last_epoch.json", "genotype_last_epoch.txt")
_FILES += ("result.json", "selection.json", "selection.txt", "decisions.json", "metrics.jsonl")
_FILES += ("alphas.npz", "environment.json", "dataset.json", "flags.cfg", "config.json")
_FOLDERS = {
    "checkpoints": _CHECKPOINT.pattern,
    "hessian": r"epoch_\d+\.npz",
    "selections": r"epoch_\d+\.json",
    "tensorboard": r"events\.out\.tfevents\..+",
}
_UNFINISHED = re.compile(rf"\.({'|'.join((*_FILES, _CHECKPOINT.pattern))})\.\d+\.tmp")
_KINDS = {
    "search": {"space", "method"},
    "evaluation": {"genotype", "split"},
}  # what config.json has


_LOCKS = {}  # {path: file descriptor}, open as long as this process lives


class RunDirError(UserError):
    """The run directory cannot be used as asked; the message is one sentence with the remedy."""


class RunDir:
    """A run directory.

    Args:
        path: need not exist.

    Attributes:
        WRITES: whether what this process writes there reaches the disk, see `follower`.
    """

    WRITES = True

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.hessians = self.path / "hessian"
        self.selections = self.path / "selections"

    def create(self):
        """Makes the directory and claims it for this process.

        Raises:
            RunDirError: it cannot be made or written, or another process works in it.
        """
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self._lock()
            for path in (*self.path.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")):
                if _UNFINISHED.fullmatch(path.name):
                    path.unlink()
            probe = self.path / f".write_test_{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise RunDirError(
                f"cannot write to run directory {self.path}: {error.strerror}; choose another --run_dir"
            ) from error

    def _lock(self):
        """Keeps other processes out for as long as this one lives."""
        path, give_up = self.path.resolve(), time.monotonic() + _LOCK_SECONDS
        if path in _LOCKS:
            return
        _LOCKS[path] = os.open(path, os.O_RDONLY)  # the directory itself: no file is left behind
        while True:
            try:
                return fcntl.flock(_LOCKS[path], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    os.close(_LOCKS.pop(path))
                    raise RunDirError(
                        f"another process works in {self.path}; wait for its end, or choose another "
                        "--run_dir"
                    ) from error
                time.sleep(0.2)
            except OSError:
                return  # a file system without locks

    def say(self, line):
        """Tells the user of the run in it."""
        print(line, flush=True)

    def folder(self, name):
        """The run directory `name` in this one, of the same kind."""
        return type(self)(self.path / name)

    def write_json(self, name, value):
        self.write_text(name, json.dumps(value, indent=1) + "\n")

    def write_text(self, name, text):
        self.write_bytes(name, text.encode())

    def write_bytes(self, name, content):
        _write(self.path / name, lambda file: file.write(content))

    def write_genotype(self, found, name="genotype"):
        """Writes NAME.txt and NAME.json of a genotype.Genotype."""
        self.write_text(f"{name}.txt", f"{found}\n")
        self.write_text(f"{name}.json", found.to_json() + "\n")

    def write_description(self, config, data, **beside):
        """Writes what tells another process of a run: config.json, flags.cfg, dataset.json.

        Args:
            config: the configuration, a dataclass.
            data: what the task records of its data, a dict.
            beside: config.base.BESIDE; what is empty or false is left out.
        """
        beside = {name: value for name, value in beside.items() if value}
        self.write_json("config.json", dataclasses.asdict(config) | beside)
        self.write_text("flags.cfg", to_flags(config))
        self.write_json("dataset.json", data)

    def read_json(self, name):
        """The content of a JSON file, or None if there is none.

        Raises:
            RunDirError: the file cannot be read, or is not JSON.
        """
        with _damage(self.path / name):
            content = self.read_bytes(name)
            return None if content is None else json.loads(content)

    def read_bytes(self, name):
        """The content of a file, or None if there is none."""
        path = self.path / name
        return path.read_bytes() if path.exists() else None

    def append_metrics(self, row):
        """Adds an epoch's numbers; the file always holds whole lines."""
        self._write_metrics([*self.read_metrics(), row])

    def read_metrics(self):
        """One dict per finished epoch; raises RunDirError if a line is damaged."""
        with _damage(self.path / "metrics.jsonl"):
            lines = (self.read_bytes("metrics.jsonl") or b"").decode().splitlines()
            return [json.loads(line) for line in lines]

    def read_alphas(self):
        """{cell type: [epochs, E, K]}; raises RunDirError if the file is damaged."""
        with _damage(self.path / "alphas.npz"):
            content = self.read_bytes("alphas.npz")
            return {} if content is None else load_npz(io.BytesIO(content))

    def append_alphas(self, alphas):
        """Adds an epoch's {cell type: [E, K]}."""
        old = self.read_alphas()
        new = {t: np.concatenate((old.get(t, a[None][:0]), a[None])) for t, a in alphas.items()}
        self._write_alphas(new)

    def truncate(self, num_epochs):
        """Forgets metrics, alphas and Hessians of all epochs but the first `num_epochs`."""
        self._write_metrics(self.read_metrics()[:num_epochs])
        if alphas := self.read_alphas():
            self._write_alphas({t: a[:num_epochs] for t, a in alphas.items()})
        self.forget_hessians(num_epochs)

    def forget_hessians(self, num_epochs):
        """Deletes those of all epochs but the first `num_epochs`."""
        for path in self.hessians.glob("epoch_*.npz"):
            if path.name >= _epoch_file(num_epochs):
                path.unlink()

    def save_hessian(self, epoch, arrays):
        """Writes hessian/epoch_*.npz of {name: array}; None is left out."""
        self.make_folder(self.hessians)
        arrays = {name: value for name, value in arrays.items() if value is not None}
        save_npz(self.hessians / _epoch_file(epoch), arrays)

    def save_selection(self, epoch, record):
        """Writes what a selection after `epoch` has scored so far."""
        self.make_folder(self.selections)
        self.write_json(selection_file(epoch), record)

    def make_folder(self, path):
        """Makes a folder of this directory where it is missing."""
        path.mkdir(exist_ok=True)

    def _write_alphas(self, alphas):
        content = io.BytesIO()
        np.savez(content, **alphas)
        self.write_bytes("alphas.npz", content.getvalue())

    def _write_metrics(self, rows):
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def save_checkpoint(self, arrays, *, epoch, step=0):
        """Writes {name: array}, the state after `step` steps of `epoch`."""
        save_npz(self.checkpoints / f"epoch_{epoch:04d}_step_{step:06d}.npz", arrays)

    def list_checkpoints(self):
        """[((epoch, step), path)], newest first."""
        matches = [(_CHECKPOINT.fullmatch(p.name), p) for p in self.checkpoints.glob("*.npz")]
        found = [((int(m[1]), int(m[2])), path) for m, path in matches if m]
        return sorted(found, reverse=True)

    def load_newest_checkpoint(self, warn):
        """((epoch, step), {name: array}) of the newest readable checkpoint; None if there is none.

        Args:
            warn: called with a sentence for each that cannot be read.
        Raises:
            RunDirError: there are checkpoints, but all are damaged.
        """
        checkpoints = self.list_checkpoints()
        for position, path in checkpoints:
            try:
                return position, load_npz(path)
            except _UNREADABLE as error:
                warn(f"checkpoint {path} is damaged ({error}); trying the one before it")
        if checkpoints:
            raise RunDirError(
                f"no checkpoint in {self.checkpoints} can be read; restore one, or use --overwrite to "
                "start anew"
            )
        return None

    def prune_checkpoints(self, *, keep, oldest_needed):
        """Deletes all checkpoints but the `keep` newest (0: none) and those an epoch still needs."""
        for (epoch, step), path in self.list_checkpoints()[keep:] if keep else []:
            if epoch < oldest_needed or step > 0:
                path.unlink()

    def num_epochs_begun(self):
        """Epochs of which the newest checkpoint holds at least a step."""
        return max((epoch + (step > 0) for (epoch, step), _ in self.list_checkpoints()), default=0)

    def delete_checkpoints_after(self, num_epochs):
        """Deletes the checkpoints of more than `num_epochs` finished epochs, the newest first."""
        for position, path in self.list_checkpoints():
            if position > (num_epochs, 0):
                path.unlink()

    def holds(self, kind):
        """Whether this is the directory of a `kind`: "search" or "evaluation".

        config.json tells, or flags.cfg where that is damaged.
        """
        try:
            recorded = self.read_json("config.json")
        except RunDirError:
            path = self.path / "flags.cfg"
            text = path.read_text(errors="replace") if path.is_file() else ""
            recorded = dict.fromkeys(re.findall(r"^--(\w+)=", text, re.MULTILINE))
        return isinstance(recorded, dict) and _KINDS[kind] <= set(recorded)

    def check_ours(self, kind, *, overwrite=False):
        """Checks that a training which works here replaces nothing but its own files.

        Args:
            kind: of the training, see `holds`.
            overwrite: it will `clear` the directory.
        Raises:
            UserError: a file of another's has the name of one of its own, or what is to be cleared
                is behind a link.
        """
        placing.check_folder(self.path, "--run_dir")
        trainings = self._trainings(kind)
        found = [path for each in trainings for path in each._written() if path.lstat().st_size]
        if found and not self.holds(kind):
            raise RunDirError(
                f"{found[0]} would be replaced, and {self.path} holds no {kind} of this package; "
                "choose another directory"
            )
        folders = (each.path / name for each in trainings for name in ("", *_FOLDERS))
        if overwrite and (links := [path for path in folders if path.is_symlink()]):
            raise RunDirError(
                f"{links[0]} is a link, which --overwrite does not follow; delete the link, or name "
                "the directory itself"
            )

    def clear(self, kind):
        """Deletes what a training of that kind wrote, see `check_ours`; other files stay."""
        self.check_ours(kind, overwrite=True)
        if self.holds(kind):
            for path in [path for each in self._trainings(kind) for path in each._written()]:
                path.unlink()

    def delete_empty_folders(self):
        """Deletes the folders that hold no file, this one included."""
        for folder, *_ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):  # not empty
                os.rmdir(folder)

    def _trainings(self, kind):
        """[RunDir] of an evaluation's seeds, and this one."""
        return [*(self.seeds().values() if kind == "evaluation" else ()), self]

    def seeds(self):
        """{seed: RunDir} of the trainings of an evaluation."""
        matches = [(re.fullmatch(r"seed_(\d+)", p.name), p) for p in self.path.glob("seed_*")]
        return {int(m[1]): self.folder(path.name) for m, path in matches if m}

    def _written(self):
        """The files here that have the name of one that a training writes."""
        inside = [
            path
            for name, pattern in _FOLDERS.items()
            for path in (self.path / name).glob("*")
            if re.fullmatch(pattern, path.name)
        ]
        paths = (*inside, *(self.path / name for name in _FILES))
        return [path for path in paths if path.is_symlink() or path.is_file()]


def write_files(folder, files, *, replace):
    """Writes {name: bytes} into a folder that is made where it is missing, and prints the paths.

    Args:
        replace: files that are there.
    Raises:
        UserError: it cannot be written, or a file is there.
    """
    folder = pathlib.Path(folder)
    if not replace:
        placing.check_free(folder, files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            RunDir(folder).write_bytes(name, content)
            print(folder / name)
    except OSError as error:
        raise RunDirError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error


def selection_file(epoch):
    return f"selections/epoch_{epoch:04d}.json"


def _epoch_file(epoch):
    return f"epoch_{epoch:04d}.npz"


def save_npz(path, arrays):
    _write(path, lambda file: np.savez(file, **arrays))


def load_npz(path):
    """{name: array} of a path or file; every array is read and its checksum verified."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@contextlib.contextmanager
def _damage(path):
    """Turns what reading a damaged file raises into a RunDirError."""
    try:
        yield
    except _UNREADABLE as error:
        raise RunDirError(
            f"{path} is damaged or cannot be read: {error}; use --overwrite to start anew"
        ) from error


def _write(path, write):
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
