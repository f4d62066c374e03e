"""The full space of DARTS (Liu et al. 2019): eight primitives on every edge."""

from rdarts_tf.spaces.base import uniform

SPACE = uniform(
    "darts",
    (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
)
