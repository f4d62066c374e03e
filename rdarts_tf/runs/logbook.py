"""What a training has recorded so far: rows of metrics.jsonl, alphas, decisions. No TensorFlow.

Each checkpoint holds these files as they were then, and says whose they are. It is the authority: where a
training goes on, what lies in the run directory is written anew from it.
"""

import io
import json

import numpy as np

from rdarts_tf import reading
from rdarts_tf.runs import files, schemas
from rdarts_tf.runs.files import RunDirError

ROWS, ALPHAS, DECISIONS = "metrics.jsonl", "alphas.npz", "decisions.json"
_OWNER = "owner.json"


class Logbook:
    """The records of a training.

    Args:
        run_dir: run_dir.RunDir.
        of: text that tells the configuration, see `config.base.identity`.
    Attributes:
        rows: one dict for each epoch 0, 1, ...
        alphas: {cell type: array [epochs, E, K]}.
        decisions: dicts, as decisions.json has them.
    """

    def __init__(self, run_dir, of):
        self.run_dir, self.of = run_dir, of
        self.rows, self.alphas, self.decisions = [], {}, []

    def add(self, row, alphas):
        """Records an epoch, its {cell type: [E, K]}."""
        self.rows.append(row)
        for t, a in alphas.items():
            self.alphas[t] = np.concatenate((self.alphas.get(t, a[None][:0]), a[None]))
        self.write()

    def decide(self, decision):
        """Records a decision."""
        self.decisions.append(decision)
        self.write()

    def cut(self, num_epochs):
        """Forgets all epochs but the first `num_epochs`."""
        del self.rows[num_epochs:]
        self.alphas = {t: a[:num_epochs] for t, a in self.alphas.items()}

    def write(self):
        """Makes the files of the run directory as this is."""
        for name, content in self._pages().items():
            if content != (self.run_dir.peek(name) or b""):
                self.run_dir.write_bytes(name, content)

    def pages(self, epoch, step):
        """{name: bytes} that the checkpoint after `step` steps of `epoch` holds."""
        owner = {"of": self.of, "epoch": epoch, "step": step}
        return self._pages() | {_OWNER: json.dumps(owner).encode()}

    def _pages(self):
        """{name: bytes}; those that are empty only where their file is not."""
        rows = "".join(json.dumps(row, allow_nan=False) + "\n" for row in self.rows)
        alphas = io.BytesIO()
        np.savez(alphas, **self.alphas)
        found = {ROWS: rows.encode()}
        if self.alphas or self.run_dir.peek(ALPHAS) is not None:
            found[ALPHAS] = alphas.getvalue()
        if self.decisions or self.run_dir.peek(DECISIONS) is not None:
            found[DECISIONS] = f"{json.dumps(self.decisions, indent=1)}\n".encode()
        return found

    def open(self, path, position):
        """Takes over what a checkpoint holds, and writes it.

        Args:
            path: of the checkpoint. One of an earlier version holds nothing: then the files of the run
                directory count, cut to its epoch.
            position: (epoch, step) that its name tells.
        Raises:
            RunDirError: it is damaged, or of another configuration, or epochs are missing.
        """
        pages = self.run_dir.load_beside(path)
        owner = self.check_owner(path, pages)
        if owner is None:
            pages = {name: self.run_dir.read_bytes(name) for name in (ROWS, ALPHAS, DECISIONS)}
        elif (owner["epoch"], owner["step"]) != position:
            raise RunDirError(
                f"{path} is the checkpoint after epoch {owner['epoch']}, step {owner['step']}; give it "
                "its name back, or use --overwrite to start anew"
            )
        with files.damage(self.run_dir.path / ROWS if owner is None else path):
            self.rows, _ = parse_rows(pages[ROWS] or b"")
            self.alphas = parse_alphas(pages.get(ALPHAS))
            self.decisions = _carried_out(parse_decisions(pages.get(DECISIONS)), position[0])
            self._check_complete(position[0])
        self.cut(position[0])
        for name in filter(self._differs, self._pages()):
            self.run_dir.say(f"{self.run_dir.path / name} is written anew from {path.name}")
        self.write()

    def check_owner(self, path, pages):
        """What a file says of its owner; None: nothing, as earlier versions.

        Args:
            pages: {name: bytes} of what it holds beside its arrays.
        Raises:
            RunDirError: it is another training's.
        """
        if _OWNER not in pages:
            return None
        with files.damage(path):
            owner = reading.parse_json(pages[_OWNER])
            schemas.check(owner, schemas.OWNER)
        if owner["of"] != self.of:
            raise RunDirError(
                f"{path} belongs to a training with other flags; delete it, or use --overwrite to start "
                "anew"
            )
        return owner

    def _check_complete(self, num_epochs):
        for name, there in ((ROWS, [self.rows]), (ALPHAS, self.alphas.values())):
            if (least := min(map(len, there), default=num_epochs)) < num_epochs:
                raise ValueError(
                    f"{name} holds {least} epochs, the checkpoint is that after {num_epochs}"
                )

    def _differs(self, name):
        """Whether a file does not begin with what this is; it may have more of an epoch cut off."""
        try:
            content = self.run_dir.peek(name)
            if name == ROWS:
                rows, torn = parse_rows(content)
                return torn or rows[: len(self.rows)] != self.rows
            if name == DECISIONS:
                return parse_decisions(content)[: len(self.decisions)] != self.decisions
            found = parse_alphas(content)
            return any(
                not np.array_equal(found[t][: len(a)], a) for t, a in self.alphas.items() if len(a)
            )
        except Exception:  # damaged in whatever way
            return True


def parse_rows(content):
    """(rows of metrics.jsonl, number of torn or blank lines at its end, which are left out).

    Raises:
        ValueError: it is damaged elsewhere.
    """
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    torn = -1 if lines[-1] == b"" else 0
    while lines and not _is_json(lines[-1]):
        del lines[-1]
        torn += 1
    if torn and not lines:
        raise ValueError("no line can be read")
    rows = [reading.parse_json(line) for line in lines]
    for epoch, row in enumerate(rows):
        schemas.check_row(row, epoch)
    return rows, torn


def _is_json(line):
    try:
        reading.parse_json(line)
    except ValueError:
        return False
    return True


def parse_alphas(content):
    """{cell type: [epochs, E, K]} of alphas.npz; raises an Exception if it is damaged."""
    if content is None:
        return {}
    alphas = files.load_npz(io.BytesIO(content))
    schemas.check_alphas(alphas)
    files.check_finite(alphas)
    return alphas


def parse_decisions(content):
    """The dicts of decisions.json; raises ValueError if it is damaged."""
    decisions = [] if content is None else reading.parse_json(content)
    schemas.check(decisions, schemas.DECISIONS)
    return decisions


def _carried_out(decisions, epoch):
    """Without those that an earlier version has recorded, but which the checkpoint precedes."""
    return [
        d
        for d in decisions
        if d.get("carried_out", True)
        and (d["decision"] == "rollback" or d.get("decided_after", 0) < epoch)
    ]
