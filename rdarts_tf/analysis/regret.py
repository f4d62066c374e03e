"""Test regret in a space whose architectures were all trained (Zela et al. 2020, sec. 3, Fig. 2, 10).

The regret of an architecture is its test score, such as an error, less that of the best one. A table is
a CSV file with a row for each architecture: columns {cell}_edge{e} with its primitives, num_parameters,
test_{score}, test_{score}_std, num_seeds, epochs, and the SIZES of the space's task.
"""

import dataclasses
import math
import pathlib
import statistics

import numpy as np
from scipy import special

from rdarts_tf import reading, registry
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype as genotypes
from rdarts_tf.genotypes import rule

SHIPPED = pathlib.Path(__file__).parent / "tables"


@dataclasses.dataclass(frozen=True)
class Trained:
    """What retraining an architecture gave.

    Attributes:
        num_parameters: without auxiliary head.
        test, test_std: score; mean and population standard deviation over seeds.
        num_seeds, epochs, sizes: how it was trained.
    """

    num_parameters: int
    test: float
    test_std: float
    num_seeds: int
    epochs: int
    sizes: tuple[int, ...]

    @property
    def how(self):
        return self.num_seeds, self.epochs, *self.sizes


@dataclasses.dataclass(frozen=True)
class Table:
    """All architectures of a space.

    Attributes:
        trained: {key of a choice, see `key`: Trained}.
    """

    space: object
    trained: dict

    def test(self, genotype):
        """The test score of a Genotype of the space."""
        return self.trained[key(rule.choice_of(self.space, genotype))].test

    def regret(self, genotype):
        """Its test score - the smallest one of the table."""
        return self.test(genotype) - min(row.test for row in self.trained.values())


@dataclasses.dataclass(frozen=True)
class Line:
    """What runs that differ in their seed give together, by epoch.

    Attributes:
        score: tasks.base.Score.
        num_runs: how many runs.
        epochs: [E].
        regret, validation: of the score; [E, 3], mean, smallest and largest over the runs that reached the
            epoch; NaN where no run knows.
    """

    score: object
    num_runs: int
    epochs: np.ndarray
    regret: np.ndarray
    validation: np.ndarray

    @property
    def runs(self):
        return f"{self.num_runs} run{'s' * (self.num_runs > 1)}"


def key(choice):
    """{cell type: one primitive per edge} as a tuple of all primitives, as the columns give them."""
    return tuple(_columns(choice).values())


def score_of(space):
    """The tasks.base.Score of the task of a space."""
    return _options(space).SCORE


def row(space, choice, trained):
    """{column: value} of an architecture in the table."""
    *values, sizes = dataclasses.astuple(trained)
    return _columns(choice) | dict(zip(_names(space), (*values, *sizes), strict=True))


def trained_of(space, result, config, *, seeds):
    """Trained of an evaluation.

    Args:
        space: spaces.base.Space.
        result: content of its result.json.
        config: content of its config.json.
        seeds: integers; only these count.
    """
    name = score_of(space).name
    scores = [each[name] for each in result["seeds"] if each["seed"] in seeds]
    return Trained(
        result["num_parameters"],
        statistics.fmean(scores),
        statistics.pstdev(scores),
        len(scores),
        config["epochs"],
        tuple(config[size] for size in _names(space)[5:]),
    )


def read_table(path, space):
    """The Table in a CSV file.

    Raises:
        UserError: no such file, a number is damaged, an architecture is missing, twice there or not
            of the space, or they were trained in different ways.
    """
    rows, found = reading.read_rows(path), {}
    columns = list(_columns(next(space.architectures())))
    wanted = [*columns, *_names(space)]
    if missing := [column for column in wanted if column not in rows[0]]:
        raise UserError(f"{path} has no column {missing[0]}; it needs {', '.join(wanted)}")
    for line, row in enumerate(rows, 2):
        names, where = tuple(row[column] for column in columns), f"{path}, line {line}"
        if names in found:
            raise UserError(f"{where}: architecture {' '.join(names)} is in the table twice")
        found[names] = _trained(space, row, where)
    _check_complete(found, space, path)
    if len(ways := sorted({trained.how for trained in found.values()})) > 1:
        raise UserError(
            f"{path} mixes trainings by {ways[0]} and {ways[-1]} of {', '.join(_names(space)[3:])}; "
            "train all architectures alike"
        )
    return Table(space, found)


def _check_complete(found, space, path):
    """Raises UserError unless the keys of `found` are the architectures of the space."""
    keys = [key(choice) for choice in space.architectures()]
    if missing := [k for k in keys if k not in found]:
        raise UserError(
            f"{path} lacks {len(missing)} of {len(keys)} architectures of space {space.name!r}, the "
            f"first is {' '.join(missing[0])}"
        )
    if foreign := sorted(map(str, found.keys() - set(keys))):
        raise UserError(f"{path}: space {space.name!r} has no architecture {foreign[0]}")


