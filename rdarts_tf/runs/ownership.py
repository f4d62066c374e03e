"""Which files of a run directory are a training's own, so that nothing else is ever replaced or deleted."""

import contextlib
import os
import re

from rdarts_tf.runs import placing
from rdarts_tf.runs.files import RunDirError

CHECKPOINT = re.compile(r"epoch_(\d{4,9})_step_(\d{6,9})\.npz")
# What a training writes: config.json, which tells whose directory it is, is deleted last.
_FILES = ("genotype.json", "genotype.txt", "genotype_last_epoch.json", "genotype_last_epoch.txt")
_FILES += ("result.json", "selection.json", "selection.txt", "decisions.json", "metrics.jsonl")
_FILES += (
    "samples.npz",
    "best.npz",
    "alphas.npz",
    "environment.json",
    "dataset.json",
    "flags.cfg",
    "config.json",
)
_FOLDERS = {
    "checkpoints": CHECKPOINT.pattern,
    "hessian": r"epoch_\d+\.npz",
    "selections": r"epoch_\d+\.json",
    "tensorboard": r"events\.out\.tfevents\..+",
}
_UNFINISHED = re.compile(rf"\.({'|'.join((*_FILES, *_FOLDERS.values()))})\.\d+\.tmp")
_KINDS = {
    "search": {"space", "method"},
    "evaluation": {"genotype", "split"},
}  # what config.json has


class Ownership:
    """The part of a run_dir.RunDir that knows its own files."""

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
                self._delete(path)

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

    def delete_unfinished(self):
        for path in self.unfinished():
            path.unlink()

    def unfinished(self):
        """Files that a killed process was writing."""
        folders = (self.path, *(self.path / name for name in _FOLDERS))
        found = [path for folder in folders for path in folder.glob(".*.tmp")]
        return [path for path in found if _UNFINISHED.fullmatch(path.name)]

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
