"""Where a run was computed: another machine or version rounds otherwise.

environment.json is a list of what `present` gives, each with the "epoch" from which on it holds.
"""

import hashlib
import os
import pathlib
import platform

import keras
import numpy as np
import tensorflow as tf

import rdarts_tf

_FILE = "environment.json"
_SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "OMP_NUM_THREADS", "XLA_FLAGS")
_SWITCHES += ("TF_XLA_FLAGS", "NVIDIA_TF32_OVERRIDE", "TF_USE_CUDNN_AUTOTUNE")
_CPUINFO = pathlib.Path("/proc/cpuinfo")


def present():
    """{name: value} of this process, ready for JSON; None: not set, or not to be known."""
    cpu = _cpu()
    flags = cpu.get("flags") or cpu.get("Features")
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "rdarts_tf": rdarts_tf.__version__,
        "cpu": cpu.get("model name") or cpu.get("CPU part") or platform.machine(),
        "cpu_flags": flags and _digest(flags),
        "cores": _cores(),
        "intra_op_threads": os.environ.get("TF_NUM_INTRAOP_THREADS"),
        "inter_op_threads": os.environ.get("TF_NUM_INTEROP_THREADS"),
        "gpus": _gpus(),
        "switches": {name: os.environ[name] for name in _SWITCHES if name in os.environ},
    }


def note(run_dir, epoch, say, **more):
    """Records that a run goes on here from an epoch on, and tells what is other than before.

    Args:
        run_dir: runs.run_dir.RunDir.
        epoch: which is begun next; what was recorded from there on is forgotten.
        say: called with a sentence where something differs.
        more: {name: value} that is like it, such as the number of replicas.
    """
    recorded, now = run_dir.read_json(_FILE) or [], present() | more
    kept = [each for each in recorded if each["epoch"] < epoch]
    if kept and (differing := _differing(recorded[-1], now)):
        say(f"{', '.join(differing)}: the last digits may differ from an uninterrupted run")
    if not kept or _differing(kept[-1], now):
        kept.append({"epoch": epoch} | now)
    if kept != recorded:
        run_dir.write_json(_FILE, kept)


def _differing(before, now):
    """["cores 2 -> 1", ...]."""
    return [
        f"{name} {_told(before.get(name))} -> {_told(value)}"
        for name, value in now.items()
        if before.get(name) != value
    ]


def _told(value):
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "unset" if value is None else str(value)[:40]


def _cpu():
    """{key: value} of the first processor in /proc/cpuinfo; {} where there is none."""
    if not _CPUINFO.exists():
        return {}
    lines = _CPUINFO.read_text().split("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _digest(flags):
    return hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:12]


def _cores():
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _gpus():
    """The names of the GPUs."""
    devices = tf.config.list_physical_devices("GPU")
    details = (tf.config.experimental.get_device_details(device) for device in devices)
    return [each.get("device_name", "unknown") for each in details]
