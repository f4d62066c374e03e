"""Configurations as frozen dataclasses: what all of them share. No flag is read here.

Names follow the authors' command line where users know them, defaults follow the paper.
"""

import dataclasses
import hashlib
import math
import typing
import zlib

from rdarts_tf import registry
from rdarts_tf.config import spaces
from rdarts_tf.errors import UserError

# Fields that do not change what a run computes: a run may be resumed with other values.
FREE = ("data_dir", "checkpoint_every", "keep_checkpoints", "strategy", "jit_compile")
FREE += ("name", "preset", "seeds")  # of an evaluation
FREE += ("cache_gib",)  # of images
FREE += ("executor", "address", "cpus_per_run", "gpus_per_run")

# What config.json has beside the fields, see runs.lengths.
BESIDE = ("history", "extending")

# Headings of --help, in this order.
GROUPS = ("what", "data", "network", "training", "curvature", "devices", "run directory")


REPLACE = "replace files that are there; without --out, those in a run directory always are"


MOST = 2**31 - 1  # of all numbers
MOST_SEED = 2**32 - 1


class ConfigError(UserError):
    """A value that cannot be; the message is one sentence with the remedy."""


def option(group, default, text, **kwargs):
    """A field of a configuration with its flag's help.

    Args:
        group: one of GROUPS.
        kwargs: low, high, choices.
    """
    return dataclasses.field(default=default, metadata={"group": group, "help": text} | kwargs)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What the configuration of every stage that trains has in common."""

    READS_RECORDS = True  # of a run, which may name plugins
    OVERWRITE = (
        "start anew in a run directory that is in use; what this package did not write stays"
    )
    EXTEND = (
        "go on with more --epochs than the run has, all else equal; with as many, or new: no effect"
    )

    data_dir: str | None = option(
        "data", None, "where data sets are; default ~/tensorflow_datasets"
    )
    strategy: str = option(
        "devices",
        "auto",
        "auto: mirrored with two or more GPUs, else one device; multi_worker: the processes that "
        "TF_CONFIG names, each started with the same command",
        choices=("auto", "one", "mirrored", "multi_worker"),
    )
    mixed_precision: bool = option(
        "devices", False, "compute in bfloat16, keep variables in float32"
    )
    jit_compile: str = option(
        "devices",
        "auto",
        "XLA on a single device, of each primitive of a supernet, else of whole steps; auto: if that "
        "is a GPU, or a recurrent cell is large",
        choices=("auto", "true", "false"),
    )
    checkpoint_every: int = option("run directory", 1, "epochs between checkpoints", low=1)
    keep_checkpoints: int = option(
        "run directory", 2, "newest checkpoints that are kept; 0 keeps all", low=0
    )

    def __post_init__(self):
        if isinstance(space := getattr(self, "space", None), str):
            object.__setattr__(self, "space", spaces.recorded(space))

    def load_dataset(self, run_dir=None):
        """What the `load` of the data set returns.

        Args:
            run_dir: path of the run, for a data set that is stored in it.
        Raises:
            UserError: it is not to be had, takes no such arguments, or is of another task.
        """
        module, args, kwargs = self.dataset_plugin()
        kwargs |= self.loading(module, run_dir)
        try:
            data = module.load(*args, data_dir=self.data_dir, **kwargs)
        except TypeError as error:
            raise ConfigError(f"dataset {self.dataset!r} does not take that: {error}") from error
        self._check_task_of(data)
        return data

    def dataset_plugin(self):
        """`registry.load` of the data set.

        Raises:
            UserError: there is none, or it is of another task.
        """
        found = plugin("datasets", self.dataset, "load")
        self._check_task_of(found[0])
        return found

    def _check_task_of(self, data):
        """A task of the user's own may take any data."""
        task = getattr(data, "TASK", self.TASK)
        if task != self.TASK and not registry.is_outside("tasks", self.TASK):
            raise ConfigError(
                f"--dataset={self.dataset} is data of {task}, not of {self.TASK} as these cells; take "
                "other data, or a space of that task"
            )

    def loading(self, module, run_dir):
        """Further arguments of the `load` of a data set's module; a task may add its own."""
        return {"run_dir": run_dir} if getattr(module, "IN_RUN_DIR", False) else {}

    @property
    def dtype(self):
        """Keras' name of the precision."""
        return "mixed_bfloat16" if self.mixed_precision else "float32"

    def check_values(self):
        """Raises UserError for a value on the wrong side of a bound or not finite; a task adds its own."""
        check_fields(self)
        check_positive(self, "learning_rate", "grad_clip")


