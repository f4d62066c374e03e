"""The correlation of tensorflow-addons, rows of zero vertical displacement, beside ours."""

import json

import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.disparity.correlation import correlation
from tests import parity_tools as tools

_STEP = 1e-4


def fits(path):
    """Whether a file holds correlations."""
    with np.load(path, allow_pickle=False) as file:
        return any(name.endswith("/output_1d") for name in file.files)


class Fixture:
    """The cases of a file, {name: {"left": array, ..., "config": dict}}."""

    def __init__(self, path):
        self.cases = {}
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                case, _, name = key.partition("/")
                value = json.loads(str(file[key])) if name == "config" else file[key]
                self.cases.setdefault(case, tools.Arrays())[name] = value


def ours(left, right, config):
    """`correlation` where theirs has its outputs: both images padded by `pad`, m pixels of margin lost.

    Raises:
        ValueError: kernel or strides are not 1.
    """
    if [config[name] for name in ("kernel_size", "stride_1", "stride_2")] != [1, 1, 1]:
        raise ValueError(f"its configuration is {config}; only kernel and strides of 1 are ours")
    m, more = config["max_displacement"], config["pad"] - config["max_displacement"]
    wide, lost = max(more, 0), max(-more, 0)
    left, right = (tf.pad(x, ((0, 0), (wide, wide), (wide, wide), (0, 0))) for x in (left, right))
    found = correlation(left, right, m)
    return found[:, lost : found.shape[1] - lost, lost : found.shape[2] - lost]


def _gradients(case, left, right, upstream):
    with tf.GradientTape() as tape:
        tape.watch((left, right))
        found = tf.reduce_sum(ours(left, right, case["config"]) * upstream)
    return tape.gradient(found, (left, right))


def values(fixture):
    """Values and gradients in float32."""
    for name, case in fixture.cases.items():
        left, right, upstream = (tf.constant(case[k]) for k in ("left", "right", "upstream_1d"))
        output = case.get("output_1d")
        yield f"{name}/correlation", [output], lambda: [ours(left, right, case["config"])], 1e-6  # noqa: B023
        references = [case.get("grad_left"), case.get("grad_right")]
        yield f"{name}/gradients", references, lambda: _gradients(case, left, right, upstream), 1e-6  # noqa: B023


def second_derivatives(fixture):
    """Of sum(upstream tanh(correlation)) in float64, in a graph, beside differences of its gradient."""
    for name, case in fixture.cases.items():
        x = [tf.constant(case[k], tf.float64) for k in ("left", "right")]
        rng = np.random.default_rng(0)
        v = [tf.constant(rng.normal(size=part.shape)) for part in x]

        def gradient(left, right, case=case):
            with tf.GradientTape() as tape:
                tape.watch((left, right))
                y = tf.tanh(ours(left, right, case["config"]))
                total = tf.reduce_sum(tf.cast(case["upstream_1d"], tf.float64) * y)
            return tape.gradient(total, (left, right))

        @tf.function(autograph=False)
        def product(left, right, gradient=gradient, v=v):
            with tf.GradientTape() as tape:
                tape.watch((left, right))
                slope = tf.add_n(
                    [tf.reduce_sum(a * b) for a, b in zip(gradient(left, right), v, strict=True)]
                )
            return tape.gradient(slope, (left, right))

        plus, minus = (
            gradient(*(part + sign * _STEP * d for part, d in zip(x, v, strict=True)))
            for sign in (1, -1)
        )
        differences = [((a - b) / (2 * _STEP)).numpy() for a, b in zip(plus, minus, strict=True)]
        yield f"{name}/second derivatives", differences, lambda x=x, f=product: f(*x), 1e-6


GROUPS = (values, second_derivatives)
