r"""Curvature of the validation loss in architecture space: H = d^2 L_valid / d alpha^2 (Zela et al. 2020, sec. 4).

The largest eigenvalue of H foretells how the architecture generalises. It is the *algebraic*
maximum; the dominant eigenvalue in magnitude may be another, negative one.

Letters: H symmetric [n, n], n the entries of all alphas together, row-major, one cell type after
the other, cross blocks included; v direction [n]; lambda eigenvalue; Hv = H v. A matvec is a
function v -> H v. Each edge's softmax is blind to a shift of its alphas, so H 1_edge = 0: zero is
always an eigenvalue and lambda_max >= 0.
"""

import typing

import numpy as np
import tensorflow as tf

from rdarts_tf.bilevel import global_norm, gradient, identity

# The authors differentiate the gradient plus weight decay: theirs is H + AUTHORS_SHIFT I.
AUTHORS_SHIFT = 1e-3


class EigenPair(typing.NamedTuple):
    """An approximate eigenpair.

    Attributes:
        value: lambda, scalar.
        vector: [n], of unit length.
        residual: ||H vector - lambda vector||; some eigenvalue of H is this close to lambda.
        iterations: products with H, int32.
        converged: whether they were as many as the tolerance needs, bool.
    """

    value: tf.Tensor
    vector: tf.Tensor
    residual: tf.Tensor
    iterations: tf.Tensor
    converged: tf.Tensor


def hessian_vector_product(loss, alpha, v, *, all_mean=identity):
    """H v, reverse over reverse (Pearlmutter 1994): d/d alpha of (dL/d alpha . v).

    Args:
        loss: (alpha) -> scalar, of this replica's part of the batch.
        alpha: list of tensors, n entries together.
        v: [n].
        all_mean: list of tensors -> their means over the replicas.
    Returns:
        [n].
    Raises:
        LookupError: an operation without a second derivative; of those that TensorFlow passes over in
            silence, only when traced.
    """
    return hessian_operator(loss, alpha, all_mean=all_mean)(v)


def hessian_operator(loss, alpha, *, all_mean=identity):
    """v -> H v, with all that does not depend on v computed once: L, dL/d alpha and what lies between.

    Args, Raises: as `hessian_vector_product`.
    Returns:
        matvec. It may be called in a loop of the graph in which it was made; with several replicas
        not, since they cannot meet there.
    """
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as outer:
        outer.watch(alpha)
        g = flatten(gradient(loss, alpha, of=alpha))
    _check_second_derivatives()

    def matvec(v):
        return flatten(all_mean(outer.gradient(g, alpha, v, unconnected_gradients="zero")))

    return matvec


def full_hessian(matvec, n, *, dtype=tf.float32, vectorized=False):
    """H, a product with each unit vector, made symmetric.

    Args:
        matvec: v [n] -> H v [n].
        n: entries of all alphas.
        vectorized: all rows in one call, not one by one: on a small S2 (3 cells, 8 channels) half the
            time, three times the memory and the tracing.
    Returns:
        [n, n].
    """
    rows = tf.vectorized_map if vectorized else tf.map_fn
    H = rows(matvec, tf.eye(n, dtype=dtype))
    return (H + tf.transpose(H)) / 2


def spectrum(H):
    """Eigenvalues of symmetric H [n, n], ascending: [n].

    Differs from: the authors' general eigensolver, whose order is arbitrary and whose result may
        be complex.
    """
    return tf.linalg.eigvalsh(H)


def power_iteration(matvec, v0, *, num_products=200, tolerance=1e-4):
    r"""Eigenpair of the largest algebraic eigenvalue of a symmetric operator.

    v <- (H + s I) v / ||(H + s I) v|| with s = 0, until the residual ||Hv - lambda v|| of
    lambda = v.Hv is at most tolerance times the larger of ||(H + s I) v|| and ||Hv||. Where that ends
    at a negative lambda, or after half of the products nowhere because lambda and -lambda compete, once
    more with s = ||Hv||, which makes the algebraic maximum of H the dominant eigenvalue.

    Args:
        matvec: v [n] -> H v [n]; linear, symmetric.
        v0: [n], not orthogonal to the answer; the last epoch's vector is a good one.
        num_products: at most.
    Returns:
        EigenPair.
    Differs from: the authors form H row by row and take max(eigvals(H)).
    """
    v0 = _unit(v0)

    def step(i, done, s, v, _):
        hv, i = matvec(v), i + 1
        shifted, value = hv + s * v, tf.reduce_sum(v * hv)
        residual = _norm(hv - value * v)
        settled = residual <= tolerance * tf.maximum(_norm(shifted), _norm(hv))
        shift = (s == 0) & tf.where(settled, value < 0, 2 * i >= num_products)
        done = (settled & ~shift) | (i >= num_products) | ~tf.math.is_finite(value)
        following = tf.where(_norm(shifted) > 0, _unit(shifted), v)
        pair = EigenPair(value, v, residual, i, settled & ~shift)
        return i, done, tf.where(shift, _norm(hv), s), tf.where(shift, v0, following), pair

    zero = tf.zeros((), v0.dtype)
    pair = EigenPair(zero, v0, zero, tf.constant(0), tf.constant(False))
    state = (tf.constant(0), tf.constant(False), zero, v0, pair)
    return EigenPair(*tf.while_loop(lambda i, done, *_: ~done, step, state)[-1])


