"""The configuration of a run, as a frozen dataclass, and the absl flags that fill it.

The only file that reads flags. Names follow the authors' command line where users know them,
defaults follow the paper.
"""

import dataclasses
import math
import shlex
import sys

from absl import app, flags

from rdarts_tf import registry
from rdarts_tf.errors import UserError

# Fields that do not change what a run computes: a run may be resumed with other values.
FREE = ("data_dir", "checkpoint_every", "keep_checkpoints", "strategy", "jit_compile")
FREE += ("name", "preset", "seeds")  # of an evaluation
FREE += ("executor", "address", "cpus_per_run", "gpus_per_run")

_REPLACE = "replace files that are there; without --out, those in a run directory always are"


class ConfigError(UserError):
    """A value that cannot be; the message is one sentence with the remedy."""


def option(default, text, **kwargs):
    """A field of a configuration with its flag's help; further: low, high, choices."""
    return dataclasses.field(default=default, metadata={"help": text} | kwargs)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """What the configuration of every stage that trains has in common."""

    OVERWRITE = (
        "start anew in a run directory that is in use; what this package did not write stays"
    )

    data_dir: str | None = option(None, "where data sets are; default ~/tensorflow_datasets")
    gamma_initializer: str = option(
        "torch_uniform",
        "of BatchNorm: U(0, 1) as the authors' library, or ones",
        choices=("torch_uniform", "ones"),
    )
    # Devices.
    strategy: str = option(
        "auto",
        "auto: mirrored with two or more GPUs, else one device",
        choices=("auto", "one", "mirrored"),
    )
    sync_batch_norm: bool = option(False, "BatchNorm statistics over all devices")
    mixed_precision: bool = option(False, "compute in bfloat16, keep variables in float32")
    jit_compile: str = option(
        "auto",
        "XLA on a single device; auto: if that is a GPU and no max pooling needs a second derivative",
        choices=("auto", "true", "false"),
    )
    # Run directory.
    checkpoint_every: int = option(1, "epochs between checkpoints", low=1)
    keep_checkpoints: int = option(2, "newest checkpoints that are kept; 0 keeps all", low=0)

    def load_dataset(self):
        module, args, kwargs = _plugin("datasets", self.dataset, "load")
        try:
            return module.load(*args, data_dir=self.data_dir, **kwargs)
        except TypeError as error:
            raise ConfigError(f"dataset {self.dataset!r} does not take that: {error}") from error

    @property
    def batch_norm(self):
        """Keyword arguments of every BatchNorm."""
        return {
            "gamma_initializer": self.gamma_initializer,
            "synchronized": self.sync_batch_norm,
        }

    @property
    def dtype(self):
        """Keras' name of the precision."""
        return "mixed_bfloat16" if self.mixed_precision else "float32"


@dataclasses.dataclass(frozen=True)
class ExecutorConfig:
    """Where the runs of a command that starts several are executed."""

    executor: str = option(
        "auto",
        "of several runs: ray, at the same time; local, one after the other; auto: ray if it is "
        "installed",
        choices=("auto", "ray", "local"),
    )
    address: str | None = option(None, "of a running Ray cluster; default: this machine alone")
    cpus_per_run: int | None = option(
        None, "cores of a run; default: those of this machine, shared by the runs", low=1
    )
    gpus_per_run: float | None = option(None, "GPUs of a run; default: 1 if there are any", low=0.0)


