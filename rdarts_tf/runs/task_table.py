"""How far the tasks of an executor are, told while they run."""

import shutil
import sys
import time

from rdarts_tf.config import task as tasks
from rdarts_tf.errors import UserError
from rdarts_tf.runs.run_dir import RunDir

LOG = "log.txt"  # in the folder of a task: what its commands print
_SECONDS_BETWEEN_TABLES = 60  # where the output is no terminal
_SECONDS_BETWEEN_LOOKS = 5  # into a folder, whose files may be many
_WAITING = "waiting"


class Table:
    """How far the tasks are: on a terminal rewritten in place, elsewhere a line for each change.

    Args:
        tasks: list of Task.
        say: called with each line.
    """

    def __init__(self, tasks, say):
        self.tasks, self.say = tasks, say
        self.told, self.last, self.height = {}, time.monotonic(), 0
        self.looks = {}  # {name: (moment of the last look into its folder, what it told)}

    def show(self, codes, *, running=None):
        """Shows the present state.

        Args:
            codes: {name: exit code} of the tasks that have ended.
            running: names; None: the unfinished ones that have written something.
        """
        ended = [task for task in self.tasks if task.name in codes]
        if sys.stdout.isatty():
            print(f"\033[{self.height}A\033[J" if self.height else "", end="")
        self._tell({task.name: _result(task, codes[task.name]) for task in ended})
        if sys.stdout.isatty():
            live = self._live(codes, running)
            self._draw({name: line for name, line in live.items() if line != _WAITING}, len(codes))
        elif time.monotonic() - self.last > _SECONDS_BETWEEN_TABLES:
            self.last = time.monotonic()
            self._tell(self._live(codes, running))

    def _live(self, codes, running):
        """{name: state} of the unfinished tasks."""
        return {
            task.name: self._look(task) if running is None or task.name in running else _WAITING
            for task in self.tasks
            if task.name not in codes
        }

    def _look(self, task):
        moment, line = self.looks.get(task.name, (None, ""))
        if moment is None or time.monotonic() - moment > _SECONDS_BETWEEN_LOOKS:
            line = _progress(task.folder) or _WAITING
            self.looks[task.name] = time.monotonic(), line
        return line

    def _tell(self, lines):
        for name, line in lines.items():
            if self.told.get(name) != line:
                self.told[name] = line
                self.say(f"{name}: {line}")

    def _draw(self, lines, num_done):
        """What the next `show` overwrites, as much as fits."""
        size = shutil.get_terminal_size()
        shown = [f"{name}: {line}" for name, line in lines.items()][: size.lines - 3]
        shown.append(f"{num_done} of {len(self.tasks)} done")
        print("\n".join(line[: size.columns - 1] for line in shown), flush=True)
        self.height = len(shown)


def _result(task, code):
    return "done" if code == 0 else f"failed with exit code {code}, see {task.folder / LOG}"


def _progress(folder):
    """ "epoch 3 of 20, accuracy 0.9120 (evaluate/select/seed_1)" of what was written last, or ""."""
    try:
        files = [(path.stat().st_mtime, path) for path in folder.glob("**/metrics.jsonl")]
        if not files:
            return ""
        path = max(files)[1].parent
        rows = RunDir(path).read_metrics()
        row = rows[-1] if rows else {}
        configs = [RunDir(p).read_json("config.json") or {} for p in (path, path.parent, folder)]
        epochs = (configs[0] or configs[1])["epochs"]
    except (OSError, UserError, KeyError):
        return "running"  # a file of this moment; the next look will tell
    stage = path.relative_to(folder).as_posix()
    told = f"epoch {len(rows)} of {epochs}{_metric(row, configs)}"
    return told + ("" if stage == "." else f" ({stage})")


def _metric(row, configs):
    """ ", accuracy 0.9120": the last metric of the task that the records tell, "" where none does.

    Args:
        row: of metrics.jsonl.
        configs: contents of config.json, of an evaluation before that of its run; {}: not there.
    """
    try:
        spaces = [config for config in configs if config.get("space")]
        recorded = next(config for config in (*spaces, *configs) if config)
        metric = tasks.part(tasks.of_record(recorded), "METRICS")[-1]
    except (UserError, KeyError):
        return ""
    value = row.get(f"score/{metric.name}", row.get(f"validation/{metric.name}"))
    return "" if value is None else f", {metric.words} {metric.plain(value)}"
