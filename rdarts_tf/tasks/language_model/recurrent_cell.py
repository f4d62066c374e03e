r"""Recurrent cells of DARTS as steps of a `scan.Step` (Liu et al. 2019, sec. 3.1.2; the authors' code).

    [c, g] = (x m_x) W_x + (h m_h) W_h,      s_0 = h + sigma(c) (tanh(g) - h)
    [c, g] = (s_p m_h) W_i,                  s_i = s_p + sigma(c) (f(g) - s_p)

and h' is the mean of s_1, s_2, ... In a search s_i is the sum over all earlier states p and all
activations f, weighted by the edge weights, and one BatchNorm without scale and shift normalises s_0
and every s_i.

Letters: x input, h hidden state [B, n], m masks, s states, c gate and g candidate [B, n], p edge
weights [E, K]. The products with W_x do not depend on h and come in for all times at once.
"""

import functools

import tensorflow as tf

from rdarts_tf.layers import sums
from rdarts_tf.tasks.language_model.scan import Step, remembered
from rdarts_tf.tasks.language_model.shared import Shared

EPSILON = 1e-5
MOMENTUM = 0.9
ACTIVATIONS = {
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
    "identity": tf.identity,
}


@functools.cache
def search_step(cell, hidden, *, masked, sampled, training, jit=False):
    """The Step of a cell of which every edge carries all its primitives.

    It reads x W_x [T, B, 2n]; its constants are W_h [n, 2n], W_1, ... [n, 2n], p for each unit [E, K, n],
    then m_h if `masked`, and in inference mean and variance [n]. It writes h'; its memo are the products
    and, in training, mean and variance [N + 1, n] of the batch at each state.

    Args:
        cell: spaces.base.CellSpace.
        hidden: n.
        sampled: p is 0 but for one entry of the edges into each node; only that is computed.
        jit: XLA compiles the sums over predecessors and their gradients.
    """
    names, num = cell.primitives[0], cell.num_nodes
    starts = [i * (i + 1) // 2 for i in range(num + 1)]  # edges into node i: i + 1
    mix = _one(names) if sampled else _all(names, jit)

    def call(c, x, k, memo):
        (h,), written, found = c, [], []
        k, statistics = (k, []) if training else (k[:-2], k[-2:])
        mask = k[num + 2] if masked else None
        product = _products(k[: num + 1], iter(memo or ()), written)

        def normalised(s):
            found.append(_NORMAL(s) if training else _inference(s, *statistics))
            return found[-1][0]

        states = [normalised(_FIRST(h, x[0] + product(0, _times(h, mask)))[0])]
        entering = [_times(states[0], mask)]
        for i in range(num):
            p = k[num + 1][starts[i] : starts[i + 1]]
            a = _picked(p, entering) if sampled else tf.concat(entering, axis=0)
            s = mix(tf.stack(states), product(i + 1, a), p)[0]
            states.append(normalised(s))
            entering.append(_times(states[-1], mask))
        h = sums.add_n(states[1:]) / num
        batch = [tf.stack(part) for part in zip(*(f[1:] for f in found), strict=True)]
        return [h], [h], [], written + (batch if training else [])

    statistics = (tf.TensorShape([num + 1, hidden]),) * (2 if training else 0)
    return Step(call, (tf.TensorShape([None, hidden]),), _memo(hidden, num) + statistics)


@functools.cache
def derived_step(pairs, concat, hidden, *, masked):
    """The Step of a cell with one predecessor and one activation a node.

    It reads x W_x [T, B, 2n]; its constants are W_h, W_1, ... and m_h if `masked`. It writes h'.

    Args:
        pairs: ((activation, state), ...).
        concat: states whose mean is h'.
    """

    def call(c, x, k, memo):
        (h,), written = c, []
        mask = k[-1] if masked else None
        product = _products(k, iter(memo or ()), written)
        states = [_FIRST(h, x[0] + product(0, _times(h, mask)))[0]]
        for i, (name, state) in enumerate(pairs):
            s = states[state]
            states.append(_gated_by(name)(s, product(i + 1, _times(s, mask)))[0])
        h = sums.add_n([states[state] for state in concat]) / len(concat)
        return [h], [h], [], written

    return Step(call, (tf.TensorShape([None, hidden]),), _memo(hidden, len(pairs)))


def for_each_unit(p, hidden):
    """p [E, K] -> [E, K, n]: gradients add up over the batch in the loop, over the units after it."""
    return tf.repeat(p[..., None], hidden, axis=-1)


def moments(s):
    """(mean, biased variance) over the batch: s [B, n] -> [n], [n]."""
    mean = tf.reduce_mean(s, axis=0)
    return mean, tf.reduce_mean(tf.square(s - mean), axis=0)


def moved(moving, batch):
    """A moving average after all updates of a pass in their order: states within time steps.

    moving <- MOMENTUM moving + (1 - MOMENTUM) batch_i,  i = 1, 2, ...

    Args:
        moving: [n].
        batch: [T, N + 1, n].
    """
    batch = tf.reshape(batch, [-1, batch.shape[-1]])
    num = tf.cast(tf.shape(batch)[0], batch.dtype)
    momentum = tf.constant(MOMENTUM, batch.dtype)
    factors = (1 - momentum) * momentum ** tf.range(num - 1, -1, -1, dtype=batch.dtype)
    return momentum**num * moving + tf.linalg.matvec(batch, factors, transpose_a=True)


def _memo(hidden, num):
    """Shapes of the products: one for h, one for each node."""
    return (tf.TensorShape([None, 2 * hidden]),) * (num + 1)


def _products(matrices, memo, written):
    """(i, a [m, n]) -> a W_i [m, 2n], remembered where memo has it."""

    def product(i, a):
        known = next(memo, None)
        value = tf.matmul(a, matrices[i]) if known is None else remembered(a, matrices[i], known)
        written.append(value)
        return value

    return product


def _times(s, mask):
    return s if mask is None else s * mask


def _picked(p, states):
    """The state of the one edge whose p [i, K, n] is not 0: [B, n]."""
    return tf.tensordot(tf.reduce_sum(p[..., 0], axis=1), tf.stack(states), 1)


def _normal(s):
    """[BN(s) with the statistics of the batch, mean, variance]: s [B, n]."""
    mean, variance = moments(s)
    return [(s - mean) * tf.math.rsqrt(variance + EPSILON), mean, variance]


def _inference(s, mean, variance):
    return [(s - mean) * tf.math.rsqrt(variance + EPSILON)]


def _gated(s, both, f):
    """s + sigma(c) (f(g) - s): s [..., n], both = [c, g] [..., 2n]."""
    gate, candidate = tf.split(both, 2, axis=-1)
    return s + tf.sigmoid(gate) * (f(candidate) - s)


@functools.cache
def _gated_by(name):
    return Shared(lambda s, both: [_gated(s, both, ACTIVATIONS[name])])


def _mixture(names):
    """(s, g, list of p_k) -> (a s, sum_k p_k f_k(g)), k over all primitives but none, a the sum of their p_k."""
    kept = [(k, name) for k, name in enumerate(names) if name != "none"]

    def mixed(s, candidate, p):
        parts = [p[k] * ACTIVATIONS[name](candidate) for k, name in kept]
        return s * sums.add_n([p[k] for k, _ in kept]), sums.add_n(parts)

    return mixed


@functools.cache
def _all(names, jit):
    """The sum over predecessors: states [i, B, n], products [i B, 2n], p [i, K, n] -> [[B, n]]."""
    mixture = _mixture(names)

    def mix(states, products, p):
        shape = tf.concat([tf.shape(states)[:2], [-1]], 0)
        gate, candidate = tf.split(tf.reshape(products, shape), 2, axis=-1)
        s, mixed = mixture(states, candidate, tf.unstack(p[:, None], axis=2))
        return [tf.reduce_sum(s + tf.sigmoid(gate) * (mixed - s), axis=0)]

    # To compile a third takes seconds, and saves few.
    return Shared(mix, num_compiled=2 if jit else 0)


@functools.cache
def _one(names):
    """The same of one predecessor: states [i, B, n], product [B, 2n], p [i, K, n] with one k 1."""
    mixture = _mixture(names)

    def mix(states, product, p):
        gate, candidate = tf.split(product, 2, axis=-1)
        s, mixed = mixture(
            _picked(p, tf.unstack(states)), candidate, tf.unstack(tf.reduce_sum(p, axis=0))
        )
        return [s + tf.sigmoid(gate) * (mixed - s)]

    return Shared(mix)


_FIRST, _NORMAL = _gated_by("tanh"), Shared(_normal)
