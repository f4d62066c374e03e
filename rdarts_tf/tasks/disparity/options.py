"""What is configured of disparity estimation, and what it reports. No TensorFlow."""

import dataclasses

from rdarts_tf.config import evaluate, export, search
from rdarts_tf.config.base import ConfigError, option
from rdarts_tf.tasks.base import Metric, Score
from rdarts_tf.tasks.disparity.size import Size

CELL_TYPES = ("normal", "reduce", "upsample")
INPUTS = {"normal": 2, "reduce": 2, "upsample": 4}
PRIMITIVES = ("max_pool_3x3", "sep_conv_3x3", "skip_connect")
PAPER_DATASETS = ("flying_things3d",)
METRICS = (
    Metric("loss", -1, "pixels"),
    Metric("off_by_1_pixel", -1, "%", 1),
    Metric("off_by_3_pixels", -1, "%", 1),
    Metric("epe", -1, "pixels", 3),
)
SCORE = Score("epe", lambda metrics: metrics["epe"], "pixels", 3)
SIZES = ("init_channels", "encoder_cells", "decoder_cells")
_SIZE = ("stems", "encoder_cells", "decoder_cells", "max_displacement")


@dataclasses.dataclass(frozen=True)
class Shared:
    """What searches and evaluations have in common."""

    TASK = "disparity"

    batch_norm: bool = option(
        "network", True, "BatchNorm after each activation, which the published networks do not have"
    )
    sync_batch_norm: bool = option("devices", False, "BatchNorm statistics over all devices")
    stop_prediction: bool = option(
        "network",
        False,
        "no gradient through a prediction into the next cell, as in the authors' framework; what is "
        "then called a gradient of alpha is that of no function",
    )

    @property
    def crop(self):
        """(h, w) of training."""
        return self.crop_height, self.crop_width

    @property
    def batch_norm_options(self):
        """Keyword arguments of every BatchNorm."""
        return {"gamma_initializer": "ones", "synchronized": self.sync_batch_norm}

    @property
    def size(self):
        """The size.Size of the networks."""
        return Size(self.init_channels, *(getattr(self, name) for name in _SIZE))

    def check_values(self):
        super().check_values()
        most, multiple = self.size.coarsest - 1, self.size.multiple
        if self.decoder_cells > most:
            raise ConfigError(
                f"--decoder_cells={self.decoder_cells} double the size more often than the other cells "
                f"halve it; take at most {most}, or more --encoder_cells"
            )
        for name, side in (("crop_height", self.crop_height), ("crop_width", self.crop_width)):
            if side % multiple:
                raise ConfigError(
                    f"--{name}={side} is no multiple of {multiple}, by which the encoder divides "
                    f"the size; take {-(-side // multiple) * multiple}"
                )


