"""TensorFlow starts silently, unless it fails or the user wants to hear it."""

import os
import subprocess
import sys

import pytest

from rdarts_tf.engine import startup


@pytest.fixture(scope="module")
def heard():
    """stderr of a process that loads TensorFlow, by the user's TF_CPP_MIN_LOG_LEVEL."""
    code = "from rdarts_tf.engine import startup; startup.load_tensorflow(lambda line: None)"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return {
        level: subprocess.run(
            [sys.executable, "-c", code],
            env=environment | ({"TF_CPP_MIN_LOG_LEVEL": level} if level else {}),
            capture_output=True,
            check=True,
        ).stderr
        for level in (None, "0")
    }


def test_nothing_is_heard_by_default(heard):
    assert heard[None] == b""
    assert heard["0"] != b""


def test_what_was_kept_back_is_shown_of_a_failure(capfd):
    with startup._kept_back():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), startup._kept_back():
        os.write(2, b"the reason\n")
        raise ImportError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


@pytest.mark.parametrize(
    ("gpus", "driver", "visible", "told"),
    [
        ([], True, None, True),
        ([], True, "-1", False),
        ([], False, None, False),
        (["GPU"], True, None, False),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told(monkeypatch, tmp_path, gpus, driver, visible, told):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(startup, "_NVIDIA", tmp_path if driver else tmp_path / "none")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    said = []
    startup.load_tensorflow(said.append)
    assert bool(said) == told
    assert all("NVIDIA GPU that TensorFlow cannot use" in line for line in said)
