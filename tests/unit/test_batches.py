"""Iterators over data sets."""

import tensorflow as tf

from rdarts_tf.engine.batches import iterate


def test_nothing_is_tuned_for_which_the_end_of_an_iterator_would_wait():
    dataset = tf.data.Dataset.range(9).map(lambda x: 2 * x, num_parallel_calls=tf.data.AUTOTUNE)
    iterator = iterate(dataset.prefetch(tf.data.AUTOTUNE))
    assert [int(x) for x in iterator] == [2 * x for x in range(9)]
    assert iterator._dataset.options().autotune.enabled is False
