"""The check of a GPU on the CPU, its children in this process."""

import json
import time

import numpy as np
import pytest

from benchmarks import gpu_check, gpu_child, search_step
from rdarts_tf.spaces import base, s5

TINY = {"cells": 1, "channels": 2, "batch": 2, "size": 8}
NOTHING = ["--parity", "--bits", "--space", "--peer=none", "--rounds=1", "--steps=1"]


class Here:
    """A `search_step.Child` without a process."""

    rss_gib = 0.5

    def __init__(self, space, case, options, *, script):
        if options["jit"] == "true" and case in search_step.CASES:
            raise RuntimeError("XLA cannot")
        self.step, start = gpu_child.begin(space, case, options), time.monotonic()
        self.step()
        self.first_seconds, self.told = time.monotonic() - start, gpu_child.device()

    def seconds(self, steps):
        return min(steps, 0.25)

    def close(self):
        pass


@pytest.fixture
def check(monkeypatch, capsys):
    """(flags) -> (exit code, lines of the table)."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    monkeypatch.setattr(search_step, "Child", Here)
    monkeypatch.setattr(gpu_check, "SMALL", TINY)

    def check(*flags):
        code = gpu_check.main([*NOTHING, *flags])
        lines = capsys.readouterr().out.splitlines()
        return code, [line for line in lines if line.startswith("| ")][2:]

    return check


@pytest.fixture
def small(monkeypatch):
    """The name of a space that is traced in seconds."""
    cell = base.uniform("s5", ("skip_connect", "dil_conv_3x3"), num_nodes=1)
    monkeypatch.setattr(s5, "SPACE", cell)
    return "s5"


@pytest.mark.slow
def test_the_cpu_has_the_numbers_of_the_cpu(check, small):
    code, lines = check("--parity", small, "--jit_compile=false")
    assert code == 0, lines
    for dtype in ("float64", "float32"):
        rows = [line for line in lines if f", {dtype}, CPU beside CPU | " in line]
        assert {row.split(" | ")[1].split(",")[0] for row in rows} == {*gpu_check.FLOORS}


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(small, tmp_path):
    files = {name: str(tmp_path / f"{name}.npz") for name in ("middle", "whole", "resumed")}
    for name in gpu_check.RUNS:
        options = {"middle": files["middle"], "file": files[name], "deterministic": True}
        gpu_child.resume(small, options | {"sizes": TINY})
    middle, whole, resumed = (dict(np.load(file)) for file in files.values())
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    assert not np.array_equal(middle["adam/m/reduce"], whole["adam/m/reduce"])


@pytest.fixture
def numbers(monkeypatch):
    """What the numbers of the device are multiplied by, {dtype: factor}; the CPU's own 1.001 in float32."""
    factors = {}

    def write(space, options):
        own = 1 + 1e-3 * (options["dtype"] == "float32")
        factor = factors.get(options["dtype"], own) if options["gpu"] else own
        arrays = {f"{name}/x": np.array([3.0, -4.0]) * factor for name in gpu_check.FLOORS}
        np.savez(options["file"], **arrays, **{"alpha gradient/zero": np.zeros(2)})

    monkeypatch.setitem(gpu_child.JOBS, "numbers", write)
    return factors


@pytest.mark.parametrize(
    "dtype, factor, missed",
    [
        ("float64", 1 + 0.9e-9, False),
        ("float64", 1 + 1.1e-9, True),
        ("float64", np.nan, True),
        ("float32", 1 + 0.9e-2, False),  # ten times what the CPU's own is off
        ("float32", 1 + 1.1e-2, True),
    ],
)
def test_a_difference_beyond_the_tolerance_is_a_miss(check, numbers, dtype, factor, missed):
    numbers[dtype] = factor
    code, lines = check("--parity", "s5")
    assert code == missed
    assert len(lines) == 3 * len(gpu_check.FLOORS)
    for line in lines:
        assert ("MISSED" in line) == (missed and f", {dtype}" in line), line


@pytest.fixture
def resume(monkeypatch):
    """Whose resumed runs end elsewhere, {deterministic: whether they do, or what is raised}."""
    found = {True: False, False: False}

    def write(space, options):
        if isinstance(found[options["deterministic"]], Exception):
            raise found[options["deterministic"]]
        moved = found[options["deterministic"]] and "resumed" in options["file"]
        for file in (options["file"], options["middle"]):
            np.savez(file, **{"weights/x": np.array([1.0, moved])})

    monkeypatch.setitem(gpu_child.JOBS, "resume", write)
    return found


def test_bits_that_differ_with_deterministic_kernels_are_a_miss(check, resume):
    resume[True] = True
    code, (own, default) = check("--bits", "s2")
    assert code == 1
    assert "| resumed, deterministic kernels, CPU | differ by 1.0e+00 |  MISSED |" in own
    assert "| resumed, default kernels, CPU | the same bits |" in default


def test_without_deterministic_kernels_their_lack_and_the_difference_are_told(check, resume):
    resume[True], resume[False] = RuntimeError("graph\n [[node]]\nnone of them\n"), True
    code, lines = check("--bits", "s2")
    assert code == 0
    assert "| whole, deterministic: failed | graph none of them |" in lines[0]
    assert "| resumed, default kernels, CPU | differ by 1.0e+00 |" in lines[1]


def test_steps_beside_the_peer_and_a_compilation_that_fails(check, monkeypatch, tmp_path):
    monkeypatch.setattr(search_step, "make_step", lambda *args, **kwargs: lambda: None)
    peer, found = tmp_path / "peer.py", dict.fromkeys(search_step.PEER_KEYS.values(), 0.5)
    device = {"device": "a GPU", "device_gib": 1.5}
    monkeypatch.setattr(gpu_child, "device", lambda: device)
    on_gpu = "import sys; assert 'cuda' in sys.argv; "
    peer.write_text(on_gpu + f"print('''{json.dumps(found | {'alpha_step_seconds': 0.125})}''')")
    code, lines = check("--space", "s1", f"--peer={peer}")
    assert code == 0
    assert sum(", true: failed | XLA cannot |" in line for line in lines) == 3
    timed = [line for line in lines if ", a GPU | 0.2500 s (0.2500-0.2500) | first " in line]
    assert len(timed) == 4 and all("1.50 GiB of the device, 0.5 GiB beside" in x for x in timed)
    assert "exact 2.000, weight 0.500, finite_difference 2.000, curvature 0.500 |" in lines[-1]


def test_what_the_budget_does_not_reach_is_told(check, numbers):
    code, lines = check("--parity", "s5", "--space", "s1", "--budget_s=0")
    assert code == 1
    assert sum("0 s left of --start_s, --budget_s" in line for line in lines) == 5 + 7
    assert sum("not reached within --budget_s" in line for line in lines) == 2
    assert sum("no numbers" in line and "MISSED" in line for line in lines) == 2