@dataclasses.dataclass(frozen=True)
class SearchConfig(Shared, search.SearchConfig):
    """A search of disparity cells (Zela et al. 2020, app. E)."""

    SELECTION = (*search.SearchConfig.SELECTION, "select_channels")

    space: str = option("what", "s6", "search space")
    dataset: str = option("what", "flying_things3d", "data set")
    epochs: int = option("training", 110, "epochs of the search", low=1)
    batch_size: int = option("training", 4, "pairs a step over all devices", low=1)
    learning_rate_min: float = option(
        "training", 0.001, "which the cosine would reach after the last epoch", low=0.0
    )
    arch_learning_rate: float = option("training", 1e-4, "of alpha", low=0.0)
    momentum: float = option("training", 0.9, "of SGD", low=0.0, high=1.0)
    train_portion: float = option(
        "data",
        0.5,
        "part of the training pairs that trains weights, where a data set has no validation pairs",
        low=0.0,
        high=1.0,
    )
    augmentation_scale: float = option(
        "data", 1.0, "by which the variance of each augmentation is multiplied", low=0.0
    )
    crop_height: int = option("data", 192, "of the training crops, in pixels", low=1)
    crop_width: int = option("data", 384, "likewise", low=1)
    init_channels: int = option("network", 24, "channels of the last upsampling cell", low=1)
    stems: int = option(
        "network", 2, "convolutions that halve the images; 1 for small ones", low=1, high=2
    )
    encoder_cells: int = option(
        "network", 5, "cells behind the correlation, each second one a reduction", low=1
    )
    decoder_cells: int = option("network", 3, "upsampling cells", low=1)
    max_displacement: int = option(
        "network", 40, "of the correlation, in pixels of 1/8, with one stem 1/4 of the size", low=1
    )
    select_epochs: int = option(
        "training",
        55,
        "epochs of the training that scores each cell of a method that selects",
        low=1,
    )
    select_channels: int | None = option(
        "network",
        None,
        "channels of the network that scores; default: as python -m rdarts_tf.evaluate",
        low=1,
    )

    def selection_flags(self):
        return super().selection_flags() | {
            "init_channels": self.select_channels,
            "batch_norm": self.batch_norm,
            "sync_batch_norm": self.sync_batch_norm,
        }


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Shared, evaluate.EvaluateConfig):
    """A training of disparity cells from scratch; None is filled in by `config.evaluate.resolve`."""

    DATASET = "flying_things3d"

    dataset: str | None = option(
        "what", None, "data set; default: that of the run, else flying_things3d"
    )
    test_also: str | None = option(
        "data", None, "a further data set, such as sintel_stereo, whose test pairs are scored, too"
    )
    learning_rate: float | None = option(
        "training", None, "of Adam in epoch 0; a cosine takes it to 0", low=0.0
    )
    weight_decay: float = option("training", 0.0, "L2 factor", low=0.0)
    train_portion: float | None = option(
        "data", None, "of --split=search; default: that of the run, else 0.5", low=0.0, high=1.0
    )
    crop_height: int | None = option("data", None, "of the training crops, in pixels", low=1)
    crop_width: int | None = option("data", None, "likewise", low=1)
    init_channels: int | None = option(
        "network", None, "channels of the last upsampling cell", low=1
    )
    stems: int | None = option(
        "network", None, "convolutions that halve the images; 1 for small ones", low=1, high=2
    )
    encoder_cells: int | None = option(
        "network", None, "cells behind the correlation, each second one a reduction", low=1
    )
    decoder_cells: int | None = option("network", None, "upsampling cells", low=1)
    max_displacement: int | None = option(
        "network",
        None,
        "of the correlation, in pixels of 1/8, with one stem 1/4 of the size",
        low=1,
    )

    def check_values(self):
        super().check_values()
        if self.test_also and self.split != "test":
            raise ConfigError(f"--test_also={self.test_also} needs --split=test, not {self.split}")

    augmentation_scale = 1.0  # of all trainings from scratch (Zela et al. 2020, app. E)

    @staticmethod
    def defaults(preset, dataset, searched):
        """{field: value} of a --preset; "paper": 300,000 steps on FlyingThings3D (Zela et al. 2020, app. E).

        Differs from: the paper does not say how large its networks are; their parameters fit 24 channels.
        """
        if preset == "auto":
            preset = "paper" if dataset.partition("(")[0] in PAPER_DATASETS else "small"
        sizes = _paper() if preset == "paper" else _small()
        return sizes | {"train_portion": searched.get("train_portion", 0.5)}


@dataclasses.dataclass(frozen=True)
class ExportConfig(export.ExportConfig):
    """An export of a disparity network."""

    TASK = "disparity"
    input, quantize, cell = "uint8", "none", "normal"  # there is no choice

    def check_values(self):
        if self.what == "cell":
            raise ConfigError(
                "--what=cell is for cells of image classification; a disparity cell goes with its "
                "network, leave --what out"
            )


def _paper():
    return {
        "init_channels": 24,
        **dict(zip(_SIZE, (2, 6, 4, 40), strict=True)),
        "crop_height": 384,
        "crop_width": 768,
        "epochs": 55,
        "batch_size": 4,
        "learning_rate": 1e-4,
    }


def _small():
    return {
        "init_channels": 6,
        **dict(zip(_SIZE, (1, 3, 2, 8), strict=True)),
        "crop_height": 48,
        "crop_width": 128,
        "epochs": 15,
        "batch_size": 8,
        "learning_rate": 2e-3,
    }
