"""The inner loop of an evaluation: blocks of weight steps of a derived network, a tf.function."""

import tensorflow as tf

from rdarts_tf.engine.weight_steps import VALIDATE, WEIGHT, WeightTraining


class Evaluation(WeightTraining):
    """The weight steps of a derived network; see `weight_steps.WeightTraining`."""

    def __init__(self, problem, net, *, config, strategy, seed):
        super().__init__(problem, net, config=config, strategy=strategy, seed=seed)
        self._run_train_step = self._compiled(self._train_step)
        self._run_test_step = self._compiled(self._test_step)

    @tf.function
    def train_block(self, iterator, first, last, epoch, rates):
        """Runs the steps first .. last - 1 of an epoch, or up to the first loss that is not finite.

        Args:
            iterator: of global batches.
            first, last, epoch: int32 scalars.
            rates: {name: float32 scalar}, "learning_rate" among them.
        Returns:
            (int32 the first step that was not run, float32 the loss of the last one that was).
        """
        return self._run_block(self._run_train_step, iterator, first, last, epoch, rates)

    @tf.function
    def test_block(self, iterator, first, last, epoch):
        """As `validate_block`, of the pass that judges the best weights."""
        for step in tf.range(first, last):
            self.strategy.run(self._run_test_step, args=(next(iterator), step, epoch))

    def _test_step(self, batch, step, epoch):
        self._score(batch, self.key(epoch, step, VALIDATE), stream="test")

    def _train_step(self, batch, step, epoch, rates):
        key, rates = self.key(epoch, step, WEIGHT), self.scaled(rates, batch)

        def forward(w):
            mode = {"training": True, "regularized": True}
            return self._pass(w, batch, key, rates=rates, stream="train", **mode)

        return self._weight_step(self.weights(), forward, batch, rates)
