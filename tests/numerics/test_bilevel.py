r"""Gradients of the architecture against formulas written by hand in numpy, and against slopes.

The losses, with s = 3 weights and n = 2 architecture parameters, in the letters of `bilevel`:

    L_train(w, a) = 1/2 w'Aw + a'Bw + 1/2 a'Ca + b'w
    L_valid(w, a) = 1/2 (w - c)'D(w - c) + 1/4 sum_i q_i w_i^4 + a'Ew + 1/2 a'Fa

L_train is quadratic, so that its finite difference is exact; L_valid is not.
"""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import bilevel, optimizers

XI, MU, DECAY = 0.1, 0.9, 0.03
RNG = np.random.default_rng(3)


def symmetric(n):
    matrix = RNG.normal(size=(n, n))
    return matrix + matrix.T


A, B, C, b = symmetric(3), RNG.normal(size=(2, 3)), symmetric(2), RNG.normal(size=3)
D, E, F, c = symmetric(3), RNG.normal(size=(2, 3)), symmetric(2), RNG.normal(size=3)
Q = RNG.normal(size=3)
W, ALPHA, M = RNG.normal(size=3), RNG.normal(size=2), RNG.normal(size=3)


def column(x):
    """The parts of a list of tensors as one column [n, 1]."""
    return tf.concat([tf.reshape(part, (-1, 1)) for part in x], axis=0)


def form(x, matrix, y):
    return tf.squeeze(tf.matmul(x, tf.matmul(tf.constant(matrix), y), transpose_a=True))


def train_loss(w, alpha):
    w, alpha = column(w), column(alpha)
    linear = tf.reduce_sum(b[:, None] * w)
    return form(w, A, w) / 2 + form(alpha, B, w) + form(alpha, C, alpha) / 2 + linear


def valid_loss(w, alpha):
    w, alpha = column(w), column(alpha)
    quartic = tf.reduce_sum(Q[:, None] * w**4) / 4
    bilinear = form(alpha, E, w) + form(alpha, F, alpha) / 2
    return form(w - c[:, None], D, w - c[:, None]) / 2 + quartic + bilinear


def split(w):
    """w [3] in two tensors of different shapes, as a network has them."""
    return [tf.constant(w[:1]), tf.constant(w[1:].reshape(1, 2))]


def weight_step(w, g, *, xi=XI, mu=MU, decay=DECAY):
    step = {"learning_rate": xi, "momentum": mu, "weight_decay": decay}
    return optimizers.sgd(w, split(M), g, **step)[0]


def virtual_weights(alpha, *, xi=XI, mu=MU, decay=DECAY):
    """w' by hand: the gradient of L_train is Aw + B'a + b."""
    return W - xi * (mu * M + A @ W + B.T @ alpha + b + decay * W)


def by_hand(w):
    """(d, v) of L_valid at w."""
    return E @ w + F @ ALPHA, D @ (w - c) + Q * w**3 + E.T @ ALPHA


def gradient(method, **options):
    alpha = [tf.constant(ALPHA)]
    return method(train_loss, valid_loss, split(W), alpha, **options)[0].numpy()


# All is float64; the tolerance is its rounding, times 1 / (2 epsilon) in the finite difference.
def test_first_order_is_the_partial_derivative():
    d, _ = by_hand(W)
    np.testing.assert_allclose(gradient(bilevel.first_order), d, rtol=1e-13)


def test_exact_is_the_derivative_through_the_virtual_step():
    d, v = by_hand(virtual_weights(ALPHA))
    actual = gradient(bilevel.exact, weight_step=weight_step)
    np.testing.assert_allclose(actual, d - XI * B @ v, rtol=1e-13)  # dw'/da = -xi B'


@pytest.mark.parametrize("radius", [0.01, 1.0])
def test_finite_difference_is_exact_for_a_quadratic_training_loss(radius):
    d, v = by_hand(virtual_weights(ALPHA))
    options = {"weight_step": weight_step, "xi": XI, "radius": radius}
    actual = gradient(bilevel.finite_difference, **options)
    np.testing.assert_allclose(actual, d - XI * B @ v, rtol=1e-11)


def test_the_terms_of_the_step_count():
    """Without momentum or weight decay w' and the gradient are others."""
    d, v = by_hand(virtual_weights(ALPHA, mu=0.0, decay=0.0))

    def plain(w, g):
        return weight_step(w, g, mu=0.0, decay=0.0)

    actual = gradient(bilevel.exact, weight_step=plain)
    np.testing.assert_allclose(actual, d - XI * B @ v, rtol=1e-13)
    assert np.abs(actual - gradient(bilevel.exact, weight_step=weight_step)).max() > 0.01


