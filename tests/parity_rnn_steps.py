"""The part of `tests/parity.py` for the alpha steps of recurrent search networks, alone and in a search."""

import collections
import functools

import numpy as np
import tensorflow as tf

from rdarts_tf import bilevel, optimizers
from rdarts_tf.tasks.language_model import virtual, windows
from tests import parity_rnn as rnn

GRADIENT = 1e-11
# Gradients, each rounded to 1e-15, are subtracted and divided by 2 R, R about 0.01.
DIFFERENCE = 1e-9
# The same with R about 1e-7: 1e-15 / 1e-7, and as much again from the rounding of w + R v.
TINY_DIFFERENCE = 1e-6
# Differences of the first window grow through all of them.
STEPS = 1e-9

# {group: whether the tied embedding takes part in the virtual step}
SECOND_ORDER = {
    "second_order": False,
    "second_order_all_weights": True,
    "second_order_q_above_1": False,
    "masked/second_order": False,
    "smooth/second_order": False,
    "smooth/second_order_all_weights": True,
}


def second_order(f):
    """One alpha step, its parts, and the exact gradients."""
    for name, all_weights in SECOND_ORDER.items():
        yield from of_group(f, name, all_weights)
    for part in ("train", "valid"):
        key = f"smooth/loss_{part}"
        yield key, f.stored(key), functools.partial(_smooth_loss, f, part), rnn.FORWARD


def _smooth_loss(f, part):
    return [f.loss(part, net=f.smooth)(f.w, _alpha(f, "smooth"))]


def _alpha(f, name):
    smooth = name.startswith("smooth")
    return [tf.constant(f.arrays["smooth/alpha/recurrent"])] if smooth else f.alpha


def _losses(f, name):
    """(train, valid) losses of a group."""
    options = {"net": f.smooth} if name.startswith("smooth") else {}
    found = []
    for part in ("train", "valid"):
        given = rnn.masks(f.arrays, f"masked/mask_{part}") if name.startswith("masked") else None
        found.append(f.loss(part, masks=given, **options))
    return found


def _update(w, g, rates):
    """The authors' step of plain SGD with weight decay."""
    return virtual.sgd(w, {}, g, rates)[0]


def of_group(f, name, all_weights):
    """Yields the quantities of a group."""

    @functools.cache
    def parts():
        """Everything that the finite difference consists of."""
        a, alpha, (train, valid) = f.arrays, _alpha(f, name), _losses(f, name)
        eta, clip = (tf.constant(a[f"{name}/{key}"]) for key in ("eta", "clip"))
        _, g, _ = rnn.value_and_gradients(train, f.w, alpha)
        q = optimizers.clip_coefficient(g, clip)
        step = _weight_step(f, eta, clip, all_weights)
        w = step(f.w, g)
        loss, v, d = rnn.value_and_gradients(valid, w, alpha)
        clipped, norm = optimizers.clip_by_global_norm(v, clip)
        epsilon = f.meta["fd_r"] / tf.linalg.global_norm(clipped)
        sides = []
        for sign in (1, -1):
            moved = [x + sign * epsilon * y for x, y in zip(f.w, clipped, strict=True)]
            sides.append(rnn.value_and_gradients(train, moved, alpha)[2][0])
        return {
            "grad_train_norm": tf.linalg.global_norm(g),
            "clip_coef": q,
            "clip_coef_capped": tf.minimum(q, 1),
            "v_norm": norm,
            "v_clip_coef": optimizers.clip_coefficient(v, clip),
            "v_clipped_norm": tf.linalg.global_norm(clipped),
            "fd_R": epsilon,
            "loss_valid_unrolled": loss,
            "hidden_valid_out": _hidden(f, name, w, alpha),
            "dalpha_direct": d[0],
            "grad_alpha_plus": sides[0],
            "grad_alpha_minus": sides[1],
        }, {"unrolled": w, "v": v}

    @functools.cache
    def gradient(kind, radius=None):
        """The gradients of bilevel, as the task asks for them."""
        (train, valid), a = _losses(f, name), f.arrays
        eta, clip = (tf.constant(a[f"{name}/{key}"]) for key in ("eta", "clip"))
        rule = _original(f, clip) if kind == "fd" else virtual.ours(clip, kind == "diff")
        step = _weight_step(f, eta, clip, all_weights, constant=kind != "diff")
        common = {"weight_step": step, "w": f.w, "alpha": _alpha(f, name)}
        if kind != "fd":
            return bilevel.exact(train, valid, **common)[0]
        options = {"xi": lambda g: eta * rule.factor(g), "direction": rule.direction}
        return bilevel.finite_difference(train, valid, radius=radius, **common, **options)[0]

    def product(gradient):
        """What the finite difference took for the second derivative times v."""
        found, a = parts()[0], f.arrays
        return (found["dalpha_direct"] - gradient) / (a[f"{name}/eta"] * found["clip_coef"])

    def of_clipped():
        """d/dalpha of (v . dL_train/dw) with v clipped, by automatic differentiation."""
        v, (train, _) = parts()[1]["v"], _losses(f, name)
        v, _ = optimizers.clip_by_global_norm(v, tf.constant(f.arrays[f"{name}/clip"]))
        alpha = _alpha(f, name)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(alpha)
            g = bilevel.gradient(train, f.w, alpha, of=f.w)
            dot = tf.add_n([tf.reduce_sum(x * y) for x, y in zip(g, v, strict=True)])
        return tape.gradient(dot, alpha)[0]

    def of_formula():
        found, eta = parts()[0], f.arrays[f"{name}/eta"]
        return found["dalpha_direct"] - eta * found["clip_coef"] * of_clipped()

    def factor():
        found = parts()[0]
        return tf.maximum(1.0, found["clip_coef"]) * tf.minimum(1.0, found["v_clip_coef"])

    def row(key, value, tolerance=GRADIENT, suffix=""):
        path = f"{name}/{key}{suffix}"
        references = f.stored(path)
        return f"{name}/{key}", references, lambda: [value()], tolerance

    scalars = ("grad_train_norm", "clip_coef", "clip_coef_capped", "v_norm", "v_clip_coef")
    scalars += ("v_clipped_norm", "fd_R", "loss_valid_unrolled", "hidden_valid_out")
    for key in scalars:
        yield row(key, functools.partial(lambda key: parts()[0][key], key))
    for key in ("dalpha_direct", "grad_alpha_plus", "grad_alpha_minus"):
        yield row(key, functools.partial(lambda key: parts()[0][key], key))
    for key in ("unrolled", "v"):
        path = f"{name}/{key}"
        yield path, f.of_weights(path), functools.partial(lambda k: parts()[1][k], key), GRADIENT
    radius = f.meta["fd_r"]
    yield row("grad_fd", lambda: gradient("fd", radius), DIFFERENCE)
    yield row("hvp_fd", lambda: product(gradient("fd", radius)), DIFFERENCE)
    yield row("grad_fd_r1e-7", lambda: gradient("fd", 1e-7), TINY_DIFFERENCE)
    yield row("hvp_fd_r1e-7", lambda: product(gradient("fd", 1e-7)), TINY_DIFFERENCE)
    yield row("hvp_exact", of_clipped)
    yield row("grad_formula_exact_hvp", of_formula)
    yield row("grad_exact_clip_const", lambda: gradient("const"))
    yield row("grad_exact_clip_diff", lambda: gradient("diff"))
    yield row("implicit_factor_reference_over_exact", factor)


