"""Loads TensorFlow without its chatter, of which some looks like errors."""

import contextlib
import os
import pathlib
import sys
import tempfile

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_SILENT = "3"
_NVIDIA = pathlib.Path("/proc/driver/nvidia/version")


def load_tensorflow(say=None):
    """Imports TensorFlow and finds its devices; silent unless the user sets TF_CPP_MIN_LOG_LEVEL below 3.

    Args:
        say: called with a sentence where there is a GPU that TensorFlow cannot use; None: print to stderr.
    """
    with silence():
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if not gpus and _NVIDIA.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1"):
        (say or _to_stderr)(
            'this machine has an NVIDIA GPU that TensorFlow cannot use, the CPU computes; pip install ".[cuda]", '
            f"or set {_LEVEL}=0 and CUDA_VISIBLE_DEVICES to see why"
        )


def silence():
    """A context in which what libraries write to the error stream is kept back, if the user lets it."""
    silent = os.environ.setdefault(_LEVEL, _SILENT) == _SILENT
    return _kept_back() if silent else contextlib.nullcontext()


def _to_stderr(sentence):
    print(sentence, file=sys.stderr)


@contextlib.contextmanager
def _kept_back():
    """Keeps what libraries write to the error stream; it is shown where an exception leaves the block."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        stream = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stream, kept.read())
            raise
        finally:
            os.dup2(stream, 2)
            os.close(stream)
