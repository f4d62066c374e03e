"""What image classification exports: the retrained network as others use it, and single cells."""

import keras

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


def cell(genotype, cell_type, *, channels, input_channels):
    """A Keras model of [s0, s1], the outputs of the last two cells, freshly initialised.

    Raises:
        UserError: no image network has such cells.
    """
    check_genotype(genotype)
    layer = DerivedCell(
        genotype.cells[cell_type],
        genotype.concat[cell_type],
        channels,
        reduction=cell_type == "reduce",
        name="cell",
    )
    states = [keras.Input((None, None, input_channels), name=name) for name in ("s0", "s1")]
    return keras.Model(states, layer(*states), name=f"{cell_type}_cell")
