"""The package from Python, for notebooks and scripts, see docs/python_api.md.

Searches, evaluations and exports have settings that hold for a whole process, and graphs of gigabytes, so
each is a process of its own. Nothing here loads TensorFlow.
"""

import difflib
import pathlib
import threading

from rdarts_tf import registry
from rdarts_tf.analysis import trajectory
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import flags as flags_lib
from rdarts_tf.config import search as search_config
from rdarts_tf.config import spaces
from rdarts_tf.config.base import ConfigError
from rdarts_tf.datasets import arrays
from rdarts_tf.errors import UserError
from rdarts_tf.in_memory import Dataset
from rdarts_tf.methods.tracker import LAMBDA_MAX
from rdarts_tf.runs import child, extension, given, search_epochs
from rdarts_tf.runs.result import Result
from rdarts_tf.runs.run_dir import RunDir

_STORING = threading.Lock()


class Run:
    """A search as it stands on disk; each attribute is read when it is asked for.

    Of a search that selects among several, `history`, `lambda_max`, `alphas` and the plot are those of
    the winner; `runs` has all of them.

    Args:
        path: the run directory.
        plugin: names of modules outside of rdarts_tf that the run may name.
    Raises:
        UserError: there is no search.
    """

    def __init__(self, path, *, plugin=()):
        self.path = child.a_path(path).absolute()  # the caller may change its folder
        self._plugins = child.plugin_names(plugin)
        if not RunDir(self.path).holds("search"):
            raise UserError(
                f"{path} is no run: it holds no config.json of a search; make one by rdarts_tf.search"
            )
        registry.distrust(self.path)
        for name in self._plugins:
            registry.trust(name)

    @property
    def config(self):
        """{flag: value}."""
        return RunDir(self.path).read_json("config.json")

    @property
    def space(self):
        """spaces.base.Space."""
        return search_config.of_record(self.config).make_space()

    @property
    def genotype(self):
        """genotypes.genotype.Genotype, or None while the search is not finished."""
        return RunDir(self.path).read_genotype()

    @property
    def history(self):
        """One dict an epoch."""
        return RunDir(self._winner.path).read_metrics()

    @property
    def lambda_max(self):
        """One float an epoch, None where it was not measured."""
        return [row.get(LAMBDA_MAX) for row in self.history]

    @property
    def alphas(self):
        """{cell type: array [epochs, edges, primitives]}."""
        return RunDir(self._winner.path).read_alphas()

    @property
    def runs(self):
        """{name: Run} of the searches that this one selects among; empty: it is one itself."""
        found = sorted(path for path in self.path.glob("runs/*") if RunDir(path).holds("search"))
        return {path.name: Run(path, plugin=self._plugins) for path in found}

    @property
    def results(self):
        """{name: Result} of the finished evaluations."""
        return _results(self.path)

    @property
    def results_by_epoch(self):
        """{epoch: {name: Result}} of those of what the search would have returned after an epoch."""
        folders = search_epochs.folders(RunDir(self.path))
        return {epoch: _results(folder.path) for epoch, folder in folders.items()}

    @property
    def _winner(self):
        """The search that found the genotype."""
        selection = RunDir(self.path).read_json("selection.json")
        if not selection:
            return self
        if (name := selection["winner"]) not in self.runs:
            raise UserError(f"{self.path} has selected {name[:100]!r}, which is not in its runs")
        return self.runs[name]

    def evaluate(self, *, seeds=None, **flags):
        """Trains the found cells from scratch, as python -m rdarts_tf.evaluate.

        Args:
            seeds: one training for each; default: 1.
            flags: those of the command; dataset may be a Dataset.
        Returns:
            Result, of these seeds and those that were done before; with search_epoch {epoch: Result}.
        Raises:
            UserError, runs.child.Died, KeyboardInterrupt: see `search`.
        """
        data = flags.get("dataset")
        flags = self._complete("evaluate", flags | {"seeds": seeds})
        config, _ = _parse("evaluate", given.evaluation, flags)
        if isinstance(data, Dataset):
            _store(data, self.path)
        child.run("evaluate", child.arguments(flags))
        name = evaluate_config.default_name(config.dataset or self.config["dataset"], config.split)
        name = config.name or name
        if config.search_epoch is None:
            return self.results[name]
        return {epoch: self.results_by_epoch[epoch][name] for epoch in config.search_epochs()}

    def export(self, format="savedmodel", **flags):
        """Writes the retrained network, a cell or drawings, as python -m rdarts_tf.export.

        Returns:
            pathlib.Path of the file or folder; of drawings the folder that holds them.
        Raises:
            UserError, runs.child.Died, KeyboardInterrupt: see `search`.
        """
        flags = self._complete("export", flags | {"format": format})
        config, _ = _parse("export", given.export, flags)
        lines = child.run("export", child.arguments(flags))
        written = next(path for path in map(pathlib.Path, reversed(lines)) if path.exists())
        return (written.parent if config.format in ("png", "svg", "dot") else written).absolute()

    def _complete(self, command, flags):
        """The flags of a command on this run, a Dataset by its spec."""
        if "run_dir" in flags:
            raise UserError(
                f"{command} takes no run_dir here; open_run({flags['run_dir']!r}) has it"
            )
        plugins = (*self._plugins, *child.plugin_names(flags.get("plugin")))
        return _with_spec(flags) | {"run_dir": self.path, "plugin": plugins}

    def plot_lambda_max(self):
        """matplotlib Figure of lambda_max and its local average by epoch; a notebook shows it."""
        from rdarts_tf.drawing import plots  # matplotlib takes a second to load

        run = self._winner
        found = trajectory.of_run(run.path.name, run.history)
        method = search_config.SearchConfig(method=run.config["method"]).make_method()
        panels = trajectory.panels([(found, trajectory.curve_of_run(found, method))])
        return plots.trajectories(panels, title=self.path.name)

    def draw(self, cell_type):
        """matplotlib Figure of a found cell, such as "normal"; a notebook shows it."""
        from rdarts_tf.drawing import cell_plot  # matplotlib takes a second to load

        found = self.genotype
        if found is None:
            raise UserError(f"{self.path} has found no cell yet; go on with the search")
        if cell_type not in found.cells:
            raise UserError(f"there is no cell {cell_type!r}; there are: {', '.join(found.cells)}")
        return cell_plot.draw_cell(found, cell_type, title=f"{cell_type} cell")

    def __repr__(self):
        config, found = self.config, self.genotype
        config |= {"space": spaces.label(config["space"])}
        settings = ", ".join(f"{k} {config.get(k)}" for k in ("space", "dataset", "method", "seed"))
        done = f"{len(self.history)} of {config.get('epochs')} epochs"
        evaluated = "".join(f"\n{result!r}" for result in self.results.values())
        return f"Run {self.path}\n{settings}; {done}\n{found or 'not finished'}{evaluated}"


