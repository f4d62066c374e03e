"""The configuration of a training from scratch: flags, presets, and what the run itself says."""

import dataclasses
import hashlib
import re

from rdarts_tf import registry
from rdarts_tf.config.search import ConfigError, RunConfig, check_even, check_finite, option
from rdarts_tf.genotypes import named

PAPER_DATASETS = ("cifar10", "cifar100", "svhn")


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(RunConfig):
    """Everything that determines an evaluation; None is filled in by `resolve`."""

    RUN_DIR = "the run whose cells are trained; with --genotype: default runs/<genotype>_<dataset>"

    genotype: str | None = option(
        None, "instead of the run's: the text Genotype(...), a file, or a published name"
    )
    dataset: str | None = option(None, "data set; default: that of the run, else cifar10")
    name: str | None = option(None, "of the folder in RUN/evaluate; default: data set and split")
    seeds: str = option("1", "one training for each, separated by commas")
    split: str = option(
        "test",
        "test: all training images, scored on the test images; search: the search's training half, "
        "scored on its validation half",
        choices=("test", "search"),
    )
    train_portion: float | None = option(
        None, "of --split=search; default: that of the run, else 0.5", low=0.0, high=1.0
    )
    preset: str = option(
        "auto",
        "sizes and epochs where no flag gives them; auto: paper for its data sets, else small",
        choices=("auto", "paper", "small"),
    )
    # Network.
    init_channels: int | None = option(None, "channels of the first cells, even", low=2)
    layers: int | None = option(None, "cells", low=1)
    stem: str = option(
        "auto", "auto: imagenet from 96x96 pixels on", choices=("auto", "cifar", "imagenet")
    )
    # Training.
    epochs: int | None = option(None, "epochs", low=1)
    batch_size: int | None = option(None, "images a step over all devices", low=1)
    learning_rate: float = option(0.025, "in epoch 0; a cosine takes it to 0", low=0.0)
    momentum: float = option(0.9, "of SGD", low=0.0, high=1.0)
    weight_decay: float = option(3e-4, "L2 factor", low=0.0)
    grad_clip: float = option(5.0, "largest global norm of the gradient", low=0.0)
    # Regularisation.
    auxiliary_weight: float = option(
        0.4, "of the auxiliary head's loss; 0: no auxiliary head", low=0.0
    )
    drop_path_prob: float = option(
        0.2, "which a ramp from 0 would reach after the last epoch", low=0.0, high=1.0
    )
    cutout_length: int | None = option(
        None, "side of the square in pixels, 0: none; default: 16, at most half the image", low=0
    )

    @property
    def auxiliary(self):
        return self.auxiliary_weight > 0

    def seed_list(self):
        """The seeds as integers.

        Raises:
            ConfigError: something else, or one twice.
        """
        texts = [text.strip() for text in self.seeds.split(",")]
        if not all(text.isdecimal() for text in texts) or len(set(texts)) < len(texts):
            raise ConfigError(
                f"--seeds={self.seeds} is no list of different integers; write --seeds=1,2,3"
            )
        return [int(text) for text in texts]

    def jit(self, *, gpus):
        """Whether steps are compiled by XLA."""
        return gpus > 0 if self.jit_compile == "auto" else self.jit_compile == "true"


def resolve(config, run_dir):
    """The configuration with everything filled in, its genotype in text form.

    Args:
        config: EvaluateConfig, as the flags give it.
        run_dir: run_dir.RunDir, or None.
    Raises:
        UserError: no genotype, or a value that cannot be.
    """
    searched = (run_dir and run_dir.read_json("config.json")) or {}
    dataset = config.dataset or searched.get("dataset") or "cifar10"
    defaults = preset(config.preset, dataset, searched.get("space")) | {
        "name": folder_name(dataset) + ("_search" if config.split == "search" else ""),
        "train_portion": searched.get("train_portion", 0.5),
    }
    given = {k: v for k, v in dataclasses.asdict(config).items() if v is not None}
    filled = defaults | given | {"genotype": _genotype(config, run_dir), "dataset": dataset}
    return check(dataclasses.replace(config, **filled))


def preset(name, dataset, space):
    """{field: value} of a --preset."""
    if name == "auto":
        name = "paper" if dataset in PAPER_DATASETS else "small"
    return paper(dataset, space) if name == "paper" else small()


def paper(dataset, space):
    """Sizes, epochs and batches of Zela et al. 2020, app. C, by data set and search space.

    Args:
        space: its name; None, a published cell, counts as the full space `darts`.
    Differs from: the paper does not say how large the networks of the full space are; its numbers
        fit 36 channels and 20 cells on every data set.
    """
    if space in (None, "darts") or (dataset == "cifar10" and space in ("s1", "s3")):
        channels, cells = 36, 20
    else:
        channels, cells = 16, 20 if dataset == "cifar10" else 8
    return {"init_channels": channels, "layers": cells, "epochs": 600, "batch_size": 96}


def small():
    """For small data sets and small machines."""
    return {"init_channels": 16, "layers": 5, "epochs": 60, "batch_size": 64}


def default_run_dir(config):
    """Where an evaluation without a run goes: by name of the genotype, or by its digest."""
    spec = config.genotype
    if spec not in named.TEXTS:
        text = str(named.read(spec))
        spec = f"genotype_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return f"runs/{spec}_{folder_name(config.dataset or 'cifar10')}"


def check(config):
    """Returns `config`.

    Raises:
        UserError: unknown data set, odd channels, a value on the wrong side of a bound.
    """
    config.seed_list()
    check_finite(config)
    registry.load("datasets", config.dataset)
    check_even(config, "init_channels")
    for name in ("learning_rate", "grad_clip"):
        if getattr(config, name) <= 0:
            raise ConfigError(f"--{name}={getattr(config, name)} must be greater than 0")
    if config.drop_path_prob >= 1:
        raise ConfigError(f"--drop_path_prob={config.drop_path_prob} must be less than 1")
    if config.name != folder_name(config.name) or not config.name.strip("."):
        raise ConfigError(
            f"--name={config.name} must consist of letters, digits, '.', '-' and '_', not of dots only"
        )
    return config


def _genotype(config, run_dir):
    if config.genotype:
        return str(named.read(config.genotype))
    if run_dir is None:
        raise ConfigError("give --run_dir of a finished search, or --genotype")
    path = run_dir.path / "genotype.json"
    if not path.exists():
        raise ConfigError(
            f"{run_dir.path} holds no genotype; finish the search with "
            f"python -m rdarts_tf.search --run_dir={run_dir.path}, or give --genotype"
        )
    return str(named.read(str(path)))


def folder_name(text):
    """A text with everything but letters, digits, '.', '-' and '_' as '-'."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")
