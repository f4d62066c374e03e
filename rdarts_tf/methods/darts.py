"""DARTS (Liu et al. 2019): alternate alpha and weight steps, take the last epoch's architecture."""

from rdarts_tf.methods import base


class Method(base.Method):
    """No decisions beyond the base."""
