"""Eigensolvers against numpy.linalg.eigvalsh, products against Hessians written by hand."""

import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import hessian

DATA = pathlib.Path(__file__).parents[1] / "data"
with np.load(DATA / "hessian_samples.npz") as file:  # recorded by the authors' runs
    RECORDED = {name: file[name].astype(np.float64) for name in file.files}
RECORDED = {name: (H + H.T) / 2 for name, H in RECORDED.items()}


def start(n, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=n))


def operator(H):
    return functools.partial(tf.linalg.matvec, H)


@functools.partial(tf.function, autograph=False)
def power(H, v0, tolerance=1e-4, num_products=6000):
    return hessian.power_iteration(operator(H), v0, num_products=num_products, tolerance=tolerance)


@functools.partial(tf.function, autograph=False)
def lanczos(H, v0, tolerance=0.0, num_products=200):
    return hessian.lanczos(operator(H), v0, num_products=num_products, tolerance=tolerance)


SOLVERS = {"power": power, "lanczos": lanczos}
each_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


def random_symmetric(seed):
    """One of six kinds of spectrum in a random basis."""
    rng = np.random.default_rng(seed)
    n = (6, 25)[seed % 5 == 0]  # two shapes, hence two traces
    values = rng.normal(size=n)
    kind = seed % 6
    if kind == 1:
        values[0] = -10.0  # the dominant one is negative
    elif kind == 2:
        values[: n // 2] = 1.0 + 1e-9 * rng.normal(size=n // 2)  # a cluster
    elif kind == 3:
        values[n // 2 :] = 0.0
    elif kind == 4:
        values = -np.abs(values)
    elif kind == 5:
        values[:2] = 5.0, -5.0  # equal in magnitude
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    H = q @ np.diag(values) @ q.T
    return (H + H.T) / 2


@pytest.mark.parametrize("name", RECORDED)
def test_solvers_find_the_largest_eigenvalue_of_recorded_hessians(name):
    H = RECORDED[name]
    expected = np.linalg.eigvalsh(H)[-1]
    found = lanczos(tf.constant(H), start(len(H)), num_products=15)
    assert abs(found.value - expected) <= 1e-6 * expected
    found = power(tf.constant(H), start(len(H)))
    assert abs(found.value - expected) <= found.residual + 1e-12


@pytest.mark.parametrize("seed", range(60))
def test_solvers_find_the_largest_algebraic_eigenvalue(seed):
    H = random_symmetric(seed)
    values = np.linalg.eigvalsh(H)
    v0 = start(len(H), seed + 1000)
    for found in (power(tf.constant(H), v0, tolerance=1e-6), lanczos(tf.constant(H), v0)):
        v, value = found.vector.numpy(), found.value.numpy()
        np.testing.assert_allclose(np.linalg.norm(v), 1, rtol=1e-10)
        residual = np.linalg.norm(H @ v - value * v)
        np.testing.assert_allclose(found.residual, residual, atol=1e-12)
        assert np.abs(values - value).min() <= residual + 1e-12  # what a residual promises
        assert abs(values[-1] - value) <= max(1e-4 * np.abs(values).max(), residual)


def test_product_and_full_hessian_equal_one_written_by_hand():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 5))
    x = rng.normal(size=5)
    alpha = [tf.constant(x[:4].reshape(2, 2)), tf.constant(x[4:])]

    def loss(alpha):
        z = tf.linalg.matvec(tf.constant(A), hessian.flatten(alpha))
        return tf.reduce_sum(z**4)

    expected = A.T @ np.diag(12 * (A @ x) ** 2) @ A
    operator = hessian.hessian_operator(loss, alpha)
    H = hessian.full_hessian(operator, 5, dtype=tf.float64)
    np.testing.assert_allclose(H, expected, rtol=1e-12)
    v = start(5)
    found = tf.function(lambda v: hessian.hessian_vector_product(loss, alpha, v))(v)
    np.testing.assert_allclose(found, expected @ v.numpy(), rtol=1e-12)
    np.testing.assert_allclose(hessian.spectrum(expected), np.linalg.eigvalsh(expected), rtol=1e-10)


