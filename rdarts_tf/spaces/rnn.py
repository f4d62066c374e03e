"""The recurrent space of DARTS (Liu et al. 2019, sec. 3.1.2): 8 nodes, 36 edges, five primitives on each."""

from rdarts_tf.spaces.base import recurrent

SPACE = recurrent("rnn", ("none", "tanh", "relu", "sigmoid", "identity"))