@dataclasses.dataclass(frozen=True)
class SearchConfig(RunConfig, ExecutorConfig):
    """Everything that determines a search."""

    RUN_DIR = "default runs/<space>_<dataset>_<method>_s<seed>"

    space: str = option("s1", "search space")
    dataset: str = option("cifar10", "data set")
    method: str = option("darts", "search method")
    seed: int = option(2, "of initialisation, data order, augmentation, noise and drop path", low=0)
    # Inner problem: SGD on the weights.
    epochs: int = option(50, "epochs of the search", low=1)
    batch_size: int = option(64, "images a step over all devices", low=1)
    learning_rate: float = option(0.025, "of the weights in epoch 0", low=0.0)
    learning_rate_min: float = option(
        0.001, "which the cosine would reach after the last epoch", low=0.0
    )
    momentum: float = option(0.9, "of SGD", low=0.0, high=1.0)
    weight_decay: float = option(3e-4, "L2 factor of the weights", low=0.0)
    grad_clip: float = option(5.0, "largest global norm of the weight gradient", low=0.0)
    train_portion: float = option(
        0.5, "part of the training images that trains weights", low=0.0, high=1.0
    )
    # Outer problem: Adam on alpha.
    alpha_step: str = option(
        "exact",
        "gradient of alpha: through the virtual step, by finite difference, or at xi = 0",
        choices=("exact", "finite_difference", "first_order"),
    )
    finite_difference_radius: float = option(0.01, "norm of the perturbation", low=0.0)
    independent_noise: bool = option(
        False,
        "draw noise and drop path afresh at w+ and w- of a finite difference, as the authors' code",
    )
    arch_learning_rate: float = option(3e-4, "of alpha", low=0.0)
    arch_weight_decay: float = option(1e-3, "of alpha", low=0.0)
    # Network.
    init_channels: int = option(16, "channels of the first cells, even", low=2)
    layers: int = option(8, "cells", low=1)
    nodes: int | None = option(
        None, "intermediate nodes of a cell; default: the space's own", low=1
    )
    # Regularisation.
    drop_path_prob: float = option(
        0.0, "drop path in the last epoch, 0 in the first", low=0.0, high=1.0
    )
    cutout: str = option(
        "auto", "auto: if and only if there is drop path", choices=("auto", "true", "false")
    )
    cutout_length: int | None = option(
        None, "side of the square in pixels; default: 16, at most half the image", low=1
    )
    cutout_prob: float = option(1.0, "probability of cutout", low=0.0, high=1.0)
    cutout_ramp: bool = option(
        False, "raise the cutout probability linearly from 0, which the authors' code only prints"
    )
    # Curvature.
    hessian_every: int = option(
        1, "epochs between measurements of lambda_max; the last epoch counts; 0: none", low=0
    )
    eigensolver: str = option(
        "power",
        "power iteration; lanczos, which needs fewer products; or the full Hessian",
        choices=("power", "lanczos", "full"),
    )
    hessian_batches: int = option(1, "validation batches whose Hessians are averaged", low=1)
    hessian_tolerance: float = option(
        1e-3, "relative; of the residual in power iteration, of lambda_max in lanczos", low=0.0
    )
    hessian_spectrum: bool = option(
        False, "log the histogram of all eigenvalues; needs --eigensolver=full"
    )
    continue_after_stop: bool = option(
        False, "go on to the last epoch where darts_es stops; its result stays that of the stop"
    )

    # Selection among several searches.
    select_epochs: int = option(
        100, "epochs of the training that scores each cell of a method that selects", low=1
    )
    select_layers: int | None = option(
        None, "cells of that network; default: as python -m rdarts_tf.evaluate", low=1
    )
    select_channels: int | None = option(None, "its channels, even; default likewise", low=2)

    @property
    def use_cutout(self):
        """Whether cutout may be used in any epoch."""
        return self.cutout_with(self.make_method().max_drop_path_prob(self))

    def cutout_with(self, drop_path_prob):
        """Whether cutout is used where the drop path probability rises to that."""
        return drop_path_prob > 0 if self.cutout == "auto" else self.cutout == "true"

    def make_space(self):
        """The spaces.base.Space, with `nodes` nodes."""
        module, args, kwargs = _plugin("spaces", self.space, "SPACE")
        if args or kwargs:
            raise ConfigError(
                f"space {self.space!r} takes no arguments; write --space={module.SPACE.name}"
            )
        space = module.SPACE
        return space if self.nodes is None else space.with_nodes(self.nodes)

    def make_method(self):
        module, args, kwargs = _plugin("methods", self.method, "Method")
        try:
            return module.Method(*args, **kwargs)
        except TypeError as error:
            raise ConfigError(f"method {self.method!r} does not take that: {error}") from error

    def jit(self, space, *, gpus):
        """Whether steps are compiled by XLA, which has no second derivative of max pooling."""
        if self.jit_compile != "auto":
            return self.jit_compile == "true"
        pools = any("max_pool_3x3" in names for rows in space.primitives.values() for names in rows)
        return gpus > 0 and not (pools and self.alpha_step == "exact")

    def default_run_dir(self, folder="runs"):
        name = f"{self.space}_{self.dataset}_{self.method}_s{self.seed}"
        return f"{folder}/" + "".join(c if c.isalnum() or c in "_-." else "-" for c in name)


