r"""A function that is traced once, with its first and second derivatives, and called ever after.

    y = f(x, w)        g_ = J^T g,  J = dy / d(x, w)        h_ = d <g_, h> / d (x, w, g)

A supernet applies the same few functions to hundreds of weights. Traced anew each time, their second
derivatives are graphs of tens of thousands of operations, which take minutes and gigabytes before
the first step. Here each of the three is a `tf.function` of its own that is called, not inlined, and
the tapes are told who is whose gradient: that of f is J^T g, that of J^T g is the third.
TensorFlow's own gradients of a `tf.function` are no way: for second derivatives they cost more time
and memory than no function at all.

Letters: x, w lists of tensors, y tensor, g like y, h like g_.
"""

import contextlib
import contextvars

import tensorflow as tf

# What `tf.custom_gradient` is made of. In a graph that one adds an operation to each call, and a tensor
# of zeros for each argument.
from tensorflow.python.eager import record

# Of a tf.function: traced as it stands, and called, not inlined.
OPTIONS = {"autograph": False, "experimental_attributes": {"_noinline": True}}

# Of a thread, since each replica is traced in one of its own.
_HELD = contextvars.ContextVar("held", default=False)
_ONCE = contextvars.ContextVar("once", default=False)
_COMPILED = contextvars.ContextVar("compiled", default=False)
_KEPT = contextvars.ContextVar(
    "kept", default=None
)  # a list in f, in its derivatives an iterator of it


@contextlib.contextmanager
def within(variable, value):
    """Sets a ContextVar within."""
    token = variable.set(value)
    try:
        yield value
    finally:
        variable.reset(token)


def weights_held():
    """What is called within has no gradient in w, whose part of J^T g and all that follows is left out."""
    return within(_HELD, True)


def weights_differentiated_once():
    """What is called within has no second derivative in w.

    As a training loss whose gradient in w is differentiated in alpha.
    """
    return within(_ONCE, True)


def differentiated_once():
    """Whether it is so here, see `weights_differentiated_once`."""
    return _ONCE.get()


def compiling(whether):
    """The primitives that are called within take functions that XLA compiles, or plain ones."""
    return within(_COMPILED, whether)


def compiled():
    """Whether XLA compiles what is called here, see `compiling`."""
    return _COMPILED.get()


class TracedOnce:
    """f, traced once for each signature.

    Args:
        function: (x, w, state) -> (y, moved), pure; lists of tensors, but y. There is no gradient in
            state nor of moved.
        jit: XLA compiles each of the three.
    """

    def __init__(self, function, *, jit=False):
        self.function = function
        options = OPTIONS | ({"jit_compile": True} if jit else {})
        self._forward = tf.function(self._value, **options)
        self._backward = tf.function(self._vjp, **options)
        self._backward_again = tf.function(self._vjp_of_vjp, **options)

    def __call__(self, x, w, state=()):
        """(y, moved), y differentiable twice."""
        held = _HELD.get()
        held_then = held or _ONCE.get()
        turns = iter([held])
        y, moved, kept = call(self._forward, x, w, state, held)

        def backward(g):
            found = self._differentiable_vjp(x, w, kept, g, held, held_then)
            of_w = [None] * len(w) if next(turns, held_then) else found[len(x) :]
            return [*found[: len(x)], *of_w]

        record.record_operation("f", [y], [*x, *w], backward)
        return y, moved

    def _differentiable_vjp(self, x, w, kept, g, held, held_then):
        found = call(self._backward, x, w, kept, g, held)

        def backward(*h):
            again = call(self._backward_again, x, w, kept, g, h, held, held_then)
            record.record_operation("J^T g'", again, [*x, *w, g, *h], _no_third_derivative)
            return [*again[: len(x)], *[None] * (held_then * len(w)), *again[len(x) :]]

        record.record_operation("J^T g", found, [*x, *w, g], backward)
        return found

    def _value(self, x, w, state, held):
        with within(_KEPT, []) as kept:
            y, moved = self.function(x, w, state)
        return y, moved, kept

    def _vjp(self, x, w, kept, g, held):
        of = [*x] if held else [*x, *w]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(of)
            with within(_HELD, held), within(_KEPT, iter(kept)):
                y, _ = self.function(x, w, ())
        return tape.gradient(y, of, g, unconnected_gradients="zero")

    def _vjp_of_vjp(self, x, w, kept, g, h, held, held_then):
        of = [*x, g] if held_then else [*x, *w, g]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(of)
            found = self._vjp(x, w, kept, g, held)
        return tape.gradient(found, of, list(h), unconnected_gradients="zero")


def keep(function, *x, vjp=None, held=True):
    """function(*x), a tensor or several, which the derivatives of the TracedOnce around it do not compute again.

    Args:
        vjp: (value, g) -> list of gradients, where that of `function` itself would need its value.
        held: also with `weights_held`; not, if it is computed quickly: the curvature is to need little memory.
    """
    if _HELD.get() and not held:
        return function(*x)
    kept = _KEPT.get()
    if isinstance(kept, list):
        kept.append(function(*x))
        return kept[-1]
    value = None if kept is None else next(kept, None)
    if value is None:
        return function(*x)

    def backward(*g):
        if vjp is not None:
            return vjp(value, *g)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            again = function(*x)  # nobody reads it: never computed
        return tape.gradient(again, x, list(g) if isinstance(again, (list, tuple)) else g[0])

    record.record_operation("kept", tf.nest.flatten(value), list(x), backward)
    return value


def with_vjp(function, x, *, vjp):
    """function(x), a list, whose gradient is `vjp`.

    Args:
        x: list.
        vjp: list like function(x) -> list like x, differentiable; of tensors made by `function` it may read
            none but those returned here.
    """
    with record.stop_recording():
        y = function(x)
    record.record_operation("with_vjp", y, x, lambda *g: vjp(list(g)))
    return y


def call(function, *arguments):
    """function(*arguments), which the tapes do not see."""
    concrete = function.get_concrete_function(*arguments)  # traces, for which tapes must work
    with record.stop_recording():
        return concrete(*arguments)


def _no_third_derivative(*_):
    raise LookupError("primitives have no third derivative")
