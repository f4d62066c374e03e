"""The part of `tests/parity.py` for files of recurrent evaluation networks, averaged SGD and batches."""

import collections
import functools

import numpy as np
import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.tasks.language_model import averaging, corpus, streams, trigger, windows
from rdarts_tf.tasks.language_model.derived_network import DerivedNetwork
from tests import parity_rnn as rnn
from tests import parity_tools as tools

EXACT, FORWARD, GRADIENT, STEPS = 1e-14, 1e-11, 1e-11, 1e-10


class Fixture(rnn.Fixture):
    """A file of an evaluation network; see `parity_rnn.Fixture`."""

    def __init__(self, path):
        self.arrays, self.meta = tools.read(path)
        self.paths = self.meta["parameter_order"]
        self.net = DerivedNetwork(
            self.meta["genotype"], self.meta["ntoken"], hidden=self.meta["n"], dtype="float64"
        )
        self.net.build()
        self.w = self.tensors("param")
        shapes = [tuple(v.shape) for v in self.net.trainable_variables]
        if [tuple(w.shape) for w in self.w] != shapes:
            raise ValueError(f"weights of shapes {shapes} are ours")

    def forward(self, w, alpha, x, hidden, *, masks=None, **_):
        """(Outputs, []) of tokens [T, B]; alpha is not used."""
        outputs, _ = self.net.stateless_call(w, [], tf.constant(x.T), hidden, masks=masks)
        return outputs, []

    def window(self, name):
        a = self.arrays
        return a["data/x"], a["data/y"], tf.constant(a["hidden/in"])


def passes(f):
    """Outputs and gradients, without masks and with those that are given."""

    @functools.cache
    def run(kind):
        x, y, hidden = f.window("train")
        given = rnn.masks(f.arrays, "masked/mask") if kind == "masked" else None
        found, _ = f.forward(f.w, None, x, hidden, masks=given)
        loss, slow = rnn.nll(found, y), rnn.slowness(found)
        return {
            "logits": found.logits,
            "log_prob": tf.nn.log_softmax(found.logits),
            "raw_output": found.raw,
            "dropped_output": found.dropped,
            "hidden_out": found.hidden,
            "loss": loss,
            "slowness": slow,
            "loss_total": loss + f.meta["beta"] * slow,
        }

    @functools.cache
    def gradient(kind, total):
        given = rnn.masks(f.arrays, "masked/mask") if kind == "masked" else None
        return rnn.value_and_gradients(f.loss("train", total=total, masks=given), f.w, [])[1]

    names = ("logits", "log_prob", "raw_output", "dropped_output", "hidden_out", "loss")
    for kind in ("eval", "masked"):
        for name in (*names, "slowness", "loss_total"):
            if (kind, name) == ("eval", "dropped_output"):
                continue
            key = f"{kind}/{name}"
            value = functools.partial(lambda kind, name: [run(kind)[name]], kind, name)
            yield key, f.stored(key), value, FORWARD
        for name, total in (("grad", False), ("grad_total", True)):
            if (kind, name) == ("masked", "grad"):
                continue
            key = f"{kind}/{name}"
            yield key, f.of_weights(key), functools.partial(gradient, kind, total), GRADIENT
    norm = f.stored("eval/grad_norm")
    yield "eval/grad_norm", norm, lambda: [tf.linalg.global_norm(gradient("eval", False))], GRADIENT
    states = f.stored("eval/states_t0")
    yield "eval/states_t0", states, lambda: [_states(f)], FORWARD
    stream = f.arrays.get("evaluate/stream")
    corpus_loss = f.stored("evaluate/loss")
    yield "evaluate/loss", corpus_loss, lambda: [f.evaluate(stream, f.w, None, None)], FORWARD
    count = float(abs(f.net.num_parameters() - f.meta["num_params"]))
    yield "parameters", [0.0], lambda: [count], 0.0