def _original(f, clip):
    return virtual.original(clip, f.w[0].shape.num_elements())


def _weight_step(f, eta, clip, all_weights, *, constant=True):
    """The virtual step (w, g) -> w' of a group."""
    rates = {"learning_rate": eta, "weight_decay": f.meta["weight_decay"]}

    def update(w, g):
        return _update(w, g, rates)

    rule = virtual.ours(clip, not constant)
    kept = _original(f, clip)
    return lambda w, g: rule.step(update, w, g) if all_weights else _mixed(rule, kept, update, w, g)


def _mixed(rule, kept, update, w, g):
    """Clipped as `rule` has it, the tied embedding left where it is as `kept` has it."""
    return [kept.step(update, w, g)[0], *rule.step(update, w, g)[1:]]


def _hidden(f, name, w, alpha):
    """The state that the virtual model carries to the next validation window."""
    x, _, hidden = f.window("valid")
    given = rnn.masks(f.arrays, "masked/mask_valid") if name.startswith("masked") else None
    net = f.smooth if name.startswith("smooth") else f.net
    return f.forward(w, alpha, x, hidden, net=net, masks=given)[0].hidden


# Whole searches.
TAGS = ("steps", "steps_all_weights", "steps_first_order")


def steps(f):
    """Windows of the authors' search loop, statistics of BatchNorm in all of its passes."""
    if "steps/train_stream" not in f.arrays:
        return
    for tag in TAGS:
        yield from _steps(f, tag)
    yield from _windows(f)


def _sequence(f):
    """[(train window, validation window)] by our rule."""
    train, valid = (f.arrays[f"steps/{part}_stream"] for part in ("train", "valid"))
    epochs = windows.Epochs(f.meta["numpy_seed"], len(train), f.meta["bptt"], windows.of_search)
    return list(zip(epochs[0], windows.beside(epochs[0], len(valid), f.meta["bptt"]), strict=True))


def _windows(f):
    pairs, meta = _sequence(f), f.meta
    rates = [meta["lr"] * train.nominal / meta["bptt"] for train, _ in pairs]
    for key, value in (
        ("window_pos", [train.start for train, _ in pairs]),
        ("window_len", [train.length for train, _ in pairs]),
        ("valid_pos", [valid.start for _, valid in pairs]),
        ("valid_len", [valid.length for _, valid in pairs]),
        ("lr", rates),
    ):
        path = f"steps/{key}"
        yield path, f.stored(path), functools.partial(lambda value: [np.array(value)], value), 1e-15


