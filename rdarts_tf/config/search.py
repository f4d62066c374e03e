"""The configuration of a search: what all tasks have in common; each task adds fields of its own."""

import dataclasses

from rdarts_tf.config import base, spaces, task, workers
from rdarts_tf.config.base import ConfigError, option


@dataclasses.dataclass(frozen=True)
class SearchConfig(base.RunConfig, base.ExecutorConfig):
    """Everything that determines a search but for what its task adds, see `of_task`."""

    RUN_DIR = "default runs/<space>_<dataset>_<method>_s<seed>"

    space: str = option("what", "s1", "search space")
    dataset: str = option("what", "cifar10", "data set")
    method: str = option("what", "darts", "search method")
    seed: int = option(
        "what",
        2,
        "of initialisation, data order, augmentation, noise and drop path",
        low=0,
        high=base.MOST_SEED,
    )
    # Inner problem: the weights.
    epochs: int = option("training", 50, "epochs of the search", low=1, high=10**6)
    batch_size: int = option("training", 64, "examples a step over all devices", low=1)
    learning_rate: float = option("training", 0.025, "of the weights in epoch 0", low=0.0)
    weight_decay: float = option("training", 3e-4, "L2 factor of the weights", low=0.0)
    grad_clip: float = option(
        "training", 5.0, "largest global norm of the weight gradient", low=0.0
    )
    # Outer problem: Adam on alpha.
    alpha_step: str = option(
        "training",
        "exact",
        "gradient of alpha: through the virtual step, by finite difference, or at xi = 0",
        choices=("exact", "finite_difference", "first_order"),
    )
    finite_difference_radius: float = option("training", 0.01, "norm of the perturbation", low=0.0)
    independent_noise: bool = option(
        "training",
        False,
        "draw noise and drop path afresh at w+ and w- of a finite difference, as the authors' code",
    )
    arch_learning_rate: float = option("training", 3e-4, "of alpha", low=0.0)
    arch_weight_decay: float = option("training", 1e-3, "of alpha", low=0.0)
    nodes: int | None = option(
        "network", None, "intermediate nodes of a cell; default: the space's own", low=1, high=64
    )
    # Curvature.
    hessian_every: int = option(
        "curvature",
        1,
        "epochs between measurements of lambda_max; the last epoch counts; 0: none",
        low=0,
    )
    eigensolver: str = option(
        "curvature",
        "power",
        "power iteration; lanczos, which needs fewer products; or the full Hessian",
        choices=("power", "lanczos", "full"),
    )
    hessian_batches: int = option(
        "curvature", 1, "validation batches whose Hessians are averaged", low=1
    )
    hessian_tolerance: float = option(
        "curvature",
        1e-3,
        "relative; of the residual in power iteration, of lambda_max in lanczos",
        low=0.0,
    )
    hessian_products: int | None = option(
        "curvature",
        None,
        "products with the Hessian of each batch that power iteration and lanczos take at most; "
        "default: 200; curvature/converged tells whether they sufficed",
        low=1,
    )
    hessian_spectrum: bool = option(
        "curvature", False, "log the histogram of all eigenvalues; needs --eigensolver=full"
    )
    continue_after_stop: bool = option(
        "curvature",
        False,
        "go on to the last epoch where darts_es stops; its result stays that of the stop",
    )
    # Selection among several searches.
    select_epochs: int = option(
        "training",
        100,
        "epochs of the training that scores each cell of a method that selects",
        low=1,
    )

    # Fields that only methods use which select among several searches; a task adds its own.
    SELECTION = ("select_epochs",)

    def make_space(self):
        """The spaces.base.Space, with `nodes` nodes."""
        space = spaces.make(self.space)
        return space if self.nodes is None else space.with_nodes(self.nodes)

    def make_method(self):
        module, args, kwargs = base.plugin("methods", self.method, "Method")
        try:
            return module.Method(*args, **kwargs)
        except TypeError as error:
            raise ConfigError(f"method {self.method!r} does not take that: {error}") from error

    def progress(self, epoch):
        """Of a ramp that is 0 in the first epoch and 1 in the last."""
        return epoch / max(self.epochs - 1, 1)

    def default_run_dir(self, folder="runs", *, varied=()):
        """Of a search whose `varied` fields tell it from others of the same name."""
        settings = "".join(f"_{name}-{base.to_text(getattr(self, name))}" for name in varied)
        name = f"{spaces.label(self.space)}_{self.dataset}_{self.method}{settings}_s{self.seed}"
        return f"{folder}/" + "".join(c if c.isalnum() or c in "_-." else "-" for c in name)

    def plugin_flags(self):
        """{flag: value} by which a command that reads the run's record may import its space."""
        return {"plugin": spaces.plugin(self.space)}

    def selection_flags(self):
        """{flag: value} of the evaluation that scores a cell, beside those that `FREE` has."""
        return self.plugin_flags() | {
            "epochs": self.select_epochs,
            "dataset": self.dataset,
            "data_dir": self.data_dir,
            "strategy": self.strategy,
            "mixed_precision": self.mixed_precision,
            "jit_compile": self.jit_compile,
        }

    def check_values(self):
        super().check_values()
        base.check_positive(self, "finite_difference_radius", "hessian_tolerance")
        if self.independent_noise and self.alpha_step != "finite_difference":
            raise ConfigError(
                f"--independent_noise needs --alpha_step=finite_difference, not {self.alpha_step}"
            )


