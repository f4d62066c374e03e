"""Distribution: which strategy, which part of a batch, the mean over replicas, what workers agree on.

Workers are the processes of `--strategy=multi_worker`. Each builds the same pipelines and graphs, takes
the same decisions and calls the same functions of this file in the same order.
"""

import contextlib
import faulthandler
import signal

import numpy as np
import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from rdarts_tf import errors
from rdarts_tf.config import workers
from rdarts_tf.errors import UserError
from rdarts_tf.layers import sums
from rdarts_tf.runs import rendezvous

_START_SECONDS = 120.0  # workers wait so long for each other
_HEARTBEAT_SECONDS = 30.0  # a worker that is silent for so long is lost
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


class WorkerLost(Exception):
    """Another worker has ended or cannot be reached."""


def configure_runtime():
    """Settings of the whole process, before anything is traced.

    No TensorFloat-32: its 10 bits are too few for the statistics of BatchNorm and for curvature. On
    CPU deterministic kernels and sums, since a resumed run promises the same bits, and no Grappler: on
    graphs of second derivatives it takes longer than tracing and gains nothing measurable.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
        sums.order_gradients()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def hide_gpus():
    """Leaves the GPUs to other processes; call it before TensorFlow does anything."""
    if tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def make_strategy(name):
    """The strategy that `--strategy` names.

    Args:
        name: "one" (the first GPU, else the CPU), "mirrored" (all GPUs; without any, all logical
            CPUs), "auto" (mirrored with two or more GPUs) or "multi_worker" (all devices of the
            processes that TF_CONFIG names; to be made before TensorFlow does anything else).
    Raises:
        UserError: the other workers cannot be reached.
    """
    if name == "multi_worker":
        return _join()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(devices)


def _join():
    """The strategy over all workers, once all of them are there."""
    me = workers.read()
    tf.get_logger().setLevel("WARNING")  # it tells of every traced collective
    jobs = [coordination_config_pb2.CoordinatedJob(name=j, num_tasks=n) for j, n in me.jobs.items()]
    # As the strategy itself would do, but for the time in which a lost worker is noticed.
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{next(iter(me.jobs))}/replica:0/task:0",
        cluster_register_timeout_in_ms=int(1000 * _START_SECONDS),
        heartbeat_timeout_in_ms=int(1000 * _HEARTBEAT_SECONDS),
        coordinated_jobs=jobs,
    )
    rendezvous.meet(me, seconds=_START_SECONDS)
    faulthandler.dump_traceback_later(_START_SECONDS, exit=True)  # should a worker end right now
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    gather(strategy, [0])
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # TensorFlow took it
    return strategy


@contextlib.contextmanager
def errors_told(strategy_name):
    """Within, what TensorFlow raises is the UserError of a pipeline or, where a worker is lost, WorkerLost."""
    errors.take_kept()  # of a former run in this process
    try:
        yield
    except tf.errors.OpError as error:
        if (kept := errors.take_kept()) is not None:
            raise kept from None
        if strategy_name != "multi_worker" or not isinstance(error, _LOST):
            raise
        raise WorkerLost(
            f"another worker has ended or cannot be reached ({_first_line(error)}); start the same "
            "commands again, they go on from the last checkpoint"
        ) from error


def _first_line(error):
    """What an error of TensorFlow says, without where in the graph it was."""
    text = str(error).rpartition("Collective ops is aborted by: ")[2]
    return text.strip().partition("\n")[0]


def gather(strategy, numbers):
    """What each worker has: float64 [workers, n]; every worker has to call it.

    Args:
        numbers: list of n of this worker.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return np.array([numbers], np.float64)
    me = workers.read()
    table = np.zeros([len(me.addresses), len(numbers)])
    table[me.rank] = numbers
    replicas = strategy.num_replicas_in_sync // len(me.addresses)  # of a worker
    return _total(strategy, tf.constant(table)).numpy() / replicas


@tf.function(autograph=False)
def _total(strategy, table):
    # An operation of the replica: what is summed needs a device.
    totals = strategy.run(lambda: all_sum([tf.identity(table)])[0])
    return strategy.experimental_local_results(totals)[0]


@contextlib.contextmanager
def chief_first(strategy):
    """The chief does what is within before all others do; every worker has to enter it."""
    is_chief = not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or (
        workers.read().is_chief
    )
    if not is_chief:
        gather(strategy, [0])
    yield
    if is_chief:
        gather(strategy, [0])


def check_same(strategy, remedy, **numbers):
    """Compares numbers over workers; every worker has to call it.

    Raises:
        UserError: they differ; in all workers.
    """
    found = gather(strategy, list(numbers.values()))
    for rank, row in enumerate(found):
        for name, own, chief in zip(numbers, row, found[0], strict=True):
            if own != chief:
                raise UserError(
                    f"worker {rank} has {name} {own:.0f} and the chief {chief:.0f}; {remedy}"
                )


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


def mean_by_rows(tensors, batch):
    """Mean over replicas of each tensor of a list, weights the rows that each has of a global batch."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return tensors
    mine, rows = (tf.shape(part[0])[0] for part in (local_part(batch), batch))
    return all_sum([tf.cast(mine / rows, x.dtype) * x for x in tensors])


def fold_in_replica(key):
    """A key int32 [2] of this replica's own; the same as given where there is only one."""
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return key
    return tf.random.fold_in(key, replica.replica_id_in_sync_group)


def _all_reduce(op, tensors):
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1 or not tensors:
        return tensors
    return replica.all_reduce(op, list(tensors))
