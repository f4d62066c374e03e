"""Functions of tensors that are traced once, and so are their derivatives of any order.

What a graph repeats, such as a node of a cell in loops over time, their derivatives and the derivatives
of these, is there as calls of one function each, which TensorFlow does not inline.
"""

import tensorflow as tf
from tensorflow.python.eager import record

from rdarts_tf.layers.traced_once import OPTIONS, call


class Shared:
    """A pure function of float tensors.

    Args:
        function: (tensor, ...) -> list of tensors.
        num_compiled: how many of it, its derivative, the derivative of that, ... XLA compiles.
    """

    def __init__(self, function, *, num_compiled=0):
        self.function, self.num_compiled, self._derivatives = function, num_compiled, {}
        options = OPTIONS | ({"jit_compile": True} if num_compiled > 0 else {})
        self._call = tf.function(function, **options)

    def __call__(self, *x):
        """The list of tensors."""
        needed = tuple(bool(record.should_record_backprop([tensor])) for tensor in x)

        @tf.custom_gradient
        def run(*x):
            def gradient(*upstream):
                found = iter(self._derivative(needed)(*x, *upstream))
                return [next(found) if need else None for need in needed]

            return list(call(self._call, *x)), gradient

        return list(run(*x)) if any(needed) else list(self._call(*x))

    def _derivative(self, needed):
        """The Shared of (x, upstream) -> gradients of those x that are needed."""
        if needed not in self._derivatives:

            def back(*tensors):
                x, upstream = tensors[: len(needed)], tensors[len(needed) :]
                wanted = [tensor for tensor, need in zip(x, needed, strict=True) if need]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(wanted)
                    y = self.function(*x)
                return tape.gradient(
                    y, wanted, output_gradients=list(upstream), unconnected_gradients="zero"
                )

            self._derivatives[needed] = Shared(back, num_compiled=self.num_compiled - 1)
        return self._derivatives[needed]
