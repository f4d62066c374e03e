"""What a search method decides. No TensorFlow: the decisions are functions of recorded numbers."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Regularization:
    """Of one epoch of the inner problem.

    Attributes:
        weight_decay: L2 factor lambda.
        drop_path_prob: of each edge's output.
        cutout_probability: of each image.
    """

    weight_decay: float
    drop_path_prob: float
    cutout_probability: float


class Method:
    """Plain DARTS; other methods override what differs."""

    def regularization(self, config, epoch):
        """Regularization of `epoch`: constant L2, drop path as a linear ramp (Zela et al. 2020, sec. 5.1).

        Args:
            config: config.SearchConfig.
            epoch: from 0.
        """
        progress = epoch / max(config.epochs - 1, 1)
        cutout = config.cutout_prob if config.use_cutout else 0.0
        return Regularization(
            weight_decay=config.weight_decay,
            drop_path_prob=config.drop_path_prob * progress,
            cutout_probability=cutout * (progress if config.cutout_ramp else 1.0),
        )

    def oldest_epoch_needed(self, num_epochs_done):
        """Checkpoints of fewer finished epochs may be deleted."""
        return num_epochs_done