@dataclasses.dataclass(frozen=True)
class AnalyzeConfig:
    """What is drawn of finished searches."""

    what: str = option("trajectory", "the analysis, one of those above")
    out: str | None = option(
        None, "folder for what is written; default analysis, in the run directory if there is one"
    )
    overwrite: bool = option(False, _REPLACE)
    method: str | None = option(
        None, "whose stop rule is applied; default the run's own, else darts_es"
    )
    table: str | None = option(
        None,
        "of --what=regret: CSV file that rdarts_tf.sweep --exhaustive wrote; default: one that comes "
        "along",
    )
    data_dir: str | None = option(None, "where data sets are; default ~/tensorflow_datasets")


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Where the page about runs goes."""

    out: str | None = option(
        None, "folder for the page; default report, in the run directory if there is only one"
    )
    overwrite: bool = option(False, _REPLACE)


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What is written of a run for use elsewhere."""

    RUN_DIR = "the run whose cells or retrained network are exported"
    OVERWRITE = "replace a file or a former export that is in the way; another folder never is"

    format: str = option(
        "savedmodel",
        "of the file; png, svg and dot draw the cells",
        choices=("savedmodel", "tflite", "onnx", "keras", "png", "svg", "dot"),
    )
    what: str = option(
        "network", "the retrained network, or one untrained cell", choices=("network", "cell")
    )
    out: str | None = option(
        None, "file or folder to write, or a folder that exists, to write into; default RUN/export"
    )
    evaluation: str | None = option(None, "folder in RUN/evaluate; default: the only one")
    seed: int | None = option(None, "which of its trainings; default: its first", low=0)
    input: str = option(
        "uint8",
        "type of the images: uint8 in 0..255 or float32 in 0..1",
        choices=("uint8", "float32"),
    )
    quantize: str = option(
        "none",
        "int8: a TFLite file of 8-bit weights and activations, calibrated on training images",
        choices=("none", "int8"),
    )
    calibration_images: int = option(200, "of --quantize=int8", low=1)
    data_dir: str | None = option(None, "where data sets are; default ~/tensorflow_datasets")
    # Cells.
    genotype: str | None = option(
        None, "to draw or export cells of: the text Genotype(...), a file, or a published name"
    )
    cell: str = option("normal", "of --what=cell", choices=("normal", "reduce"))
    channels: int = option(16, "of --what=cell", low=2)
    input_channels: int = option(64, "of both inputs of --what=cell", low=1)


def define_flags(config_class, *, in_run_dir, flag_values=flags.FLAGS):
    """Defines one flag per field of a configuration.

    Args:
        in_run_dir: define the flags of the run directory, too.
        flag_values: absl FlagValues that receive them.
    """
    own = {"flag_values": flag_values}
    for field in dataclasses.fields(config_class):
        text, low, high = (field.metadata.get(key) for key in ("help", "low", "high"))
        bounds = {"lower_bound": low, "upper_bound": high}
        kind = field.type if isinstance(field.type, type) else str
        if "choices" in field.metadata:
            flags.DEFINE_enum(field.name, field.default, field.metadata["choices"], text, **own)
        elif kind is bool:
            flags.DEFINE_bool(field.name, field.default, text, **own)
        elif kind is int or field.type == int | None:
            flags.DEFINE_integer(field.name, field.default, text, **bounds, **own)
        elif kind is float or field.type == float | None:
            flags.DEFINE_float(field.name, field.default, text, **bounds, **own)
        else:
            flags.DEFINE_string(field.name, field.default, text + _available(field.name), **own)
    if in_run_dir:
        flags.DEFINE_string("run_dir", None, config_class.RUN_DIR, **own)
        flags.DEFINE_bool("overwrite", False, config_class.OVERWRITE, **own)
    if in_run_dir or config_class in (AnalyzeConfig, ReportConfig):
        text = (
            "module outside of rdarts_tf that a run's record may name, such as my_package.my_space"
        )
        flags.DEFINE_multi_string("plugin", [], f"{text}; may be repeated", **own)


