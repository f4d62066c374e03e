"""DARTS-ADA: when the curvature grows, go back and regularise more strongly (Zela et al. 2020)."""

import dataclasses
import operator

from rdarts_tf.errors import UserError
from rdarts_tf.methods import base, tracker

# regularizer: (field of the configuration, next strength of (strength, increase), increase, maximum)
REGULARIZERS = {
    "l2": ("weight_decay", operator.mul, 10, 3e-2),
    "drop_path": ("drop_path_prob", operator.add, 0.2, 0.6),
}


_MOST = 100  # rollbacks


class Method(base.Method):
    """DARTS with adaptive regularisation of the inner problem.

    The test of DARTS-ES, see `darts_es.Method`. Where it fires with stop epoch s, and the next
    strength R' of the regulariser is at most its maximum: go on from the end of epoch s with R'.
    l2: R' = increase * R, R the weight decay; drop_path: R' = R + increase, R the probability in the
    last epoch, with cutout as the configuration gives it for R'. The search keeps its length: epochs
    s + 1, ..., with their own learning rates. Zela et al. 2020, sec. 4.3, 5.3, alg. 1.

    Args:
        preset, window, delta, factor, start_epoch, frequency: see `darts_es.Method`.
        regularizer: "l2" or "drop_path"; R starts at the configuration's weight_decay or
            drop_path_prob.
        increase: None: 10 for l2 (eta of alg. 1), 0.2 for drop_path.
        maximum: of R; None: 0.03 for l2 (R_max), 0.6 for drop_path.
    Attributes:
        rule: tracker.StopRule.
    Raises:
        UserError: a value that cannot be.
    Differs from: alg. 1 tests R <= R_max before the increase and so could exceed it; here, as in the
        authors' numbers, no R does. Their code compares rounded logarithms of R and R_max instead,
        and misses the end when R steps over it. After a rollback it still averages over curvature of
        the abandoned branch, and takes virtual steps with the old weight decay; here neither.
        drop_path is not in the paper's ADA; its values are the grid of sec. 5.3.
    """

    def __init__(self, preset="authors", *, regularizer="l2", increase=None, maximum=None, **rule):
        self.rule = tracker.stop_rule(preset, **rule)
        self.frequency, self.window = self.rule.frequency, self.rule.window
        if regularizer not in tuple(REGULARIZERS):
            raise UserError(
                f"unknown regularizer {regularizer!r}; there are: {', '.join(REGULARIZERS)}"
            )
        self._field, self._next, *defaults = REGULARIZERS[regularizer]
        self.increase = defaults[0] if increase is None else increase
        self.maximum = defaults[1] if maximum is None else maximum
        self._check(least=1 if regularizer == "l2" else 0)

    def _check(self, *, least):
        """Raises UserError unless an increase increases and the maximum can be reached."""
        more, most = f"a number greater than {least}", "a number greater than 0"
        tracker.check_number("increase", self.increase, lambda x: x > least, more)
        tracker.check_number("maximum", self.maximum, lambda x: x > 0, most)
        if self._field == "drop_path_prob":
            tracker.check_number("maximum", self.maximum, lambda x: x < 1, "less than 1")

    def check(self, config):
        """Raises UserError where not even the first rollback could increase the regulariser."""
        base.check_field(config, self._field, "darts_ada")
        if len(self._strengths(config)) == 1:
            raise UserError(
                f"darts_ada cannot increase --{self._field}={getattr(config, self._field)} with "
                f"increase={self.increase}, maximum={self.maximum}; lower the one or raise the other, "
                "or take --method=darts_es"
            )
        self.strongest(config).check_values()

    def _strengths(self, config):
        """R after 0, 1, ... rollbacks: [3e-4, 3e-3, 3e-2]."""
        strengths = [getattr(config, self._field)]
        while True:
            following = self._next(strengths[-1], self.increase)
            if not strengths[-1] < following <= self.maximum * (1 + 1e-6):
                return strengths
            strengths.append(following)
            if len(strengths) > _MOST:
                raise UserError(
                    f"darts_ada with increase={self.increase} takes more than {_MOST} steps to "
                    f"maximum={self.maximum}; take a larger increase"
                )

    def in_force(self, config, epoch, *, num_rollbacks=0):
        """`config` as after so many rollbacks, at most as many as are possible."""
        strengths = self._strengths(config)
        strength = strengths[min(num_rollbacks, len(strengths) - 1)]
        return dataclasses.replace(config, **{self._field: strength})

    def strongest(self, config):
        return dataclasses.replace(config, **{self._field: self._strengths(config)[-1]})

    def after_epoch(self, config, history, *, num_rollbacks=0):
        epoch = self.rule.stop_epoch(history)
        if epoch is None or num_rollbacks >= len(self._strengths(config)) - 1:
            return base.CONTINUE
        return base.Rollback(epoch)

    def may_return_to(self, epoch):
        return epoch >= self.rule.start_epoch and epoch % self.rule.frequency == 0

    def oldest_epoch_needed(self, num_epochs_done):
        """The checkpoint of the earliest rollback that is decided after the last epoch or later.

        The last epoch is included: its decision may come after its checkpoint.
        """
        frequency = self.rule.frequency
        last = max(num_epochs_done - 1, 0)
        earliest = max(last - self.rule.lag_epochs, self.rule.start_epoch)
        stop_epoch = -(-earliest // frequency) * frequency  # rounded up to an evaluation
        return min(stop_epoch + 1, num_epochs_done)
