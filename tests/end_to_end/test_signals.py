"""Commands and signals: at once and without a traceback wherever a run does not take them."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
COMMAND = (sys.executable, "-m", "rdarts_tf.search", "--space=tests.toy_task", "--epochs=400")
COMMAND += ("--dataset=tests.toy_task", "--hessian_every=0", "--keep_checkpoints=2")


def _as_from_a_terminal():
    for number in (signal.SIGINT, signal.SIGHUP):  # which may be ignored here
        signal.signal(number, signal.SIG_DFL)


def start(folder):
    return subprocess.Popen(
        [*COMMAND, f"--run_dir={folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=_as_from_a_terminal,
    )


def wait_for(condition, process):
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.1)


def loads(process, library):
    """Whether a process has begun to load a library."""
    with open(f"/proc/{process.pid}/maps") as file:
        return any(library in line for line in file)


@pytest.mark.parametrize("library", ["numpy", "tensorflow"])
def test_a_signal_while_importing_ends_at_once(tmp_path, library):
    process = start(tmp_path / "run")
    wait_for(lambda: loads(process, library), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT  # 130 in a shell
    assert "Traceback" not in err and out == ""


def test_a_closed_terminal_leaves_a_checkpoint(tmp_path):
    run = tmp_path / "run"
    process = start(run)
    wait_for(lambda: list(run.glob("checkpoints/*.npz")), process)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 129 and "the same command goes on from there" in err
    assert "Traceback" not in err


def test_closed_standard_streams_get_nothing_and_break_nothing(tmp_path):
    command = shlex.join([*COMMAND, "--epochs=1", f"--run_dir={tmp_path / 'run'}"])
    ended = subprocess.run(
        f"exec {command} <&- >&- 2>&-", shell=True, check=False, env=ENVIRONMENT, timeout=120
    )
    assert ended.returncode == 0
    assert (tmp_path / "run" / "genotype.json").is_file()


def test_a_reader_that_goes_is_one_sentence(tmp_path):
    command = shlex.join([*COMMAND, f"--run_dir={tmp_path / 'run'}"])
    ended = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "error: nobody reads what is printed any more" in ended.stderr
