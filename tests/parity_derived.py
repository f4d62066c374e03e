"""The part of `tests/parity.py` for files of derived networks (`evalnet_*.npz`)."""

import functools

import numpy as np
import tensorflow as tf

from rdarts_tf.layers.primitives import FactorizedReduce, Noise
from rdarts_tf.tasks.image_classification.derived_network import DerivedNetwork
from rdarts_tf.tasks.image_classification.supernet import reduction_cells
from tests import parity_tools as tools

# Both sides compute in float64 and differ in the order of their sums. Moving variances are differences
# of squares here, which costs a digit.
FORWARD = 1e-11
GRADIENT = 1e-11

STEM = {"conv_1": ("stem/conv/kernel", tools.full)}
HEAD = {
    "conv_1": ("auxiliary_head/conv_1/kernel", tools.pointwise),
    "conv_2": ("auxiliary_head/conv_2/kernel", tools.full),
}
CLASSIFIER = {"kernel": ("weight", np.transpose), "bias": ("bias", np.asarray)}


class Fixture:
    """A parity file and the network that it describes, with its weights and moving averages.

    Attributes:
        w, statistics: values of the network's trainable and non-trainable variables, float64.
        paths: names of the weights in the file, in the order of `net.trainable_variables`.
    Raises:
        ValueError, KeyError: the file and the network do not describe the same parameters.
    """

    def __init__(self, path):
        self.arrays, self.meta = tools.read(path)
        meta = self.meta
        if list(meta["reduction_cells"]) != reduction_cells(meta["layers"]):
            raise ValueError(f"reduction cells {meta['reduction_cells']} are not ours")
        self.net = DerivedNetwork(
            meta["genotype"],
            meta["num_classes"],
            channels=meta["C"],
            num_cells=meta["layers"],
            dtype="float64",
        )
        self.net.build((None, meta["image"], meta["image"], 3))
        names = dict(_weights(self.net))
        by_id = {id(variable): name for name, (variable, _) in names.items()}
        self.paths = [by_id[id(v)] for v in self.net.trainable_variables]
        self.layouts = {name: layout for name, (_, layout) in names.items()}
        in_file = {key.removeprefix("param/") for key in self.arrays if key.startswith("param/")}
        if in_file != set(self.paths):
            raise ValueError(f"weights of one side only: {sorted(in_file ^ set(self.paths))[:3]}")
        self.w = [self.tensor("param", path) for path in self.paths]
        moving = {id(v): name for name, v in _statistics(self.net).items()}
        self.moving_paths = [moving[id(v)] for v in self.net.non_trainable_variables]
        self.statistics = [_double(self.arrays[f"bn_moving/{path}"]) for path in self.moving_paths]
        for path, op in _operations(self.net):
            if isinstance(op, Noise):
                op.call = tools.fixed_noise(_double(tools.nhwc(self.arrays[f"noise/{path}"])))

    def tensor(self, prefix, path):
        """The file's `prefix`/`path` in our layout."""
        return _double(self.layouts[path](self.arrays[f"{prefix}/{path}"]))

    def stored(self, *names):
        """What is compared; None where the file lacks it."""
        return [self.arrays.get(name) for name in names]

    def forward(self, w, *, training):
        """(outputs, moved statistics) of the batch."""
        images = _double(tools.nhwc(self.arrays["data/x"]))
        return self.net.stateless_call(w, self.statistics, images, training=training)

    def losses(self, w):
        """(main, auxiliary, sum, logits, auxiliary logits, moved statistics) in training mode."""
        (logits, auxiliary), moved = self.forward(w, training=True)
        labels = tf.constant(self.arrays["data/y"])
        main, side = tools.mean_loss(logits, labels), tools.mean_loss(auxiliary, labels)
        total = main + self.meta["auxiliary_weight"] * side
        return main, side, total, logits, auxiliary, moved


def inference(f):
    """Logits and activations with the moving averages, and the auxiliary head on such an activation."""
    cell, cells = f.meta["auxiliary_after_cell"], [f"cell{c}" for c in range(len(f.net.cells))]

    @functools.cache
    def outputs():
        """(logits, auxiliary logits, activations)."""
        for v, value in zip(f.net.variables, _in_order(f), strict=True):
            v.assign(value)
        with tools.recorded(dict(zip(cells, f.net.cells, strict=True))) as found:
            logits, _ = f.forward(f.w, training=False)
            auxiliary = f.net.auxiliary_head(found[f"cell{cell}"], training=False)
        return logits, auxiliary, [tools.nchw(found[name]) for name in cells]

    activations = f.stored(*(f"eval/activation/{name}" for name in cells))
    auxiliary = f.stored(f"eval/logits_aux_of_cell{cell}")
    yield "eval/logits", f.stored("eval/logits"), lambda: outputs()[:1], FORWARD
    yield "eval/activation", activations, lambda: outputs()[2], FORWARD
    yield "eval/logits_aux", auxiliary, lambda: outputs()[1:2], FORWARD


