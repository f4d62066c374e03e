"""Runs commands in processes of their own: one task after the other, or several at a time with Ray.

A task is a run directory and the commands that fill it. Each of them goes on where it was, so that a
task that was cut off is simply started again. What they print goes to log.txt in the directory.
"""

import ctypes
import dataclasses
import importlib.util
import os
import pathlib
import signal
import socket
import subprocess
import sys

from rdarts_tf.errors import UserError
from rdarts_tf.runs.files import NotWritten
from rdarts_tf.runs.progress import Stop
from rdarts_tf.runs.task_table import LOG, Table

_POLL_SECONDS = 1.0
_RETRIES = 3  # of a task whose worker died
_INSIDE = "RDARTS_TF_TASK"  # set for the processes of a task: their own tasks run one by one


@dataclasses.dataclass(frozen=True)
class Task:
    """Commands that fill a run directory, one after the other, up to the first that fails.

    Attributes:
        name: for the user.
        commands: arguments of the Python interpreter, e.g. ("-m", "rdarts_tf.search", "--seed=1").
        folder: the run directory.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    folder: pathlib.Path


class Stopped(Exception):
    """A signal ended the tasks; `exit_code` is 128 + its number."""

    def __init__(self, exit_code):
        super().__init__("stopped; the same command goes on from there")
        self.exit_code = exit_code


class Failed(Exception):
    """Tasks ended with another exit code than 0; the message names their logs."""


def check(tasks, codes):
    """Raises Failed unless all `tasks` ended with exit code 0.

    Args:
        codes: {name: exit code}, see `run`.
    """
    failed = [task for task in tasks if codes[task.name] != 0]
    if failed:
        told = "; ".join(f"{task.name}, see {task.folder / LOG}" for task in failed)
        raise Failed(f"{len(failed)} of {len(tasks)} runs failed: {told}")


def run(tasks, settings, *, say=print):
    """Runs all tasks and shows how far they are.

    Args:
        tasks: list of Task.
        settings: config.ExecutorConfig.
        say: called with each line for the user.
    Returns:
        {name of the task: exit code of its last command}; 0: all of them succeeded.
    Raises:
        Stopped: by a signal, see `progress.Stop`; the running commands were told so and have ended.
        UserError: Ray is asked for and not installed, or cannot be reached.
    """
    run_all = _run_with_ray if _uses_ray(settings) else _run_locally
    with Stop.on_signals() as stop:
        return run_all(tasks, settings, Table(tasks, say), stop)


def _uses_ray(settings):
    installed = importlib.util.find_spec("ray") is not None
    if settings.executor == "auto":
        return installed and _INSIDE not in os.environ
    if settings.executor == "ray" and not installed:
        raise UserError("--executor=ray needs Ray; pip install 'rdarts-tf[ray]', or leave it out")
    return settings.executor == "ray"


def _run_locally(tasks, settings, table, stop):
    codes = {}
    for task in tasks:

        def tick(name=task.name):
            table.show(codes, running=[name])
            if stop.requested:
                raise Stopped(stop.exit_code)

        codes[task.name] = run_task(task, tick=tick)
        table.show(codes, running=[])
    return codes


def run_task(task, *, threads=None, tick=lambda: None):
    """Runs the commands of a task; the exit code of the last one that ran.

    Args:
        threads: of TensorFlow's thread pools; None: its default.
        tick: called about every second; what it raises ends the task.
    """
    with _log(task.folder / LOG) as log:
        for command in task.commands:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(threads),
                start_new_session=True,  # a Ctrl-C of the terminal reaches it once, through us
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
            try:
                code = _wait(process, tick)
            except BaseException:  # KeyboardInterrupt, too: it writes a checkpoint
                process.terminate()
                process.wait()
                raise
            if code:
                return code
    return 0


def _log(path):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "ab")
    except OSError as error:
        raise NotWritten.of(path, error.strerror) from error


def _wait(process, tick):
    while True:
        try:
            return process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            tick()


def _environment(threads):
    pools = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return os.environ | {_INSIDE: "1"} | (dict.fromkeys(pools, str(threads)) if threads else {})


_SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent():
    """A command must not outlive the process that will start it again."""
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def _run_with_ray(tasks, settings, table, stop):
    import ray

    _connect(ray, settings.address)
    try:
        return _collect(ray, _submit(ray, tasks, settings), table, stop)
    finally:
        ray.shutdown()


def _connect(ray, address):
    """Raises UserError if there is no cluster at `address`; None starts one on this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"include_dashboard": False} if address is None else {}
    try:
        if address and ":" in address:  # Ray itself would try for minutes
            host, port = address.split("://")[-1].rsplit(":", 1)
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **quiet)
    except Exception as error:  # Ray raises plain ones, too
        what = f"reach a Ray cluster at --address={address}" if address else "start Ray here"
        raise UserError(f"cannot {what}: {error}; --executor=local does without") from error


def _submit(ray, tasks, settings):
    """{reference of a result: task}."""
    resources = ray.cluster_resources()
    cpus = settings.cpus_per_run or max(1, (os.cpu_count() or 1) // len(tasks))
    gpus = settings.gpus_per_run
    if gpus is None:
        gpus = 1 if resources.get("GPU") else 0
    if cpus > resources.get("CPU", 0) or gpus > resources.get("GPU", 0):
        raise UserError(
            f"a run needs --cpus_per_run={cpus} and --gpus_per_run={gpus}, the machines have "
            f"{resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}; take fewer"
        )
    start = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=_RETRIES)(_in_folder)
    return {start.remote(task, os.getcwd(), cpus, gpus): task for task in tasks}


def _in_folder(task, folder, cpus, gpus):
    """What a worker runs: paths of the commands are relative to the folder of the user."""
    os.chdir(folder)
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # Ray hides those that it gives to others only
    return run_task(task, threads=cpus)


def _collect(ray, pending, table, stop):
    codes, all_tasks = {}, dict(pending)
    while pending:
        ready, _ = ray.wait(list(pending), timeout=_POLL_SECONDS)
        for reference in ready:
            codes[pending.pop(reference).name] = _result(ray, reference)
        table.show(codes)
        if stop.requested:
            _cancel(ray, pending)
            raise Stopped(stop.exit_code)
    return {task.name: codes[task.name] for task in all_tasks.values()}


def _result(ray, reference):
    kinds = ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError")
    try:
        return ray.get(reference)
    except tuple(getattr(ray.exceptions, kind) for kind in kinds):
        return 128 + signal.SIGKILL  # even the last retry died


def _cancel(ray, pending):
    """Interrupts the running tasks, which pass it on, and waits until they have ended."""
    for reference in pending:
        ray.cancel(reference)
    ray.wait(list(pending), num_returns=len(pending), timeout=120)
