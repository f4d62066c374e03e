"""The one-shot model of image classification (Liu et al. 2019)."""

import dataclasses

import keras
import tensorflow as tf

from rdarts_tf.layers import alphas
from rdarts_tf.layers.batch_norm import BatchNorm
from rdarts_tf.layers.cell import Cell
from rdarts_tf.layers.padded import fan_in_uniform
from rdarts_tf.spaces.base import CellSpace, Space
from rdarts_tf.tasks.image_classification.stem import ImageNetStem


def reduction_cells(num_cells):
    """Indices of the cells that halve the resolution: a third and two thirds of the depth."""
    return sorted({num_cells // 3, 2 * num_cells // 3})


@keras.saving.register_keras_serializable("rdarts_tf")
class Supernet(keras.Model):
    """Stem, cells of mixed operations, global average pooling, dense classifier (sec. 3.1).

    The architecture parameters are non-trainable variables, one [num_edges, num_ops] matrix per
    cell type, shared by all cells of the type; `trainable_variables` are the network weights w.

    Args:
        space: spaces.base.Space, or its fields as a dict.
        num_classes: of the classifier.
        channels: C of the first cells, even; the reduction cells double it.
        num_cells: at least 1.
        stem_multiplier: the stem has stem_multiplier * channels channels.
        stem: "cifar", or "imagenet", which divides the resolution by 8 (Liu et al. 2019, sec. 3.3).
        batch_norm: keyword arguments of every BatchNorm (`gamma_initializer`, `synchronized`).
    Raises:
        ValueError: odd channels, fewer than one cell or two classes.
    """

    def __init__(
        self,
        space,
        num_classes,
        *,
        channels=16,
        num_cells=8,
        stem_multiplier=3,
        stem="cifar",
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_size(channels, num_cells, num_classes)
        self.space = space if isinstance(space, Space) else _space(space)
        self.num_classes = num_classes
        self.channels = channels
        self.num_cells = num_cells
        self.stem_multiplier = stem_multiplier
        self.batch_norm = batch_norm or {}
        self.stem_name, self.stem = stem, None
        common = {"batch_norm": self.batch_norm, "dtype": self.dtype_policy}
        if stem == "imagenet":
            self.stem = ImageNetStem(channels, name="stem", **common)
        else:
            self.stem_bn = BatchNorm(
                True, name="stem_bn", dtype=self.dtype_policy, **self.batch_norm
            )
        reductions = reduction_cells(num_cells)
        self.cells = []
        for index in range(num_cells):
            cell_type = "reduce" if index in reductions else "normal"
            channels *= 2 if index in reductions else 1
            self.cells.append(
                Cell(
                    self.space.cell(cell_type).primitives,
                    channels,
                    num_nodes=self.space.cell(cell_type).num_nodes,
                    reduction=cell_type == "reduce",
                    previous_reduction=index - 1 in reductions
                    or (index == 0 and self.stem is not None),
                    **common,
                    name=f"cell{index}",
                )
            )

    def get_config(self):
        return super().get_config() | {
            "space": dataclasses.asdict(self.space),
            "num_classes": self.num_classes,
            "channels": self.channels,
            "num_cells": self.num_cells,
            "stem_multiplier": self.stem_multiplier,
            "stem": self.stem_name,
            "batch_norm": self.batch_norm,
        }

    def build(self, input_shape):
        """input_shape: (None, H, W, channels of the images); H, W at least 8."""
        self.alphas = alphas.add(self, self.space.cells)
        shapes = [(None, None, None, channels) for channels in self._build_stem(input_shape)]
        for cell in self.cells:
            cell.build(*shapes)
            shapes = [shapes[1], (None, None, None, cell.num_nodes * cell.channels)]
        features, dense = shapes[1][-1], fan_in_uniform(shapes[1][-1])
        self.dense_kernel = self.add_weight(
            name="classifier_kernel", shape=(features, self.num_classes), initializer=dense
        )
        self.dense_bias = self.add_weight(
            name="classifier_bias", shape=(self.num_classes,), initializer=dense
        )
        self.built = True

    def _build_stem(self, input_shape):
        """Channels of the states that the first cell reads."""
        if self.stem is not None:
            self.stem.build(input_shape)
            return self.stem.output_channels
        image_channels, channels = input_shape[-1], self.stem_multiplier * self.channels
        self.stem_kernel = self.add_weight(
            name="stem",
            shape=(3, 3, image_channels, channels),
            initializer=fan_in_uniform(9 * image_channels),
        )
        self.stem_bn.build(channels)
        return channels, channels

    def call(
        self,
        images,
        edge_weights=None,
        drop_path_prob=None,
        seed=None,
        sampled=False,
        training=False,
    ):
        """Logits.

        Args:
            images: [N, H, W, channels], normalised.
            edge_weights: {cell type: [num_edges, num_ops]}; None is softmax(alpha).
            drop_path_prob: scalar, or None.
            seed: int32 [2] for noise and drop path; None draws noise afresh.
            sampled: compute only what has edge weight 1, see `Cell.call`.
        Returns:
            [N, num_classes], at least float32.
        """
        if edge_weights is None:
            edge_weights = alphas.softmax(self.alphas)
        images = tf.cast(images, self.compute_dtype)
        if self.stem is not None:
            s0, s1 = self.stem(images, training=training)
        else:
            stem = tf.nn.conv2d(images, tf.cast(self.stem_kernel, images.dtype), 1, "SAME")
            s0 = s1 = self.stem_bn(stem, training=training)
        seeds = [None] * self.num_cells
        if seed is not None:
            seeds = tf.unstack(tf.random.experimental.stateless_split(seed, self.num_cells))
        for cell, cell_seed in zip(self.cells, seeds, strict=True):
            cell_type = "reduce" if cell.reduction else "normal"
            output = cell(
                s0,
                s1,
                edge_weights=edge_weights[cell_type],
                drop_path_prob=drop_path_prob,
                seed=cell_seed,
                sampled=sampled,
                training=training,
            )
            s0, s1 = s1, output
        features = tf.reduce_mean(s1, axis=(1, 2))
        dtype = tf.float64 if features.dtype == tf.float64 else tf.float32
        kernel, bias = tf.cast(self.dense_kernel, dtype), tf.cast(self.dense_bias, dtype)
        return tf.linalg.matmul(tf.cast(features, dtype), kernel) + bias


def _space(fields):
    cells = {
        t: CellSpace(**(cell | {"primitives": tuple(map(tuple, cell["primitives"]))}))
        for t, cell in fields["cells"].items()
    }
    return Space(**(fields | {"cells": cells}))


def check_size(channels, num_cells, num_classes):
    """Raises ValueError where a network of these sizes cannot be."""
    if channels < 2 or channels % 2:
        raise ValueError(f"channels must be even and positive, not {channels}")
    if num_cells < 1:
        raise ValueError(f"cells must be at least 1, not {num_cells}")
    if num_classes < 2:
        raise ValueError(f"classes must be at least 2, not {num_classes}")
