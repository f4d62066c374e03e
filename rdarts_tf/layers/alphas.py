"""The architecture parameters of a supernet and what they say of its edges (Liu et al. 2019, eq. 2)."""

import keras
import tensorflow as tf


def add(model, cells):
    """{cell type: alpha, non-trainable variable [E, K]}, normal with standard deviation 1e-3.

    Args:
        model: the Keras model that owns them.
        cells: {cell type: spaces.base.CellSpace}.
    """
    return {
        cell_type: model.add_weight(
            name=f"alpha_{cell_type}",
            shape=cell.alpha_shape,
            initializer=keras.initializers.RandomNormal(0.0, 1e-3),
            trainable=False,
        )
        for cell_type, cell in cells.items()
    }


def softmax(alphas):
    """{cell type: edge weights [E, K]} of variables as `add` makes them."""
    return {t: tf.nn.softmax(tf.convert_to_tensor(alpha)) for t, alpha in alphas.items()}
