"""A run that selects: the searches of its method, each cell trained from scratch, the best one wins.

Each search is a run directory of its own, runs/<name>, with the training in evaluate/select.
"""

import contextlib
import textwrap

from rdarts_tf import registry
from rdarts_tf.config import base
from rdarts_tf.config import search as search_config
from rdarts_tf.engine import distribution, problems, summaries
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.methods import tracker
from rdarts_tf.runs import executor, extension, same_data
from rdarts_tf.runs.decisions import stop_epoch
from rdarts_tf.runs.run_dir import RunDir

_SEARCHES, _EVALUATION = "runs", "select"


class SelectionRun:
    """The searches of a method and the choice among their cells.

    Args:
        config: config.search.SearchConfig, whose method starts several searches.
        run_dir: run_dir.RunDir; nothing is written yet.
        say: called with each line for the user.
    Raises:
        UserError: before any work.
    """

    def __init__(self, config, run_dir, *, say=print):
        distribution.hide_gpus()  # the searches need them
        self.config, self.run_dir, self.say = config, run_dir, say
        self.searches = search_config.pieces(config)
        self.score = registry.load_task(config.TASK, "options").SCORE.name
        self.data = config.load_dataset(run_dir.path)
        for search in self.searches.values():
            problems.of_search(search, self.data)
        for name in self.searches:
            RunDir(self._folder(name)).check_ours("search")

    def run(self, *, overwrite=False):
        """Runs what is missing and selects.

        Args:
            overwrite: clear the directory first, and what it recorded as its searches.
        Returns:
            genotype.Genotype.
        Raises:
            executor.Stopped, executor.Failed; UserError: the data are others.
        """
        if overwrite:
            self._forget()
        recorded, data = self.run_dir.read_json("dataset.json"), self.data.record()
        same_data.check_same_data(recorded, data, self.run_dir.path)
        self.run_dir.write_description(self.config, data)
        tasks = [self._task(name) for name in self.searches]
        executor.check(tasks, executor.run(tasks, self.config, say=self.say))
        return self._select([self._row(name) for name in self.searches])

    def _forget(self):
        """Deletes what this selection wrote, its searches first; other runs beside them stay."""
        found = [RunDir(self._folder(name)) for name in self._recorded()]
        written = [(RunDir(run.path / "evaluate" / _EVALUATION), "evaluation") for run in found]
        written += [(run, "search") for run in (*found, self.run_dir)]
        with contextlib.ExitStack() as locks:
            for run_dir, kind in written:
                locks.enter_context(run_dir.locked())
                run_dir.check_ours(kind, overwrite=True)
            for run_dir, kind in written:
                run_dir.clear(kind)
        for run in found:
            (run.path / executor.LOG).unlink(missing_ok=True)
            run.delete_empty_folders()

    def _recorded(self):
        """Yields the names of the searches that are here with the flags this selection gave them."""
        try:
            recorded = self.run_dir.read_json("config.json")
            searches = search_config.pieces(search_config.of_record(recorded)) if recorded else {}
        except UserError:  # damaged, or of another version
            searches = self.searches
        for name, search in searches.items():
            run = RunDir(self._folder(name))
            recorded = run.read_json("config.json") if run.holds("search") else None
            if recorded and not base.differences(search, recorded):
                yield name

    def _folder(self, name):
        return self.run_dir.path / _SEARCHES / name

    def _task(self, name):
        """A search and the training that scores its cell; either goes on where it was."""
        search, folder = self.searches[name], self._folder(name)
        plugin = base.argv(search.plugin_flags())
        flags = {"name": _EVALUATION, "split": "search"} | self.config.selection_flags()
        return executor.Task(
            name,
            (
                ("-m", "rdarts_tf.search", f"--run_dir={folder}", *base.to_argv(search), *plugin),
                ("-m", "rdarts_tf.evaluate", f"--run_dir={folder}", *base.argv(flags)),
            ),
            folder,
        )

    def _row(self, name):
        """What selection.json tells of a search."""
        run_dir, search = RunDir(self._folder(name)), self.searches[name]
        extension.check_search(search, run_dir, remedy="choose another --run_dir")
        result = run_dir.read_json(f"evaluate/{_EVALUATION}/result.json")
        found = run_dir.read_genotype()
        space = search.make_space()
        return {
            "name": name,
            "method": search.method,
            "weight_decay": search.weight_decay,
            "drop_path_prob": getattr(search, "drop_path_prob", 0.0),
            "seed": search.seed,
            f"skips_{space.cell_types[0]}": space.skips(found),
            "lambda_max": _lambda_max(run_dir),
            f"validation_{self.score}": result[f"{self.score}_mean"],
            "num_parameters": result["num_parameters"],
            "genotype": str(found),
        }

    def _select(self, rows):
        """Writes the table and, last, the genotype of the winner, which tells that the run is over."""
        score = f"validation_{self.score}"
        winner = self.config.make_method().select(rows, score)
        found = genotype.parse(winner["genotype"], self.config.make_space())
        self.run_dir.write_json("selection.json", {"winner": winner["name"], "runs": rows})
        text = _text(rows, winner, score)
        self.run_dir.write_text("selection.txt", text)
        board = summaries.of(self.run_dir, ())
        board.text("selection", textwrap.indent(text, "    "))  # Markdown as it stands
        board.genotype(0, found)
        board.close()
        self.say(text.rstrip())
        self.run_dir.write_genotype(found)
        return found


def _lambda_max(run_dir):
    """Of the epoch whose architecture is the result; None where it was not measured."""
    rows, stopped = run_dir.read_metrics(), stop_epoch(run_dir.read_decisions())
    return rows[-1 if stopped is None else stopped].get(tracker.LAMBDA_MAX) if rows else None


def _told(value):
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(rows, winner, score):
    """The table: a line for each search, header first."""
    skips = next(name for name in rows[0] if name.startswith("skips_"))
    columns = ("name", skips, "lambda_max", score, "num_parameters")
    table = [[column.replace("_", " ") for column in columns] + [""]]
    table += [
        [_told(row[column]) for column in columns] + ["selected" if row is winner else ""]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    return "\n".join(lines) + "\n"
