"""The part of `tests/parity.py` for files of recurrent search networks (`rnn_search_*.npz`)."""

import functools

import numpy as np
import tensorflow as tf

from rdarts_tf import hessian
from rdarts_tf.genotypes import rule
from rdarts_tf.spaces.base import CellSpace, Space, edges
from rdarts_tf.tasks.language_model import recurrent_cell, windows
from rdarts_tf.tasks.language_model.supernet import Supernet
from tests import parity_tools as tools

# Both sides compute in float64 and differ in the order of their sums: 1e-14 where measured.
FORWARD = 1e-11
GRADIENT = 1e-11
CURVATURE = 1e-9
# What 20 products are asked to give.
LANCZOS = 1e-6
# Names of the masks in the file.
MASKS = {
    "word": "word_embedding",
    "embedding": "locked_embedding",
    "x": "m_x",
    "h": "m_h",
    "output": "locked_output",
}


def masks(arrays, prefix):
    """The file's masks as `dropout.draw` gives them; raises Absent."""
    found = {name: arrays[f"{prefix}/{theirs}"] for name, theirs in MASKS.items()}
    return {k: tf.constant(v if k == "word" else v.reshape(v.shape[-2:])) for k, v in found.items()}


def nll(outputs, targets):
    """Mean over a window, targets [T, B]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=outputs.logits)
    return tf.reduce_mean(losses)


def slowness(outputs):
    return tf.reduce_mean(tf.square(outputs.raw[1:] - outputs.raw[:-1]))


class Fixture:
    """A parity file and the network that it describes, with its weights and alpha.

    Attributes:
        w: list of tensors, in the order of `meta["parameter_order"]`, which is that of the network.
        alpha: list of one tensor.
    Raises:
        ValueError, KeyError: the file and the network do not describe the same parameters.
    """

    def __init__(self, path):
        self.arrays, self.meta = tools.read(path)
        self.paths, num = self.meta["parameter_order"], self.meta["steps"]
        expected = ["encoder/weight", *(f"rnn/W{i}" for i in range(num + 1)), "decoder/bias"]
        if self.paths != expected or self.meta["concat"] != list(range(1, num + 1)):
            raise ValueError(f"parameters {self.paths}, {expected} are ours")
        self.net = self.network(self.meta["primitives"])
        self.w = self.tensors("param")
        shapes = [tuple(v.shape) for v in self.net.trainable_variables]
        if [tuple(w.shape) for w in self.w] != shapes:
            raise ValueError(f"weights of shapes {shapes} are ours")

    def network(self, primitives):
        num = self.meta["steps"]
        rows = (tuple(primitives),) * len(edges(num, 1))
        cell = CellSpace(rows, num, num_inputs=1, kept_edges=1)
        net = Supernet(cell, self.meta["ntoken"], hidden=self.meta["n"], dtype="float64")
        net.build()
        return net

    @functools.cached_property
    def smooth(self):
        """The network of the same weights with smooth activations."""
        return self.network(["none", "tanh", "sigmoid", "identity"])

    @functools.cached_property
    def alpha(self):
        return [tf.constant(self.arrays["alpha/recurrent"])]

    def tensors(self, prefix):
        return [tf.constant(self.arrays[f"{prefix}/{path}"]) for path in self.paths]

    def stored(self, *names):
        return [self.arrays.get(name) for name in names]

    def of_weights(self, prefix):
        return self.stored(*(f"{prefix}/{path}" for path in self.paths))

    def window(self, name):
        """(tokens [T, B], targets [T, B], hidden [B, n])."""
        a = self.arrays
        return a[f"data/{name}_x"], a[f"data/{name}_y"], tf.constant(a[f"hidden/{name}"])

    def forward(self, w, alpha, x, hidden, *, net=None, statistics=None, training=True, masks=None):
        """(Outputs, moved statistics) of tokens [T, B]."""
        net = net or self.net
        state = [v.value for v in net.non_trainable_variables]
        state = state if statistics is None else [state[0], *statistics]
        outputs, moved = net.stateless_call(
            w,
            state,
            tf.constant(x.T),
            hidden,
            edge_weights={"recurrent": tf.nn.softmax(alpha[0])},
            masks=masks,
            training=training,
        )
        return outputs, moved[1:]

    def loss(self, name, *, total=False, **options):
        """(w, alpha) -> NLL of a window; total: with slowness."""
        x, y, hidden = self.window(name)

        def at(w, alpha):
            outputs, _ = self.forward(w, alpha, x, hidden, **options)
            return nll(outputs, y) + (self.meta["beta"] * slowness(outputs) if total else 0)

        return at

    def evaluate(self, stream, w, alpha, statistics):
        """The authors' loss of a corpus, divided by its rows; `stream` [rows, B]."""
        hidden, total = tf.zeros([stream.shape[1], self.meta["n"]], tf.float64), 0.0
        for window in windows.passing(len(stream), self.meta["bptt"]):
            x, y = rows_of(stream, window)
            options = {"statistics": statistics, "training": False}
            outputs, _ = self.forward(w, alpha, x, hidden, **options)
            hidden, total = outputs.hidden, total + window.length * nll(outputs, y)
        return total / len(stream)


