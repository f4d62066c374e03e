"""The paper's protocol for any method: searches with several seeds, the best cell is selected."""

import dataclasses

from rdarts_tf.errors import UserError
from rdarts_tf.methods import base

_MOST = 100  # searches


class Method(base.Method):
    """Searches with --seed, --seed + 1, ...; selection as in `strengths.Strengths`.

    Zela et al. 2020, tab. 3, for DARTS, DARTS-ES, DARTS-ADA and random search with weight sharing.

    Args:
        method: of each search.
        seeds: how many.
    Raises:
        UserError: a value that cannot be.
    """

    def __init__(self, method="darts", seeds=4):
        base.check_method(method)
        if not isinstance(seeds, int) or isinstance(seeds, bool) or not 1 <= seeds <= _MOST:
            raise UserError(
                f"method argument seeds={repr(seeds)[:60]} must be a whole number from 1 to {_MOST}"
            )
        self.method, self.seeds = method, seeds

    def runs(self, config):
        return {
            f"seed_{seed}": dataclasses.replace(config, method=self.method, seed=seed)
            for seed in range(config.seed, config.seed + self.seeds)
        }
