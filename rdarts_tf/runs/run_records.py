"""What a run recorded, and what follows from it. No TensorFlow."""

import contextlib
import dataclasses
import math
import pathlib
import shlex

from rdarts_tf import registry
from rdarts_tf.config import base, spaces
from rdarts_tf.config import task as tasks
from rdarts_tf.config.search import SearchConfig
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes.genotype import Genotype
from rdarts_tf.methods.tracker import LAMBDA_MAX
from rdarts_tf.runs import lengths
from rdarts_tf.runs.decisions import stop_epoch

# Fields of a configuration that only measure, if the method decides nothing by curvature.
_CURVATURE = ("hessian_every", "eigensolver", "hessian_batches")
_CURVATURE += ("hessian_tolerance", "hessian_products", "hessian_spectrum")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A finished training of a run's cells from scratch.

    Attributes:
        name: of its folder in RUN/evaluate.
        split: "test", or "search": scored on the search's validation half.
        mean, std: of the task's score over `num_seeds` trainings; std of the population.
        num_parameters, num_parameters_with_auxiliary_head: numbers; the latter may be None.
        examined: what the task says of the answers by class, {} if nothing.
        config: fields of its config.json.
        seeds: {name: number} of each training.
    """

    name: str
    split: str
    dataset: str
    epochs: int
    mean: float
    std: float
    num_seeds: int
    num_parameters: int
    num_parameters_with_auxiliary_head: int | None
    examined: dict = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)
    seeds: tuple[dict, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A run as it stands on disk; what is missing there is empty or None.

    Attributes:
        path: as the user would type it.
        label: tells it apart from the other runs of a report.
        config: fields of its config.json.
        dataset: the data set's full name.
        metrics: one dict for each finished epoch 0, 1, ...
        alphas: {cell type: [epochs, E, K]}.
        decisions: dicts with "decision" ("stop" or "rollback") and "epoch".
        genotype: genotype.Genotype of the result.
        evaluations: tuple of Evaluation.
        by_epoch: {epoch: tuple of Evaluation} of what the search would have returned after it.
        drops: rows of analysis/discretization.csv with "epoch" and numbers.
        spectra: {epoch: eigenvalues of the Hessian [n]} of a few epochs.
        has_checkpoints: whether it holds one of a whole epoch.
        selection: of a run that chooses among others: {"winner": name, "runs": [...]}.
        parts: Records of those others.
    """

    path: pathlib.Path
    label: str
    config: dict
    dataset: str
    metrics: list[dict] = ()
    alphas: dict | None = None
    decisions: list[dict] = ()
    genotype: Genotype | None = None
    evaluations: tuple[Evaluation, ...] = ()
    by_epoch: dict[int, tuple[Evaluation, ...]] = dataclasses.field(default_factory=dict)
    drops: list[dict] = ()
    spectra: dict = dataclasses.field(default_factory=dict)
    has_checkpoints: bool = False
    selection: dict | None = None
    parts: tuple["Record", ...] = ()

    @property
    def space(self):
        """What it is called, see `config.spaces.label`."""
        with self._named():
            return spaces.label(self.config["space"])

    @property
    def _options(self):
        """The module `options` of its task."""
        return tasks.of_space(self.config["space"])

    @property
    def task(self):
        """Name of the task of its space."""
        return self.make_space().task

    @property
    def metric(self):
        """The tasks.base.Metric that compares; raises UserError as `make_space`."""
        with self._named():
            return tasks.part(self._options, "METRICS")[-1]

    @property
    def score(self):
        """The tasks.base.Score of its evaluations; likewise."""
        with self._named():
            return tasks.part(self._options, "SCORE")

    @property
    def cell_type(self):
        """Of the cell whose skip connections are counted."""
        return self.make_space().cell_types[0]

    @property
    def skips_name(self):
        """Their column in selection.json."""
        return f"skips_{self.cell_type}"

    @property
    def validation_score(self):
        """The column of the score there."""
        return f"validation_{self.score.name}"

    def one_shot(self, row):
        """The score of the one-shot model on the validation half in a row of `metrics`, or None."""
        metrics = {
            name.removeprefix("validation/"): value
            for name, value in row.items()
            if name.startswith("validation/") and value is not None
        }
        try:
            return self.score.of(metrics)
        except (KeyError, TypeError):
            return None

    @property
    def skips(self):
        """(skip connections, edges) of the result's cell of the space's first type, or None."""
        pairs = self.genotype.cells.get(self.cell_type) if self.genotype else None
        return (self.make_space().skips(self.genotype), len(pairs)) if pairs else None

    @property
    def selects(self):
        """Whether its result is chosen among other runs."""
        recorded = self.selection or self.parts
        return bool(recorded or self.make_method().runs(self._options.SearchConfig()))

    @property
    def method(self):
        """Name of the method without arguments; of best_of, that of the method it repeats."""
        name, args, kwargs = registry.parse(self.config["method"])
        if name != "best_of":
            return name
        return registry.parse((*args, kwargs.get("method", "darts"))[0])[0]

    @property
    def stop_epoch(self):
        """The epoch whose architecture is the result of an early stop, or None."""
        return stop_epoch(self.decisions)

    @property
    def searched(self):
        """The Record of the search that found the genotype: of a selection, the winner."""
        if not self.selects:
            return self
        winner = (self.selection or {}).get("winner")
        return next((part for part in self.parts if part.path.name == winner), self)

    @property
    def history(self):
        """The metrics up to the epoch of the result."""
        return self.metrics[: None if self.stop_epoch is None else self.stop_epoch + 1]

    def curvature(self):
        """The values of lambda_max that were measured up to the epoch of the result."""
        values = [row.get(LAMBDA_MAX) for row in self.searched.history]
        return [value for value in values if value is not None and math.isfinite(value)]

    @property
    def lambda_max(self):
        """At the result's epoch or last before it; None if there is none."""
        return (self.curvature() or [None])[-1]

    @property
    def mean_lambda_max(self):
        """Over the epochs up to that of the result."""
        values = self.curvature()
        return sum(values) / len(values) if values else None

    @property
    def tests(self):
        """Evaluations on the test part of its own data set, the longest with most seeds first."""
        found = [e for e in self.evaluations if e.split == "test" and e.dataset == self.dataset]
        return sorted(found, key=lambda e: (-e.epochs, -e.num_seeds, e.name))

    def settings(self):
        """The fields of its configuration that determine the result, but for the seed."""
        with self._named():
            complete = dataclasses.asdict(self._options.SearchConfig()) | base.fields_of(
                self.config
            )
        if history := self.config.get("history"):
            complete["extended_after"] = lengths.told(history)
        unused = _CURVATURE if self.method == "darts" else ()
        return {k: v for k, v in complete.items() if k not in (*base.FREE, *unused, "seed")}

    def check_plugins(self):
        """Raises UserError unless its space, task and method are to be found and trusted."""
        for make in (self.make_space, self.make_method, lambda: self.metric, lambda: self.score):
            make()

    def make_space(self):
        """The spaces.base.Space that was searched.

        Raises:
            UserError: it is not to be found, or not trusted.
        """
        settings = {"space": self.config["space"], "nodes": self.config.get("nodes")}
        with self._named():
            return SearchConfig(**settings).make_space()

    def make_method(self):
        """The methods.base.Method; raises UserError as `make_space`."""
        with self._named():
            return SearchConfig(method=self.config["method"]).make_method()

    @contextlib.contextmanager
    def _named(self):
        """Names the run in a UserError."""
        try:
            yield
        except UserError as error:
            raise UserError(f"run {self.path}: {error}") from error

    @property
    def evaluate_command(self):
        return f"python -m rdarts_tf.evaluate --run_dir={_quoted(self.path)}"

    @property
    def resume_command(self):
        return (
            f"python -m rdarts_tf.search --flagfile={_quoted(self.path / 'flags.cfg')} "
            f"--run_dir={_quoted(self.path)}"
        )

    @property
    def discretize_command(self):
        return f"python -m rdarts_tf.analyze {_quoted(self.path)} --what=discretization"

    @property
    def report_command(self):
        return f"python -m rdarts_tf.report {_quoted(self.path)}"

    @property
    def spectrum_command(self):
        return f"python -m rdarts_tf.analyze {_quoted(self.path)} --what=spectrum"

    def repeat_command(self, name, value):
        """The same search once more in a new directory, one flag changed."""
        return (
            f"python -m rdarts_tf.search --flagfile={_quoted(self.path / 'flags.cfg')} "
            f"--{name}={value} --run_dir={_quoted(self.repeat_path(name, value))}"
        )

    def repeat_path(self, name, value):
        path = self.path if self.path.name not in ("", "..") else self.path.resolve()
        return path.with_name(f"{path.name}_{name}{value}")


def _quoted(path):
    return shlex.quote(str(path))