def rows_of(stream, window):
    """(tokens, targets) [T, B] of a window."""
    end = window.start + window.length
    return stream[window.start : end], stream[window.start + 1 : end + 1]


def value_and_gradients(loss, w, alpha):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([w, alpha])
        value = loss(w, alpha)
    return value, *tape.gradient(value, (w, alpha), unconnected_gradients="zero")


def forward(f):
    """Logits, losses, outputs, the states of the cell and the statistics of the shared BatchNorm."""

    @functools.cache
    def run(name, training=True):
        """(Outputs, {quantity: value}, moved statistics)."""
        x, y, hidden = f.window(name)
        statistics = None if training else run("train")[2]
        found, moved = f.forward(f.w, f.alpha, x, hidden, statistics=statistics, training=training)
        loss, slow = nll(found, y), slowness(found)
        values = {"logits": found.logits, "log_prob": tf.nn.log_softmax(found.logits)}
        values |= {"raw_output": found.raw, "hidden_out": found.hidden, "loss": loss}
        values |= {"slowness": slow, "loss_total": loss + f.meta["beta"] * slow}
        return found, values, moved

    @functools.cache
    def before_batch_norm():
        """Every s_i of the training pass before BatchNorm, turn by turn."""
        (x, _, h), seen, moments = f.window("train"), [], recurrent_cell.moments
        table, first, *matrices = f.w[:-1]
        of_x = tf.tensordot(tf.gather(table, x), first[: f.meta["n"]], 1)
        options = {"masked": False, "sampled": False, "training": True}
        step = recurrent_cell.search_step(f.net.cell, f.meta["n"], **options)
        p = recurrent_cell.for_each_unit(tf.nn.softmax(f.alpha[0]), f.meta["n"])
        constants = [first[f.meta["n"] :], *matrices, p]
        recurrent_cell.moments = lambda s: seen.append(s) or moments(s)
        tf.config.run_functions_eagerly(True)
        try:
            for turn in of_x:
                (h,), _, _, _ = step.call([h], [turn], constants, None)
        finally:
            recurrent_cell.moments = moments
            tf.config.run_functions_eagerly(False)
        return seen

    def of_batch(part):
        """Statistics of each update, [T, nodes + 1, n]."""
        found = [recurrent_cell.moments(s)[part] for s in before_batch_norm()]
        return tf.reshape(tf.stack(found), [-1, f.meta["steps"] + 1, f.meta["n"]])

    def states():
        normal = []
        for s in before_batch_norm()[: 2 * (f.meta["steps"] + 1)]:
            mean, variance = recurrent_cell.moments(s)
            normal.append((s - mean) / tf.sqrt(variance + recurrent_cell.EPSILON))
        return [tf.reshape(tf.stack(normal), [2, f.meta["steps"] + 1, *normal[0].shape])]

    names = ("logits", "log_prob", "raw_output", "hidden_out", "loss", "slowness", "loss_total")
    for part in ("train", "valid"):
        for name in names:
            key = f"{name}_{part}"
            value = functools.partial(lambda part, name: [run(part)[1][name]], part, name)
            yield key, f.stored(key), value, FORWARD
    for name in ("logits", "hidden_out", "loss"):
        key = f"{name}_valid_evalmode"
        value = functools.partial(lambda name: [run("valid", training=False)[1][name]], name)
        yield key, f.stored(key), value, FORWARD
    yield "states_train", f.stored("states_train"), states, FORWARD
    for i, name in enumerate(("batch_mean", "batch_var_biased")):
        key = f"bn_updates/{name}"
        yield key, f.stored(key), functools.partial(lambda i: [of_batch(i)], i), FORWARD
    prefix = "bn_after_one_train_forward/rnn/bn/moving_"
    moved = f.stored(f"{prefix}mean", f"{prefix}var")
    yield "bn_after_one_train_forward", moved, lambda: run("train")[2], FORWARD
    corpus = f.stored("evaluate/loss")
    stream = f.arrays.get("evaluate/stream")
    yield (
        "evaluate/loss",
        corpus,
        lambda: [f.evaluate(stream, f.w, f.alpha, run("train")[2])],
        FORWARD,
    )


