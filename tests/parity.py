"""Compares this package with numbers of the authors' implementation, in float64.

    python tests/parity.py FILE...

prints a line per quantity and exits with 1 if one is out of tolerance, with 2 if a file is
unusable.

A file holds weights and batches of a search network or of a derived one (`parity_derived.py`), and
what the authors' PyTorch code computed from them, NCHW and OIHW. Errors are relative to the largest
entry of the reference tensor; a quantity of many tensors reports the worst one. Everything runs
eagerly: tracing costs more than the few calls of each function.

Not compared: `steps_torch2_adam/*`, another Adam; `steps*/bn_final`, which counts the
passes of the authors' alpha step, ours leaves the statistics of BatchNorm alone.
"""

import itertools
import pathlib
import sys
import zipfile

import numpy as np
import tensorflow as tf

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from rdarts_tf import bilevel, hessian, optimizers
from rdarts_tf.genotypes import genotype
from tests import parity_derived
from tests import parity_tools as tools
from tests.parity_supernet import TYPES, Fixture, moving_averages

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


def check(path):
    """Compares all that `path` holds.

    Returns:
        list of (quantity, worst relative error, tolerance).
    """
    with np.load(path, allow_pickle=False) as file:
        derived = "eval/logits" in file
    fixture = parity_derived.Fixture(path) if derived else Fixture(path)
    groups = parity_derived.GROUPS if derived else GROUPS
    return list(itertools.chain.from_iterable(group(fixture) for group in groups))


def forward(f):
    """Logits, losses, activations and the statistics of BatchNorm."""
    a = f.arrays
    layers = {"stem": f.net.stem_bn} | {f"cell{c}": x for c, x in enumerate(f.net.cells)}
    with tools.recorded(layers) as outputs:
        (images, labels), valid = f.batch("train"), f.batch("valid")
        logits, moved = f.forward(f.w, f.alpha, images)
        activations = [(f"activation_train/{n}", tools.nchw(y)) for n, y in outputs.items()]
    yield "logits_train", tools.error(logits, a["logits_train"]), FORWARD
    yield "loss_train", tools.error(tools.mean_loss(logits, labels), a["loss_train"]), FORWARD
    yield "activation_train", tools.worst((y, a[key]) for key, y in activations), FORWARD
    logits, _ = f.forward(f.w, f.alpha, valid[0])
    yield "logits_valid", tools.error(logits, a["logits_valid"]), FORWARD
    yield "loss_valid", tools.error(tools.mean_loss(logits, valid[1]), a["loss_valid"]), FORWARD
    prefix = "bn_after_one_train_forward/"
    by_path = moving_averages(f.net, moved)
    pairs = ((by_path[k.removeprefix(prefix)], a[k]) for k in a if k.startswith(prefix))
    yield "bn_after_one_train_forward", tools.worst(pairs), FORWARD
    logits, _ = f.forward(f.w, f.alpha, valid[0], statistics=moved, training=False)
    yield "logits_valid_evalmode", tools.error(logits, a["logits_valid_evalmode"]), FORWARD
    loss = tools.mean_loss(logits, valid[1])
    yield "loss_valid_evalmode", tools.error(loss, a["loss_valid_evalmode"]), FORWARD


def gradients(f):
    """First derivatives at w, alpha and the virtual weights."""
    for name in ("train", "valid"):
        _, g, g_alpha = _value_and_gradients(f.loss(name), f.w, f.alpha)
        yield f"grad_{name}", tools.worst_of(g, f.tensors(f"grad_{name}")), GRADIENT
        error = tools.worst_of(g_alpha, f.of_types(f"grad_{name}_alpha"))
        yield f"grad_{name}_alpha", error, GRADIENT
        if name == "train":
            _, norm = optimizers.clip_by_global_norm(g, f.meta["grad_clip"])
            yield "grad_train_norm", tools.error(norm, f.arrays["grad_train_norm"]), GRADIENT
            virtual, _ = f.sgd(f.w, f.tensors("momentum"), g)
            yield "unrolled", tools.worst_of(virtual, f.tensors("unrolled")), GRADIENT


def second_order(f):
    """Gradients through the virtual step, and their parts."""
    a, eta, radius = f.arrays, f.meta["eta"], f.meta["fd_r"]
    loss, v, direct = _value_and_gradients(f.loss("valid"), f.tensors("unrolled"), f.alpha)
    norm = tf.linalg.global_norm(v)

    def product(gradient):  # of the second derivative of L_train with v
        return [(d - g) / eta for d, g in zip(direct, gradient, strict=True)]

    def error(tensors, name):
        return tools.worst_of(tensors, f.of_types(f"second_order/{name}"))

    arguments = f.bilevel_arguments(f.w, f.alpha, f.tensors("momentum"))
    exact = bilevel.exact(**arguments)
    coarse = bilevel.finite_difference(**arguments, xi=eta, radius=radius)
    fine = bilevel.finite_difference(**arguments, xi=eta, radius=1e-7)
    stored = a["second_order/loss_valid_unrolled"]
    yield "loss_valid_unrolled", tools.error(loss, stored), GRADIENT
    yield "dalpha_direct", error(direct, "dalpha_direct"), GRADIENT
    yield "fd_vector_norm", tools.error(norm, a["second_order/fd_vector_norm"]), GRADIENT
    yield "fd_R", tools.error(radius / norm, a["second_order/fd_R"]), GRADIENT
    yield "grad_exact", error(exact, "grad_exact"), GRADIENT
    yield "hvp_exact", error(product(exact), "hvp_exact"), GRADIENT
    yield "grad_fd", error(coarse, "grad_fd"), DIFFERENCE
    yield "hvp_fd", error(product(coarse), "hvp_fd"), DIFFERENCE
    yield "hvp_fd_r1e-7", error(product(fine), "hvp_fd_r1e-7"), TINY_DIFFERENCE


