"""The reduced recurrent space of ReLU and identity (Zela et al. 2020, app. F).

Differs from: the paper does not say whether `none` stays; here it does not.
"""

from rdarts_tf.spaces.base import recurrent

SPACE = recurrent("rnn_reduced", ("relu", "identity"))
