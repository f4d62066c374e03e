"""What is configured of image classification, and what it reports. No TensorFlow."""

import dataclasses
import math

import numpy as np

from rdarts_tf.config import evaluate, export, search
from rdarts_tf.config.base import ConfigError, option
from rdarts_tf.tasks.base import Metric, Score
from rdarts_tf.tasks.image_classification import storing

CELL_TYPES = ("normal", "reduce")
INPUTS = {"normal": 2, "reduce": 2}
PRIMITIVES = ("none", "noise", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3")
PRIMITIVES += ("sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5", "conv_1x1")
PRIMITIVES += ("conv_3x3", "conv_3x1_1x3", "conv_7x1_1x7")
PAPER_DATASETS = ("cifar10", "cifar100", "svhn")
METRICS = (Metric("loss", -1, "nats"), Metric("accuracy", 1, "%", 2))
SCORE = Score("error", lambda metrics: 1 - metrics["accuracy"], "%", 2)
SIZES = ("layers", "init_channels")
_MOST_LAYERS, _MOST_CHANNELS = 1_000, 10_000  # larger ones would be built for hours, or never


@dataclasses.dataclass(frozen=True)
class Shared:
    """What searches and evaluations have in common."""

    TASK = "image_classification"

    gamma_initializer: str = option(
        "network",
        "torch_uniform",
        "of BatchNorm: U(0, 1) as the authors' library, or ones",
        choices=("torch_uniform", "ones"),
    )
    stem: str = option(
        "network",
        "auto",
        "auto: imagenet, which divides the resolution by 8, from 96x96 pixels on",
        choices=("auto", "cifar", "imagenet"),
    )
    sync_batch_norm: bool = option("devices", False, "BatchNorm statistics over all devices")
    momentum: float = option("training", 0.9, "of SGD", low=0.0, high=1.0)
    class_weights: str = option(
        "training",
        "none",
        "of the losses that are minimised: balanced, so that all classes count alike, or none",
        choices=("none", "balanced"),
    )
    cache_gib: float | None = option(
        "data",
        None,
        "of decoded images in memory; more are kept in a file of the run; default: half of what is free",
        low=0.0,
    )

    def loading(self, module, run_dir):
        more = {}
        if getattr(module, "STORES", False):
            more["store"] = storing.Store(run_dir, self.cache_gib)
        return super().loading(module, run_dir) | more

    @property
    def batch_norm(self):
        """Keyword arguments of every BatchNorm."""
        return {
            "gamma_initializer": self.gamma_initializer,
            "synchronized": self.sync_batch_norm,
        }

    def check_values(self):
        super().check_values()
        for name in ("init_channels", "select_channels"):
            if (channels := getattr(self, name, None)) and channels % 2:
                raise ConfigError(
                    f"--{name}={channels} is odd; skip connections of stride 2 halve it, take "
                    f"{channels + 1}"
                )
        if np.float32(self.drop_path_prob) >= 1:
            raise ConfigError(
                f"--drop_path_prob={self.drop_path_prob} must be less than 1, also in float32"
            )


@dataclasses.dataclass(frozen=True)
class SearchConfig(Shared, search.SearchConfig):
    """A search of image cells."""

    SELECTION = (*search.SearchConfig.SELECTION, "select_layers", "select_channels")

    learning_rate_min: float = option(
        "training", 0.001, "which the cosine would reach after the last epoch", low=0.0
    )
    train_portion: float = option(
        "data", 0.5, "part of the training images that trains weights", low=0.0, high=1.0
    )
    init_channels: int = option(
        "network", 16, "channels of the first cells, even", low=2, high=_MOST_CHANNELS
    )
    layers: int = option("network", 8, "cells", low=1, high=_MOST_LAYERS)
    # Regularisation.
    drop_path_prob: float = option(
        "training", 0.0, "drop path in the last epoch, 0 in the first", low=0.0, high=1.0
    )
    cutout: str = option(
        "data",
        "auto",
        "auto: if and only if there is drop path",
        choices=("auto", "true", "false"),
    )
    cutout_length: int | None = option(
        "data", None, "side of the square in pixels; default: 16, at most half the image", low=1
    )
    cutout_prob: float = option("data", 1.0, "probability of cutout", low=0.0, high=1.0)
    cutout_ramp: bool = option(
        "data",
        False,
        "raise the cutout probability linearly from 0, which the authors' code only prints",
    )
    # Selection among several searches.
    select_layers: int | None = option(
        "network",
        None,
        "cells of the network that scores; default: as python -m rdarts_tf.evaluate",
        low=1,
        high=_MOST_LAYERS,
    )
    select_channels: int | None = option(
        "network", None, "its channels, even; default likewise", low=2, high=_MOST_CHANNELS
    )

    @property
    def uses_cutout(self):
        """Whether images are cut out, with some probability."""
        return self.drop_path_prob > 0 if self.cutout == "auto" else self.cutout == "true"

    def cutout_probability(self, epoch):
        """Of each image in an epoch."""
        if not self.uses_cutout:
            return 0.0
        return self.cutout_prob * (self.progress(epoch) if self.cutout_ramp else 1.0)

    def selection_flags(self):
        return super().selection_flags() | {
            "layers": self.select_layers,
            "init_channels": self.select_channels,
            "sync_batch_norm": self.sync_batch_norm,
            "gamma_initializer": self.gamma_initializer,
        }


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Shared, evaluate.EvaluateConfig):
    """A training of image cells from scratch; None is filled in by `config.evaluate.resolve`."""

    train_portion: float | None = option(
        "data", None, "of --split=search; default: that of the run, else 0.5", low=0.0, high=1.0
    )
    init_channels: int | None = option(
        "network", None, "channels of the first cells, even", low=2, high=_MOST_CHANNELS
    )
    layers: int | None = option("network", None, "cells", low=1, high=_MOST_LAYERS)
    # Regularisation.
    auxiliary_weight: float = option(
        "network", 0.4, "of the auxiliary head's loss; 0: no auxiliary head", low=0.0
    )
    drop_path_prob: float = option(
        "training",
        0.2,
        "which a ramp from 0 would reach after the last epoch",
        low=0.0,
        high=1.0,
    )
    cutout_length: int | None = option(
        "data",
        None,
        "side of the square in pixels, 0: none; default: 16, at most half the image",
        low=0,
    )

    @property
    def auxiliary(self):
        return self.auxiliary_weight > 0

    def cutout_probability(self, epoch):
        """Of each image in an epoch."""
        return 1.0

    def fitted(self, record):
        """With a batch of at most all training images."""
        num = record["num_examples"]["training images"]
        if self.split == "search":
            num = math.floor(self.train_portion * num)
        return dataclasses.replace(self, batch_size=max(1, min(self.batch_size, num)))

    @staticmethod
    def defaults(name, dataset, searched):
        """{field: value} of a --preset and of the run whose cells are trained.

        Args:
            searched: fields of its config.json; {} if there is none.
        """
        if name == "auto":
            name = "paper" if dataset in PAPER_DATASETS else "small"
        sizes = paper(dataset, searched.get("space")) if name == "paper" else small()
        return sizes | {"train_portion": searched.get("train_portion", 0.5)}


