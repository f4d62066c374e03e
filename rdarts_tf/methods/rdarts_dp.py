"""R-DARTS(DP): four searches with rising drop path, the best cell is selected."""

from rdarts_tf.methods import strengths


class Method(strengths.Strengths):
    """See `strengths.Strengths`; the strength is the drop path probability of the last epoch.

    There is cutout where it is greater than 0, as --cutout=auto gives it. Zela et al. 2020, sec. 5.1.
    """

    field, maximum = "drop_path_prob", 1.0

    def __init__(self, values=(0.0, 0.2, 0.4, 0.6), method="darts"):
        super().__init__(values, method)