def gradients(f):
    """First derivatives of NLL, and of NLL and slowness."""

    @functools.cache
    def found(part, total):
        """(norm, gradients in w, in alpha)."""
        _, g, g_alpha = value_and_gradients(f.loss(part, total=total), f.w, f.alpha)
        return [tf.linalg.global_norm(g)], g, g_alpha

    for part in ("train", "valid"):
        for total in (False, True) if part == "train" else (False,):
            name = f"grad_{part}" + ("_total" if total else "")
            take = functools.partial(lambda i, *key: found(*key)[i])
            yield name, f.of_weights(name), functools.partial(take, 1, part, total), GRADIENT
            alpha = f.stored(f"{name}_alpha/recurrent")
            yield f"{name}_alpha", alpha, functools.partial(take, 2, part, total), GRADIENT
            norm = f.stored(f"{name}_norm")
            yield f"{name}_norm", norm, functools.partial(take, 0, part, total), GRADIENT


def masked(f):
    """The same under given dropout masks."""

    @functools.cache
    def run(part):
        x, y, hidden = f.window(part)
        found, _ = f.forward(f.w, f.alpha, x, hidden, masks=masks(f.arrays, f"masked/mask_{part}"))
        return {
            "logits": found.logits,
            "raw_output": found.raw,
            "dropped_output": found.dropped,
            "hidden_out": found.hidden,
            "loss": nll(found, y),
            "slowness": slowness(found),
        }

    @functools.cache
    def gradient(part, total):
        options = {"masks": masks(f.arrays, f"masked/mask_{part}"), "total": total}
        return value_and_gradients(f.loss(part, **options), f.w, f.alpha)[1:]

    for part in ("train", "valid"):
        for name in ("logits", "raw_output", "dropped_output", "hidden_out", "loss", "slowness"):
            key = f"masked/{name}_{part}"
            value = functools.partial(lambda part, name: [run(part)[name]], part, name)
            yield key, f.stored(key), value, FORWARD
    key = "masked/grad_train_total"
    yield key, f.of_weights(key), lambda: gradient("train", True)[0], GRADIENT
    alpha = f.stored(f"{key}_alpha/recurrent")
    yield f"{key}_alpha", alpha, lambda: gradient("train", True)[1], GRADIENT
    key = "masked/grad_valid_alpha"
    yield key, f.stored(f"{key}/recurrent"), lambda: gradient("valid", False)[1], GRADIENT


