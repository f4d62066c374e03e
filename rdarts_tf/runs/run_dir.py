"""The files of a run: written whole or not at all, read without TensorFlow.

config.json (also what --extend changed, see `lengths`) · flags.cfg · dataset.json (see `same_data`) ·
environment.json (versions and machine by epoch) · metrics.jsonl (a line an epoch) · alphas.npz ([epochs, E, K] per cell
type) · hessian/epoch_*.npz · decisions.json (stops and rollbacks) · selections/epoch_*.json
(architectures that were scored) · checkpoints/*.npz · best.npz (see `tasks.base.Problem.KEEPS_BEST`) · tensorboard/ · genotype.json · genotype.txt, and
genotype_last_epoch.* where a method stopped at an earlier one.
A run that selects among several searches: runs/<name> · selection.json · selection.txt
"""

import contextlib
import dataclasses
import json
import os
import pathlib

from rdarts_tf import reading
from rdarts_tf.config.base import to_flags
from rdarts_tf.genotypes import genotype
from rdarts_tf.runs import files, locking, logbook, ownership, schemas
from rdarts_tf.runs.files import NotWritten, RunDirError

_MOST_BYTES = 2**30  # of a file of records


class RunDir(ownership.Ownership):
    """A run directory.

    Args:
        path: need not exist.

    Attributes:
        WRITES: whether what this process writes there reaches the disk, see `follower`.
    """

    WRITES = True

    def __init__(self, path):
        self.path, self._made = pathlib.Path(path), None
        self.tensorboard = self.path / "tensorboard"
        self.checkpoints = self.path / "checkpoints"
        self.hessians = self.path / "hessian"
        self.selections = self.path / "selections"

    def locked(self):
        """A context in which other processes are kept out, see `locking.locked`."""
        return locking.locked(self.path)

    def create(self):
        """Makes the directory, which or whose parent is locked, and deletes what a killed process left.

        Raises:
            RunDirError: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(None, "permission denied")
            self.delete_unfinished()
            self._made = os.stat(self.path)
        except OSError as error:
            raise RunDirError(
                f"cannot write to run directory {self.path}: {error.strerror}; choose another --run_dir"
            ) from error

    def say(self, line):
        """Tells the user of the run in it."""
        print(line, flush=True)

    def folder(self, name):
        """The run directory `name` in this one, of the same kind."""
        return type(self)(self.path / name)

    def write_json(self, name, value):
        self.write_text(name, json.dumps(value, indent=1, allow_nan=False) + "\n")

    def write_text(self, name, text):
        self.write_bytes(name, text.encode())

    def write_bytes(self, name, content):
        path = self.path / name
        with self._writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, lambda file: file.write(content))

    def write_genotype(self, found, name="genotype"):
        """Writes NAME.txt and NAME.json of a genotype.Genotype."""
        self.write_text(f"{name}.txt", f"{found}\n")
        self.write_text(f"{name}.json", found.to_json() + "\n")

    def write_config(self, config, **beside):
        """Writes config.json alone; see `write_description`."""
        beside = {name: value for name, value in beside.items() if value}
        self.write_json("config.json", dataclasses.asdict(config) | beside)

    def write_description(self, config, data, **beside):
        """Writes what tells another process of a run: config.json, flags.cfg, dataset.json.

        Args:
            config: the configuration, a dataclass.
            data: what the task records of its data, a dict.
            beside: config.base.BESIDE; what is empty or false is left out.
        """
        self.write_config(config, **beside)
        self.write_text("flags.cfg", to_flags(config))
        self.write_json("dataset.json", data)

    def read_json(self, name):
        """The content of a JSON file, or None if there is none.

        Raises:
            RunDirError: the file cannot be read, is not JSON, or is not what such files hold.
        """
        with files.damage(self.path / name):
            content = self.read_bytes(name)
            if content is None:
                return None
            value = reading.parse_json(content)
            schemas.check_file(self.path / name, value)
            return value

    def read_bytes(self, name):
        """The content of a file, or None if there is none.

        Raises:
            OSError, ValueError: it is no regular file, or cannot be read.
        """
        path = self.path / name
        return reading.read_bytes(path, _MOST_BYTES) if os.path.lexists(path) else None

    def peek(self, name):
        """The same; b"" where it cannot be read."""
        try:
            return self.read_bytes(name)
        except (OSError, ValueError):
            return b""

    def read_genotype(self):
        """The genotype.Genotype that was found, None where there is none yet or only of a former length.

        Raises RunDirError: its file is damaged.
        """
        former = (self.read_json("config.json") or {}).get("extending")
        with files.damage(self.path / "genotype.json"):
            content = None if former else self.read_bytes("genotype.json")
            return None if content is None else genotype.parse(content.decode())

    def read_metrics(self):
        """One dict per finished epoch; tells of torn lines at the end, which are left out.

        Raises:
            RunDirError: the file is damaged elsewhere.
        """
        with files.damage(self.path / logbook.ROWS):
            rows, torn = logbook.parse_rows(self.read_bytes(logbook.ROWS) or b"")
        if torn:
            self.say(
                f"{self.path / logbook.ROWS}: {torn} torn or blank lines at the end are left out"
            )
        return rows

    def read_alphas(self):
        """{cell type: [epochs, E, K]}; raises RunDirError if the file is damaged."""
        with files.damage(self.path / logbook.ALPHAS):
            return logbook.parse_alphas(self.read_bytes(logbook.ALPHAS))

    def read_decisions(self):
        """What the method decided, a list of dicts; raises RunDirError if the file is damaged."""
        with files.damage(self.path / logbook.DECISIONS):
            return logbook.parse_decisions(self.read_bytes(logbook.DECISIONS))

    def forget_hessians(self, num_epochs):
        """Deletes those of all epochs but the first `num_epochs`."""
        for path in self.hessians.glob("epoch_*.npz"):
            if path.name >= _epoch_file(num_epochs):
                self._delete(path)

    def save_hessian(self, epoch, arrays):
        """Writes hessian/epoch_*.npz of {name: array}; None is left out."""
        arrays = {name: value for name, value in arrays.items() if value is not None}
        self._save(self.hessians / _epoch_file(epoch), arrays)

    def save_selection(self, epoch, record):
        """Writes what a selection after `epoch` has scored so far."""
        self.write_json(selection_file(epoch), record)

    def save_checkpoint(self, arrays, *, epoch, step=0, beside=()):
        """Writes {name: array}, the state after `step` steps of `epoch`.

        Args:
            beside: {name: bytes} of records, see `logbook`.
        """
        self._save(self.checkpoint(epoch, step), arrays, beside)

    def checkpoint(self, epoch, step=0):
        """The path of the checkpoint after `step` steps of `epoch`."""
        return self.checkpoints / f"epoch_{epoch:04d}_step_{step:06d}.npz"

    def _save(self, path, arrays, beside=()):
        with self._writing(path):
            path.parent.mkdir(exist_ok=True)
            files.save_npz(path, arrays, beside)

    def save_best(self, arrays, beside=()):
        """Writes {name: array}, the state whose weights scored best; see `save_checkpoint`."""
        self._save(self.path / "best.npz", arrays, beside)

    def load_best(self):
        """What `save_best` wrote; None if there is none.

        Raises:
            RunDirError: it is damaged.
        """
        path = self.path / "best.npz"
        return self.load(path) if os.path.lexists(path) else None

    @staticmethod
    def load_beside(path):
        """{name: bytes} of the records that a checkpoint holds; raises RunDirError where it is damaged."""
        with files.damage(path):
            return files.load_beside(path)

    @staticmethod
    def load(path):
        """{name: array} of a checkpoint; raises RunDirError where it is damaged or not finite."""
        with files.damage(path):
            arrays = files.load_npz(path)
            files.check_finite(arrays)
            return arrays

    def list_checkpoints(self):
        """[((epoch, step), path)], newest first."""
        matches = [
            (ownership.CHECKPOINT.fullmatch(p.name), p) for p in self.checkpoints.glob("*.npz")
        ]
        found = [((int(m[1]), int(m[2])), path) for m, path in matches if m]
        return sorted(
            (each for each in found if self.checkpoint(*each[0]) == each[1]), reverse=True
        )

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
                self.load_beside(path)  # its records may be damaged, too
                return position, self.load(path)
            except RunDirError as error:
                warn(f"{error.__cause__ or error}: checkpoint {path} is left out")
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
                self._delete(path)

    def num_epochs_begun(self):
        """Epochs of which the newest checkpoint holds at least a step."""
        return max((epoch + (step > 0) for (epoch, step), _ in self.list_checkpoints()), default=0)

    def delete_checkpoints_after(self, num_epochs):
        """Deletes the checkpoints of more than `num_epochs` finished epochs, the newest first."""
        for position, path in self.list_checkpoints():
            if position > (num_epochs, 0):
                self._delete(path)

    def _delete(self, path):
        with self._writing(path):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self, path):
        """Turns what changing a file raises into a NotWritten."""
        try:  # of a directory that was deleted and made anew no lock keeps others out
            if self._made and not os.path.samestat(self._made, os.stat(self.path)):
                raise FileExistsError(None, f"{self.path} is another directory than it was")
            yield
        except OSError as error:
            raise NotWritten.of(path, error.strerror or error) from error


def selection_file(epoch):
    return f"selections/epoch_{epoch:04d}.json"


def _epoch_file(epoch):
    return f"epoch_{epoch:04d}.npz"
