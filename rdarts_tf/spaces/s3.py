"""S3: S2 with the zero operation (Zela et al. 2020, sec. 3)."""

from rdarts_tf.spaces.base import uniform

SPACE = uniform("s3", ("none", "skip_connect", "sep_conv_3x3"))
