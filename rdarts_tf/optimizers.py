"""Update rules in the DARTS convention, as pure functions of lists of tensors, and schedules.

They follow PyTorch 0.3.1, which the authors used, and differ from keras.optimizers: the momentum
buffer does not contain the learning rate, weight decay is added to the gradient after clipping,
Adam couples L2; its epsilon stands beside the uncorrected second moment, as in
Keras and unlike present-day PyTorch.

Letters: w weights, m momentum buffer or first moment, v second moment, g gradient, ax averaged weights.
"""

import math

import tensorflow as tf


def clip_by_global_norm(g, max_norm, *, constant=False):
    """g * min(1, max_norm / (||g|| + 1e-6)) over all tensors together.

    Args:
        constant: derivatives take the factor as a constant.
    Returns:
        (clipped gradients, ||g|| before clipping).
    """
    norm = _norm(g)
    scale = tf.minimum(tf.ones_like(norm), max_norm / (norm + 1e-6))
    scale = tf.stop_gradient(scale) if constant else scale
    return [scale * x for x in g], norm


def clip_coefficient(g, max_norm):
    """max_norm / (||g|| + 1e-6), which may exceed 1: scalar."""
    return max_norm / (_norm(g) + 1e-6)


def _norm(g):
    return tf.sqrt(tf.reduce_sum(tf.stack([tf.reduce_sum(tf.square(x)) for x in g])))


def sgd(w, m, g, *, learning_rate, momentum, weight_decay):
    """m <- momentum m + g + weight_decay w;  w <- w - learning_rate m.

    Returns:
        (w, m) after the step.
    """
    m = [momentum * m_ + (g_ + weight_decay * w_) for w_, m_, g_ in zip(w, m, g, strict=True)]
    return [w_ - learning_rate * m_ for w_, m_ in zip(w, m, strict=True)], m


def averaged_sgd(w, ax, g, *, step, eta, learning_rate, weight_decay):
    """w <- w - eta (g + weight_decay w);  ax <- ax + mu (w - ax),  mu = 1 / max(1, t - 1).

    Averaged SGD (Polyak & Juditsky 1992) as PyTorch 0.3.1 has it with t0 = 0 and lambd = 0: a step uses
    the learning rate of the step before, and ax is the mean of the iterates 2 .. t.

    Args:
        ax: averages, like w.
        step: t of this step, from 1; scalar tensor.
        eta: learning rate of the last step; without effect where t = 1.
    Returns:
        (w, ax) after the step.
    """
    eta = tf.where(step > 1, eta, learning_rate)
    w = [w_ - eta * (g_ + weight_decay * w_) for w_, g_ in zip(w, g, strict=True)]
    t = tf.cast(step, tf.float64)  # 1 / t has few digits in float32
    mu = tf.cast(1 / tf.maximum(t - 1, 1), w[0].dtype)
    ax = [tf.where(mu < 1, ax_ + mu * (w_ - ax_), w_) for w_, ax_ in zip(w, ax, strict=True)]
    return w, ax


def momentum_sgd(momentum):
    """`sgd` as the update of a `tasks.base.Recipe` with the slot "momentum".

    The rates "learning_rate" and "weight_decay" are scalars of any float type.
    """

    def update(w, slots, g, rates):
        learning_rate, weight_decay = (
            tf.cast(rates[name], w[0].dtype) for name in ("learning_rate", "weight_decay")
        )
        w, m = sgd(
            w,
            slots["momentum"],
            g,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
        )
        return w, {"momentum": m}

    return update


def adam(w, m, v, g, *, step, learning_rate, beta_1, beta_2, weight_decay, epsilon=1e-8):
    """Adam (Kingma & Ba 2015, sec. 2, the form with a corrected step size) with coupled L2.

    g <- g + weight_decay w;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
    w <- w - learning_rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)

    Args:
        step: t of this update, from 1; scalar tensor.
    Returns:
        (w, m, v) after the step.
    """
    t, b1, b2 = tf.cast(step, tf.float64), beta_1, beta_2  # 1 - b2^t has few digits in float32
    rate = learning_rate * tf.cast(tf.sqrt(1 - b2**t) / (1 - b1**t), w[0].dtype)
    g = [g_ + weight_decay * w_ for w_, g_ in zip(w, g, strict=True)]
    m = [b1 * m_ + (1 - b1) * g_ for m_, g_ in zip(m, g, strict=True)]
    v = [b2 * v_ + (1 - b2) * tf.square(g_) for v_, g_ in zip(v, g, strict=True)]
    w = [w_ - rate * m_ / (tf.sqrt(v_) + epsilon) for w_, m_, v_ in zip(w, m, v, strict=True)]
    return w, m, v


def cosine(epoch, num_epochs, base, minimum=0.0):
    """Cosine annealing per epoch, without restarts (Loshchilov & Hutter 2017): a Python float.

    Args:
        epoch: 0 .. num_epochs - 1; the rate is constant within an epoch.
        num_epochs: at which the rate would reach `minimum`.
    """
    return minimum + (base - minimum) * (1 + math.cos(math.pi * epoch / num_epochs)) / 2
