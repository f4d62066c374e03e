"""S4: separable convolution or Gaussian noise (Zela et al. 2020, sec. 3)."""

from rdarts_tf.spaces.base import uniform

SPACE = uniform("s4", ("noise", "sep_conv_3x3"))
