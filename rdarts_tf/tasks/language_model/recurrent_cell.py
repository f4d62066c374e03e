r"""Recurrent cells of DARTS as steps of a `scan.Step` (Liu et al. 2019, sec. 3.1.2; the authors' code).

    [c, g] = (x m_x) W_x + (h m_h) W_h,      s_0 = h + sigma(c) (tanh(g) - h)
    [c, g] = (s_p m_h) W_i,                  s_i = s_p + sigma(c) (f(g) - s_p)

and h' is the mean of s_1, s_2, ... In a search s_i is the sum over all earlier states p and all
activations f, weighted by the edge weights, and one BatchNorm without scale and shift normalises s_0
and every s_i.

Letters: x input, h hidden state [B, n], m masks, s states, c gate and g candidate [B, n], p edge
weights [E, K]. The products with W_x do not depend on h and come in for all times at once.
"""

import tensorflow as tf

from rdarts_tf.tasks.language_model.scan import Step, remembered

EPSILON = 1e-5
MOMENTUM = 0.9
ACTIVATIONS = {
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "sigmoid": tf.sigmoid,
    "identity": tf.identity,
}


def search_step(cell, hidden, *, masked, sampled, training):
    """The Step of a cell of which every edge carries all its primitives.

    It reads x W_x [T, B, 2n]; its constants are W_h [n, 2n], W_1, ... [n, 2n], p, then m_h if `masked`,
    and in inference mean and variance [n]. It writes h', and in training mean and variance [N + 1, n]
    of the batch at each state.

    Args:
        cell: spaces.base.CellSpace.
        hidden: n.
        sampled: p is 0 but for one edge of each node; only that is computed.
    """
    names, num = cell.primitives[0], cell.num_nodes
    starts = [i * (i + 1) // 2 for i in range(num + 1)]  # edges into node i: i + 1

    def call(c, x, k, memo):
        (h,), memo, written = c, iter(memo or ()), []
        k, statistics = (k, []) if training else (k[:-2], k[-2:])
        mask = k[num + 2] if masked else None
        product = _products(k[: num + 1], memo, written)
        found = []

        def normal(s):
            mean, variance = moments(s) if training else statistics
            found.append((mean, variance))
            return (s - mean) * tf.math.rsqrt(variance + EPSILON)

        states = [normal(_first(h, x[0], mask, product))]
        for i in range(num):
            p = k[num + 1][starts[i] : starts[i + 1]]
            mix = _one if sampled else _all
            s = mix(tf.stack(states), p, names, mask, lambda a, i=i: product(i + 1, a))
            states.append(normal(s))
        h = tf.add_n(states[1:]) / num
        batch = [tf.stack(part) for part in zip(*found, strict=True)] if training else []
        return [h], [h, *batch], [], written

    y = [tf.TensorShape([None, hidden])]
    y += [tf.TensorShape([num + 1, hidden])] * 2 if training else []
    return Step(call, tuple(y), _memo(hidden, num))


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
        states = [_first(h, x[0], mask, product)]
        for i, (name, state) in enumerate(pairs):
            s = states[state]
            gate, candidate = tf.split(product(i + 1, _times(s, mask)), 2, axis=-1)
            states.append(s + tf.sigmoid(gate) * (ACTIVATIONS[name](candidate) - s))
        h = tf.add_n([states[state] for state in concat]) / len(concat)
        return [h], [h], [], written

    return Step(call, (tf.TensorShape([None, hidden]),), _memo(hidden, len(pairs)))


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


def _first(h, of_x, mask, product):
    """s_0 [B, n]."""
    gate, candidate = tf.split(of_x + product(0, _times(h, mask)), 2, axis=-1)
    return h + tf.sigmoid(gate) * (tf.tanh(candidate) - h)


def _all(states, p, names, mask, product):
    """The sum over all predecessors, one product for all: states [i, B, n], p [i, K] -> [B, n]."""
    num, hidden = states.shape[0], states.shape[-1]
    both = product(tf.reshape(_times(states, mask), [-1, hidden]))
    both = tf.reshape(both, [num, -1, 2 * hidden])
    gate, candidate = both[..., :hidden], both[..., hidden:]
    return tf.reduce_sum(_weighted(states, gate, candidate, p[:, None, None], names), axis=0)


def _one(states, p, names, mask, product):
    """The same where one entry of p is 1 and the others are 0."""
    s = tf.tensordot(tf.reduce_sum(p, axis=1), states, 1)
    gate, candidate = tf.split(product(_times(s, mask)), 2, axis=-1)
    return _weighted(s, gate, candidate, tf.reduce_sum(p, axis=0), names)


def _weighted(s, gate, candidate, p, names):
    """sum_k p_k (s + sigma(c) (f_k(g) - s)) over all primitives but none; p [..., K]."""
    kept = [(p[..., k], name) for k, name in enumerate(names) if name != "none"]
    s = s * tf.add_n([weight for weight, _ in kept])
    mixed = tf.add_n([weight * ACTIVATIONS[name](candidate) for weight, name in kept])
    return s + tf.sigmoid(gate) * (mixed - s)
