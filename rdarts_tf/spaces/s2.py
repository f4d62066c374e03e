"""S2: skip connection or separable convolution on every edge (Zela et al. 2020, sec. 3)."""

from rdarts_tf.spaces.base import uniform

SPACE = uniform("s2", ("skip_connect", "sep_conv_3x3"))
