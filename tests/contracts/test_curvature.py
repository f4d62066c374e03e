"""Curvature of a one-cell network: the solvers agree, batches and draws are what they should be."""

import functools
import types

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import hessian
from rdarts_tf.engine import curvature
from rdarts_tf.layers import primitives
from tests.contracts.test_training import RATES, make


def batch(seed, size=6):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(size, 8, 8, 1)).astype(np.float32)
    return tf.constant(images), tf.constant(rng.integers(3, size=size).astype(np.int32))


@pytest.fixture(scope="module")
def search():
    search = make(drop_path_prob=0.2)
    for alpha in search.net.alphas.values():  # away from symmetry
        values = np.random.default_rng(3).normal(size=alpha.shape)
        alpha.assign(values)
    return search


def rates(drop_path_prob=0.0):
    return RATES | {"drop_path_prob": drop_path_prob}


def measured(search, eigensolver, *, batches=(0,)):
    solver = curvature.Curvature(search, eigensolver=eigensolver, tolerance=1e-4)
    return solver.measure([batch(b) for b in batches], epoch=0, rates=rates())


@pytest.fixture(scope="module")
def full(search):
    return measured(search, "full")


def test_the_full_hessian_is_symmetric_and_flat_along_each_edge(full):
    H = full.hessian
    np.testing.assert_array_equal(H, H.T)
    edges = np.kron(np.eye(len(H) // 3), np.ones((3, 1)))
    assert np.abs(H @ edges).max() <= 1e-5 * np.abs(H).max()
    np.testing.assert_allclose(full.spectrum, np.linalg.eigvalsh(H), atol=1e-6)
    assert full.lambda_max == full.spectrum[-1]
    assert full.products == len(H)


def test_the_hessian_is_that_of_the_loss(search, full):
    """Second differences of the loss; float32 leaves three digits at this step."""
    alpha = [a.value for a in search.net.alphas.values()]
    loss = search.loss(batch(0), search.key(0, 0, curvature.CURVATURE), rates=rates())
    w = search.weights()
    v, step = full.vector, 0.1

    def along(t):
        parts = np.split(t * v, np.cumsum([a.shape.num_elements() for a in alpha])[:-1])
        return float(loss(w, [a + p.reshape(a.shape) for a, p in zip(alpha, parts, strict=True)]))

    second = (-along(2 * step) + 16 * along(step) - 30 * along(0) + 16 * along(-step)) / 12
    second = (second - along(-2 * step) / 12) / step**2
    assert second == pytest.approx(full.lambda_max, rel=2e-2)


@pytest.mark.parametrize("eigensolver", ["power", "lanczos"])
def test_products_find_the_largest_eigenvalue(search, full, eigensolver):
    found = measured(search, eigensolver)
    assert abs(found.lambda_max - full.lambda_max) <= found.error_bound + 1e-6
    assert found.lambda_max == pytest.approx(full.lambda_max, rel=1e-4)
    assert found.hessian is found.spectrum is None


def test_two_batches_give_the_mean_of_their_hessians(search, full):
    """The second batch has a draw of its own, so the first one's Hessian is left."""
    both = measured(search, "full", batches=(0, 0))
    twice = measured(search, "lanczos", batches=(0, 0))
    assert both.products == 2 * full.products
    assert np.abs(both.hessian - full.hessian).max() > 1e-4  # the noise of the second
    assert twice.lambda_max == pytest.approx(both.lambda_max, rel=1e-4)


def test_one_draw_an_epoch_and_no_second_trace(search):
    solver = curvature.Curvature(search, eigensolver="full", tolerance=1e-3)

    def hessian(epoch, drop_path_prob=0.1):
        return solver.measure([batch(0)], epoch=epoch, rates=rates(drop_path_prob)).hessian

    first = hessian(0)
    np.testing.assert_array_equal(first, hessian(0))
    assert np.abs(first - hessian(1)).max() > 1e-4
    assert np.abs(first - hessian(0, drop_path_prob=0.5)).max() > 1e-4
    assert solver._solve.experimental_get_tracing_count() == 1


def test_max_pooling_has_the_same_second_derivative_in_a_graph_every_time():
    """At stride 1 and "SAME" TensorFlow's own was wrong in every second call or so."""
    pool = primitives.Pool(2, kind="max")
    pool.build((None, 8, 8, 2))
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(16, 8, 8, 2)).astype(np.float32))
    p = [tf.constant([0.3, 0.7])]
    v = tf.constant([1.0, -2.0])

    def loss(p):  # p moves what is pooled twice
        y = pool(p[0][0] * x + p[0][1] * x**2, training=True)
        return tf.reduce_mean(tf.tanh(pool(p[0][0] * y + x, training=True)) ** 2)

    product = functools.partial(hessian.hessian_vector_product, loss, p)
    expected = product(v).numpy()  # eager: the tape holds on to what the kernel would overwrite
    traced = tf.function(product, autograph=False)
    for _ in range(30):
        np.testing.assert_allclose(traced(v), expected, rtol=1e-4)


