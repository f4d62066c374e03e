"""The files of a run: written whole or not at all, read without TensorFlow.

config.json (also what --extend changed, see `lengths`) · flags.cfg · dataset.json (see `same_data`) ·
environment.json (versions and machine by epoch) · metrics.jsonl (a line an epoch) · alphas.npz ([epochs, E, K] per cell
type) · hessian/epoch_*.npz · decisions.json (stops and rollbacks) · selections/epoch_*.json
(architectures that were scored) · checkpoints/*.npz · best.npz (see `tasks.base.Problem.KEEPS_BEST`) · tensorboard/ · genotype.json · genotype.txt, and
genotype_last_epoch.* where a method stopped at an earlier one.
A run that selects among several searches: runs/<name> · selection.json · selection.txt
"""

import dataclasses
import fcntl
import io
import json
import os
import pathlib
import time

import numpy as np

from rdarts_tf.config.base import to_flags
from rdarts_tf.runs import files, ownership

_LOCK_SECONDS = 30.0  # the processes of a killed run take a moment to end
_LOCKS = {}  # {path: file descriptor}, open as long as this process lives


class RunDir(ownership.Ownership):
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
                if ownership.UNFINISHED.fullmatch(path.name):
                    path.unlink()
            probe = self.path / f".write_test_{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise files.RunDirError(
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
                    raise files.RunDirError(
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
        files.write(self.path / name, lambda file: file.write(content))

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
        with files.damage(self.path / name):
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
        with files.damage(self.path / "metrics.jsonl"):
            lines = (self.read_bytes("metrics.jsonl") or b"").decode().splitlines()
            return [json.loads(line) for line in lines]

    def read_alphas(self):
        """{cell type: [epochs, E, K]}; raises RunDirError if the file is damaged."""
        with files.damage(self.path / "alphas.npz"):
            content = self.read_bytes("alphas.npz")
            return {} if content is None else files.load_npz(io.BytesIO(content))

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
        files.save_npz(self.hessians / _epoch_file(epoch), arrays)

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
        files.save_npz(self.checkpoints / f"epoch_{epoch:04d}_step_{step:06d}.npz", arrays)

    def save_best(self, arrays):
        """Writes {name: array}, the state whose weights scored best."""
        files.save_npz(self.path / "best.npz", arrays)

    def load_best(self):
        """What `save_best` wrote; None if there is none.

        Raises:
            RunDirError: it is damaged.
        """
        path = self.path / "best.npz"
        with files.damage(path):
            return files.load_npz(path) if path.exists() else None

    def list_checkpoints(self):
        """[((epoch, step), path)], newest first."""
        matches = [
            (ownership.CHECKPOINT.fullmatch(p.name), p) for p in self.checkpoints.glob("*.npz")
        ]
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
                return position, files.load_npz(path)
            except files.UNREADABLE as error:
                warn(f"checkpoint {path} is damaged ({error}); trying the one before it")
        if checkpoints:
            raise files.RunDirError(
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


def selection_file(epoch):
    return f"selections/epoch_{epoch:04d}.json"


def _epoch_file(epoch):
    return f"epoch_{epoch:04d}.npz"
