"""Runs that are killed between two steps, and what they leave, in this process."""

import numpy as np
import tensorflow as tf

from rdarts_tf.engine import epochs
from rdarts_tf.runs.files import load_npz


def interrupt(patch, kind, *, epoch, step):
    """Ends a run after so many steps of an epoch, its checkpoint written, as a signal does.

    Args:
        kind: class of the run.
        step: 0: it is not ended.
    """

    def blocks(self, label, block, first, *, num_steps=None, before=lambda: None):
        end = num_steps or self.num_steps
        if num_steps is None and self.epoch == epoch and first == 0 and step:
            block(tf.constant(0), tf.constant(step))
            self.first_step = step
            self.run_dir.save_checkpoint(self._arrays(), epoch=epoch, step=step)
            raise epochs.Interrupted("killed", 137)
        block(tf.constant(first), tf.constant(end))

    patch.setattr(kind, "_blocks", blocks)


def made_once(make, variables):
    """`make`, which later gives what it made first, with the variables that it had: runs of a test trace once.

    Args:
        make: a class or function.
        variables: what is made -> its variables.
    """
    made, begun = [], []

    def again(*args, **kwargs):
        if not made:
            made.append(make(*args, **kwargs))
            begun.extend(v.numpy() for v in variables(made[0]))
        for v, value in zip(variables(made[0]), begun, strict=True):
            v.assign(value)
        return made[0]

    return again


def assert_same_arrays(one, two):
    """Of two files of arrays."""
    a, b = load_npz(one), load_npz(two)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