def training(f):
    """Logits, losses, moved statistics and gradients with the statistics of the batch."""

    @functools.cache
    def outputs():
        """({quantity: number or logits}, moved statistics, gradients)."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(f.w)
            main, side, total, logits, auxiliary, moved = f.losses(f.w)
        g = tape.gradient(total, f.w, unconnected_gradients="zero")
        found = {"logits": logits, "logits_aux": auxiliary}
        found |= {"loss_main": main, "loss_aux": side, "loss": total}
        return found, moved, g

    for name in ("logits", "logits_aux", "loss_main", "loss_aux", "loss"):
        key = f"train/{name}"
        yield key, f.stored(key), lambda name=name: [outputs()[0][name]], FORWARD
    after = f.stored(*(f"train/bn_moving_after/{path}" for path in f.moving_paths))
    yield "train/bn_moving_after", after, lambda: outputs()[1], FORWARD
    stored = [f"train/grad/{path}" in f.arrays for path in f.paths]
    pairs = zip(f.paths, stored, strict=True)
    g = [f.tensor("train/grad", path) if there else None for path, there in pairs]
    yield "train/grad", g, lambda: outputs()[2], GRADIENT
    norms = f.stored(*(f"train/grad_norm/{path}" for path in f.paths))
    yield "train/grad_norm", norms, lambda: map(tf.norm, outputs()[2]), GRADIENT
    norm = f.stored("train/grad_norm_total")
    yield "train/grad_norm_total", norm, lambda: [tf.linalg.global_norm(outputs()[2])], GRADIENT


def parameters(f):
    """Differences of the counts, with and without the auxiliary head; none may be."""
    for key, auxiliary in (("params_total", True), ("params_without_auxiliary", False)):
        count = f.net.num_parameters(auxiliary=auxiliary)
        difference = float(abs(count - f.meta[key]))
        yield key, [0.0], lambda difference=difference: [difference], 0.0


GROUPS = (inference, training, parameters)


def _in_order(f):
    values = dict(zip((id(v) for v in f.net.trainable_variables), f.w, strict=True))
    values |= zip((id(v) for v in f.net.non_trainable_variables), f.statistics, strict=True)
    return [values[id(v)] for v in f.net.variables]


def _double(array):
    return tf.constant(np.asarray(array, np.float64))


def _operations(net):
    """(path in the file, operation), preprocessing included."""
    for c, cell in enumerate(net.cells):
        for name in ("preprocess0", "preprocess1"):
            op = getattr(cell, name)
            kind = "factorized_reduce" if isinstance(op, FactorizedReduce) else "relu_conv_bn"
            yield f"cell{c}/{name}/{kind}", op
        for i, ((name, state), op) in enumerate(zip(cell.pairs, cell.ops, strict=True)):
            yield f"cell{c}/node{i // 2}_in{i % 2}_from{state}_{name}", op


def _batch_norms(net):
    """{path in the file: BatchNorm}."""
    head = net.auxiliary_head
    found = {"stem/bn": net.stem.bn_1}
    found |= {"auxiliary_head/bn_1": head.bn_1, "auxiliary_head/bn_2": head.bn_2}
    for path, op in _operations(net):
        for name in ("bn", "bn_1", "bn_2"):
            if getattr(op, name, None) is not None:
                found[f"{path}/{name}"] = getattr(op, name)
    return found


def _weights(net):
    """(path in the file, (variable, layout))."""
    for layer, names in ((net.stem, STEM), (net.auxiliary_head, HEAD)):
        for attribute, (path, layout) in names.items():
            yield path, (getattr(layer, attribute), layout)
    head = net.auxiliary_head.classifier
    for path, layer in (("classifier", net.classifier), ("auxiliary_head/classifier", head)):
        for attribute, (name, layout) in CLASSIFIER.items():
            yield f"{path}/{name}", (getattr(layer, attribute), layout)
    for path, bn in _batch_norms(net).items():
        yield f"{path}/gamma", (bn.gamma, np.asarray)
        yield f"{path}/beta", (bn.beta, np.asarray)
    for path, op in _operations(net):
        for attribute, (name, layout) in tools.KERNELS.items():
            if hasattr(op, attribute):
                yield f"{path}/{name}/kernel", (getattr(op, attribute), layout)


def _statistics(net):
    """{path in the file: moving average}."""
    found = {}
    for path, bn in _batch_norms(net).items():
        found[f"{path}/moving_mean"] = bn.moving_mean
        found[f"{path}/moving_var"] = bn.moving_variance
    return found
