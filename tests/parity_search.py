"""The part of `tests/parity.py` for files of search networks (`supernet_*.npz`)."""

import collections
import functools
import math

import numpy as np
import tensorflow as tf

from rdarts_tf import bilevel, hessian, optimizers
from rdarts_tf.genotypes import rule
from tests import parity_tools as tools
from tests.parity_supernet import TYPES, moving_averages

# Both sides compute in float64 and differ in the order of their sums: 1e-14 where measured. The
# moving variances lose a digit more, ours are differences of squares.
FORWARD = 1e-11
GRADIENT = 1e-11
# Two gradients, each rounded to 1e-15, are subtracted and divided by 2 R, R about 0.01.
DIFFERENCE = 1e-10
# The same with R about 1e-7: 1e-15 / 1e-7, and as much again from the rounding of w + R v.
TINY_DIFFERENCE = 1e-6
# Two derivatives of the same float64 computation; eigenvalues move by no more than the matrix.
CURVATURE = 1e-10
# What 30 products are asked to give, from any start.
LANCZOS = 1e-6
# Differences of the first step grow through three; Adam divides small gradients by their size.
STEPS = 1e-10


def forward(f):
    """Logits, losses, activations and the statistics of BatchNorm."""
    layers = {"stem": f.net.stem_bn} | {f"cell{c}": x for c, x in enumerate(f.net.cells)}

    @functools.cache
    def train():
        """(logits, loss, moved statistics, activations)."""
        images, labels = f.batch("train")
        with tools.recorded(layers) as outputs:
            logits, moved = f.forward(f.w, f.alpha, images)
        return logits, tools.mean_loss(logits, labels), moved, outputs

    @functools.cache
    def valid(training=True):
        """(logits, loss)."""
        images, labels = f.batch("valid")
        statistics = None if training else train()[2]
        logits, _ = f.forward(f.w, f.alpha, images, statistics=statistics, training=training)
        return logits, tools.mean_loss(logits, labels)

    def activations():
        return [tools.nchw(train()[3][name]) for name in layers]

    def moved():
        by_path = moving_averages(f.net, train()[2])
        return [by_path[key.removeprefix(prefix)] for key in keys]

    yield "logits_train", f.stored("logits_train"), lambda: train()[:1], FORWARD
    yield "loss_train", f.stored("loss_train"), lambda: train()[1:2], FORWARD
    references = f.stored(*(f"activation_train/{name}" for name in layers))
    yield "activation_train", references, activations, FORWARD
    yield "logits_valid", f.stored("logits_valid"), lambda: valid()[:1], FORWARD
    yield "loss_valid", f.stored("loss_valid"), lambda: valid()[1:], FORWARD
    prefix = "bn_after_one_train_forward/"
    keys = [key for key in f.arrays if key.startswith(prefix)]
    yield "bn_after_one_train_forward", f.stored(*keys), moved, FORWARD
    logits, loss = f.stored("logits_valid_evalmode"), f.stored("loss_valid_evalmode")
    yield "logits_valid_evalmode", logits, lambda: valid(training=False)[:1], FORWARD
    yield "loss_valid_evalmode", loss, lambda: valid(training=False)[1:], FORWARD


def gradients(f):
    """First derivatives at w, alpha and the virtual weights."""

    @functools.cache
    def gradient(batch):
        """(in w, in alpha)."""
        return _value_and_gradients(f.loss(batch), f.w, f.alpha)[1:]

    def rows(batch):
        name, of_alpha = f"grad_{batch}", f.of_types(f"grad_{batch}_alpha")
        yield name, f.of_weights(name), lambda: gradient(batch)[0], GRADIENT
        yield f"{name}_alpha", of_alpha, lambda: gradient(batch)[1], GRADIENT

    def norm():
        return [optimizers.clip_by_global_norm(gradient("train")[0], f.meta["grad_clip"])[1]]

    yield from rows("train")
    yield "grad_train_norm", f.stored("grad_train_norm"), norm, GRADIENT
    yield "unrolled", f.of_weights("unrolled"), lambda: _virtual(f, gradient("train")[0]), GRADIENT
    yield from rows("valid")


