"""When an evaluation turns to averaged SGD. No TensorFlow."""

PATIENCE = 5


def switch_epoch(losses):
    """The first epoch whose loss is worse than the best of all before it but the last PATIENCE; or None.

    The non-monotone trigger of Merity et al. 2018, sec. 2: averaging begins with the epoch after it.

    Args:
        losses: validation losses of the epochs 0, 1, ...
    """
    for epoch, loss in enumerate(losses):
        if epoch > PATIENCE and loss > min(losses[: epoch - PATIENCE]):
            return epoch
    return None
