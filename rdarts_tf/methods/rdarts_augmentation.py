"""R-DARTS by augmentation: searches with rising variance of all augmentations, the best cell is selected."""

from rdarts_tf.methods import strengths


class Method(strengths.Strengths):
    """See `strengths.Strengths`; the strength is what the variances are multiplied by.

    Zela et al. 2020, app. E, tab. 2a, for disparity estimation. Trainings from scratch are augmented
    alike.
    """

    field = "augmentation_scale"

    def __init__(self, values=(0.0, 0.1, 0.5, 1.0, 1.5, 2.0), method="darts"):
        super().__init__(values, method)
