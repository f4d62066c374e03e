"""The configuration of a sweep: a grid of runs, a list of runs, or all architectures of a space."""

import dataclasses
import itertools
import pathlib
import shlex

from rdarts_tf import reading, registry
from rdarts_tf.config.base import ConfigError, ExecutorConfig, argv, option

GRID = {"space": "space", "dataset": "dataset", "method": "method", "seeds": "seed"}
ANALYSES = ("discretization", "spectrum")  # that need the weights of a search


@dataclasses.dataclass(frozen=True)
class SweepConfig(ExecutorConfig):
    """Which runs there are and where; what follows -- on the command line goes to each of them."""

    READS_RECORDS = False

    # The grid; a comma inside brackets does not separate.
    space: str | None = option("what", None, "search spaces, separated by commas")
    dataset: str | None = option("what", None, "data sets, separated by commas")
    method: str | None = option("what", None, "search methods, separated by commas")
    seeds: str | None = option("what", None, "separated by commas")
    vary: str | None = option(
        "what",
        None,
        "further dimensions, such as 'weight_decay=3e-4,9e-4 alpha_step=exact,first_order'; a value "
        "that is not that of the other runs stands in the name of the run directory",
    )
    # Instead of it.
    list: str | None = option(
        "what", None, "file with the flags of a search in each line; # begins a comment"
    )
    exhaustive: bool = option(
        "what",
        False,
        "train every architecture of --space=s5 and write a table of their test errors",
    )
    evaluate: bool = option("what", False, "retrain the cells that each search finds")
    evaluate_flags: str | None = option(
        "what", None, "of --evaluate, such as '--epochs=10 --layers=3'"
    )
    analyze: str | None = option(
        "what",
        None,
        f"measure of each search, separated by commas, too: {', '.join(ANALYSES)}; see rdarts_tf.analyze",
    )
    dry_run: bool = option("what", False, "print the commands and do nothing")
    out: str = option("run directory", "runs", "folder of the run directories")

    def values(self, name):
        """The values of a dimension of the grid; (None,) where it is not given.

        Raises:
            ConfigError: there is none.
        """
        text = getattr(self, name)
        return (None,) if text is None else _values(text, f"--{name}")

    def varied(self):
        """{flag: its values} of --vary.

        Raises:
            ConfigError: something else, or a flag that the grid has.
        """
        found = {}
        for word in words(self.vary or "", f"--vary={self.vary}"):
            name, equals, values = word.partition("=")
            if not equals or name in (*GRID, *GRID.values(), *found):
                raise ConfigError(
                    f"--vary={self.vary} has {word!r}; write flags of a search, each once and none of "
                    f"{', '.join(GRID)}, with their values: 'weight_decay=3e-4,9e-4'"
                )
            found[name] = _values(values, f"--vary={name}")
        return found

    def analyses(self):
        """The values of --analyze; raises ConfigError for others than ANALYSES."""
        found = () if self.analyze is None else self.values("analyze")
        if unknown := [name for name in found if name not in ANALYSES]:
            raise ConfigError(f"unknown --analyze={unknown[0]}; there are: {', '.join(ANALYSES)}")
        return found

    def evaluate_arguments(self):
        """--evaluate_flags as a list.

        Raises:
            ConfigError: a quote is not closed.
        """
        return words(self.evaluate_flags or "", f"--evaluate_flags={self.evaluate_flags}")


def check(config, common):
    """Returns `config`.

    Args:
        common: flags for each run, the arguments behind --.
    Raises:
        ConfigError: flags that exclude each other.
    """
    given = [name for name in (*GRID, "vary") if getattr(config, name) is not None]
    if config.list is not None and (given or config.exhaustive):
        raise ConfigError(f"--list names every run; leave --{(given or ['exhaustive'])[0]} out")
    if config.evaluate_flags is not None and not config.evaluate:
        raise ConfigError(f"--evaluate_flags={config.evaluate_flags} needs --evaluate")
    searching = {name: getattr(config, name) for name in ("method", "vary", "evaluate", "analyze")}
    if config.exhaustive and (others := argv({k: v for k, v in searching.items() if v})):
        raise ConfigError(f"--exhaustive searches nothing; leave {others[0]} out")
    config.analyses()
    for name in (*(name for name in given if name != "vary"), *config.varied()):
        flag = name if config.exhaustive else GRID.get(name, name)
        if any(text.lstrip("-").partition("=")[0] == flag for text in common):
            raise ConfigError(f"--{name} is given before -- and --{flag} behind it; leave one out")
    return config


def searches(config, common):
    """The flags of searches and the ways in which --vary changes them: (list of texts, [{flag: value}]).

    Args:
        common: flags for all of them.
    Raises:
        ConfigError: the list cannot be read, or names no run.
    """
    if config.list is not None:
        return [([*common, *flags], [{}]) for flags in _listed(pathlib.Path(config.list))]
    grid = {flag: config.values(name) for name, flag in GRID.items()}
    changes = _product(config.varied())
    return [([*common, *argv(run)], changes) for run in _product(grid)]


def _product(dimensions):
    """[{name: value}] of {name: values}."""
    return [
        dict(zip(dimensions, values, strict=True))
        for values in itertools.product(*dimensions.values())
    ]


def _listed(path):
    try:
        lines = reading.read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read --list={path}: {error}") from error
    runs = [words(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    if not any(runs):
        raise ConfigError(f"--list={path} names no run; write the flags of a search in each line")
    return [run for run in runs if run]


def _values(text, flag):
    if not (values := registry.split(text, text)):
        raise ConfigError(f"{flag} is empty; leave it out, or give a value")
    return tuple(values)


def words(text, where):
    """A text as a shell splits it, without comments.

    Args:
        where: it stands, for errors.
    Raises:
        ConfigError: a quote is not closed.
    """
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
