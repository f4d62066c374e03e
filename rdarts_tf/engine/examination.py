"""What a trained network answers, example by example, for its task to look at."""

import numpy as np
import tensorflow as tf

from rdarts_tf.engine.batches import iterate


def answers(problem, net, batches):
    """Yields (outputs, batch) of one pass in inference mode as arrays.

    Args:
        problem: tasks.base.Problem of an evaluation.
        net: its trained network.
        batches: tf.data.Dataset.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def answer(batch):
        seed = tf.constant([0, 0])
        return problem.loss(net, batch, [], rates={}, seed=seed, training=False).outputs

    for batch in iterate(batches):
        yield tf.nest.map_structure(np.asarray, (answer(batch), batch))


def mean(found):
    """The mean of several dicts of numbers, dicts and lists; None where one has None."""
    first = found[0]
    if isinstance(first, dict):
        return {key: mean([each[key] for each in found]) for key in first}
    if isinstance(first, list):
        return [mean(list(each)) for each in zip(*found, strict=True)]
    return None if any(each is None for each in found) else sum(found) / len(found)