def test_the_full_hessian_is_symmetric_to_the_last_bit():
    """As rounding leaves it, it is not."""
    H = np.random.default_rng(3).normal(size=(4, 4))
    found = hessian.full_hessian(operator(H), 4, dtype=tf.float64)
    np.testing.assert_array_equal(found, (H + H.T) / 2)


def test_a_product_is_the_mean_over_the_replicas():
    alpha = [tf.constant([1.0, 2.0])]
    product = hessian.hessian_vector_product(
        lambda alpha: tf.reduce_sum(alpha[0] ** 2),
        alpha,
        tf.constant([1.0, -1.0]),
        all_mean=lambda tensors: [3 * t for t in tensors],
    )
    np.testing.assert_array_equal(product, [6, -6])


def test_a_warm_start_needs_fewer_products():
    H = RECORDED[next(iter(RECORDED))]
    cold = hessian.power_iteration(operator(H), start(len(H)))
    warm = hessian.power_iteration(operator(H), cold.vector)
    assert warm.iterations == 1 < cold.iterations


def test_lanczos_stops_early_at_the_asked_accuracy():
    """From the eigenvector of the run's recorded Hessian before, ten or more epochs earlier."""
    names = list(RECORDED)
    products = []
    for before, name in zip(names[:-1], names[1:], strict=True):
        if before.split("/")[0] == name.split("/")[0]:
            start_vector = np.linalg.eigh(RECORDED[before])[1][:, -1]
            start_vector += 0.1 * start(len(start_vector)).numpy() / np.sqrt(len(start_vector))
            H = RECORDED[name]
            found = lanczos(tf.constant(H), tf.constant(start_vector), tolerance=1e-3)
            expected = np.linalg.eigvalsh(H)[-1]
            assert abs(found.value - expected) <= 1e-3 * expected
            assert abs(found.value - expected) <= found.residual
            products.append(int(found.iterations))
    assert np.mean(products) < 9 < 15


def test_lanczos_counts_quiet_products_that_follow_each_other_only():
    """Here lambda rests twice on its way, after two and four products, near the second eigenvalue."""
    H = np.diag([1.0, 1.1, 0.9, 0.2, 0.0, 0.4, 0.6, 0.1])
    v0 = tf.constant([1.0, 0.1, 1.0, 0.01, 0.01, 0.1, 0.01, 0.1], tf.float64)
    found = lanczos(tf.constant(H), v0, tolerance=0.05)
    assert abs(found.value - 1.1) <= 1e-3 and found.converged


@each_solver
def test_a_hessian_that_is_not_finite_gives_no_number(solver):
    H = np.eye(6)
    H[2, 3] = np.nan
    found = solver(tf.constant(H), start(6))
    assert np.isnan(found.value) and not found.converged


@each_solver
@pytest.mark.parametrize("exponent", [-80, -67, 34, 100])  # 1e-24, 1e-20, 1e10, 1e30
def test_a_power_of_two_scales_the_answer_and_changes_no_other_bit(solver, exponent):
    """In float32, whose squares would under- and overflow."""
    H, v0 = random_symmetric(7).astype(np.float32), tf.cast(start(6), tf.float32)
    scale = np.float32(2.0**exponent)
    plain, scaled = solver(tf.constant(H), v0, 1e-4), solver(tf.constant(scale * H), v0, 1e-4)
    assert plain.value > 0 and plain.converged
    expected = plain._replace(value=scale * plain.value, residual=scale * plain.residual)
    for a, b in zip(expected, scaled, strict=True):
        np.testing.assert_array_equal(a, b)


@each_solver
@pytest.mark.parametrize("value", [-1.0, -1e-20, 0.0, 3.0])
def test_all_eigenvalues_may_be_the_same(solver, value):
    """With s = -lambda nothing is left to iterate on; rounding leaves noise."""
    for seed in range(5):
        v0 = tf.cast(start(6, seed), tf.float32)
        found = solver(tf.constant(value * np.eye(6), tf.float32), v0, 1e-3)
        assert float(found.value) == pytest.approx(value, rel=1e-6) and found.converged
        assert np.linalg.norm(found.vector) == pytest.approx(1, rel=1e-6)


