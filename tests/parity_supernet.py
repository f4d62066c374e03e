"""Files of search networks for `tests/parity.py`: the network, its weights and where they are stored."""

import functools

import numpy as np
import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.layers.primitives import FactorizedReduce, Noise
from rdarts_tf.spaces.base import CellSpace, Space, edges
from rdarts_tf.tasks.image_classification.metrics import cross_entropy
from rdarts_tf.tasks.image_classification.supernet import Supernet, reduction_cells
from tests import parity_tools as tools

TYPES = ("normal", "reduce")


class Fixture:
    """A parity file and the network that it describes, with its weights and alphas.

    Attributes:
        w, alpha: lists of tensors, in the order of `paths` and of TYPES.
        paths: names of the weights in the file, in the order of `net.trainable_variables`.
    Raises:
        ValueError, KeyError: the file and the network do not describe the same parameters.

    `batch`, `tensors` and `alpha` raise `parity_tools.Absent` where the file lacks them; what is
    compared is None there, in `stored`, `of_weights` and `of_types`.
    """

    def __init__(self, path):
        self.arrays, self.meta = tools.read(path)
        self.net = self._network()
        names = dict(_weights(self.net))
        by_id = {id(variable): name for name, (variable, _) in names.items()}
        self.paths = [by_id[id(v)] for v in self.net.trainable_variables]
        self._layouts = {name: layout for name, (_, layout) in names.items()}
        in_file = {key.removeprefix("param/") for key in self.arrays if key.startswith("param/")}
        if in_file != set(self.paths):
            raise ValueError(f"weights of one side only: {sorted(in_file ^ set(self.paths))[:3]}")
        self.w = self.tensors("param")
        self._inject_noise()
        for v, value in zip(self.net.trainable_variables, self.w, strict=True):
            v.assign(value)  # raises where a shape is wrong

    def _network(self):
        meta = self.meta
        cells = {
            t: CellSpace(tuple(map(tuple, meta[f"primitives_{t}"])), meta["steps"]) for t in TYPES
        }
        if list(meta["reduction_cells"]) != reduction_cells(meta["layers"]):
            raise ValueError(f"reduction cells {meta['reduction_cells']} are not ours")
        net = Supernet(
            Space(meta["space"], cells),
            meta["num_classes"],
            channels=meta["C"],
            num_cells=meta["layers"],
            stem_multiplier=meta["stem_multiplier"],
            dtype="float64",
        )
        net.build((None, meta["image"], meta["image"], 3))
        return net

    def _inject_noise(self):
        """Each noise operation returns the file's tensor instead of a fresh draw."""
        for path, op in _operations(self.net):
            if isinstance(op, Noise):
                fixed = self.arrays[f"noise/{path}"]
                op.call = tools.fixed_noise(tf.constant(tools.nhwc(fixed), tf.float64))

    @functools.cached_property
    def alpha(self):
        return [tf.constant(self.arrays[f"alpha/{t}"]) for t in TYPES]

    def tensors(self, prefix):
        """The file's tensors `prefix`/<path> in our layout and order."""
        arrays = [self._layouts[path](self.arrays[f"{prefix}/{path}"]) for path in self.paths]
        return [tf.constant(a) for a in arrays]

    def stored(self, *names):
        return [self.arrays.get(name) for name in names]

    def of_weights(self, prefix):
        """As `tensors`, arrays."""
        arrays = zip(self.paths, self.stored(*(f"{prefix}/{p}" for p in self.paths)), strict=True)
        return [a if a is None else self._layouts[path](a) for path, a in arrays]

    def of_types(self, prefix):
        return self.stored(*(f"{prefix}/{t}" for t in TYPES))

    def batch(self, name):
        labels = tf.constant(self.arrays[f"data/{name}_y"])
        return tf.constant(tools.nhwc(self.arrays[f"data/{name}_x"])), labels

    def statistics(self):
        """Moving averages of a network that has seen nothing, and the alphas: what is not w."""
        return [v.value for v in self.net.non_trainable_variables]

    def forward(self, w, alpha, images, *, statistics=None, training=True):
        """(logits, moved statistics)."""
        edge_weights = dict(zip(TYPES, map(tf.nn.softmax, alpha), strict=True))
        statistics = self.statistics() if statistics is None else statistics
        return self.net.stateless_call(
            w, statistics, images, edge_weights=edge_weights, training=training
        )

    def loss(self, name):
        """(w, alpha) -> loss of the batch `name`, BatchNorm in training mode."""
        images, labels = self.batch(name)
        return lambda w, a: tf.reduce_mean(cross_entropy(self.forward(w, a, images)[0], labels))

    def sgd(self, w, m, g):
        meta = self.meta
        return optimizers.sgd(
            w,
            m,
            g,
            learning_rate=meta["eta"],
            momentum=meta["sgd_momentum"],
            weight_decay=meta["weight_decay"],
        )

    def bilevel_arguments(self, w, alpha, m):
        """What all three gradients of `bilevel` take, as keyword arguments."""
        return {
            "train_loss": self.loss("train"),
            "valid_loss": self.loss("valid"),
            "w": w,
            "alpha": alpha,
            "weight_step": lambda w, g: self.sgd(w, m, g)[0],
        }


def _operations(net):
    """(path in the file, operation), preprocessing included; edges may share an operation."""
    for c, cell in enumerate(net.cells):
        for name in ("preprocess0", "preprocess1"):
            op = getattr(cell, name)
            kind = "factorized_reduce" if isinstance(op, FactorizedReduce) else "relu_conv_bn"
            yield f"cell{c}/{name}/{kind}", op
        for e, (node, state) in enumerate(edges(cell.num_nodes)):
            mixed_op = cell.mixed_ops[e]
            for k, (name, op) in enumerate(zip(mixed_op.primitives, mixed_op.ops, strict=True)):
                yield f"cell{c}/edge{e:02d}_node{node}_from{state}/op{k}_{name}", op


def _weights(net):
    """(path in the file, (variable, layout))."""
    yield "stem/conv/kernel", (net.stem_kernel, tools.full)
    yield "stem/bn/gamma", (net.stem_bn.gamma, np.asarray)
    yield "stem/bn/beta", (net.stem_bn.beta, np.asarray)
    yield "classifier/weight", (net.dense_kernel, np.transpose)
    yield "classifier/bias", (net.dense_bias, np.asarray)
    for path, op in _operations(net):
        for attribute, (name, layout) in tools.KERNELS.items():
            if hasattr(op, attribute):
                yield f"{path}/{name}/kernel", (getattr(op, attribute), layout)


def moving_averages(net, values):
    """{path in the file: moving average}, from `values` of the non-trainable variables."""
    by_id = {id(v): x for v, x in zip(net.non_trainable_variables, values, strict=True)}
    layers = {"stem/bn": net.stem_bn}
    for path, op in _operations(net):
        layers |= {f"{path}/{n}": getattr(op, n) for n in ("bn", "bn_1", "bn_2") if hasattr(op, n)}
    means = {f"{path}/moving_mean": by_id[id(bn.moving_mean)] for path, bn in layers.items()}
    return means | {
        f"{path}/moving_var": by_id[id(bn.moving_variance)] for path, bn in layers.items()
    }