def second_order(f):
    """Gradients through the virtual step, and their parts."""
    eta, radius = f.meta["eta"], f.meta["fd_r"]

    @functools.cache
    def valid():
        """(loss, gradient in w, gradient in alpha) at the virtual weights."""
        try:
            virtual = f.tensors("unrolled")
        except tools.Absent:
            virtual = _virtual(f, _value_and_gradients(f.loss("train"), f.w, f.alpha)[1])
        return _value_and_gradients(f.loss("valid"), virtual, f.alpha)

    @functools.cache
    def gradient(of, **options):
        return of(**f.bilevel_arguments(f.w, f.alpha, f.tensors("momentum")), **options)

    def exact():
        return gradient(bilevel.exact)

    def difference(radius):
        return gradient(bilevel.finite_difference, xi=eta, radius=radius)

    def product(gradient):  # of the second derivative of L_train with v
        return [(d - g) / eta for d, g in zip(valid()[2], gradient, strict=True)]

    def norm():
        return tf.linalg.global_norm(valid()[1])

    def of_types(name):
        return f.of_types(f"second_order/{name}")

    stored = f.stored("second_order/loss_valid_unrolled")
    yield "loss_valid_unrolled", stored, lambda: valid()[:1], GRADIENT
    yield "dalpha_direct", of_types("dalpha_direct"), lambda: valid()[2], GRADIENT
    yield "fd_vector_norm", f.stored("second_order/fd_vector_norm"), lambda: [norm()], GRADIENT
    yield "fd_R", f.stored("second_order/fd_R"), lambda: [radius / norm()], GRADIENT
    yield "grad_exact", of_types("grad_exact"), exact, GRADIENT
    yield "hvp_exact", of_types("hvp_exact"), lambda: product(exact()), GRADIENT
    yield "grad_fd", of_types("grad_fd"), lambda: difference(radius), DIFFERENCE
    yield "hvp_fd", of_types("hvp_fd"), lambda: product(difference(radius)), DIFFERENCE
    fine = of_types("hvp_fd_r1e-7")
    yield "hvp_fd_r1e-7", fine, lambda: product(difference(1e-7)), TINY_DIFFERENCE


def genotypes(f):
    """The number of architectures derived differently; none may be."""
    a = f.arrays
    names = [f"genotype_draws/{key}" for key in ("alpha_normal", "alpha_reduce", "genotype")]

    def softmax():
        return [tf.nn.softmax(x) for x in f.alpha]

    def wrong():
        draws = zip(*(a[name] for name in names), strict=True)
        return [float(sum(_derived(f, n, r) != str(text) for n, r, text in draws))]

    yield "alpha_softmax", f.of_types("alpha_softmax"), softmax, FORWARD
    none = [0.0] if "genotype" in a else [None]
    yield "genotype", none, lambda: [float(_derived(f, *f.alpha) != str(a["genotype"]))], 0.0
    yield "genotype_draws", [0.0] if names[-1] in a else [None], wrong, 0.0


def steps(f):
    """Whole search steps with the authors' finite difference."""
    options = {"xi": f.meta["eta"], "radius": f.meta["fd_r"]}
    return _search(f, "steps", bilevel.finite_difference, options)


def steps_first_order(f):
    return _search(f, "steps_first_order", bilevel.first_order, {})