def of_space(spec):
    """The subclass of SearchConfig of a space's task.

    Args:
        spec: the space as a user names it.
    Raises:
        UserError: no such space or task.
    """
    return task.of_space(spec).SearchConfig


def space_of(spec):
    """The spaces.base.Space that a user names; raises UserError if there is none."""
    return SearchConfig(space=spec).make_space()


def of_given(given):
    """The same by the early flags of a command line, see `flags.EARLY`."""
    return of_space(given["space"] or SearchConfig.space)


def of_record(recorded):
    """The SearchConfig of a run's recorded fields, a dict.

    Raises:
        ConfigError: the run is of another version.
    """
    try:
        config = of_space(recorded["space"])(**base.fields_of(recorded))
        base.check_fields(config)
        return config
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the run's config.json is of another version: {error}") from error


def check(config, *, within=0):
    """Returns `config`, a SearchConfig.

    Args:
        within: how many selections.
    Raises:
        UserError: unknown plugin, or a value that cannot be.
    """
    config.check_values()
    space = config.make_space()
    space.check_derivable()
    task.check_space(space)
    method = config.make_method()
    method.check(config)
    config.dataset_plugin()
    runs = pieces(config)
    if runs:
        workers.check_alone(config, f"--method={config.method}")
    if runs and within == _MOST_WITHIN:
        raise ConfigError(
            f"--method={config.method} selects within {within} selections; take a plain method"
        )
    for run in runs.values():
        check(run, within=within + 1)
    if not runs:
        _check_curvature(config, method)
        _check_unused(config)
    return config


_MOST_WITHIN = 2

# What only methods that start several runs use.
_EXECUTOR = tuple(field.name for field in dataclasses.fields(base.ExecutorConfig))


def pieces(config):
    """{name: SearchConfig} of the searches that `config` starts; empty: it is one itself."""
    return {name: _piece(run) for name, run in config.make_method().runs(config).items()}


def _piece(config):
    """Without the flags that a search which starts no others has no use for."""
    unused = _EXECUTOR if config.make_method().runs(config) else _EXECUTOR + config.SELECTION
    return dataclasses.replace(config, **{name: base.default(config, name) for name in unused})


def _check_unused(config):
    for name in _EXECUTOR + config.SELECTION:
        if getattr(config, name) != base.default(config, name):
            raise ConfigError(
                f"--{name} needs a method that starts several searches, such as rdarts_l2, not "
                f"{config.method}"
            )


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
    if config.hessian_products and config.eigensolver == "full":
        raise ConfigError(
            f"--hessian_products={config.hessian_products} needs --eigensolver=power or lanczos, not "
            "full, which takes one with every direction"
        )
    if config.continue_after_stop and not method.stops:
        raise ConfigError(
            f"--continue_after_stop needs a method that stops, such as darts_es, not {config.method}"
        )
