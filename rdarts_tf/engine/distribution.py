"""Distribution: which strategy, which part of a batch, and the mean over replicas."""

import tensorflow as tf


def configure_runtime():
    """Settings of the whole process, before anything is traced.

    No TensorFloat-32: its 10 bits are too few for the statistics of BatchNorm and for curvature. On
    CPU deterministic kernels, since a resumed run promises the same bits, and no Grappler: on
    graphs of second derivatives it takes longer than tracing and gains nothing measurable.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def hide_gpus():
    """Leaves the GPUs to other processes; call it before TensorFlow does anything."""
    if tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def make_strategy(name):
    """The strategy that `--strategy` names.

    Args:
        name: "one" (the first GPU, else the CPU), "mirrored" (all GPUs; without any, all logical
            CPUs), or "auto" (mirrored with two or more GPUs).
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(devices)


def local_part(batch):
    """The rows of a global batch that this replica works on; call it in replica context.

    Every replica is handed the same global batch, so that splits are even to one row, whatever the
    size of the batch, and the pipeline knows nothing of the strategy.

    Args:
        batch: tuple or list of tensors [B, ...].
    Returns:
        the same of [b, ...], the b of all replicas sum to B.
    """
    replica = tf.distribute.get_replica_context()
    n = replica.num_replicas_in_sync
    if n == 1:
        return batch
    i = replica.replica_id_in_sync_group
    return type(batch)(x[tf.shape(x)[0] * i // n : tf.shape(x)[0] * (i + 1) // n] for x in batch)


def whole(part):
    """The inverse of `local_part` for one tensor; call it in replica context."""
    replica = tf.distribute.get_replica_context()
    return part if replica.num_replicas_in_sync == 1 else replica.all_gather(part, axis=0)


def all_mean(tensors):
    """Mean over replicas of each tensor of a list; differentiable; call it in replica context."""
    return _all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


def all_sum(tensors):
    """Sum over replicas of each tensor of a list; differentiable; call it in replica context."""
    return _all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def fold_in_replica(key):
    """A key int32 [2] of this replica's own; the same as given where there is only one."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return key
    return tf.random.fold_in(key, replica.replica_id_in_sync_group)


def _all_reduce(op, tensors):
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return tensors
    return replica.all_reduce(op, list(tensors))