def _states(f):
    """s_0, s_1, ... of the first turn, from the products of the cell alone."""
    n, (x, _, h) = f.meta["n"], f.window("train")
    table, first, *matrices = f.w[:-1]

    def gated(s, both, name):
        act = {"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0), "identity": lambda v: v}
        act["sigmoid"] = lambda v: 1 / (1 + np.exp(-v))
        return s + act["sigmoid"](both[:, :n]) * (act[name](both[:, n:]) - s)

    states = [gated(h.numpy(), (tf.concat([tf.gather(table, x[0]), h], 1) @ first).numpy(), "tanh")]
    for (name, state), matrix in zip(f.net.genotype.cells["recurrent"], matrices, strict=True):
        states.append(gated(states[state], states[state] @ matrix.numpy(), name))
    return np.stack(states)


def steps(f):
    """An epoch of SGD, then one of averaged SGD, on windows of random length."""
    if "steps/train_stream" not in f.arrays:
        return
    meta, stream = f.meta, f.arrays["steps/train_stream"]

    def draw(rng, bptt):
        return windows.of_evaluation(rng, bptt, more=meta["max_seq_len_delta"])

    epochs = windows.Epochs(meta["numpy_seed"], len(stream), meta["bptt"], draw)

    @functools.cache
    def run():
        """{"sgd" | "asgd": ({quantity: list}, w, averages)}."""
        found, w, zero = {}, f.w, tf.zeros([], tf.float32)
        for epoch, kind in enumerate(("sgd", "asgd")):
            seen, hidden = (
                collections.defaultdict(list),
                tf.zeros([stream.shape[1], meta["n"]], tf.float64),
            )
            slots = {
                "average": [tf.zeros_like(x) for x in w],
                "averaged_steps": [zero],
                "eta": [zero],
            }
            for window in epochs[epoch]:
                x, y = rnn.rows_of(stream, window)
                rate = meta["lr"] * window.nominal / meta["bptt"]
                kept = []

                def loss(w, alpha, x=x, y=y, hidden=hidden, kept=kept):
                    kept.append(f.forward(w, alpha, x, hidden)[0])
                    return rnn.nll(kept[0], y) + meta["beta"] * rnn.slowness(kept[0])

                _, g, _ = rnn.value_and_gradients(loss, w, [])
                g, norm = optimizers.clip_by_global_norm(g, meta["clip"])
                rates = {"learning_rate": tf.constant(rate, tf.float64), "averaging": float(epoch)}
                rates["weight_decay"] = meta["weight_decay"]
                slots["eta"] = [tf.cast(slots["eta"][0], tf.float64)]
                w, slots = averaging.update(w, slots, g, rates)
                hidden = kept[0].hidden
                seen["train_loss"].append(rnn.nll(kept[0], y))
                seen["slowness"].append(rnn.slowness(kept[0]))
                seen["grad_norm_before_clip"].append(norm)
                seen["hidden"].append(hidden)
                seen["eta"].append(slots["eta"][0])
                seen["mu"].append(1 / max(1.0, float(slots["averaged_steps"][0])))
            found[kind] = seen, w, slots["average"]
        return found

    for epoch, kind in enumerate(("sgd", "asgd")):
        for key, values in (
            ("window_pos", [w.start for w in epochs[epoch]]),
            ("window_len_nominal", [w.nominal for w in epochs[epoch]]),
            ("window_len", [w.length for w in epochs[epoch]]),
            ("lr", [meta["lr"] * w.nominal / meta["bptt"] for w in epochs[epoch]]),
        ):
            path = f"steps/{kind}/{key}"
            yield path, f.stored(path), functools.partial(lambda v: [np.array(v)], values), EXACT
        keys = ["train_loss", "slowness", "grad_norm_before_clip", "hidden"]
        for key in keys + (["eta", "mu"] if kind == "asgd" else []):
            path = f"steps/{kind}/{key}"
            value = functools.partial(lambda k, q: [np.stack(run()[k][0][q])], kind, key)
            yield path, f.stored(path), value, STEPS
        path = f"steps/{kind}/param_final"
        yield path, f.of_weights(path), functools.partial(lambda k: run()[k][1], kind), STEPS
    path = "steps/asgd/ax_final"
    yield path, f.of_weights(path), lambda: run()["asgd"][2], STEPS
    stream_of = f.arrays.get("evaluate/stream")
    for key, kind, index in (
        ("sgd", "sgd", 1),
        ("asgd_current", "asgd", 1),
        ("asgd_averaged", "asgd", 2),
    ):
        path = f"steps/evaluate_loss_after_{key}"
        value = functools.partial(
            lambda k, i: [f.evaluate(stream_of, run()[k][i], None, None)], kind, index
        )
        yield path, f.stored(path), value, STEPS


class Plain:
    """A file without a network."""

    def __init__(self, path):
        self.arrays, self.meta = tools.read(path)


def averages(f):
    """Averaged SGD on given gradients."""
    names = sorted(key.partition("/")[2] for key in f.arrays if key.startswith("param0/"))
    for case in f.meta["cases"]:

        @functools.cache
        def run(case=case):
            a, found = f.arrays, collections.defaultdict(list)
            w = [tf.constant(a[f"param0/{name}"]) for name in names]
            slots = {"average": [tf.zeros_like(x) for x in w], "averaged_steps": [tf.constant(0.0)]}
            slots["eta"] = [tf.constant(0.0, tf.float64)]
            for t, rate in enumerate(a[f"{case}/lr"]):
                g = [tf.constant(a[f"grads/{name}"][t]) for name in names]
                rates = {"learning_rate": tf.constant(rate), "averaging": 1.0}
                rates["weight_decay"] = a[f"{case}/weight_decay"]
                found["eta_used"].append(slots["eta"][0] if t else rate)
                w, slots = averaging.update(w, slots, g, rates)
                for kind, values in (("param", w), ("ax", slots["average"])):
                    for name, value in zip(names, values, strict=True):
                        found[f"{kind}/{name}"].append(value)
                found["eta"].append(slots["eta"][0])
                found["mu"].append(1 / max(1.0, float(slots["averaged_steps"][0])))
            return found

        keys = [f"{kind}/{name}" for kind in ("param", "ax") for name in names]
        for key in (*keys, "eta", "mu", "eta_used"):
            path = f"{case}/{key}"
            value = functools.partial(lambda run, key: [np.stack(run()[key])], run, key)
            yield path, [f.arrays.get(path)], value, EXACT


def switches(f):
    """Epochs of the switch and of the checkpoints, in all examples; no difference may be."""
    cases = sorted(key.split("/")[1] for key in f.arrays if key.endswith("/switch_epoch"))
    wrong = collections.Counter()
    for case in cases:
        a = {k: f.arrays[f"switch/{case}/{k}"] for k in ("history", "switch_epoch")}
        history = a["history"].tolist()
        switch = trigger.switch_epoch(history)
        wrong["switch_epoch"] += (0 if switch is None else switch + 1) != a["switch_epoch"]
        best = [e for e, loss in enumerate(history) if loss < min(history[:e], default=np.inf)]
        epochs = f.arrays[f"switch/{case}/checkpoint_epochs"].tolist()
        wrong["checkpoint_epochs"] += [e + 1 for e in best] != epochs
        averaged = [switch is not None and e > switch for e in best]
        told = f.arrays[f"switch/{case}/checkpoint_is_averaged"].tolist()
        wrong["checkpoint_is_averaged"] += averaged != told
    for key in ("switch_epoch", "checkpoint_epochs", "checkpoint_is_averaged"):
        yield f"switch/{key}", [0.0] if cases else [None], lambda key=key: [float(wrong[key])], 0.0


def batches(f):
    """Numbers of words, columns, windows and their tokens."""
    a = f.arrays
    texts = {part: corpus.words(str(a[f"text/{part}"])) for part in corpus.PARTS}
    made = _corpus(texts)
    for part in corpus.PARTS:
        yield f"ids/{part}", [a.get(f"ids/{part}")], lambda part=part: [made[0][part]], 0.0
    same = float(list(a["vocabulary"]) != made[1])
    yield "vocabulary", [0.0], lambda: [same], 0.0
    counts = np.bincount(np.concatenate(list(made[0].values())))
    yield "vocabulary_count", [a.get("vocabulary_count")], lambda: [counts], 0.0
    for key in sorted(key for key in a if key.startswith("batchify/")):
        source, _, batch = key.removeprefix("batchify/").rpartition("_b")
        ids = (
            made[0]["train"] if source == "train" else np.arange(int(source.removeprefix("arange")))
        )
        yield (
            key,
            [a[key]],
            functools.partial(lambda i, b: [windows.columns(i, b)], ids, int(batch)),
            0.0,
        )
    for key in sorted(key for key in a if key.startswith("get_batch/") and key.endswith("_x")):
        yield _got(f, key.removesuffix("_x"))
    for kind in ("search", "eval"):
        yield from _sequences(f, kind)


def _corpus(texts):
    """({part: numbers}, vocabulary)."""
    made = corpus.make("file", texts)
    return {part: getattr(made, part) for part in corpus.PARTS}, list(made.vocabulary)


def _got(f, key):
    """The window of a key such as get_batch/b2_len5_pos00."""
    _, length, position = key.removeprefix("get_batch/").split("_")
    length = int(length.removeprefix("bptt").removeprefix("len"))
    text = f.arrays["batchify/" + "train_" + key.removeprefix("get_batch/").split("_")[0]]
    start = int(position.removeprefix("pos"))
    window = windows.Window(start, min(length, len(text) - 1 - start), length)

    def values():
        ((x, y, _),) = streams.epoch(text, [window], length)
        return [tf.transpose(x), tf.transpose(y)]

    return key, [f.arrays[f"{key}_x"], f.arrays[f"{key}_y"]], values, 0.0


def _sequences(f, kind):
    """The windows of the first two epochs at the original's sizes."""
    meta = f.meta
    rows, draw = {
        "search": (meta["rows"].get("search_train_b256"), windows.of_search),
        "eval": (meta["rows"].get("eval_train_b64"), windows.of_evaluation),
    }[kind]
    epochs = windows.Epochs(meta[f"seed_{kind}"], rows, meta["bptt"], draw)
    for epoch in (0, 1):
        sequence = epochs[epoch]
        found = {
            "pos": [w.start for w in sequence],
            "len_nominal": [w.nominal for w in sequence],
            "len": [w.length for w in sequence],
        }
        if kind == "search":
            beside = windows.beside(sequence, meta["rows"]["search_valid_b256"], meta["bptt"])
            found["valid_pos"] = [w.start for w in beside]
            found["valid_len"] = [w.length for w in beside]
        for key, values in found.items():
            path = f"windows/{kind}_epoch{epoch + 1}/{key}"
            yield (
                path,
                [f.arrays.get(path)],
                functools.partial(lambda v: [np.array(v)], values),
                0.0,
            )


GROUPS = (passes, steps)
PLAIN = {"cases": (averages, switches), "corpus_tokens": (batches,)}
