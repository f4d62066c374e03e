"""How searches of recurrent cells take their weight step and, in the alpha step, its virtual one.

Letters: w weights, the tied embedding first, g gradient, v gradient at the virtual weights, q the
factor by which clipping multiplies g.
"""

import tensorflow as tf

from rdarts_tf import optimizers
from rdarts_tf.tasks import base


def sgd(w, slots, g, rates):
    """w <- w - learning_rate (g + weight_decay w), as the update of a `tasks.base.Recipe`."""
    rate, decay = (tf.cast(rates[name], w[0].dtype) for name in ("learning_rate", "weight_decay"))
    return [w_ - rate * (g_ + decay * w_) for w_, g_ in zip(w, g, strict=True)], slots


def ours(max_norm, differentiated=False):
    """The base.AlphaStep of a virtual step of all weights with g clipped, as in the step that follows.

    Args:
        max_norm: of g.
        differentiated: derivatives go through q, too.
    """

    def step(update, w, g):
        clipped, _ = optimizers.clip_by_global_norm(g, max_norm, constant=not differentiated)
        return update(w, clipped)

    return base.AlphaStep(
        step, factor=lambda g: tf.minimum(optimizers.clip_coefficient(g, max_norm), 1)
    )


def original(max_norm, num_embedding):
    """That of the authors' code: the tied embedding stays, q is not capped at 1, v is clipped, too.

    The embedding is the first num_embedding entries of w. Their masks are drawn afresh at w, w+ and w-, which drowns the implicit term.
    """

    def step(update, w, g):
        moved = ours(max_norm).step(update, w, g)
        first, moved_first = (tf.reshape(x[0], [-1]) for x in (w, moved))
        kept = tf.concat([first[:num_embedding], moved_first[num_embedding:]], axis=0)
        return [tf.reshape(kept, w[0].shape), *moved[1:]]

    return base.AlphaStep(
        step,
        factor=lambda g: optimizers.clip_coefficient(g, max_norm),
        direction=lambda v: optimizers.clip_by_global_norm(v, max_norm)[0],
        independent_noise=True,
    )
