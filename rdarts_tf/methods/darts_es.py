"""DARTS-ES: stop when the curvature grows, take the architecture from before (Zela et al. 2020)."""

from rdarts_tf.methods import base, tracker


class Method(base.Method):
    """DARTS with early stopping on lambda_max of the Hessian of L_valid w.r.t. alpha.

    After epoch f i, with j = i - window // 2: stop if LA_j / LA_{j-k} > factor and
    f (j - k) >= start_epoch; the result is the architecture of epoch f (j - k). LA_j is the mean of
    the evaluations j - window // 2 .. j + window // 2. Zela et al. 2020, sec. 4.3.

    Args:
        preset: "authors": f = 2, window 5, k = 4, factor 1.3, start epoch 10; "paper": f = 1,
            window 5, k = 5, factor 1 / 0.75, start epoch 0.
        window, delta, factor, start_epoch, frequency: see `tracker.StopRule`; None: the preset's.
            delta is k, frequency f.
    Attributes:
        rule: tracker.StopRule.
    Raises:
        UserError: a value that cannot be.
    Differs from: the paper counts window and lag in epochs, the authors' code in evaluations; the
        presets give both. The authors' lambda_max has 1e-3 added by the weight decay of alpha, ours
        has not. Their test is off when weight decay is near ADA's maximum; ours is not.
    """

    stops = True

    def __init__(self, preset="authors", **rule):
        self.rule = tracker.stop_rule(preset, **rule)
        self.frequency, self.window = self.rule.frequency, self.rule.window

    def after_epoch(self, config, history, *, num_rollbacks=0):
        epoch = self.rule.stop_epoch(history)
        return base.CONTINUE if epoch is None else base.Stop(epoch)
