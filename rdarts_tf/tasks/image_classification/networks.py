"""Image classification: the one-shot model and the network of a genotype (Liu et al. 2019)."""

import dataclasses

import keras
import tensorflow as tf

from rdarts_tf.genotypes import genotype as genotype_lib
from rdarts_tf.layers.batch_norm import BatchNorm
from rdarts_tf.layers.cell import Cell
from rdarts_tf.layers.derived_cell import DerivedCell
from rdarts_tf.layers.primitives import PRIMITIVES, fan_in_uniform
from rdarts_tf.spaces.base import Space
from rdarts_tf.tasks.image_classification.auxiliary_head import AuxiliaryHead
from rdarts_tf.tasks.image_classification.classifier import Classifier
from rdarts_tf.tasks.image_classification.stem import STEMS


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
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_size(channels, num_cells, num_classes)
        self.space = space if isinstance(space, Space) else _space(space)
        self.num_classes = num_classes
        self.channels = channels
        self.num_cells = num_cells
        self.stem_multiplier = stem_multiplier
        self.batch_norm = batch_norm or {}
        self.stem_bn = BatchNorm(True, name="stem_bn", dtype=self.dtype_policy, **self.batch_norm)
        reductions = reduction_cells(num_cells)
        self.cells = []
        for index in range(num_cells):
            cell_type = "reduce" if index in reductions else "normal"
            channels *= 2 if index in reductions else 1
            self.cells.append(
                Cell(
                    self.space.cell_primitives(cell_type),
                    channels,
                    num_nodes=self.space.num_nodes,
                    reduction=cell_type == "reduce",
                    previous_reduction=index - 1 in reductions,
                    batch_norm=self.batch_norm,
                    dtype=self.dtype_policy,
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
            "batch_norm": self.batch_norm,
        }

    def build(self, input_shape):
        """input_shape: (None, H, W, channels of the images); H, W at least 8."""
        image_channels, stem = input_shape[-1], self.stem_multiplier * self.channels
        self.alphas = {
            cell_type: self.add_weight(
                name=f"alpha_{cell_type}",
                shape=self.space.alpha_shape(cell_type),
                initializer=keras.initializers.RandomNormal(0.0, 1e-3),
                trainable=False,
            )
            for cell_type in self.space.cell_types
        }
        self.stem_kernel = self.add_weight(
            name="stem",
            shape=(3, 3, image_channels, stem),
            initializer=fan_in_uniform(9 * image_channels),
        )
        self.stem_bn.build(stem)
        shapes = [(None, None, None, stem)] * 2
        for cell in self.cells:
            cell.build(*shapes)
            shapes = [shapes[1], (None, None, None, self.space.num_nodes * cell.channels)]
        features, dense = shapes[1][-1], fan_in_uniform(shapes[1][-1])
        self.dense_kernel = self.add_weight(
            name="classifier_kernel", shape=(features, self.num_classes), initializer=dense
        )
        self.dense_bias = self.add_weight(
            name="classifier_bias", shape=(self.num_classes,), initializer=dense
        )
        self.built = True

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
            edge_weights = {
                cell_type: tf.nn.softmax(tf.convert_to_tensor(alpha))
                for cell_type, alpha in self.alphas.items()
            }
        images = tf.cast(images, self.compute_dtype)
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
    primitives = {t: tuple(map(tuple, rows)) for t, rows in fields["primitives"].items()}
    return Space(**(fields | {"primitives": primitives}))


@keras.saving.register_keras_serializable("rdarts_tf")
class DerivedNetwork(keras.Model):
    """Stem, cells of a genotype, global average pooling, dense classifier; every BatchNorm is affine.

    The network that is trained from scratch (Liu et al. 2019, sec. 3.2; the authors' code).

    Args:
        genotype: genotype.Genotype with the cells normal and reduce, or its text form.
        num_classes: of the classifier.
        channels: C of the first cells, even; the reduction cells double it.
        num_cells: at least 1.
        stem: "cifar", or "imagenet", which divides the resolution by 8; `stem_for` recommends one.
        auxiliary: build the auxiliary head, on the output of the second reduction cell.
        batch_norm: keyword arguments of every BatchNorm.
    Raises:
        ValueError: odd channels, fewer than one cell or two classes, unknown stem.
        GenotypeError: unknown primitive, missing cell, a reduction cell that concatenates inputs.
    """

    def __init__(
        self,
        genotype,
        num_classes,
        *,
        channels=36,
        num_cells=20,
        stem="cifar",
        auxiliary=True,
        batch_norm=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_size(channels, num_cells, num_classes)
        self.genotype = genotype_lib.parse(genotype) if isinstance(genotype, str) else genotype
        check_genotype(self.genotype)
        if stem not in STEMS:
            raise ValueError(f"unknown stem {stem!r}; there are: {', '.join(STEMS)}")
        self.num_classes, self.channels, self.num_cells = num_classes, channels, num_cells
        self.stem_name, self.batch_norm = stem, batch_norm or {}
        common = {"batch_norm": self.batch_norm, "dtype": self.dtype_policy}
        self.stem = STEMS[stem](channels, name="stem", **common)
        self.cells, reductions, halved = [], reduction_cells(num_cells), self.stem.reduces
        for index in range(num_cells):
            reduction = index in reductions
            channels *= 2 if reduction else 1
            cell_type = "reduce" if reduction else "normal"
            self.cells.append(
                DerivedCell(
                    self.genotype.cells[cell_type],
                    self.genotype.concat[cell_type],
                    channels,
                    reduction=reduction,
                    previous_reduction=halved,
                    name=f"cell{index}",
                    **common,
                )
            )
            halved = reduction
        self.auxiliary_head = None
        if auxiliary:
            self.auxiliary_head = AuxiliaryHead(
                num_classes, last_batch_norm=stem == "cifar", name="auxiliary_head", **common
            )
        self.classifier = Classifier(num_classes, name="classifier", dtype=self.dtype_policy)

    def get_config(self):
        return super().get_config() | {
            "genotype": str(self.genotype),
            "num_classes": self.num_classes,
            "channels": self.channels,
            "num_cells": self.num_cells,
            "stem": self.stem_name,
            "auxiliary": self.auxiliary_head is not None,
            "batch_norm": self.batch_norm,
        }

    @property
    def auxiliary_cell(self):
        """Index of the cell whose output the auxiliary head reads."""
        return 2 * self.num_cells // 3

    def build(self, input_shape):
        """input_shape: (None, H, W, channels of the images)."""
        self.stem.build(input_shape)
        shapes = [(None, None, None, c) for c in self.stem.output_channels]
        for index, cell in enumerate(self.cells):
            cell.build(*shapes)
            shapes = [shapes[1], (None, None, None, cell.output_channels)]
            if index == self.auxiliary_cell and self.auxiliary_head is not None:
                self.auxiliary_head.build(shapes[1])
        self.classifier.build((None, shapes[1][-1]))
        self.built = True

    def call(self, images, drop_path_prob=None, seed=None, training=False):
        """Logits [N, num_classes], in training with an auxiliary head (logits, auxiliary logits).

        Args:
            images: [N, H, W, channels], normalised.
            drop_path_prob: scalar, or None for none at all.
            seed: int32 [2] for noise and drop path; None draws noise afresh.
        """
        s0, s1 = self.stem(tf.cast(images, self.compute_dtype), training=training)
        seeds = [None] * self.num_cells
        if seed is not None:
            seeds = tf.unstack(tf.random.experimental.stateless_split(seed, self.num_cells))
        auxiliary_logits = None
        for index, cell in enumerate(self.cells):
            output = cell(
                s0, s1, drop_path_prob=drop_path_prob, seed=seeds[index], training=training
            )
            s0, s1 = s1, output
            if training and index == self.auxiliary_cell and self.auxiliary_head is not None:
                auxiliary_logits = self.auxiliary_head(output, training=training)
        logits = self.classifier(tf.reduce_mean(s1, axis=(1, 2)))
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)

    def num_parameters(self, *, auxiliary=True):
        """Trainable parameters, with or without those of the auxiliary head."""
        head = self.auxiliary_head.trainable_variables if self.auxiliary_head else []
        left_out = set() if auxiliary else {id(v) for v in head}
        kept = [v for v in self.trainable_variables if id(v) not in left_out]
        return sum(v.shape.num_elements() for v in kept)

    def multiply_adds(self, height, width):
        """Multiplications that convolutions and the classifier make for one image; no auxiliary head."""
        total = self.stem.multiply_adds(height, width)
        height, width = self.stem.output_size(height, width)
        for cell in self.cells:
            total += cell.multiply_adds(height, width)
            height, width = cell.output_size(height, width)
        return total + self.classifier.kernel.shape.num_elements()


def stem_for(image_shape):
    """The stem for images (H, W, channels): "imagenet" from 96x96 on."""
    return "imagenet" if min(image_shape[:2]) >= 96 else "cifar"


def check_genotype(genotype):
    """Raises GenotypeError unless an image network can be built from the genotype."""
    genotype_lib.check_primitives(genotype, PRIMITIVES)
    if set(genotype.cells) != {"normal", "reduce"}:
        raise genotype_lib.GenotypeError(
            f"an image network needs the cells normal and reduce, not {', '.join(genotype.cells)}"
        )
    if min(genotype.concat["reduce"]) < 2:
        raise genotype_lib.GenotypeError(
            f"reduce_concat={list(genotype.concat['reduce'])} names an input of the cell, which is "
            "twice as large as its nodes; name states from 2 on"
        )


def _check_size(channels, num_cells, num_classes):
    if channels < 2 or channels % 2:
        raise ValueError(f"channels must be even and positive, not {channels}")
    if num_cells < 1:
        raise ValueError(f"cells must be at least 1, not {num_cells}")
    if num_classes < 2:
        raise ValueError(f"classes must be at least 2, not {num_classes}")
