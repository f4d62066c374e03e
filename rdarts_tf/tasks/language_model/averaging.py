"""SGD that turns to averaged SGD, as the update of a `tasks.base.Recipe`.

Slots: "average" like w, "averaged_steps" of averaging so far, "eta" the learning rate of the last one.
"""

import tensorflow as tf

from rdarts_tf import optimizers


def update(w, slots, g, rates):
    """A step of SGD, or of averaged SGD where the rate "averaging" is 1; see `optimizers.averaged_sgd`."""
    dtype = w[0].dtype
    rate, decay = (tf.cast(rates[name], dtype) for name in ("learning_rate", "weight_decay"))
    on = rates["averaging"] > 0
    (steps,), (eta,), ax = slots["averaged_steps"], slots["eta"], slots["average"]
    step = tf.where(on, steps + 1, 1.0)  # the first step of averaging is one of SGD
    w, moved = optimizers.averaged_sgd(
        w,
        ax,
        g,
        step=step,
        eta=tf.cast(eta, dtype),
        learning_rate=rate,
        weight_decay=decay,
    )
    return w, {
        "average": [tf.where(on, new, old) for new, old in zip(moved, ax, strict=True)],
        "averaged_steps": [tf.where(on, step, 0.0)],
        "eta": [tf.cast(rate, eta.dtype)],
    }


def scored(w, slots):
    """The averages as soon as there are some."""
    on = slots["averaged_steps"][0] > 0
    return [tf.where(on, ax, w_) for ax, w_ in zip(slots["average"], w, strict=True)]