def genotypes(f):
    """The number of architectures derived differently; none may be."""
    space = Space("file", {"recurrent": f.net.cell}, task="language_model")

    def differs(alpha, text):
        found = rule.derive(space, {"recurrent": tf.nn.softmax(alpha).numpy()})
        return float(str(found) != str(text))

    def wrong():
        a = f.arrays
        draws = zip(a["genotype_draws/alpha"], a["genotype_draws/genotype"], strict=True)
        return [sum(differs(*draw) for draw in draws)]

    softmax = f.stored("alpha_softmax/recurrent")
    yield "alpha_softmax", softmax, lambda: [tf.nn.softmax(f.alpha[0])], FORWARD
    there = [0.0] if "genotype" in f.arrays else [None]
    yield "genotype", there, lambda: [differs(f.alpha[0], f.arrays["genotype"])], 0.0
    there = [0.0] if "genotype_draws/genotype" in f.arrays else [None]
    yield "genotype_draws", there, wrong, 0.0


def curvature(f):
    """The Hessian of the validation loss in alpha, its spectrum, and lambda_max by 20 products."""
    n = int(np.prod(f.alpha[0].shape))
    shift = f.meta["arch_wd"]

    def operator():
        loss = f.loss("valid")
        return hessian.hessian_operator(lambda alpha: loss(f.w, alpha), f.alpha)

    @functools.cache
    @tf.function(autograph=False)  # n products
    def H():
        return hessian.full_hessian(operator(), n, dtype=tf.float64)

    @tf.function(autograph=False)
    def largest_of(v0):
        return hessian.lanczos(operator(), v0, num_products=20).value

    @functools.cache
    def values(shift=0.0):
        return hessian.spectrum(H()) + shift

    def lanczos():
        v0 = tf.constant(np.random.default_rng(0).normal(size=n))
        return [largest_of(v0) + shift]

    def gradient():
        g = value_and_gradients(f.loss("valid"), f.w, f.alpha)[2][0]
        return [tf.reshape(g + shift * f.alpha[0], [-1])]

    def edge_sums():
        sums = tf.reduce_sum(tf.reshape(H(), [n, *f.alpha[0].shape]), axis=-1)
        return [float(tf.reduce_max(tf.abs(sums)) / tf.reduce_max(tf.abs(H())))]

    def stored(name):
        return f.stored(f"hessian/{name}")

    eye = tf.eye(n, dtype=tf.float64)
    yield "hessian/H_no_wd", stored("H_no_wd"), lambda: [H()], CURVATURE
    yield "hessian/H_with_wd", stored("H_with_wd"), lambda: [H() + shift * eye], CURVATURE
    for name, by in (("no", 0.0), ("with", shift)):
        key = f"eigvals_sorted_{name}_wd"
        yield (
            f"hessian/{key}",
            stored(key),
            functools.partial(lambda by: [values(by)], by),
            CURVATURE,
        )
    largest = stored("lambda_max_with_wd")
    yield "hessian/lambda_max_with_wd", largest, lambda: [values(shift)[-1]], CURVATURE
    yield "hessian/lambda_max_lanczos", largest, lanczos, LANCZOS
    yield "hessian/g_with_wd", stored("g_with_wd"), gradient, GRADIENT
    zero = [0.0] if "hessian/H_no_wd" in f.arrays else [None]  # softmax ignores a shift of an edge
    yield "hessian/H_1_edge", zero, edge_sums, CURVATURE


def parameters(f):
    """The difference of the counts; none may be."""
    count = sum(v.shape.num_elements() for v in f.net.trainable_variables)
    difference = float(abs(count - f.meta["num_params"]))
    yield "parameters", [0.0], lambda: [difference], 0.0


GROUPS = (forward, gradients, masked, genotypes, curvature, parameters)