def run(main, config_class, *, in_run_dir=True):
    """Runs `main(argv)` of a CLI with the flags of a configuration and exits with its return code.

    What cannot be parsed is one sentence and exit code 2, as any other error of the user.

    Args:
        in_run_dir: whether the command works in one run directory, given by a flag.
    """
    define_flags(config_class, in_run_dir=in_run_dir)
    for flag in flags.FLAGS.flags_by_module_dict()[__name__]:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)  # what --help shows

    def parse(argv):
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            print(f"error: {error}; --help lists the flags", file=sys.stderr)
            sys.exit(2)

    app.run(lambda argv: sys.exit(main(argv)), flags_parser=parse)


def from_flags(config_class, flag_values=flags.FLAGS):
    """The configuration that the parsed flags give, see `check`.

    From then on plugins outside of this package that the flags name may be imported, none of them from
    the run directory.
    """
    _trust({name: flag_values[name].value for name in _TRUST if name in flag_values})
    names = [field.name for field in dataclasses.fields(config_class)]
    return config_class(**{name: flag_values[name].value for name in names})


_TRUST = ("space", "dataset", "method", "plugin", "run_dir")  # flags that `_trust` reads


def _trust(given):
    for kind in ("space", "dataset", "method"):
        text = given.get(kind) or ""
        for spec in registry.split(text, text):  # a sweep lists several
            registry.trust(spec, nested=kind == "method")
    for name in given.get("plugin", ()):
        registry.trust(name)
    if given.get("run_dir"):
        registry.distrust(given["run_dir"])


def parse(config_class, arguments):
    """What a command line gives, without touching the flags of this process.

    Args:
        config_class: of a command that works in a run directory.
        arguments: texts, without the name of the command.
    Returns:
        (configuration, {"run_dir": path or None, "overwrite": bool}).
    Raises:
        ConfigError: the command would not accept it.
    """
    values = flags.FlagValues()
    define_flags(config_class, in_run_dir=True, flag_values=values)
    try:
        rest = values(["", *arguments])[1:]
    except flags.Error as error:
        raise ConfigError(f"{shlex.join(arguments)}: {error}") from error
    if rest:
        raise ConfigError(f"unexpected argument {rest[0]!r}; flags look like --epochs=20")
    given = {name: values[name].value for name in ("run_dir", "overwrite")}
    return from_flags(config_class, values), given


def search_config(recorded):
    """The SearchConfig of a run's recorded fields.

    Raises:
        ConfigError: the run is of another version.
    """
    try:
        return SearchConfig(**recorded)
    except TypeError as error:
        raise ConfigError(f"the run's config.json is of another version: {error}") from error


def check(config):
    """Returns `config`, a SearchConfig.

    Raises:
        UserError: unknown plugin, odd channels, a value on the wrong side of a bound or not finite.
    """
    check_even(config, "init_channels", "select_channels")
    check_finite(config)
    for name in ("learning_rate", "grad_clip", "finite_difference_radius", "hessian_tolerance"):
        if getattr(config, name) <= 0:
            raise ConfigError(f"--{name}={getattr(config, name)} must be greater than 0")
    if config.drop_path_prob >= 1:
        raise ConfigError(f"--drop_path_prob={config.drop_path_prob} must be less than 1")
    if config.independent_noise and config.alpha_step != "finite_difference":
        raise ConfigError(
            f"--independent_noise needs --alpha_step=finite_difference, not {config.alpha_step}"
        )
    config.make_space()
    method = config.make_method()
    method.check(config)
    _plugin("datasets", config.dataset, "load")
    runs = pieces(config)
    for run in runs.values():
        check(run)
    if not runs:
        _check_curvature(config, method)
        _check_unused(config)
    return config


