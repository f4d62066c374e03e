"""R-DARTS(L2): four searches with rising weight decay, the best cell is selected."""

from rdarts_tf.methods import strengths


class Method(strengths.Strengths):
    """See `strengths.Strengths`; the strength is the L2 factor of the weights.

    Differs from: the paper does not list its four values on images; these are the ones of its
        disparity experiments (Zela et al. 2020, tab. 2b).
    """

    field = "weight_decay"

    def __init__(self, values=(3e-4, 9e-4, 27e-4, 81e-4), method="darts"):
        super().__init__(values, method)
