r"""Gradients of the architecture in min_alpha L_valid(w*(alpha), alpha), w* = argmin_w L_train(w, alpha).

One weight step stands for the inner minimisation (Liu et al. 2019, eq. 6):

    w'(alpha) = w - xi (mu m + g + lambda w),   g = grad_w L_train(w, alpha)

    grad_alpha L_valid(w'(alpha), alpha) = d - xi (d^2 L_train / d alpha d w) v           (eq. 7)
    with  d = partial_alpha L_valid(w', alpha)  and  v = grad_w' L_valid(w', alpha)

`first_order` is d at w' = w. `exact` differentiates through w'(alpha). `finite_difference` replaces
the product of the second term by a central difference (eq. 8), as the authors' code does.

Letters: w list of weight tensors, alpha list of architecture tensors, g, d, v as above, xi learning
rate. A loss is a function (w, alpha) -> scalar. `all_mean` averages tensors over the replicas of a
distribution strategy; each replica's losses are of its own part of the batch.
"""

import tensorflow as tf


def identity(tensors):
    """`all_mean` of a single device."""
    return tensors


def first_order(train_loss, valid_loss, w, alpha, *, weight_step=None, all_mean=identity):
    """grad_alpha L_valid(w, alpha): the approximation xi = 0 (Liu et al. 2019, sec. 2.3).

    Args, Returns: as `exact`; `train_loss` and `weight_step` are not used.
    """
    return all_mean(gradient(valid_loss, w, alpha, of=alpha))


def exact(train_loss, valid_loss, w, alpha, *, weight_step, all_mean=identity):
    """grad_alpha L_valid(w'(alpha), alpha), the derivative through the virtual step (eq. 7).

    Args:
        train_loss, valid_loss: (w, alpha) -> scalar.
        w, alpha: lists of tensors.
        weight_step: (w, g) -> w', differentiable.
        all_mean: list of tensors -> list of tensors; it must stand inside too, since w' is the step
            that all replicas take together.
    Returns:
        list of gradients, shaped as alpha.
    Differs from: the authors' code, which uses `finite_difference`. Zela et al. 2020, eq. 10,
        leaves momentum and weight decay out of w'.
    """
    with tf.GradientTape(watch_accessed_variables=False) as outer:
        outer.watch(alpha)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(w)
            loss = train_loss(w, alpha)
        g = inner.gradient(loss, w, unconnected_gradients="zero")
        virtual = weight_step(w, all_mean(g))
        loss = valid_loss(virtual, alpha)
    return all_mean(outer.gradient(loss, alpha, unconnected_gradients="zero"))


def finite_difference(
    train_loss,
    valid_loss,
    w,
    alpha,
    *,
    weight_step,
    all_mean=identity,
    xi,
    radius=0.01,
    direction=identity,
):
    """d - xi (grad_alpha L_train(w+, alpha) - grad_alpha L_train(w-, alpha)) / 2 epsilon (eq. 8).

    w+- = w +- radius u,  v = ||v||_2 u.

    Args:
        train_loss, valid_loss, w, alpha, weight_step, all_mean: as `exact`. `train_loss` may also
            be a list of three, used at w, w+ and w-, which then differ in their random draws.
        xi: learning rate of the virtual step, by which it multiplies g; or a function of g.
        radius: ||w+ - w||.
        direction: v -> what stands for v in w+-, list of tensors.
    Returns:
        list of gradients, shaped as alpha.
    """
    at_w, at_plus, at_minus = train_loss if isinstance(train_loss, list) else [train_loss] * 3
    g = all_mean(gradient(at_w, w, alpha, of=w))
    virtual, xi = weight_step(w, g), xi(g) if callable(xi) else xi
    both = all_mean(gradient(valid_loss, virtual, alpha, of=[*alpha, *virtual]))
    d, v = both[: len(alpha)], direction(both[len(alpha) :])
    norm = global_norm(v)
    u = [tf.math.divide_no_nan(v_, norm) for v_ in v]
    plus = [w_ + radius * u_ for w_, u_ in zip(w, u, strict=True)]
    minus = [w_ - radius * u_ for w_, u_ in zip(w, u, strict=True)]
    g_plus = all_mean(gradient(at_plus, plus, alpha, of=alpha))
    g_minus = all_mean(gradient(at_minus, minus, alpha, of=alpha))
    return [
        d_ - xi * norm * (p_ - m_) / (2 * radius)
        for d_, p_, m_ in zip(d, g_plus, g_minus, strict=True)
    ]


def gradient(loss, *arguments, of):
    """d loss(*arguments) / d of, shaped as `of`, a list of tensors among the arguments."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(of)
        value = loss(*arguments)
    return tape.gradient(value, of, unconnected_gradients="zero")


def global_norm(tensors):
    """||x||_2 of all tensors together, of which no square under- or overflows."""
    largest = tf.reduce_max([tf.reduce_max(tf.abs(x)) for x in tensors])
    return largest * tf.linalg.global_norm([tf.math.divide_no_nan(x, largest) for x in tensors])
