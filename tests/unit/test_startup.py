"""TensorFlow starts silently, unless it fails or the user wants to hear it."""

import os
import pathlib
import platform
import subprocess
import sys

import pytest

from rdarts_tf.engine import startup


def heard(**environment):
    """stderr of a process that loads TensorFlow in this environment."""
    code = "from rdarts_tf.engine import startup; startup.load_tensorflow(lambda line: None)"
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=inherited | environment, capture_output=True, check=True
    ).stderr


def test_nothing_is_heard_of_tensorflow_by_default():
    assert heard() == b""


def test_the_user_may_hear_it(tmp_path):
    """A TensorFlow that is loaded at once."""
    config = "type('config', (), {'list_physical_devices': staticmethod(lambda kind: ['GPU'])})"
    source = f"import os\nos.write(2, b'chatter')\nconfig = {config}\n"
    (tmp_path / "tensorflow.py").write_text(source)
    path = f"{tmp_path}:{pathlib.Path(__file__).parents[2]}"
    assert heard(PYTHONPATH=path) == b""
    assert heard(PYTHONPATH=path, TF_CPP_MIN_LOG_LEVEL="0") == b"chatter"


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


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN is for x86")
@pytest.mark.parametrize("given", [None, "0"])
def test_onednn_is_chosen_unless_the_user_did(given):
    inherited = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    environment = inherited | ({} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given})
    code = "import os, rdarts_tf; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == (given or "1")