def curvature(f):
    """The Hessian of the validation loss at w, in the order of the authors' concatenation."""
    sizes = [f.net.space.cell(t).alpha_shape for t in TYPES]
    n = sum(map(math.prod, sizes))

    @functools.cache
    @tf.function(autograph=False)  # where a product is traced once
    def H():
        loss = f.loss("valid")
        matvec = hessian.hessian_operator(lambda alpha: loss(f.w, alpha), f.alpha)
        return hessian.full_hessian(matvec, n, dtype=tf.float64)

    def shifted():
        return H() + hessian.AUTHORS_SHIFT * tf.eye(n, dtype=tf.float64)

    @functools.cache
    def values():
        return hessian.spectrum(shifted())

    def lanczos():
        v0 = tf.constant(np.random.default_rng(0).normal(size=n))
        matrix = shifted()
        pair = hessian.lanczos(lambda v: tf.linalg.matvec(matrix, v), v0, num_products=30)
        return [pair.value]

    def edge_sums():
        lengths = np.concatenate([[num_ops] * num_edges for num_edges, num_ops in sizes])
        sums = np.add.reduceat(np.asarray(H()), np.cumsum(lengths) - lengths, axis=1)
        return [np.abs(sums).max() / np.abs(H()).max()]

    def stored(name):
        return f.stored(f"hessian/{name}")

    yield "hessian/H_no_wd", stored("H_no_wd"), lambda: [H()], CURVATURE
    yield "hessian/H_reference", stored("H_reference"), lambda: [shifted()], CURVATURE
    yield "hessian/eigvals_sorted", stored("eigvals_sorted"), lambda: [values()], CURVATURE
    largest = stored("lambda_max_reference")
    yield "hessian/lambda_max", largest, lambda: [values()[-1]], CURVATURE
    yield "hessian/lambda_max_lanczos", largest, lanczos, LANCZOS
    zero = [0.0] if "hessian/H_no_wd" in f.arrays else [None]  # softmax ignores a shift of an edge
    yield "hessian/H_1_edge", zero, edge_sums, CURVATURE


GROUPS = (forward, gradients, second_order, genotypes, steps, steps_first_order, curvature)


def _search(f, name, alpha_gradient, options):
    """Adam on alpha, then clipped SGD on w, always on the same two batches."""
    times = range(f.meta["nsteps"])

    @functools.cache
    def run():
        """(values by key, w and the validation loss after the last step)."""
        w, m, alpha = f.w, f.tensors("momentum"), f.alpha
        adam_m = adam_v = [tf.zeros_like(a) for a in alpha]
        found = collections.defaultdict(list)
        for t in times:
            g_alpha = alpha_gradient(**f.bilevel_arguments(w, alpha, m), **options)
            alpha, adam_m, adam_v = _adam(f.meta, alpha, adam_m, adam_v, g_alpha, step=t + 1)
            loss, g, _ = _value_and_gradients(f.loss("train"), w, alpha)
            g, norm = optimizers.clip_by_global_norm(g, f.meta["grad_clip"])
            w, m = f.sgd(w, m, g)
            found["arch_grad"] += g_alpha
            found["alpha"] += alpha
            found["train_loss"].append(loss)
            found["train_grad_norm_before_clip"].append(norm)
        return found, w, f.loss("valid")(w, alpha)

    def rows(key, *suffixes):
        arrays = f.stored(*(f"{name}/{key}{suffix}" for suffix in suffixes))
        references = [a if a is None else a[t] for t in times for a in arrays]
        return f"{name}/{key}", references, lambda: run()[0][key], STEPS

    types = [f"_{cell_type}" for cell_type in TYPES]
    yield rows("arch_grad", *types)
    yield rows("alpha", *types)
    yield rows("train_loss", "")
    yield rows("train_grad_norm_before_clip", "")
    key = f"{name}/param_final"
    yield key, f.of_weights(key), lambda: run()[1], STEPS
    key = f"{name}/loss_valid_final_trainmode"
    yield key, f.stored(key), lambda: run()[2:], STEPS


def _virtual(f, g):
    return f.sgd(f.w, f.tensors("momentum"), g)[0]


def _adam(meta, alpha, m, v, g, *, step):
    return optimizers.adam(
        alpha,
        m,
        v,
        g,
        step=step,
        learning_rate=meta["arch_learning_rate"],
        beta_1=meta["arch_betas"][0],
        beta_2=meta["arch_betas"][1],
        weight_decay=meta["arch_weight_decay"],
        epsilon=meta["arch_adam_eps"],
    )


def _derived(f, *alpha):
    edge_weights = {t: tf.nn.softmax(a).numpy() for t, a in zip(TYPES, alpha, strict=True)}
    return str(rule.derive(f.net.space, edge_weights))


def _value_and_gradients(loss, w, alpha):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([w, alpha])
        value = loss(w, alpha)
    return value, *tape.gradient(value, (w, alpha), unconnected_gradients="zero")
