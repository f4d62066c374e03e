"""How many GPU-hours runs may take, from the seconds that docs/performance.md has of one H100. Rough.

A step of these networks waits for its many small operations, so its seconds are taken as proportional to
their number, whatever the channels and the batch.
"""

import dataclasses
import math
import statistics

from rdarts_tf import registry
from rdarts_tf.config import evaluate, search
from rdarts_tf.genotypes import named

SOURCE = "steps of S2 and of a DARTS_V2 network on one H100, docs/performance.md"

# Seconds on S2, 8 cells with an operation that computes on each of 14 edges. A finite difference takes as
# long as an exact step without XLA; with XLA it is not measured, nor is first_order.
_WEIGHT, _LAMBDA_MAX, _OPERATIONS = 0.109, 5.82, 8 * 14
_ALPHA = {"exact": 0.587, "finite_difference": 0.587, "first_order": _WEIGHT}
_TRAINING = 0.061 / (20 * 8)  # seconds of a step and operation of a found network, 20 cells of 8
_IDLE = ("skip_connect", "none", "noise")  # primitives that compute next to nothing
_IMAGES = {"cifar10": 50_000, "cifar100": 50_000, "svhn": 73_257, "digits": 1_437}  # for training


def gpu_hours(config):
    """Of a search or an evaluation; None where nothing tells: other tasks than images, other data sets.

    Args:
        config: SearchConfig, or a resolved EvaluateConfig.
    """
    images = _IMAGES.get(registry.parse(config.dataset)[0])
    if images is None or config.TASK != "image_classification":
        return None
    if hasattr(config, "alpha_step"):
        return _search_hours(config, images)
    portion = config.train_portion if config.split == "search" else 1
    pairs = named.read(config.genotype).cells.values()
    seconds = _training_seconds(config, statistics.fmean(map(len, pairs)), portion * images)
    return len(config.seed_list()) * seconds / 3600


def _search_hours(config, images):
    pieces = search.pieces(config).values()
    if pieces:
        return sum(map(gpu_hours, pieces)) + len(pieces) * _selection_hours(config, images)
    method, space = config.make_method(), config.make_space()
    steps = config.epochs * math.ceil(config.train_portion * images / config.batch_size)
    seconds = steps * _WEIGHT
    if method.selection is None:
        every = config.hessian_every
        measured = math.ceil(config.epochs / every) if every else 0
        seconds += steps * _ALPHA[config.alpha_step] + measured * _LAMBDA_MAX
    return seconds * config.layers * _operations(space) / _OPERATIONS / 3600


def _operations(space):
    """That compute in a cell of the supernet, on average of the cell types."""
    return statistics.fmean(
        sum(name not in _IDLE for names in cell.primitives for name in names)
        for cell in space.cells.values()
    )


def _selection_hours(config, images):
    """Of the training that scores a cell."""
    space = config.make_space()
    kind = evaluate.of_space(space)
    sizes = kind.defaults("auto", config.dataset, {"space": config.space})
    sizes |= {"epochs": config.select_epochs, "layers": config.select_layers or sizes["layers"]}
    training = dataclasses.replace(kind(), **sizes)
    edges = statistics.fmean(sum(cell.kept) for cell in space.cells.values())
    return _training_seconds(training, edges, config.train_portion * images) / 3600


def _training_seconds(config, edges, images):
    """From scratch: an operation on each of the edges that a cell keeps."""
    steps = config.epochs * math.ceil(images / config.batch_size)
    return steps * _TRAINING * config.layers * edges
