"""Random search with weight sharing (Li & Talwalkar 2019; Zela et al. 2020, sec. 5)."""

import numpy as np

from rdarts_tf.errors import UserError
from rdarts_tf.methods import base

_MOST = 1_000_000
AUTHORS_STEPS = 50 * 25000 // 64  # 19,531, for every data set


class Method(base.Method):
    """Each step trains one sampled architecture of the supernet; at the end the best of many is taken.

    Architectures are uniform: per cell type and node as many distinct predecessors as a derived cell
    keeps, and on each of these edges a primitive, `noise` included and `none`, too, but in recurrent
    cells. There is no alpha, hence no lambda_max: the flags of the alpha step and of curvature have
    no effect.

    Args:
        n_samples: architectures that a selection draws.
        score_batches: validation batches on which each of them is scored; each has its own.
        top: so many of the best are scored again on the whole validation split, and the best is the
            result.
        score_every: epochs between further selections, whose results metrics.jsonl shows; 0: none.
        budget: "epochs": --epochs of the data set; "authors": the 19,531 steps that their code takes
            for every data set, while the learning rate still falls over --epochs.
    Raises:
        UserError: a value that cannot be.
    Differs from: see `search_steps.PathSearch`; further, no architecture is scored twice in a selection.
    """

    def __init__(self, n_samples=1000, score_batches=10, top=10, score_every=0, budget="epochs"):
        for name, value, low in (
            ("n_samples", n_samples, 1),
            ("score_batches", score_batches, 1),
            ("top", top, 1),
            ("score_every", score_every, 0),
        ):
            if type(value) is not int or not low <= value <= _MOST:
                raise UserError(
                    f"method argument {name}={repr(value)[:60]} must be a whole number of at least "
                    f"{low}, {_MOST:,} at most"
                )
        if top > n_samples:
            raise UserError(
                f"method argument top={top} must be at most n_samples={n_samples}; write "
                f"top={n_samples}"
            )
        if budget not in ("epochs", "authors"):
            raise UserError(f"unknown budget {budget!r}; there are: epochs, authors")
        self.selection = base.Selection(n_samples, score_batches, top, score_every)
        self.budget, self.extends = budget, budget == "epochs"

    def check(self, config):
        """Raises UserError where `config` asks for what only a search with alpha has."""
        if (drop_path_prob := getattr(config, "drop_path_prob", 0)) > 0:
            raise UserError(
                f"random_ws drops no paths; leave out --drop_path_prob={drop_path_prob}"
            )
        if config.hessian_spectrum:
            raise UserError("random_ws has no curvature; leave out --hessian_spectrum")
        if getattr(config, "sync_batch_norm", False):
            raise UserError(
                "random_ws computes only what is sampled, which cannot wait for other devices; leave "
                "out --sync_batch_norm"
            )

    def edge_weights(self, space, rng, num):
        """Samples `num` architectures, see `base.Method.edge_weights`."""
        return {t: self._sample(cell, rng, num) for t, cell in space.cells.items()}

    def _sample(self, cell, rng, num):
        num_edges, num_ops = cell.alpha_shape
        weights = np.zeros((num, num_edges, num_ops), np.float32)
        targets = np.array([node for node, _ in cell.edges])
        for node, num_kept in enumerate(cell.kept):
            incoming = np.flatnonzero(targets == node)
            order = np.argsort(rng.random((num, len(incoming))), axis=1)  # a permutation a row
            kept = incoming[order[:, :num_kept]]  # [num, num_kept]
            ops = self._ops(cell, rng, kept)
            weights[np.arange(num)[:, None], kept, ops] = 1.0
        return weights

    def _ops(self, cell, rng, kept):
        """A primitive for each edge of kept [num, num_kept]."""
        names = cell.primitives[0]
        if cell.samples_none or "none" not in names:
            return rng.integers(len(names), size=kept.shape)
        drawn = rng.integers(len(names) - 1, size=kept.shape)
        return drawn + (drawn >= names.index("none"))

    def total_steps(self, config, epoch_steps):
        """Steps of the whole run, see `base.Method.total_steps`.

        Raises:
            UserError: the authors' budget is longer than --epochs.
        """
        steps = super().total_steps(config, epoch_steps)
        if self.budget == "epochs":
            return steps
        if steps < AUTHORS_STEPS:
            raise UserError(
                f"budget=authors is {AUTHORS_STEPS} steps, but --epochs={config.epochs} of "
                f"{epoch_steps} steps are {steps}; take --epochs={-(-AUTHORS_STEPS // epoch_steps)} "
                "or more, or budget=epochs"
            )
        return AUTHORS_STEPS
