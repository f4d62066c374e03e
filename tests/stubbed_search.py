"""The search without its steps: everything else of a run is real and takes a second."""

from unittest import mock

import numpy as np
import tensorflow as tf

from rdarts_tf.engine import curvature, distribution, search_steps, summaries


def replace_steps(monkeypatch):
    """Blocks of steps do nothing, with a loss of 0.5, lambda_max is 1; no TensorBoard.

    Returns:
        list that receives (epoch, first step, last step, {rate: number}) of each training block.
    """
    blocks = []

    def search_block(self, iterator, first, last, epoch, rates):
        numbers = {name: float(rate) for name, rate in rates.items()}
        blocks.append((int(epoch), int(first), int(last), numbers))
        return last, tf.constant(0.5)

    def measure(self, batches, *, epoch, rates):
        v = np.zeros(self.n)
        return curvature.Measured(1.0, 0.0, True, v, len(batches), 0.1, None, None)

    monkeypatch.setattr(curvature.Curvature, "measure", measure)
    monkeypatch.setattr(search_steps.Search, "search_block", search_block)
    monkeypatch.setattr(search_steps.Search, "validate_block", lambda *args: None)
    monkeypatch.setattr(summaries, "SearchSummaries", mock.MagicMock())
    # Its settings hold for the rest of the process, other tests included.
    monkeypatch.setattr(distribution, "configure_runtime", lambda: None)
    return blocks
