"""How sharp the validation loss of a search is in architecture space, measured between epochs.

H is the Hessian of L_valid(w, alpha) in alpha at the present weights, on the validation batches of an
epoch's last alpha steps, BatchNorm in training mode, one draw of noise and drop path for all of H
(Zela et al. 2020, sec. 4.1; the authors' code). H of several batches is the mean of theirs.
"""

import time
import typing

import numpy as np
import tensorflow as tf

from rdarts_tf import bilevel, hessian
from rdarts_tf.engine import distribution
from rdarts_tf.methods import tracker

CURVATURE = 22  # stream of random draws, beside those of `weight_steps`
_START = 23
_MAX_PRODUCTS = 200  # of each batch's Hessian
_FRESH = 0.1  # part of the start that is random, so that a new direction is not missed


class Measured(typing.NamedTuple):
    """One measurement; arrays of numpy.

    Attributes:
        lambda_max: float; NaN if the Hessian is not finite.
        error_bound: ||H v - lambda_max v||: an eigenvalue of H is this close.
        converged: whether the products sufficed for the tolerance.
        vector: v [n].
        products: with H, of one batch each.
        seconds: of wall clock; the first measurement of a process includes tracing.
        hessian: H [n, n], or None where only products were taken.
        spectrum: eigenvalues, ascending [n], or None.
    """

    lambda_max: float
    error_bound: float
    converged: bool
    vector: np.ndarray
    products: int
    seconds: float
    hessian: np.ndarray | None
    spectrum: np.ndarray | None

    def row(self):
        """What metrics.jsonl tells of it; without a finite number lambda_max is missing."""
        found = self.lambda_max, self.error_bound, self.converged
        value, error_bound, converged = found if np.isfinite(self.lambda_max) else [None] * 3
        return {
            tracker.LAMBDA_MAX: value,
            "curvature/error_bound": error_bound,
            "curvature/converged": converged,
            "curvature/products": self.products,
            "curvature/seconds": self.seconds,
        }

    def trouble(self):
        """What the user must know of it; "" if nothing."""
        if not np.isfinite(self.lambda_max):
            return "the Hessian is not finite; its lambda_max is recorded as missing"
        told = f"lambda_max {self.lambda_max:.3g} +- {self.error_bound:.1g} has not converged"
        return "" if self.converged else f"{told}; raise --hessian_products or --hessian_tolerance"


class Curvature:
    """Measures H of a search; the eigenvector found is where the next measurement starts.

    Args:
        search: search_steps.Search.
        eigensolver: "power", "lanczos" or "full".
        tolerance: relative; of power iteration for the residual, of Lanczos for the value.
        num_products: with each batch's Hessian at most, but for "full".
    """

    def __init__(self, search, *, eigensolver, tolerance, num_products=None):
        self.search, self.eigensolver = search, eigensolver
        self.limits = {"tolerance": tolerance, "num_products": num_products or _MAX_PRODUCTS}
        self.n = sum(alpha.shape.num_elements() for alpha in search.net.alphas.values())
        with search.strategy.scope():
            self.vector = tf.Variable(tf.zeros(self.n, search.alpha_dtype), trainable=False)

    def measure(self, batches, *, epoch, rates):
        """Measured on a list of global batches of one size.

        Args:
            epoch: whose random draws are made.
            rates: {name: float} of the epoch.
        Raises:
            LookupError: an operation has no second derivative.
        """
        start = time.monotonic()
        batches_in_one = tf.nest.map_structure(lambda *parts: tf.stack(parts), *batches)
        rates = {name: tf.constant(rate, tf.float32) for name, rate in rates.items()}
        pair, H, spectrum = self._solve(batches_in_one, tf.constant(epoch), rates)
        if np.isfinite(pair.value):
            self.vector.assign(pair.vector)
        return Measured(
            float(pair.value),
            float(pair.residual),
            bool(pair.converged),
            pair.vector.numpy(),
            int(pair.iterations) * len(batches),
            time.monotonic() - start,
            None if H is None else H.numpy(),
            None if spectrum is None else spectrum.numpy(),
        )

    @tf.function(autograph=False)
    def _solve(self, batches, epoch, rates):
        """(EigenPair, H or None, spectrum or None)."""
        matvec = self._operator(batches, epoch, rates)
        num_ops = next(iter(self.search.net.alphas.values())).shape[1]
        first_edge = tf.cast(tf.range(self.n) < num_ops, self.vector.dtype)
        null = first_edge / tf.norm(first_edge)
        if self.eigensolver == "full":
            pair, *found = self._full(hessian.full_hessian(matvec, self.n, dtype=null.dtype))
            return hessian.at_least_zero(pair, null), *found
        fresh = tf.random.stateless_normal(
            [self.n], self.search.key(epoch, 0, _START), dtype=self.vector.dtype
        )
        v0 = tf.convert_to_tensor(self.vector) + _FRESH * fresh / tf.norm(fresh)
        solve = {"power": hessian.power_iteration, "lanczos": hessian.lanczos}[self.eigensolver]
        return hessian.at_least_zero(solve(matvec, v0, **self.limits), null), None, None

    def _full(self, H):
        finite = tf.reduce_all(tf.math.is_finite(H))
        values, vectors = tf.linalg.eigh(tf.where(finite, H, tf.zeros_like(H)))
        values = tf.where(finite, values, tf.fill([self.n], tf.constant(np.nan, H.dtype)))
        value, v = values[-1], vectors[:, -1]
        residual = bilevel.global_norm([tf.linalg.matvec(H, v) - value * v])
        return hessian.EigenPair(value, v, residual, tf.constant(self.n), finite), H, values

    def _operator(self, batches, epoch, rates):
        """v -> H v. On one device and batch the passes that do not depend on v are run once."""
        search, num_batches = self.search, tf.nest.flatten(batches)[0].shape[0]

        def batch_of(index):
            return tf.nest.map_structure(lambda part: part[index], batches)

        def loss(batch, index):
            of_w = search.loss(batch, search.key(epoch, index, CURVATURE), rates=rates)
            w = search.weights()
            return lambda alpha: of_w(w, alpha), search.alpha()

        if search.strategy.num_replicas_in_sync == num_batches == 1:
            return hessian.hessian_operator(*loss(batch_of(0), 0))

        def product(v, batch, index):
            of_alpha, alpha = loss(batch, index)
            return hessian.hessian_vector_product(
                of_alpha, alpha, v, all_mean=distribution.all_mean
            )

        def add(index, total, v):
            hv = search.first(search.strategy.run(product, args=(v, batch_of(index), index)))
            return index + 1, total + hv, v

        def matvec(v):
            state = (tf.constant(0), tf.zeros_like(v), v)
            return tf.while_loop(lambda i, *_: i < num_batches, add, state)[1] / num_batches

        return matvec
