"""R-DARTS(L2): four searches with rising weight decay, the best cell is selected."""

from rdarts_tf.methods import strengths


class Method(strengths.Strengths):
    """See `strengths.Strengths`; the strength is the L2 factor of the weights.

    By default 1, 3, 9 and 27 times that of plain DARTS.

    Differs from: the paper does not list its four values on images; these are the ones of its
        disparity experiments (Zela et al. 2020, tab. 2b) and of its recurrent cells (app. F).
    """

    field, factors = "weight_decay", (1, 3, 9, 27)

    def __init__(self, values=None, method="darts"):
        super().__init__(values, method)