@dataclasses.dataclass(frozen=True)
class ExecutorConfig:
    """Where the runs of a command that starts several are executed."""

    executor: str = option(
        "devices",
        "auto",
        "of several runs: ray, at the same time; local, one after the other; auto: ray if it is "
        "installed",
        choices=("auto", "ray", "local"),
    )
    address: str | None = option(
        "devices", None, "of a running Ray cluster; default: this machine alone"
    )
    cpus_per_run: int | None = option(
        "devices", None, "cores of a run; default: those of this machine, shared by the runs", low=1
    )
    gpus_per_run: float | None = option(
        "devices", None, "GPUs of a run; default: 1 if there are any", low=0.0
    )


def plugin(kind, spec, attribute):
    """registry.load, and a check that the module is such a plugin."""
    module, args, kwargs = registry.load(kind, spec)
    if not hasattr(module, attribute):
        raise ConfigError(f"{kind[:-1]} {spec!r}: the module defines no {attribute}")
    return module, args, kwargs


def default(config, name):
    """The default of a field."""
    return type(config).__dataclass_fields__[name].default


def check_positive(config, *names):
    for name in names:
        if getattr(config, name) <= 0:
            raise ConfigError(f"--{name}={getattr(config, name)} must be greater than 0")


def check_fields(config):
    """Raises ConfigError when a value has another type than its field, or is out of its bounds."""
    for field in dataclasses.fields(config):
        value, kinds = getattr(config, field.name), typing.get_args(field.type) or (field.type,)
        if problem := _problem(value, kinds, field.metadata):
            raise ConfigError(f"--{field.name}={str(value)[:60]} {problem}")


def _problem(value, kinds, metadata):
    """What is wrong with a value, or None."""
    if isinstance(value, int) and float in kinds and not isinstance(value, bool):
        kinds = (*kinds, int)
    if type(value) not in kinds:
        return f"is no {' or '.join(kind.__name__ for kind in kinds)}"
    if value not in metadata.get("choices", (value,)):
        return f"is none of {', '.join(metadata['choices'])}"
    if isinstance(value, str) and not all(c.isprintable() or c.isspace() for c in value):
        return "has characters that are none"
    if not isinstance(value, int | float):
        return None
    low, high = metadata.get("low"), metadata.get("high", MOST)
    if not (low is None or value >= low) or not value <= (MOST if high is None else high):
        return f"must be from {'' if low is None else low} to {MOST if high is None else high}"
    return None if math.isfinite(value) else "is no finite number"


def fields_of(recorded):
    """The fields of a configuration in what config.json has."""
    return {name: value for name, value in recorded.items() if name not in BESIDE}


def to_argv(config):
    """The flags of a search that give `config`: its space, by which the defaults are, and what differs from those."""
    values = dataclasses.asdict(config).items()
    return argv({k: v for k, v in values if k == "space" or v != default(config, k)})


def argv(values):
    """("--name=value", ...) of a dict; None is left out."""
    return tuple(
        f"--{name}={to_text(value)}" for name, value in values.items() if value is not None
    )


def to_flags(config):
    """The text of a flag file that reproduces `config`."""
    return "".join(f"{flag}\n" for flag in argv(dataclasses.asdict(config)))


def differences(config, recorded):
    """["--epochs=50 (the run has 30)", ...] of the fields that determine the result.

    Args:
        recorded: the fields of another run as a dict; one that it lacks, of an earlier version, has its
            default.
    """
    of_run = {
        name: recorded.get(name, default(config, name)) for name in dataclasses.asdict(config)
    }
    return [
        f"--{name}={_told(name, value)} (the run has {_told(name, of_run[name])})"
        for name, value in dataclasses.asdict(config).items()
        if name not in FREE and value != of_run[name]
    ]


def _told(name, value):
    """A value in a sentence."""
    named = name == "space" and isinstance(value, str)
    return to_text(spaces.told(value) if named else value)[:200]


SAME_FLAGS = "give the same flags to all workers"


def identity(config):
    """A text that tells the fields that determine the result, apart from the length and from defaults."""
    fields = {
        name: value
        for name, value in dataclasses.asdict(config).items()
        if name not in (*FREE, "epochs") and value != default(config, name)
    }
    return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:16]


def digest(config):
    """A number of the fields that determine the result."""
    fields = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE}
    return zlib.crc32(repr(fields).encode())


def to_text(value):
    """A value as a command line has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
