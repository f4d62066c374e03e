"""A loop over time whose derivatives are loops over time, each traced once.

    c_t, y_t, u_t = step(c_{t-1}, x_t, k),  t = 1 .. T;  the result is c_T, all y_t, sum_t u_t

The derivative of a TensorFlow loop keeps every intermediate of every turn. This one keeps c_t and what
a step asks to remember; the rest is computed anew. Its derivative is a scan over the same times
backwards, of the derivative of the step, and so it has a derivative itself, to any order.

Letters: c carry, x what a turn reads, k constants, y what it writes, u what is summed over the turns,
g_ a gradient: lists of float tensors, x and y [T, ...] outside of the step.
"""

import functools
import typing

import tensorflow as tf
from tensorflow.python.eager import record

from rdarts_tf.layers.traced_once import OPTIONS, call


class Step(typing.NamedTuple):
    """A turn of the loop.

    Attributes:
        call: (c, x, k, memo) -> (c, y, u, memo). memo is None, or what the call gave for the same
            arguments: values that it need not compute again, see `remembered`.
        y, memo: static shapes of what it writes.
        u: for each sum, the index in k of a tensor of its shape.
    """

    call: typing.Callable
    y: tuple
    memo: tuple
    u: tuple = ()


class Result(typing.NamedTuple):
    """Of a scan: c [...] after the last turn, y [T, ...], u [...]."""

    c: list
    y: list
    u: list


class _Known(typing.NamedTuple):
    """What a scan has computed: carries before each turn [T, ...], memos [T, ...] and its Result."""

    before: list
    memos: list
    result: Result


def scan(step, c, x, k, *, reverse=False, later=()):
    """(Result of the loop, memos [T, ...], which have no derivative).

    Args:
        step: Step.
        c, x, k: lists of tensors; there is at least one x.
        reverse: from the last time to the first.
        later: indices in k. If there are any, the first derivative is in all else, that of the
            derivative in these only.
    """
    return _scan(step, c, x, k, reverse, later=later)


@tf.custom_gradient
def remembered(a, b, product):
    """a @ b, known to be `product`: [m, n], [n, p] -> [m, p]."""

    def gradient(g):
        return tf.matmul(g, b, transpose_b=True), tf.matmul(a, g, transpose_a=True), None

    return tf.identity(product), gradient


def _scan(step, c, x, k, reverse, known=None, later=()):
    """`scan`; where all is known, only derivatives remain to be computed."""
    sizes, memos = [len(c), len(x), len(k)], []
    needed = tuple(bool(record.should_record_backprop([tensor])) for tensor in (*c, *x, *k))
    first, then = _asked(needed, [len(c) + len(x) + i for i in later])
    turns = iter([first])

    @tf.custom_gradient
    def run(*inputs):
        c, x, k = _split(inputs, sizes)
        ready = known or _Known(*call(_loop(step, reverse), c, x, k))
        memos.extend(tf.stop_gradient(memo) for memo in ready.memos)

        def gradient(*upstream):
            needed = next(turns, then)
            g = Result(*_split(upstream, [len(c), len(step.y), len(step.u)]))
            carries = _carries(step, c, x, k, reverse, ready)
            back = _derivative(step, *(tuple(t.shape for t in p) for p in (c, x)), needed)
            read, constants = [*carries, *x, *memos, *g.y], [*k, *g.u]
            g, _ = scan(back, g.c, read, constants, reverse=not reverse)
            rest = iter([*g.y, *g.u])
            return [*g.c, *(next(rest) if need else None for need in needed[len(c) :])]

        return [tensor for part in ready.result for tensor in part], gradient

    if not any(needed):
        before, memos, result = _loop(step, reverse)(c, x, k)
        return Result(*result), memos
    return Result(*_split(run(*c, *x, *k), [len(c), len(step.y), len(step.u)])), memos


def _asked(needed, later):
    """What the first gradient and each one after it are asked for, two like `needed`; see `scan`."""
    first = tuple(need and i not in later for i, need in enumerate(needed))
    then = tuple(need and i in later for i, need in enumerate(needed))
    return first, then if later else needed


def _carries(step, c, x, k, reverse, known):
    """The known carries before each turn [T, ...], as the function of c, x and k that they are."""
    shapes = tuple(tensor.shape for tensor in c)
    known = known._replace(result=Result(known.result.c, known.before, []))
    return _scan(_passing(step, shapes), c, x, k, reverse, known)[0].y


@functools.cache
def _passing(step, shapes):
    """The Step that writes its carry, of these shapes."""

    def call(c, x, k, memo):
        after, _, _, memo = step.call(c, x, k, memo)
        return after, c, [], memo

    return Step(call, shapes, step.memo)


@functools.cache
def _derivative(step, carries, x, needed):
    """The Step of the derivative: from g_c after the turn to g_c before it, g_x as y, g_k as u.

    It reads carries, x, memos and g_y; its constants are k and g_u.

    Args:
        carries, x: shapes.
        needed: of each carry, x and k, whether its gradient is; that of a carry always is.
    """
    needed, num = needed[len(carries) :], len(x)
    sizes = [len(carries), num, len(step.memo), len(step.y)]
    shapes = tuple(s[1:] for s, need in zip(x, needed[:num], strict=True) if need)
    of_k = tuple(i for i, need in enumerate(needed[num:]) if need)

    def call(g_c, read, constants, memo):
        c, x, known, g_y = _split(read, sizes)
        k, g_u = _split(constants, [len(constants) - len(step.u), len(step.u)])
        wanted = [tensor for tensor, need in zip([*x, *k], needed, strict=True) if need]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([*c, *wanted])
            after, y, u, _ = step.call(c, x, k, known)
        g = tape.gradient(
            [*after, *y, *u],
            [*c, *wanted],
            output_gradients=[*g_c, *g_y, *g_u],
            unconnected_gradients="zero",
        )
        return *_split(g, [len(c), len(shapes), len(of_k)]), []

    return Step(call, shapes, (), of_k)


@functools.cache
def _loop(step, reverse):
    """The tf.function of (c, x, k) that runs all turns; it gives the fields of a _Known."""
    return tf.function(lambda c, x, k: _turns(step, c, x, k, reverse), **OPTIONS)


def _turns(step, c, x, k, reverse):
    num = tf.shape(x[0])[0]
    shapes = [[tensor.shape for tensor in c], step.y, step.memo]
    arrays = [[tf.TensorArray(c[0].dtype, num, element_shape=s) for s in part] for part in shapes]

    def turn(i, c, arrays, u):
        t = num - 1 - i if reverse else i
        after, y, more, memo = step.call(c, [part[t] for part in x], k, None)
        arrays = [
            [array.write(t, value) for array, value in zip(*pair, strict=True)]
            for pair in zip(arrays, (c, y, memo), strict=True)
        ]
        return i + 1, list(after), arrays, [a + b for a, b in zip(u, more, strict=True)]

    zeros = [tf.zeros_like(k[i]) for i in step.u]
    state = (tf.constant(0), list(c), arrays, zeros)
    _, last, arrays, u = tf.while_loop(lambda i, *_: i < num, turn, state)
    before, y, memos = ([array.stack() for array in part] for part in arrays)
    return before, memos, Result(last, y, u)


def _split(tensors, sizes):
    """Consecutive lists of these sizes."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [list(tensors[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