@each_solver
def test_a_dense_spectrum_takes_more_products_or_is_told_not_to_have_converged(solver):
    """The edge of a semicircle: eigenvalues 1, 0.99, 0.96, ... of 100."""
    values = 1 - 4 * (np.arange(100) / 100) ** 1.5
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 100)))
    H = tf.constant(q @ np.diag(values) @ q.T)
    short, long = (solver(H, start(100), 1e-4, num) for num in (15, 6000))
    assert not short.converged and short.iterations == 15
    assert long.converged and long.iterations > 15
    assert abs(long.value - 1) < 1e-3 < abs(short.value - 1)


def test_power_iteration_that_is_shifted_to_nothing_keeps_its_vector():
    """With s = 1 nothing of -I is left; tolerance 0 goes on nevertheless."""
    v0 = tf.cast(start(6), tf.float32)
    for num in range(1, 9):
        found = hessian.power_iteration(tf.negative, v0, num_products=num, tolerance=0.0)
        assert float(found.value) == pytest.approx(-1, rel=1e-6)
        assert np.linalg.norm(found.vector) == pytest.approx(1, rel=1e-6)


def test_power_iteration_has_not_converged_where_it_would_start_once_more():
    found = hessian.power_iteration(tf.negative, start(6), num_products=1)
    assert found.value < 0 and not found.converged


def test_lanczos_at_an_eigenvalue_of_zero_ends_at_rounding_or_uses_all_products():
    H = -np.diag(np.arange(30.0) > 0).astype(float)
    for tolerance, least, most in ((1e-4, 2, 10), (0.0, 30, 30)):
        found = hessian.lanczos(operator(H), start(30), tolerance=tolerance)
        assert abs(found.value) < 1e-12 and found.converged
        assert least <= found.iterations <= most


def test_no_eigenvalue_below_a_known_one_of_zero_is_reported():
    null = tf.constant([1.0, 0.0])
    pair = hessian.EigenPair(*map(tf.constant, (-0.5, [0.0, 1.0], 0.1, 7, False)))
    known = hessian.at_least_zero(pair, null)
    assert (known.value, known.residual, known.iterations, known.converged) == (0, 0, 7, False)
    np.testing.assert_array_equal(known.vector, null)
    positive = pair._replace(value=tf.constant(0.5))
    for a, b in zip(hessian.at_least_zero(positive, null), positive, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_kernel_without_a_second_derivative_is_named():
    """Bilinear resizing: the tape would return a wrong Hessian and say nothing."""
    x = [tf.constant(np.random.default_rng(0).normal(size=(1, 3, 3, 1)))]

    @functools.partial(tf.function, autograph=False)  # it would hide the kind of error
    def product(method):
        return hessian.hessian_vector_product(
            lambda x: tf.reduce_sum(tf.image.resize(x[0], (6, 6), method) ** 3), x, start(9)
        )

    with pytest.raises(LookupError, match="ResizeBilinearGrad"):
        product("bilinear")
    with pytest.raises(LookupError, match="ResizeNearestNeighborGrad"):
        product("nearest")


def test_operator_in_a_loop_equals_separate_products():
    """The passes that it shares are captured by the loop of the graph."""
    A = tf.constant(np.random.default_rng(1).normal(size=(4, 4)))
    alpha = [tf.constant(np.random.default_rng(2).normal(size=4))]

    def loss(alpha):
        return tf.reduce_sum(tf.tanh(tf.linalg.matvec(A, alpha[0])) ** 2)

    @tf.function
    def both():
        operator = hessian.hessian_operator(loss, alpha)
        H = hessian.full_hessian(operator, 4, dtype=tf.float64)
        at_once = hessian.full_hessian(operator, 4, dtype=tf.float64, vectorized=True)
        rows = [
            hessian.hessian_vector_product(loss, alpha, row)
            for row in tf.unstack(tf.eye(4, dtype=tf.float64))
        ]
        return H, tf.stack(rows), at_once

    H, separate, at_once = both()
    np.testing.assert_allclose(H, separate, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(H, at_once, rtol=1e-12, atol=1e-14)