@pytest.mark.parametrize("method", [bilevel.exact, bilevel.finite_difference])
def test_without_a_step_both_are_first_order(method):
    options = {"weight_step": lambda w, g: weight_step(w, g, xi=0.0)}
    if method is bilevel.finite_difference:
        options["xi"] = 0.0
    np.testing.assert_allclose(gradient(method, **options), by_hand(W)[0], rtol=1e-13)


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1e200])
def test_finite_difference_is_right_where_no_square_of_v_is_a_number_or_v_is_0(scale):
    d, v = by_hand(virtual_weights(ALPHA))
    actual = bilevel.finite_difference(
        train_loss,
        lambda w, alpha: scale * valid_loss(w, alpha),
        split(W),
        [tf.constant(ALPHA)],
        weight_step=weight_step,
        xi=XI,
    )[0]
    np.testing.assert_allclose(actual, scale * (d - XI * B @ v), rtol=1e-11)


def test_finite_difference_takes_a_rate_that_follows_from_g_and_another_direction():
    d, v = by_hand(virtual_weights(ALPHA))
    other, g = np.array([1.0, -2.0, 0.5]), A @ W + B.T @ ALPHA + b
    actual = gradient(
        bilevel.finite_difference,
        weight_step=weight_step,
        xi=lambda g: XI * tf.reduce_sum(column(g)),
        direction=lambda v: [x * y for x, y in zip(v, split(other), strict=True)],
    )
    np.testing.assert_allclose(actual, d - XI * g.sum() * B @ (other * v), rtol=1e-11)


@pytest.mark.parametrize("method", [bilevel.exact, bilevel.finite_difference])
@pytest.mark.parametrize("traced", [True, False])
def test_weights_and_alphas_need_no_path_to_the_loss(method, traced):
    """Of the first w and the last alpha to neither loss, of the second w to L_train, of the third to L_valid."""
    w = [tf.constant([x], tf.float64) for x in (1.0, 2.0, 3.0)]
    alpha = [tf.constant(ALPHA), tf.constant(ALPHA)]

    def train(w, alpha):
        return tf.reduce_sum(w[1] * alpha[0][0] ** 2)

    def valid(w, alpha):
        return tf.reduce_sum(w[2] ** 2 * alpha[0][1])

    def found():
        options = {"xi": XI} if method is bilevel.finite_difference else {}
        step = lambda w, g: [w_ - XI * g_ for w_, g_ in zip(w, g, strict=True)]  # noqa: E731
        return method(train, valid, w, alpha, weight_step=step, **options)

    actual, unused = (tf.function(found, autograph=False) if traced else found)()
    np.testing.assert_allclose(actual, [0, 9], atol=1e-13)  # v is of w[2] alone
    np.testing.assert_array_equal(unused, [0, 0])


@pytest.mark.parametrize("radius", [1e-2, 2.0])
def test_finite_difference_of_a_cubic_loss_has_the_error_of_its_third_derivative(radius):
    """L = sum_ik a_k T_ki w_i^3: the central difference of 3 T w^2 v adds epsilon^2 T v^3."""
    table = np.random.default_rng(4).normal(size=(2, 3))

    def cubic(w, alpha):
        return form(column(alpha), table, column(w) ** 3)

    g = table.T @ ALPHA * 3 * W**2
    virtual = W - XI * (MU * M + g + DECAY * W)
    d, v = by_hand(virtual)
    epsilon = radius / np.linalg.norm(v)
    expected = d - XI * table @ (3 * W**2 * v + epsilon**2 * v**3)
    options = {"weight_step": weight_step, "xi": XI, "radius": radius}
    alpha = [tf.constant(ALPHA)]
    actual = bilevel.finite_difference(cubic, valid_loss, split(W), alpha, **options)[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-11)


def test_finite_difference_takes_a_training_loss_for_each_of_its_three_points():
    shifts = (0.5, -0.3, 0.7)  # added to d L_train / d alpha: only w+ and w- matter
    losses = [
        lambda w, alpha, shift=shift: train_loss(w, alpha) + shift * tf.reduce_sum(column(alpha))
        for shift in shifts
    ]
    options = {"weight_step": weight_step, "xi": XI, "radius": 0.01}
    alpha = [tf.constant(ALPHA)]
    actual = bilevel.finite_difference(losses, valid_loss, split(W), alpha, **options)[0]
    d, v = by_hand(virtual_weights(ALPHA))
    epsilon = 0.01 / np.linalg.norm(v)
    expected = d - XI * (B @ v + (shifts[1] - shifts[2]) / (2 * epsilon))
    np.testing.assert_allclose(actual, expected, rtol=1e-11)