# What only methods that start several runs use.
_EXECUTOR = tuple(field.name for field in dataclasses.fields(ExecutorConfig))
_SELECTION = ("select_epochs", "select_layers", "select_channels")


def pieces(config):
    """{name: SearchConfig} of the searches that `config` starts; empty: it is one itself."""
    return {name: _piece(run) for name, run in config.make_method().runs(config).items()}


def _piece(config):
    """Without the flags that a search which starts no others has no use for."""
    unused = _EXECUTOR if config.make_method().runs(config) else _EXECUTOR + _SELECTION
    return dataclasses.replace(config, **{name: _default(config, name) for name in unused})


def _check_unused(config):
    for name in _EXECUTOR + _SELECTION:
        if getattr(config, name) != _default(config, name):
            raise ConfigError(
                f"--{name} needs a method that starts several searches, such as rdarts_l2, not "
                f"{config.method}"
            )


def _default(config, name):
    return type(config).__dataclass_fields__[name].default


def _check_curvature(config, method):
    every, needed = config.hessian_every, method.frequency
    if needed and (every == 0 or needed % every):
        raise ConfigError(
            f"method {config.method!r} needs lambda_max every {needed} epochs, not "
            f"--hessian_every={every}; take --hessian_every=1"
        )
    if config.hessian_spectrum and (config.eigensolver != "full" or every == 0):
        raise ConfigError(
            "--hessian_spectrum needs --eigensolver=full and --hessian_every of at least 1, not "
            f"{config.eigensolver} and {every}"
        )
    if config.continue_after_stop and not method.stops:
        raise ConfigError(
            f"--continue_after_stop needs a method that stops, such as darts_es, not {config.method}"
        )


def check_even(config, *names):
    """Raises ConfigError where a number of channels is odd; None passes."""
    for name in names:
        if (channels := getattr(config, name)) and channels % 2:
            raise ConfigError(
                f"--{name}={channels} is odd; skip connections of stride 2 halve it, take "
                f"{channels + 1}"
            )


def check_finite(config):
    """Raises ConfigError when a value is infinite or no number."""
    for name, value in dataclasses.asdict(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{name}={value} is no finite number")


def to_argv(config):
    """The flags that give `config`, those at their defaults left out."""
    values = dataclasses.asdict(config).items()
    return argv({name: value for name, value in values if value != _default(config, name)})


def argv(values):
    """("--name=value", ...) of a dict; None is left out."""
    return tuple(f"--{name}={_text(value)}" for name, value in values.items() if value is not None)


def to_flags(config):
    """The text of a flag file that reproduces `config`."""
    values = dataclasses.asdict(config)
    return "".join(f"--{k}={_text(v)}\n" for k, v in values.items() if v is not None)


def write_description(config, run_dir, dataset):
    """Writes what tells another process of a run: config.json, flags.cfg, dataset.json.

    Args:
        run_dir: run_dir.RunDir.
        dataset: datasets.base.Dataset.
    """
    run_dir.write_json("config.json", dataclasses.asdict(config))
    run_dir.write_text("flags.cfg", to_flags(config))
    run_dir.write_json("dataset.json", dataset.record())


def differences(config, recorded):
    """["--epochs=50 (the run has 30)", ...] of the fields that determine the result.

    Args:
        recorded: the fields of another run as a dict.
    """
    return [
        f"--{name}={_text(value)} (the run has {_text(recorded.get(name))})"
        for name, value in dataclasses.asdict(config).items()
        if name not in FREE and value != recorded.get(name)
    ]


def _plugin(kind, spec, attribute):
    """registry.load, and a check that the module is such a plugin."""
    module, args, kwargs = registry.load(kind, spec)
    if not hasattr(module, attribute):
        raise ConfigError(f"{kind[:-1]} {spec!r}: the module defines no {attribute}")
    return module, args, kwargs


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _available(name):
    kind = f"{name}s"
    return f": {', '.join(registry.names(kind))}" if kind in registry.KINDS else ""