def genotypes(f):
    """The number of architectures derived differently; none may be."""
    a = f.arrays
    softmax = [tf.nn.softmax(x) for x in f.alpha]
    yield "alpha_softmax", tools.worst_of(softmax, f.of_types("alpha_softmax")), FORWARD
    yield "genotype", float(_derived(f, *f.alpha) != str(a["genotype"])), 0.0
    draws = [a[f"genotype_draws/{key}"] for key in ("alpha_normal", "alpha_reduce", "genotype")]
    wrong = sum(_derived(f, n, r) != str(text) for n, r, text in zip(*draws, strict=True))
    yield "genotype_draws", float(wrong), 0.0


def steps(f):
    """Whole search steps with the authors' finite difference."""
    options = {"xi": f.meta["eta"], "radius": f.meta["fd_r"]}
    return _search(f, "steps", bilevel.finite_difference, options)


def steps_first_order(f):
    return _search(f, "steps_first_order", bilevel.first_order, {})


def curvature(f):
    """The Hessian of the validation loss at w, in the order of the authors' concatenation."""
    a, loss = f.arrays, f.loss("valid")
    matvec = hessian.hessian_operator(lambda alpha: loss(f.w, alpha), f.alpha)
    H = hessian.full_hessian(
        matvec, sum(a.shape[0] * a.shape[1] for a in f.alpha), dtype=tf.float64
    )
    shifted = H + hessian.AUTHORS_SHIFT * tf.eye(len(H), dtype=H.dtype)
    yield "hessian/H_no_wd", tools.error(H, a["hessian/H_no_wd"]), CURVATURE
    yield "hessian/H_reference", tools.error(shifted, a["hessian/H_reference"]), CURVATURE
    values = hessian.spectrum(shifted)
    yield "hessian/eigvals_sorted", tools.error(values, a["hessian/eigvals_sorted"]), CURVATURE
    largest = a["hessian/lambda_max_reference"]
    yield "hessian/lambda_max", tools.error(values[-1], largest), CURVATURE
    v0 = tf.constant(np.random.default_rng(0).normal(size=len(H)))
    pair = hessian.lanczos(lambda v: tf.linalg.matvec(shifted, v), v0, num_products=30)
    yield "hessian/lambda_max_lanczos", tools.error(pair.value, largest), LANCZOS
    lengths = np.concatenate([[a.shape[1]] * a.shape[0] for a in f.alpha])  # of the edges' rows
    edge_sums = np.add.reduceat(np.asarray(H), np.cumsum(lengths) - lengths, axis=1)
    yield "hessian/H_1_edge", float(np.abs(edge_sums).max() / np.abs(H).max()), CURVATURE


GROUPS = (forward, gradients, second_order, genotypes, steps, steps_first_order, curvature)


def _search(f, name, alpha_gradient, options):
    """Adam on alpha, then clipped SGD on w, always on the same two batches."""
    w, m, alpha, stored = f.w, f.tensors("momentum"), f.alpha, f.arrays
    adam_m = adam_v = [tf.zeros_like(a) for a in alpha]
    pairs = {key: [] for key in ("arch_grad", "alpha", "train_loss", "train_grad_norm_before_clip")}
    for t in range(f.meta["nsteps"]):
        g_alpha = alpha_gradient(**f.bilevel_arguments(w, alpha, m), **options)
        alpha, adam_m, adam_v = _adam(f.meta, alpha, adam_m, adam_v, g_alpha, step=t + 1)
        loss, g, _ = _value_and_gradients(f.loss("train"), w, alpha)
        g, norm = optimizers.clip_by_global_norm(g, f.meta["grad_clip"])
        w, m = f.sgd(w, m, g)
        for key, tensors in (("arch_grad", g_alpha), ("alpha", alpha)):
            references = [stored[f"{name}/{key}_{cell_type}"][t] for cell_type in TYPES]
            pairs[key] += zip(tensors, references, strict=True)
        for key, value in (("train_loss", loss), ("train_grad_norm_before_clip", norm)):
            pairs[key] += [(value, stored[f"{name}/{key}"][t])]
    for key, values in pairs.items():
        yield f"{name}/{key}", tools.worst(values), STEPS
    yield f"{name}/param_final", tools.worst_of(w, f.tensors(f"{name}/param_final")), STEPS
    key = f"{name}/loss_valid_final_trainmode"
    yield key, tools.error(f.loss("valid")(w, alpha), stored[key]), STEPS


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
    return str(genotype.derive(f.net.space, edge_weights))


def _value_and_gradients(loss, w, alpha):
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([w, alpha])
        value = loss(w, alpha)
    return value, *tape.gradient(value, (w, alpha), unconnected_gradients="zero")


def main(paths):
    if not paths:
        print("usage: python tests/parity.py FILE...", file=sys.stderr)
        return 2
    failed = False
    for path in paths:
        try:
            rows = check(path)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            print(f"error: {path} is no usable parity file: {error}", file=sys.stderr)
            return 2
        print(path)
        for quantity, error, tolerance in rows:
            bad = not error <= tolerance  # NaN is bad, too
            failed |= bad
            print(f"  {quantity:46s} {error:8.1e} <= {tolerance:5.0e}  {'FAIL' if bad else 'ok'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