@pytest.mark.parametrize(
    "method, calls",
    [(bilevel.first_order, 1), (bilevel.exact, 2), (bilevel.finite_difference, 4)],
)
def test_every_gradient_passes_the_mean_over_replicas(method, calls):
    seen = []

    def all_mean(tensors):
        seen.append(len(tensors))
        return [2 * x for x in tensors]

    options = {"xi": XI} if method is bilevel.finite_difference else {}
    gradient(method, weight_step=weight_step, all_mean=all_mean, **options)
    assert len(seen) == calls


def test_the_mean_over_replicas_stands_inside_the_virtual_step():
    """With twice the gradient everywhere: w' = w - xi (.. + 2 g), dw'/da = -2 xi B'."""
    options = {"weight_step": weight_step, "all_mean": lambda tensors: [2 * x for x in tensors]}
    virtual = W - XI * (MU * M + 2 * (A @ W + B.T @ ALPHA + b) + DECAY * W)
    d, v = by_hand(virtual)
    actual = gradient(bilevel.exact, **options)
    np.testing.assert_allclose(actual, 2 * (d - 2 * XI * B @ v), rtol=1e-13)


# A tiny smooth network: tanh layers mixed by a softmax of alpha, cross entropy.
def smooth_loss(seed):
    rng = np.random.default_rng(seed)
    images, labels = tf.constant(rng.normal(size=(8, 5))), rng.integers(3, size=8)

    def loss(w, alpha):
        p = tf.nn.softmax(alpha[0])
        hidden = p[0] * tf.tanh(images @ w[0]) + p[1] * tf.sin(images @ w[1]) + p[2] * images
        logits = tf.tanh(hidden) @ w[2]
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )

    return loss


@pytest.fixture(scope="module")
def smooth():
    """(train loss, valid loss, w, alpha, weight step)."""
    rng = np.random.default_rng(7)
    shapes = ((5, 5), (5, 5), (5, 3))
    w = [tf.constant(rng.normal(size=shape)) for shape in shapes]
    m = [tf.constant(rng.normal(size=shape)) for shape in shapes]

    def step(w, g):
        return optimizers.sgd(w, m, g, learning_rate=0.5, momentum=0.9, weight_decay=0.01)[0]

    return smooth_loss(1), smooth_loss(2), w, [tf.constant(rng.normal(size=3))], step


def slopes(function, x, h=1e-5):
    """Central differences of a function of x [n]: truncation and rounding of about 1e-10."""
    return np.array([(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(len(x))])


def test_exact_is_the_slope_of_the_validation_loss_after_the_step(smooth):
    train, valid, w, alpha, step = smooth

    def after_step(values):
        a = [tf.constant(values)]
        with tf.GradientTape() as tape:
            tape.watch(w)
            loss = train(w, a)
        return float(valid(step(w, tape.gradient(loss, w)), a))

    expected = slopes(after_step, alpha[0].numpy())
    actual = bilevel.exact(train, valid, w, alpha, weight_step=step)[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-9)
    first = bilevel.first_order(train, valid, w, alpha)[0]
    assert np.abs(first - expected).max() > 1e-2  # the second term matters here
    assert abs(np.sum(actual)) < 1e-12  # softmax: shifting all alphas changes nothing


def test_finite_difference_converges_quadratically_to_exact(smooth):
    train, valid, w, alpha, step = smooth
    exact = bilevel.exact(train, valid, w, alpha, weight_step=step)[0]
    errors = []
    for radius in (1e-1, 1e-2):
        options = {"weight_step": step, "xi": 0.5, "radius": radius}
        difference = bilevel.finite_difference(train, valid, w, alpha, **options)[0]
        errors.append(np.abs(difference - exact).max())
    assert errors[1] < 1e-4
    assert 80 < errors[0] / errors[1] < 120


@pytest.mark.parametrize("method", ["first_order", "exact", "finite_difference"])
def test_the_same_in_a_function_and_with_variables(smooth, method):
    """Variables need no watching of their own: their values are arguments."""
    train, valid, w, alpha, step = smooth
    variables = [tf.Variable(x, trainable=False) for x in alpha]
    options = {"weight_step": step} | ({"xi": 0.5} if method == "finite_difference" else {})

    @tf.function
    def compiled():
        values = [tf.convert_to_tensor(v) for v in variables]
        return getattr(bilevel, method)(train, valid, w, values, **options)

    eager = getattr(bilevel, method)(train, valid, w, alpha, **options)
    np.testing.assert_allclose(compiled()[0], eager[0], rtol=1e-10)