def genotypes_of_run(space, rows, alphas):
    """The Genotype after each epoch; None where it is not known.

    Args:
        rows: content of metrics.jsonl; text "genotype" where the method gives it, which may be None.
        alphas: {cell type: [epochs, E, K]}, of which the others are derived; a killed search may lack
            the last epoch.
    Raises:
        UserError: a text is no genotype.
    """
    found, num_known = [], min((len(a) for a in alphas.values()), default=0)
    for index, recorded in enumerate(rows):
        if "genotype" in recorded:
            text = recorded["genotype"]
            found.append(None if text is None else genotypes.parse(text, space))
        elif index >= num_known:
            found.append(None)
        else:
            weights = {t: special.softmax(a[index], axis=-1) for t, a in alphas.items()}
            found.append(rule.derive(space, weights))
    return found


def run_rows(table, rows, alphas):
    """A dict for each epoch of a search, its numbers None where they are not known.

    Args:
        table: Table; rows, alphas: see `genotypes_of_run`.
    """
    score, metrics = score_of(table.space), _options(table.space).METRICS
    return [
        {
            "epoch": recorded["epoch"],
            "genotype": None if genotype is None else str(genotype),
            f"test_{score.name}": None if genotype is None else table.test(genotype),
            "test_regret": None if genotype is None else table.regret(genotype),
            f"validation_{score.name}": score.of(
                {m.name: recorded.get(f"validation/{m.name}") for m in metrics}
            ),
        }
        for recorded, genotype in zip(
            rows, genotypes_of_run(table.space, rows, alphas), strict=True
        )
    ]


def labels(settings):
    """A label for each run: method, L2 factor, and what else differs; the same for different seeds.

    Args:
        settings: [{name: value}] of the runs, what does not change a result left out.
    """
    named = ("method", "weight_decay", "seed")
    differing = [
        name
        for name in settings[0]
        if name not in named and len({str(each.get(name)) for each in settings}) > 1
    ]
    return [
        ", ".join(
            [each["method"], f"L2 {each['weight_decay']:g}"]
            + [f"{name} {each.get(name)}" for name in differing]
        )
        for each in settings
    ]


def line(runs, score):
    """The Line of runs.

    Args:
        runs: [[a dict for each epoch, see `run_rows`]].
        score: tasks.base.Score.
    """
    epochs = sorted({row["epoch"] for rows in runs for row in rows})
    return Line(
        score,
        len(runs),
        np.array(epochs),
        _mean_and_range(runs, epochs, "test_regret"),
        _mean_and_range(runs, epochs, f"validation_{score.name}"),
    )


def told(label, line):
    """A Line in words."""
    mean = line.regret[:, 0]
    if np.isnan(mean).all():
        return f"{label} ({line.runs}): no architecture is known at any epoch"
    (*_, last), best = np.flatnonzero(~np.isnan(mean)), np.nanargmin(mean)
    return (
        f"{label} ({line.runs}): test regret {line.score.told(mean[last])} after epoch "
        f"{line.epochs[last]}, lowest {line.score.told(mean[best])} after epoch {line.epochs[best]}"
    )


def _mean_and_range(runs, epochs, column):
    """[E, 3]."""
    found = {epoch: [] for epoch in epochs}
    for row in (row for rows in runs for row in rows):
        if row[column] is not None:
            found[row["epoch"]].append(row[column])
    return np.array(
        [(statistics.fmean(v), min(v), max(v)) if v else (math.nan,) * 3 for v in found.values()]
    )


def _columns(choice):
    return {f"{t}_edge{e}": name for t, names in choice.items() for e, name in enumerate(names)}


def _options(space):
    return registry.load_task(space.task, "options")


def _names(space):
    """The columns that tell of a training."""
    test, sizes = f"test_{score_of(space).name}", getattr(_options(space), "SIZES", ())
    return ["num_parameters", test, f"{test}_std", "num_seeds", "epochs", *sizes]


def _trained(space, row, where):
    """The Trained of a row of texts; `where` names it in errors."""
    values, names = [], _names(space)
    for index, name in enumerate(names):
        try:
            values.append((float if index in (1, 2) else int)(row[name]))
        except (TypeError, ValueError) as error:
            raise UserError(f"{where}: {name} is {row[name]!r}, which is no number") from error
    fraction = score_of(space).unit == "%"
    for name, value in list(zip(names, values, strict=True))[1:3]:
        if not 0 <= value <= 1 and (fraction or not math.isfinite(value)):
            raise UserError(
                f"{where}: {name} is {value}, not {'a fraction of 1' if fraction else 'finite'}"
            )
    return Trained(*values[:5], tuple(values[5:]))
