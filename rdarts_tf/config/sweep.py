"""The configuration of a sweep: a grid of runs, a list of runs, or all architectures of a space."""

import dataclasses
import pathlib
import shlex

from rdarts_tf import reading, registry
from rdarts_tf.config.base import ConfigError, ExecutorConfig, argv, option

GRID = {"space": "space", "dataset": "dataset", "method": "method", "seeds": "seed"}


@dataclasses.dataclass(frozen=True)
class SweepConfig(ExecutorConfig):
    """Which runs there are and where; what follows -- on the command line goes to each of them."""

    READS_RECORDS = False

    # The grid; a comma inside brackets does not separate.
    space: str | None = option("what", None, "search spaces, separated by commas")
    dataset: str | None = option("what", None, "data sets, separated by commas")
    method: str | None = option("what", None, "search methods, separated by commas")
    seeds: str | None = option("what", None, "separated by commas")
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
    dry_run: bool = option("what", False, "print the commands and do nothing")
    out: str = option("run directory", "runs", "folder of the run directories")

    def values(self, name):
        """The values of a dimension of the grid; (None,) where it is not given.

        Raises:
            ConfigError: there is none.
        """
        text = getattr(self, name)
        if text is None:
            return (None,)
        if not (values := registry.split(text, text)):
            raise ConfigError(f"--{name} is empty; leave it out, or give a value")
        return tuple(values)

    def evaluate_arguments(self):
        """--evaluate_flags as a list.

        Raises:
            ConfigError: a quote is not closed.
        """
        return _words(self.evaluate_flags or "", f"--evaluate_flags={self.evaluate_flags}")


def check(config, common):
    """Returns `config`.

    Args:
        common: flags for each run, the arguments behind --.
    Raises:
        ConfigError: flags that exclude each other.
    """
    given = [name for name in GRID if getattr(config, name) is not None]
    if config.list is not None and (given or config.exhaustive):
        raise ConfigError(f"--list names every run; leave --{(given or ['exhaustive'])[0]} out")
    if config.evaluate_flags is not None and not config.evaluate:
        raise ConfigError(f"--evaluate_flags={config.evaluate_flags} needs --evaluate")
    if config.exhaustive and (config.method is not None or config.evaluate):
        other = "evaluate" if config.method is None else f"method={config.method}"
        raise ConfigError(f"--exhaustive searches nothing; leave --{other} out")
    for name in given:
        flag = name if config.exhaustive else GRID[name]
        if any(text.lstrip("-").partition("=")[0] == flag for text in common):
            raise ConfigError(f"--{name} is given before -- and --{flag} behind it; leave one out")
    return config


def searches(config, common):
    """The flags of each search: lists of texts.

    Args:
        common: flags for all of them.
    Raises:
        ConfigError: the list cannot be read, or names no run.
    """
    if config.list is not None:
        return [[*common, *flags] for flags in _listed(pathlib.Path(config.list))]
    runs = [{}]
    for name, flag in GRID.items():
        runs = [run | {flag: value} for run in runs for value in config.values(name)]
    return [[*common, *argv(run)] for run in runs]


def _listed(path):
    try:
        lines = reading.read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read --list={path}: {error}") from error
    runs = [_words(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    if not any(runs):
        raise ConfigError(f"--list={path} names no run; write the flags of a search in each line")
    return [run for run in runs if run]


def _words(text, where):
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
