"""The network of a genotype for image classification, trained from scratch (Liu et al. 2019)."""

import keras
import tensorflow as tf

from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype as genotype_lib
from rdarts_tf.layers.derived_cell import DerivedCell
from rdarts_tf.layers.primitives import PRIMITIVES
from rdarts_tf.tasks.image_classification.auxiliary_head import AuxiliaryHead
from rdarts_tf.tasks.image_classification.classifier import Classifier
from rdarts_tf.tasks.image_classification.stem import STEMS
from rdarts_tf.tasks.image_classification.supernet import check_size, reduction_cells


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
        check_size(channels, num_cells, num_classes)
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
                    sizes=self.genotype.layout(cell_type)[1],
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


def derived(config, image_shape, num_classes, **changes):
    """The built DerivedNetwork of a configuration.

    Args:
        config: options.EvaluateConfig, resolved.
        changes: arguments of DerivedNetwork that differ.
    """
    stem = stem_for(image_shape) if config.stem == "auto" else config.stem
    arguments = {
        "channels": config.init_channels,
        "num_cells": config.layers,
        "stem": stem,
        "auxiliary": config.auxiliary,
        "batch_norm": config.batch_norm,
        "dtype": config.dtype,
        "name": "network",
    }
    net = DerivedNetwork(config.genotype, num_classes, **(arguments | changes))
    net.build((None, *image_shape))
    return net


def trained(config, image_shape, num_classes, *, arrays):
    """The network of a checkpoint, without auxiliary head, in float32.

    Args:
        arrays: {name: array} of the checkpoint.
    Raises:
        UserError: it is that of another network.
    """
    net = derived(config, image_shape, num_classes, auxiliary=False, dtype="float32")
    for kind, variables in (
        ("weights", net.trainable_variables),
        ("state", net.non_trainable_variables),
    ):
        for v in variables:
            name = f"{kind}/{v.path.split('/', 1)[1]}"
            if name not in arrays or arrays[name].shape != v.shape:
                raise UserError(
                    f"the checkpoint is not that of a network with {num_classes} classes: {name} is of "
                    "another shape; restore dataset.json and config.json, or train anew by --overwrite"
                )
            v.assign(arrays[name])
    return net