def lanczos(matvec, v0, *, num_products=200, tolerance=0.0):
    r"""Eigenpair of the largest algebraic eigenvalue from a Krylov space (Lanczos 1950).

    q_{j+1} is H q_j, orthogonalised against all q_1 .. q_j and scaled to unit length; lambda is the
    largest eigenvalue of T = Q^T H Q, the residual is that of its vector Q y. Where the Krylov space
    is exhausted, it goes on with a direction that it lacks. It ends early when lambda moved by at
    most tolerance |lambda|, or rounding, in two products running, and its estimated error, the residual
    or, if less, residual^2 over the gap to the second eigenvalue of T (Parlett 1980, sec. 11.7), was as
    small after both. After a single one, a start almost orthogonal to the answer would deceive it.

    Args:
        matvec: v [n] -> H v [n]; linear, symmetric.
        v0: [n], not orthogonal to the answer.
        num_products: at most n are used.
        tolerance: relative, of the value; 0 uses all products.
    Returns:
        EigenPair.
    """
    n = v0.shape[0]
    k = min(num_products, n)

    def step(j, settled, q, Q, HQ, last):
        hq = matvec(q)
        Q = tf.tensor_scatter_nd_update(Q, [[j]], [q])
        HQ = tf.tensor_scatter_nd_update(HQ, [[j]], [hq])
        value, vector, residual, error = _ritz(Q[: j + 1], HQ[: j + 1])
        rounding = np.finfo(v0.dtype.as_numpy_dtype).eps * _norm(HQ)
        allowed = tf.maximum(tolerance * tf.abs(value), rounding)
        quiet = tf.maximum(tf.abs(value - last.value), error) <= allowed
        settled = tf.where(quiet, settled + 1, 0)
        r = _orthogonal(hq, Q)
        missing = tf.one_hot(tf.argmin(tf.reduce_sum(Q**2, axis=0)), n, dtype=v0.dtype)
        q = _unit(tf.where(_norm(r) > 1e3 * rounding, r, _orthogonal(missing, Q)))
        converged = ((settled >= 2) | (j + 1 == n)) & tf.math.is_finite(value)
        return j + 1, settled, q, Q, HQ, EigenPair(value, vector, residual, j + 1, converged)

    def unsettled(j, settled, q, Q, HQ, pair):
        return (j < k) & ((settled < 2) | (tolerance == 0)) & tf.math.is_finite(pair.value)

    zeros, zero = tf.zeros((k, n), v0.dtype), tf.zeros((), v0.dtype)
    pair = EigenPair(zero, tf.zeros_like(v0), zero, tf.constant(0), tf.constant(False))
    state = (tf.constant(0), tf.constant(0), _unit(v0), zeros, zeros, pair)
    return EigenPair(*tf.while_loop(unsettled, step, state)[-1])


def _ritz(Q, HQ):
    """(lambda, vector, residual, estimated error) of the largest Ritz pair of the rows of Q [j, n] and HQ."""
    T = tf.matmul(Q, HQ, transpose_b=True)
    finite, scale = tf.reduce_all(tf.math.is_finite(T)), _norm(T)
    T = tf.where(finite, tf.math.divide_no_nan((T + tf.transpose(T)) / 2, scale), tf.zeros_like(T))
    values, Y = tf.linalg.eigh(T)
    value = tf.where(finite, scale * values[-1], np.nan)
    vector, hv = (tf.linalg.matvec(A, Y[:, -1], transpose_a=True) for A in (Q, HQ))
    residual = _norm(hv - value * vector)
    gap = scale * (values[-1] - tf.concat([[-np.inf], values], axis=0)[-2])
    error = residual * tf.math.divide_no_nan(residual, tf.maximum(gap, residual))
    return value, vector, residual, error


def at_least_zero(pair, null):
    """`pair`, or where its value is negative that of `null` [n], of which H null = 0 is known."""
    zero, negative = tf.zeros_like(pair.value), pair.value < 0
    known = EigenPair(zero, null, zero, pair.iterations, pair.converged)
    return EigenPair(*(tf.where(negative, k, p) for k, p in zip(known, pair, strict=True)))


def flatten(tensors):
    """List of tensors -> [n]."""
    return tf.concat([tf.reshape(x, [-1]) for x in tensors], axis=0)


def _orthogonal(v, Q):
    """v without its components along the rows of Q; done twice, once leaves rounding behind."""
    for _ in range(2):
        v -= tf.linalg.matvec(Q, tf.linalg.matvec(Q, v), transpose_a=True)
    return v


def _unit(v):
    return tf.math.divide_no_nan(v, _norm(v))


def _norm(x):
    return global_norm([x])


# Kernels whose derivative TensorFlow declares absent: a tape passes over them without a word.
_SILENT = (
    "ResizeBilinearGrad",
    "FakeQuantWithMinMaxArgsGradient",
    "FakeQuantWithMinMaxVarsGradient",
)


def _check_second_derivatives():
    if tf.executing_eagerly():
        return
    for operation in tf.compat.v1.get_default_graph().get_operations():
        if operation.type in _SILENT:
            raise LookupError(f"{operation.type} has no derivative in TensorFlow")