@dataclasses.dataclass(frozen=True)
class ExportConfig(export.ExportConfig):
    """An export of a network of images, or of a cell."""

    TASK = "image_classification"

    input: str = option(
        "network",
        "uint8",
        "type of the images: uint8 in 0..255, float32 in 0..1, or with --quantize int8, uint8 less 128",
        choices=("uint8", "float32", "int8"),
    )
    quantize: str = option(
        "network",
        "none",
        "int8: a TFLite file of 8-bit weights and activations, calibrated on training images",
        choices=("none", "int8"),
    )
    output: str = option(
        "network",
        "float32",
        "type of the answers; int8 with --quantize, by the scale that the file tells",
        choices=("float32", "int8"),
    )
    batch_size: int | None = option(
        "network", None, "fixed number of images of a call, as chips need it; default: any", low=1
    )
    calibration_images: int = option("data", 200, "of --quantize=int8", low=1)
    cell: str = option("network", "normal", "of --what=cell", choices=CELL_TYPES)
    channels: int = option("network", 16, "of --what=cell", low=2)
    input_channels: int = option("network", 64, "of both inputs of --what=cell", low=1)

    def check_values(self):
        if self.what == "cell" and self.channels % 2:
            raise ConfigError(f"--channels={self.channels} is odd; take {self.channels + 1}")
        if self.quantize == "int8" and self.format != "tflite":
            raise ConfigError(f"--quantize=int8 goes with --format=tflite, not {self.format}")
        for name in ("input", "output"):
            if getattr(self, name) == "int8" and self.quantize != "int8":
                raise ConfigError(f"--{name}=int8 needs --quantize=int8")
        if self.batch_size and (self.format == "keras" or self.what == "cell"):
            raise ConfigError(
                f"--batch_size={self.batch_size} is for networks as savedmodel, tflite and onnx; leave it "
                "out"
            )


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