def _steps(f, tag):
    """Yields the quantities of a search."""
    a = f.arrays

    @functools.cache
    def run():
        search = _Search(f, tag)
        for pair in _sequence(f):
            search.window(*pair)
        w, alpha, statistics = search.w, search.alpha, search.statistics
        return search.found, w, f.evaluate(a["steps/valid_stream"], w, alpha, statistics)

    keys = ["alpha", "arch_grad", "train_loss", "slowness", "train_grad_norm_before_clip"]
    keys += ["hidden_train", "hidden_valid", "bn_moving_mean", "bn_moving_var"]
    keys += [] if tag == "steps_first_order" else ["clip_coef", "v_clip_coef"]
    for key in keys:
        path = f"{tag}/{key}"
        value = functools.partial(lambda key: [np.stack(run()[0][key])], key)
        yield path, f.stored(path), value, STEPS
    path = f"{tag}/param_final"
    yield path, f.of_weights(path), lambda: run()[1], STEPS
    path = f"{tag}/evaluate_loss_final"
    yield path, f.stored(path), lambda: [run()[2]], STEPS


class _Search:
    """The authors' loop over windows: an alpha step, then a weight step on the same training window."""

    def __init__(self, f, tag):
        self.f, self.tag, self.w, self.alpha = f, tag, f.w, f.alpha
        self.m = self.v = [tf.zeros_like(f.alpha[0])]
        self.statistics, self.found, self.t = None, collections.defaultdict(list), 0
        streams = [f.arrays[f"steps/{part}_stream"] for part in ("train", "valid")]
        self.train, self.valid = streams
        self.hidden = {
            name: tf.zeros([stream.shape[1], f.meta["n"]], tf.float64)
            for name, stream in zip(("train", "valid"), streams, strict=True)
        }

    def window(self, train, valid):
        meta, found = self.f.meta, self.found
        rate = tf.constant(meta["lr"] * train.nominal / meta["bptt"], tf.float64)
        g = self._alpha_gradient(
            rate, rnn.rows_of(self.train, train), rnn.rows_of(self.valid, valid)
        )
        self.t += 1
        self.alpha, self.m, self.v = optimizers.adam(
            self.alpha,
            self.m,
            self.v,
            g,
            step=self.t,
            learning_rate=meta["arch_lr"],
            beta_1=meta["arch_betas"][0],
            beta_2=meta["arch_betas"][1],
            weight_decay=meta["arch_wd"],
            epsilon=meta["arch_adam_eps"],
        )
        self._weight_step(rate, *rnn.rows_of(self.train, train))
        found["arch_grad"].append(g[0])
        found["alpha"].append(self.alpha[0])
        for name, value in self.hidden.items():
            found[f"hidden_{name}"].append(value)
        for name, value in zip(("mean", "var"), self.statistics, strict=True):
            found[f"bn_moving_{name}"].append(value)

    def _pass(self, name, x, w, alpha):
        """Outputs; a pass of the model itself moves its statistics, that of validation at w' is a copy's."""
        outputs, moved = self.f.forward(w, alpha, x, self.hidden[name], statistics=self.statistics)
        if name == "train" or self.tag == "steps_first_order":
            self.statistics = moved
        return outputs

    def _alpha_gradient(self, rate, train, valid):
        meta, passes = self.f.meta, []
        clip = tf.constant(meta["clip"], tf.float64)

        def loss(name, x, y):
            def at(w, alpha):
                passes.append((name, self._pass(name, x, w, alpha)))
                return rnn.nll(passes[-1][1], y)

            return at

        losses, common = (loss("train", *train), loss("valid", *valid)), {"w": self.w}
        common["alpha"] = self.alpha
        if self.tag == "steps_first_order":
            g = bilevel.first_order(*losses, **common)
        else:
            rule, found = _original(self.f, clip), self.found
            xi = _seen(found["clip_coef"], rule.factor)
            norm = _seen(found["v_clip_coef"], lambda v: optimizers.clip_coefficient(v, clip))
            g = bilevel.finite_difference(
                *losses,
                **common,
                weight_step=_weight_step(self.f, rate, clip, self.tag == "steps_all_weights"),
                xi=lambda g: rate * xi(g),
                radius=meta["fd_r"],
                direction=lambda v: norm(v) is not None and rule.direction(v),
            )
        self.hidden["valid"] = next(o.hidden for name, o in passes if name == "valid")
        return g

    def _weight_step(self, rate, x, y):
        meta, kept = self.f.meta, []

        def loss(w, alpha):
            outputs = self._pass("train", x, w, alpha)
            kept.append(outputs)
            return rnn.nll(outputs, y) + meta["beta"] * rnn.slowness(outputs)

        _, g, _ = rnn.value_and_gradients(loss, self.w, self.alpha)
        g, norm = optimizers.clip_by_global_norm(g, meta["clip"])
        rates = {"learning_rate": rate, "weight_decay": meta["weight_decay"]}
        self.w, self.hidden["train"] = _update(self.w, g, rates), kept[0].hidden
        self.found["train_loss"].append(rnn.nll(kept[0], y))
        self.found["slowness"].append(rnn.slowness(kept[0]))
        self.found["train_grad_norm_before_clip"].append(norm)


def _seen(into, function):
    """`function`, its values appended to a list."""

    def seen(argument):
        into.append(function(argument))
        return into[-1]

    return seen


GROUPS = (second_order, steps)