each_solver = pytest.mark.parametrize("eigensolver", ["power", "lanczos", "full"])
RNG = np.random.default_rng(0)
B = RNG.normal(size=(9, 9)) @ (np.eye(9) - np.kron(np.eye(3), np.ones((3, 3)) / 3))  # B 1_edge = 0


@pytest.fixture
def given(monkeypatch):
    """given(H, eigensolver) -> curvature.Curvature of three edges with three primitives whose Hessian is H."""

    def given(H, eigensolver, tolerance=1e-3, **limits):
        matvec = functools.partial(tf.linalg.matvec, tf.constant(H, tf.float32))
        monkeypatch.setattr(curvature.Curvature, "_operator", lambda *_: matvec)
        search = types.SimpleNamespace(
            net=types.SimpleNamespace(alphas={"cell": tf.Variable(tf.zeros((3, 3)))}),
            strategy=tf.distribute.get_strategy(),
            alpha_dtype=tf.float32,
            key=lambda *_: [0, 1],
        )
        return curvature.Curvature(search, eigensolver=eigensolver, tolerance=tolerance, **limits)

    return given


def measure(solver):
    return solver.measure([batch(0)], epoch=0, rates=rates())


@each_solver
def test_the_largest_eigenvalue_is_meant_not_the_largest_in_magnitude(given, eigensolver):
    basis = np.linalg.svd(B)[2][:6]  # of all that is not flat
    H = basis.T @ np.diag([2.0, -3.0, 0.5, -1.0, 0.2, 0.1]) @ basis
    found = measure(given(H, eigensolver, tolerance=1e-4))
    assert found.lambda_max == pytest.approx(2, rel=1e-4)
    assert found.converged and found.trouble() == ""
    error = np.linalg.norm(H @ found.vector - found.lambda_max * found.vector)
    assert found.error_bound == pytest.approx(error, abs=1e-4)


@each_solver
def test_lambda_max_is_never_below_zero(given, eigensolver):
    """Where all else is negative the softmax of each edge leaves 0, rounding or not."""
    H = -B.T @ B
    for rounding in (0.0, 1e-3):
        found = measure(given(H - rounding * np.eye(9), eigensolver))
        assert 0 <= found.lambda_max <= 1e-4 and found.error_bound <= 1e-2
        assert np.linalg.norm(H @ found.vector) <= 2e-2
        assert np.linalg.norm(found.vector) == pytest.approx(1, rel=1e-6)


@each_solver
def test_a_hessian_that_is_not_finite_has_no_eigenvalue(given, eigensolver):
    before = measure(given(B.T @ B, eigensolver)).vector
    solver = given(np.full((9, 9), np.nan), eigensolver)
    solver.vector.assign(before)
    found = measure(solver)
    assert np.isnan(found.lambda_max) and "not finite" in found.trouble()
    row = found.row()
    names = ("lambda_max", "error_bound", "converged")
    assert [row[f"curvature/{name}"] for name in names] == [None] * 3
    np.testing.assert_array_equal(before, solver.vector)


@pytest.mark.parametrize("eigensolver", ["power", "lanczos"])
def test_a_coarser_tolerance_saves_products(given, eigensolver):
    """What --hessian_tolerance is for: hessian_tolerance is `tolerance`."""
    coarse, fine = (measure(given(B.T @ B, eigensolver, tolerance)) for tolerance in (0.1, 1e-4))
    assert fine.error_bound < coarse.error_bound
    assert coarse.products < fine.products
    limited = measure(given(B.T @ B, eigensolver, 1e-4, num_products=2))
    assert limited.products == 2 and not limited.converged
    assert "has not converged; raise --hessian_products" in limited.trouble()


def test_a_measurement_starts_where_the_last_one_ended(given):
    solver = given(B.T @ B, "power", 1e-4)
    first, second = measure(solver), measure(solver)
    assert second.products < first.products
    np.testing.assert_array_equal(solver.vector, second.vector)
