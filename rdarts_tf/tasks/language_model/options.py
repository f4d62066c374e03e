"""What is configured of language modelling, and what it reports. No TensorFlow."""

import dataclasses

from rdarts_tf.config import evaluate, export, search
from rdarts_tf.config.base import ConfigError, option
from rdarts_tf.tasks.base import Metric, Score

CELL_TYPES = ("recurrent",)
INPUTS, KEPT_EDGES = {"recurrent": 1}, 1
PRIMITIVES = ("none", "tanh", "relu", "sigmoid", "identity")
METRICS = (Metric("loss", -1, "nats"), Metric("perplexity", -1, digits=2))
PAPER_DATASETS = ("ptb",)
SCORE = Score("perplexity", lambda metrics: metrics["perplexity"], digits=2)
_MOST_HIDDEN = 100_000
_DROPOUTS = ("dropout", "dropouth", "dropoutx", "dropouti", "dropoute")


@dataclasses.dataclass(frozen=True)
class Shared:
    """What searches and evaluations have in common; flags have the names of the authors' code."""

    TASK = "language_model"

    bptt: int = option("training", 35, "usual length of a window, in tokens", low=1)
    dropout: float = option("training", 0.75, "dropout of outputs", low=0.0, high=1.0)
    dropouth: float = option("training", 0.25, "of the state in products", low=0.0, high=1.0)
    dropoutx: float = option("training", 0.75, "of the cell's input", low=0.0, high=1.0)
    dropouti: float = option("training", 0.2, "of embeddings", low=0.0, high=1.0)
    activation_penalty: float = option(
        "training", 0.0, "alpha of the authors' code: of squared outputs after dropout", low=0.0
    )
    slowness_penalty: float = option(
        "training", 1e-3, "beta of the authors' code: of squared differences of outputs", low=0.0
    )
    eval_batch_size: int = option("data", 10, "columns of the validation text when scored", low=1)

    @property
    def dropouts(self):
        """{name of dropout.NAMES: rate}."""
        return {
            "word": self.dropoute,
            "embedding": self.dropouti,
            "x": self.dropoutx,
            "h": self.dropouth,
            "output": self.dropout,
        }

    def check_values(self):
        super().check_values()
        for name in _DROPOUTS:
            if (rate := getattr(self, name)) >= 1:
                raise ConfigError(f"--{name}={rate} must be less than 1")
        if self.mixed_precision:
            raise ConfigError(
                "--mixed_precision is not for recurrent cells, whose state would lose its digits; "
                "leave it out"
            )


@dataclasses.dataclass(frozen=True)
class SearchConfig(Shared, search.SearchConfig):
    """A search of recurrent cells."""

    SELECTION = (*search.SearchConfig.SELECTION, "select_hidden")

    space: str = option("what", "rnn", "search space")
    dataset: str = option("what", "ptb", "data set")
    seed: int = option("what", 3, "of initialisation, windows and dropout", low=0)
    batch_size: int = option("training", 256, "columns of text over all devices", low=1)
    learning_rate: float = option("training", 20.0, "of the weights", low=0.0)
    weight_decay: float = option("training", 5e-7, "L2 factor of the weights", low=0.0)
    grad_clip: float = option(
        "training", 0.25, "largest global norm of the weight gradient", low=0.0
    )
    arch_learning_rate: float = option("training", 3e-3, "of alpha", low=0.0)
    hidden: int = option(
        "network", 300, "size of embedding, state and output", low=1, high=_MOST_HIDDEN
    )
    dropoute: float = option("training", 0.0, "of words", low=0.0, high=1.0)
    differentiate_clipping: bool = option(
        "training",
        False,
        "the exact gradient of alpha goes through the factor of clipping in the virtual step, too",
    )
    alpha_reference: str = option(
        "training",
        "ours",
        "original: the finite difference with the quirks of the authors' code; the tied embedding "
        "takes no virtual step, the factor of clipping may exceed 1, the vector is clipped, dropout "
        "is drawn afresh",
        choices=("ours", "original"),
    )
    sync_batch_norm: bool = option(
        "devices", False, "BatchNorm statistics over all devices: each unrolls the whole batch"
    )
    select_epochs: int = option(
        "training",
        300,
        "epochs of the training that scores each cell of a method that selects",
        low=1,
    )
    select_hidden: int | None = option(
        "network",
        None,
        "size of the network that scores; default: as python -m rdarts_tf.evaluate",
        low=1,
        high=_MOST_HIDDEN,
    )

    def selection_flags(self):
        return super().selection_flags() | {"hidden": self.select_hidden, "bptt": self.bptt}

    def check_values(self):
        super().check_values()
        if self.alpha_reference == "original" and self.alpha_step != "finite_difference":
            raise ConfigError(
                "--alpha_reference=original needs --alpha_step=finite_difference, not "
                f"{self.alpha_step}"
            )
        if self.differentiate_clipping and self.alpha_step != "exact":
            raise ConfigError(
                f"--differentiate_clipping needs --alpha_step=exact, not {self.alpha_step}"
            )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Shared, evaluate.EvaluateConfig):
    """A training of a recurrent cell from scratch; None is filled in by `config.evaluate.resolve`."""

    DATASET = "ptb"

    dataset: str | None = option("what", None, "data set; default: that of the run, else ptb")
    learning_rate: float = option("training", 20.0, "of SGD, and then of averaged SGD", low=0.0)
    weight_decay: float = option("training", 8e-7, "L2 factor", low=0.0)
    grad_clip: float = option("training", 0.25, "largest global norm of the gradient", low=0.0)
    hidden: int | None = option(
        "network", None, "size of embedding, state and output", low=1, high=_MOST_HIDDEN
    )
    dropoute: float = option("training", 0.1, "of words", low=0.0, high=1.0)
    test_batch_size: int = option("data", 1, "columns of the test text when scored", low=1)

    @staticmethod
    def defaults(preset, dataset, searched):
        """{field: value} of a --preset; "paper": Zela et al. 2020, app. F, and the authors' code of DARTS."""
        if preset == "auto":
            preset = "paper" if dataset in PAPER_DATASETS else "small"
        if preset == "paper":
            return {"hidden": 850, "epochs": 1600, "batch_size": 64}
        return {"hidden": 200, "epochs": 60, "batch_size": 20}


@dataclasses.dataclass(frozen=True)
class ExportConfig(export.ExportConfig):
    """An export of a language model."""

    TASK = "language_model"
    input, quantize, cell = "int32", "none", "recurrent"  # there is no choice

    def check_values(self):
        if self.format == "tflite":
            raise ConfigError(
                "--format=tflite cannot hold the loop over time of a recurrent cell (its converter does "
                "not lower lists of tensors); take savedmodel, onnx or keras"
            )
        if self.what == "cell":
            raise ConfigError(
                "--what=cell is for cells of images; a recurrent cell goes with its network, leave "
                "--what out"
            )