def _results(path):
    """{name: Result} of the evaluations in a run directory."""
    files = sorted(path.glob("evaluate/*/result.json"))
    return {f.parent.name: Result(f.parent, RunDir(f.parent).read_json(f.name)) for f in files}


def search(**flags):
    """Searches an architecture, as python -m rdarts_tf.search; also the call `rdarts_tf.search(...)`.

    What it prints appears as it comes. The same call goes on where the run was, and finds it finished.

    Args:
        flags: those of the command; True, False, numbers, texts, paths, lists and tuples; None is
            left out. dataset may be a Dataset, run_dir is where the run is.
    Returns:
        Run.
    Raises:
        UserError: a flag that there is not or that cannot be, or what the command refuses.
        runs.child.Died: the process was killed, or failed by a defect.
        KeyboardInterrupt: when it has written a checkpoint.
    """
    data, flags = flags.get("dataset"), _with_spec(flags)
    config, given = _parse("search", search_config.of_given, flags)
    path = pathlib.Path(given["run_dir"] or config.default_run_dir()).absolute()
    if isinstance(data, Dataset):
        search_config.check(config)
        switches = {"overwrite": given["overwrite"], "extend": given["extend"]}
        extension.check_stored(
            config, RunDir(path), **switches
        )  # else arrays are stored for nothing
        _store(data, path)
    child.run("search", child.arguments(flags | {"run_dir": path}))
    specs = {"datasets": config.dataset, "methods": config.method}
    outside = [spec for kind, spec in specs.items() if registry.is_outside(kind, spec)]
    plugins = [registry.parse(spec)[0] for spec in outside]
    return Run(path, plugin=[*filter(None, config.plugin_flags().values()), *plugins])


def open_run(path, *, plugin=()):
    """The Run of a search that was made before, by the command or from Python.

    Args:
        plugin: names of modules outside of rdarts_tf that the run may name.
    Raises:
        UserError: `path` is no run directory of a search.
    """
    return Run(path, plugin=plugin)


def _with_spec(flags):
    data = flags.get("dataset")
    return flags | {"dataset": data.spec} if isinstance(data, Dataset) else flags


def _parse(command, choose, flags):
    """(configuration, {"run_dir", "overwrite"}) of a command, see `config.flags.parse`.

    Raises:
        UserError: it would not accept the flags.
    """
    texts = child.arguments(flags)
    known = flags_lib.names(choose, texts)
    unknown = [name for name in flags if name not in known]
    for name in unknown:
        if close := difflib.get_close_matches(name, known):
            raise UserError(f"{command} takes no {name}; did you mean {' or '.join(close)}?")
    try:
        parsed = flags_lib.parse(choose, texts)
    except ConfigError as error:
        raise UserError(str(error.__cause__ or error)) from error  # without the command line
    if unknown:  # such as undefok, by which absl ignores others
        raise UserError(f"{command} takes no {unknown[0]}; leave it out")
    return parsed


def _store(data, path):
    """Stores a Dataset in a run directory; one thread and one process at a time."""
    with _STORING, RunDir(path / "data").locked():
        arrays.store(data.data, path)
