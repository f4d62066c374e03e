"""The configuration of python -m rdarts_tf.reproduce, and the experiments: files of sweeps.

An experiment is a file flags/<scale>/<name>.cfg. Empty lines separate its blocks, # begins
a comment; a block is what one writes behind python -m rdarts_tf.sweep. --flagfile=FILE in it stands for
the flags in a file beside.
"""

import dataclasses
import pathlib
import shlex

from rdarts_tf import reading, registry
from rdarts_tf.config import flags, search, sweep
from rdarts_tf.config.base import ConfigError, ExecutorConfig, option

_PACKAGE = pathlib.Path(__file__).parents[1]
_INSTALLED = _PACKAGE / "experiments"  # see setup.py
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "flags"
SCALES = ("small", "paper")


@dataclasses.dataclass(frozen=True)
class ReproduceConfig(ExecutorConfig):
    """How the experiments are done."""

    READS_RECORDS = False

    scale: str = option(
        "what",
        "small",
        "small: the same protocol on data that come along, for small networks and few epochs; paper: "
        "its data and sizes",
        choices=SCALES,
    )
    dataset: str | None = option(
        "what",
        None,
        "of the experiment's data sets only these, separated by commas; or others in their place",
    )
    data_dir: str | None = option(
        "data", None, "where data sets are; default ~/tensorflow_datasets"
    )
    dry_run: bool = option("what", False, "print the commands and the GPU-hours, and do nothing")
    out: str | None = option(
        "run directory", None, "folder of the run directories and of the page; default runs/<scale>"
    )

    @property
    def folder(self):
        return self.out or f"runs/{self.scale}"


def names(scale):
    """Of the experiments, in the order of their numbers."""
    found = [path.stem for path in (FOLDER / scale).glob("*.cfg")]
    return sorted(found, key=lambda name: (name.rstrip("0123456789"), len(name), name))


def blocks(name, config):
    """[(sweep.SweepConfig, flags of each of its runs)] of an experiment.

    Args:
        config: ReproduceConfig.
    Raises:
        ConfigError: no such experiment, or not on these data sets.
    """
    if name not in names(config.scale):
        raise ConfigError(
            f"{name!r} is no experiment, as drawings are none; there are: "
            f"{', '.join(names(config.scale))}"
        )
    path = FOLDER / config.scale / f"{name}.cfg"
    texts = [_expanded(text, path) for text in path.read_text(encoding="utf-8").split("\n\n")]
    found = [flags.parse_with_rest(sweep.SweepConfig, words) for words in texts if words]
    if config.dataset is not None:
        found = _on_datasets(name, found, registry.split(config.dataset, config.dataset))
    return [_in_place(block, common, config) for block, common in found]


def _in_place(block, common, config):
    """A block with the folders that the user gives."""
    where = [] if config.data_dir is None else [f"--data_dir={config.data_dir}"]
    block = dataclasses.replace(block, out=config.folder, dry_run=config.dry_run)
    if block.evaluate and where:
        texts = shlex.join([*block.evaluate_arguments(), *where])
        block = dataclasses.replace(block, evaluate_flags=texts)
    return block, [*common, *where]


def _expanded(text, path):
    """The words of a block, flag files replaced by what they hold."""
    found = []
    for word in sweep.words(text, path):
        name, _, file = word.partition("=")
        inside = path.parent / file
        is_file = name == "--flagfile"
        found += sweep.words(reading.read_text(inside), inside) if is_file else [word]
    return found


def _on_datasets(name, found, given):
    """The blocks on these data sets only; where an experiment has none of them, with them for its own."""
    listed = sorted({dataset for block, _ in found for dataset in block.values("dataset")})
    if unknown := [dataset for dataset in given if dataset not in listed] or not given:
        _check_replaceable(name, found, given, listed)
    kept = []
    for block, common in found:
        chosen = [each for each in given if unknown or each in block.values("dataset")]
        if chosen:
            kept.append((dataclasses.replace(block, dataset=",".join(chosen)), common))
    return kept


def _check_replaceable(name, found, given, listed):
    """Raises ConfigError unless others may take the place of an experiment's data sets."""
    tasks = {search.space_of(space).task for block, _ in found for space in block.values("space")}
    apart = any("--dataset" in (block.evaluate_flags or "") for block, _ in found)
    if not given or set(given) & set(listed) or len(tasks) > 1 or apart:
        raise ConfigError(
            f"{name} cannot be done with --dataset={','.join(given)}; give some of {', '.join(listed)}"
            + ("" if len(tasks) > 1 or apart else ", or only others")
        )
