"""What image classification exports: the retrained network as others use it, and single cells."""

import keras
import numpy as np

from rdarts_tf.layers.derived_cell import DerivedCell
from rdarts_tf.tasks.image_classification import serving
from rdarts_tf.tasks.image_classification.derived_network import check_genotype, trained


def served(config, record, arrays):
    """The serving.ServedNetwork of a checkpoint.

    Args:
        config: options.EvaluateConfig, resolved.
        record: what dataset.json has.
        arrays: {name: array} of the checkpoint.
    """
    shape, names = record["image_shape"], record["class_names"]
    return serving.ServedNetwork(
        trained(config, shape, len(names), arrays=arrays),
        image_shape=shape,
        mean=record["mean"],
        std=record["std"],
        class_names=names,
        name="served",
    )


def samples(dataset, num):
    """The first test images."""
    return dataset.test.images[:num]


def calibration(dataset, num):
    """The first training images, one pixel of the first black and one white, so that all values have a place."""
    images = np.array(dataset.train.images[:num])
    images[0, 0, 0], images[0, -1, -1] = 0, 255
    return images


def cell(genotype, config):
    """A Keras model of [s0, s1], the outputs of the last two cells, freshly initialised.

    Args:
        config: options.ExportConfig.
    Raises:
        UserError: no image network has such cells.
    """
    check_genotype(genotype)
    layer = DerivedCell(
        genotype.cells[config.cell],
        genotype.concat[config.cell],
        config.channels,
        reduction=config.cell == "reduce",
        sizes=genotype.layout(config.cell)[1],
        name="cell",
    )
    states = [keras.Input((None, None, config.input_channels), name=name) for name in ("s0", "s1")]
    return keras.Model(states, layer(*states), name=f"{config.cell}_cell")
