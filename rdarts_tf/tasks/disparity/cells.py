"""The cells of disparity networks (Saikia et al. 2019): inputs brought to one size, then a graph of operations."""

import keras
import tensorflow as tf

from rdarts_tf.layers import primitives as image_primitives
from rdarts_tf.layers import sums
from rdarts_tf.layers.mixed_nodes import MixedNodes
from rdarts_tf.tasks.disparity import primitives
from rdarts_tf.tasks.disparity.primitives import ConvAct, UpConvAct


class Inputs(keras.layers.Layer):
    """The input states of a cell, all with its channels; in an upsampling cell with its resolution, too.

    Args:
        channels: C.
        upsamples: there are four inputs, the first two half as large as the cell.
        before: the size of the first input beside the second: "same"; "larger", twice; "smaller", half.
        common: keyword arguments of every primitive.
    """

    def __init__(self, channels, *, upsamples, before, common, **kwargs):
        super().__init__(**kwargs)
        first = {
            "same": ConvAct,
            "larger": lambda c, **options: ConvAct(c, kernel_size=3, stride=2, **options),
            "smaller": UpConvAct,
        }[before]
        self.preprocess = [
            first(channels, name="preprocess0", **common),
            ConvAct(channels, name="preprocess1", **common),
        ]
        self.up = self.beside = []
        if upsamples:
            self.up = [UpConvAct(channels, name=f"up{i}", **common) for i in (0, 1)]
            names = ("prediction", "skip")
            self.beside = [ConvAct(channels, name=name, **common) for name in names]

    def build(self, *shapes):
        channels = (None, None, None, self.preprocess[0].channels)
        for layer, shape in zip((*self.preprocess, *self.beside), shapes, strict=True):
            layer.build(shape)
        for layer in self.up:
            layer.build(channels)
        self.built = True

    def call(self, *inputs, training=False):
        """[N, H, W, C_i] each -> list of states [N, H', W', C].

        Args:
            inputs: c_{k-2}, c_{k-1}; of an upsampling cell also the previous prediction, at the cell's
                resolution, and the encoder's output of that resolution.
        """
        layers = (*self.preprocess, *self.beside)
        states = [layer(x, training=training) for layer, x in zip(layers, inputs, strict=True)]
        for i, up in enumerate(self.up):
            states[i] = up(states[i], training=training)
        return states


class SearchCell(MixedNodes):
    """A cell of the supernet.

    Args:
        cell: spaces.base.CellSpace.
        channels: C of every node.
        cell_type: "normal", "reduce" or "upsample".
        before: see `Inputs`.
        normalised: a BatchNorm follows each activation and each pooling.
    """

    def __init__(self, cell, channels, *, cell_type, before, normalised, **kwargs):
        super().__init__(
            cell.primitives,
            channels,
            num_nodes=cell.num_nodes,
            num_inputs=cell.num_inputs,
            reduction=cell_type == "reduce",
            **kwargs,
        )
        self.cell_type, self.output_channels = cell_type, cell.num_nodes * channels
        self.inputs = _inputs(self, before, normalised=normalised, affine=False)
        self.make_nodes(primitives.kinds(normalised=normalised))

    def build(self, *shapes):
        self.inputs.build(*shapes)
        self.build_nodes()
        self.built = True

    def call(self, *inputs, edge_weights, sampled=False, training=False):
        """[N, H, W, output_channels]; inputs as of `Inputs`, the rest as `layers.cell.Cell.call`."""
        states = self.inputs(*inputs, training=training)
        return self.nodes(states, edge_weights, sampled=sampled, training=training)


class DerivedCell(keras.layers.Layer):
    """A cell of a genotype.

    Args:
        genotype: genotypes.genotype.Genotype with the cell type.
        channels, cell_type, before, normalised: as of `SearchCell`; every BatchNorm is affine, none
            follows pooling.
        batch_norm: keyword arguments of every BatchNorm.
    """

    def __init__(self, genotype, channels, *, cell_type, before, normalised, batch_norm, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.cell_type, self.batch_norm = channels, cell_type, batch_norm
        self.pairs, self.concat = genotype.cells[cell_type], genotype.concat[cell_type]
        self.num_inputs, self.sizes = genotype.layout(cell_type)
        self.output_channels = len(self.concat) * channels
        self.reduction = cell_type == "reduce"
        self.inputs = _inputs(self, before, normalised=normalised, affine=True)
        self.ops = [
            image_primitives.make(
                name,
                channels,
                kinds=primitives.kinds(normalised=normalised),
                stride=2 if self.reduction and state < self.num_inputs else 1,
                affine=True,
                batch_norm=batch_norm,
                dtype=self.dtype_policy,
                name=f"op{i}_from{state}_{name}",
            )
            for i, (name, state) in enumerate(self.pairs)
        ]

    def build(self, *shapes):
        self.inputs.build(*shapes)
        for op in self.ops:
            op.build((None, None, None, self.channels))
        self.built = True

    def call(self, *inputs, training=False):
        """[N, H, W, output_channels]; inputs as of `Inputs`."""
        states = list(self.inputs(*inputs, training=training))
        edges = iter(zip(self.ops, self.pairs, strict=True))
        for size in self.sizes:
            terms = [
                op(states[state], training=training)
                for op, (_, state) in (next(edges) for _ in range(size))
            ]
            states.append(sums.add_n(terms))
        return tf.concat([states[state] for state in self.concat], axis=-1)


def _inputs(cell, before, *, normalised, affine):
    common = {
        "normalised": normalised,
        "affine": affine,
        "batch_norm": cell.batch_norm,
        "dtype": cell.dtype_policy,
    }
    upsamples = cell.cell_type == "upsample"
    return Inputs(
        cell.channels,
        upsamples=upsamples,
        before=before,
        common=common,
        name="inputs",
        dtype=cell.dtype_policy,
    )
