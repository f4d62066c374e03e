"""Checks the package on a GPU: numbers, bits after a resume, seconds and memory; a row each, then a table.

    PYTHONPATH=. python benchmarks/gpu_check.py --peer=PATH/torch_peer.py --parallel=8 --budget_s=600

Each measurement has a process of its own: one that fails is a row that says why. `--parallel` of them
start at once, which the seconds of a first step include; then steps are timed one process after the
other. What `--budget_s` does not reach is told. Without a GPU the CPU is compared with itself, and the
rows say so. The exit code is 1 where numbers miss their tolerance or could not be compared, or bits
differ. XLA may fail, but not differ.

Numbers: a small network takes one search step from weights, momenta and batches that are the same
everywhere. Compared with those of the CPU in float64 are the loss, the exact alpha gradient, how far
weights and statistics of BatchNorm move, and a product with the Hessian in alpha. A difference is the
largest ||x - reference|| / ||reference|| of a quantity's tensors. Tolerances: in float64 1e-9, the
rounding of 1e-16 and what sums of 10^5 terms, divisions by small deviations and two derivatives make
of it. In float32 ten times what the CPU's own float32 is off, since a GPU rounds as finely and adds in
another order, but at least `FLOORS`: a ReLU or a pool whose inputs differ by less than the rounding
goes the other way on any device, and one of 10^4 moves a derivative by 10^-3 or so of itself.

Bits: four steps in one run beside two resumed from its checkpoint, with deterministic kernels and, for
comparison, TensorFlow's default ones. Where TensorFlow has no deterministic kernel, its words.
"""

import argparse
import concurrent.futures
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

from benchmarks import gpu_child, search_step

PRECISE, TIMES = 1e-9, 10
FLOORS = {"loss": 1e-5, "statistics": 1e-5, "weight step": 1e-3, "alpha gradient": 1e-3}
FLOORS |= {"Hessian product": 1e-2}
SMALL = {"cells": 3, "channels": 4, "batch": 8, "size": 16}
COMPILED = {"false": "", "true": ", XLA"}
RUNS = ("whole", "resumed")


def differences(found, reference):
    """{quantity: largest ||x - reference|| / ||reference||} of {quantity/tensor: array}."""
    largest = {}
    for name, x in found.items():
        y, quantity = np.float64(reference[name]), name.partition("/")[0]
        off, norm = np.linalg.norm(np.float64(x) - y), np.linalg.norm(y)
        off = float(off / norm if norm else np.inf * off) if off else 0.0
        largest[quantity] = max(largest.get(quantity, 0.0), np.inf if np.isnan(off) else off)
    return largest


class Check:
    """The rows so far, (space, what, value, remark), and how many of them missed."""

    def __init__(self, args, folder):
        self.args, self.folder = args, pathlib.Path(folder)
        self.rows, self.misses, self.device = [], 0, "CPU"
        self.start = time.time()

    def row(self, space, what, value, remark="", *, missed=False):
        self.rows.append((space, what, value, remark + " MISSED" * missed))
        self.misses += missed
        print(f"{time.time() - self.start:4.0f} s: {'; '.join(self.rows[-1])}", flush=True)

    def left(self):
        return self.start + self.args.budget_s - time.time()

    def children(self, asked):
        """{key: search_step.Child} after their first steps, of {key: (space, case, options)}; those that fail are rows."""
        started = {}
        with concurrent.futures.ThreadPoolExecutor(self.args.parallel) as pool:
            futures = {key: pool.submit(self._child, *of) for key, of in asked.items()}
        for key, future in futures.items():
            try:
                started[key] = future.result()
            except RuntimeError as error:
                self.row(asked[key][0], f"{', '.join(map(str, key))}: failed", reason(error))
        return started

    def _child(self, space, case, options):
        start, most = time.time(), min(self.args.start_s, self.left())
        common = {"gpu": True, "jit": "false", "sizes": SMALL, "start_s": most}
        common["end"] = start + self.left()
        try:
            if most > 1:
                return search_step.Child(space, case, common | options, script=gpu_child.__file__)
        except RuntimeError:
            if time.time() < start + most - 1:
                raise
        raise RuntimeError(f"no first step within the {most:.0f} s left of --start_s, --budget_s")

    def parity(self, spaces):
        """Compares numbers of the device with those of the CPU."""
        kinds = [(d, on, "false") for d in ("float64", "float32") for on in ("CPU", "device")]
        kinds += [("float32", "device", "true")] * ("true" in self.args.jit_compile)
        asked, found = {}, {}
        for space in spaces:
            for dtype, on, jit in kinds:
                file = str(self.folder / f"{space}_{dtype}_{on}_{jit}.npz")
                options = {"dtype": dtype, "gpu": on == "device", "jit": jit, "file": file}
                asked[dtype, on, jit, space] = (space, "numbers", options)
        for key, child in self.children(asked).items():
            found[key] = dict(np.load(asked[key][2]["file"]))
            self.device = child.told["device"] if key[1] == "device" else self.device
            child.close()
        for dtype, on, jit, space in asked:
            if on == "device":
                self._compare(space, dtype, jit, found)

    def _compare(self, space, dtype, jit, found):
        on = f"{dtype}{COMPILED[jit]}, {self.device} beside CPU"
        keys = [(dtype, "device", jit), ("float64", "CPU", "false"), ("float32", "CPU", "false")]
        ours, exact, rough = (found.get((*key, space)) for key in keys)
        if None in (ours, exact, rough):
            self.row(space, on, "no numbers", missed=ours is not None or jit == "false")
            return
        own = differences(rough, exact)
        for quantity, off in differences(ours, exact).items():
            most, told = PRECISE, ""
            if dtype == "float32":
                most = max(TIMES * own[quantity], FLOORS[quantity])
                told = f"the CPU's own is off {own[quantity]:.1e}"
            value = f"{off:.1e} of at most {most:.1e}"
            self.row(space, f"{quantity}, {on}", value, told, missed=not off <= most)

    def bits(self, space):
        """Whether resumed runs end with the bits of those that were not interrupted."""
        kernels = ("deterministic", "default")
        files = {(run, k): self.folder / f"{run}_{k}.npz" for run in RUNS for k in kernels}
        for run in RUNS:
            asked = {}
            for k in kernels:
                middle, options = self.folder / f"middle_{k}.npz", {"deterministic": k != "default"}
                if run == "whole" or middle.exists():
                    options |= {"middle": str(middle), "file": str(files[run, k])}
                    asked[run, k] = (space, "resume", options)
            for child in self.children(asked).values():
                self.device = child.told["device"]
                child.close()
        for k in kernels:
            if all(files[run, k].exists() for run in RUNS):
                whole, resumed = (dict(np.load(files[run, k])) for run in RUNS)
                same = all(np.array_equal(whole[name], resumed[name]) for name in whole)
                off = max(differences(resumed, whole).values())
                value = "the same bits" if same else f"differ by {off:.1e}"
                missed = k == "deterministic" and not same
                self.row(space, f"resumed, {k} kernels, {self.device}", value, missed=missed)

    def steps(self, space):
        """Seconds and memory of each kind of step, then the peer's."""
        sizes = {name: getattr(self.args, name) for name in search_step.SIZES}
        cases, jits = ("exact", "weight", "finite_difference"), self.args.jit_compile
        keys = [(case, jit) for jit in jits for case in cases]
        keys += [("curvature", "false")] * ("false" in jits)
        asked = {key: (space, key[0], {"sizes": sizes, "jit": key[1]}) for key in keys}
        seconds, children = {}, self.children(asked)
        for (case, jit), child in children.items():
            what, steps = f"{case}{COMPILED[jit]}", 1 if case == "curvature" else self.args.steps
            try:
                rounds = [child.seconds(steps) for _ in range(self.args.rounds)]
            except RuntimeError as error:
                self.row(space, f"{what}: failed", reason(error))
                continue
            finally:
                child.close()
            seconds[what], told = statistics.median(rounds), child.told
            self.device = told["device"]
            value = f"{seconds[what]:.4f} s ({min(rounds):.4f}-{max(rounds):.4f})"
            memory = f"{told['device_gib']:.2f} GiB of the device, {child.rss_gib:.1f} GiB beside"
            first = f"first {child.first_seconds:.1f} s with {len(children)} processes"
            self.row(space, f"{what}, {self.device}", value, f"{first}, {memory}")
        self.peer(space, seconds)

    def peer(self, space, seconds):
        """The peer's seconds on the same device, without TensorFloat-32 as ours, and ours over them."""
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        flags = [] if self.device == "CPU" else ["--device", "cuda"]
        for layout in search_step.LAYOUTS:
            try:
                if self.left() <= 0:
                    raise RuntimeError("not reached within --budget_s")
                found = search_step.run_peer(self.args, space, layout, rows="1", flags=flags)
            except (RuntimeError, OSError) as error:
                self.row(space, f"peer, {layout}: failed", reason(error))
                continue
            keys = {"finite_difference": "alpha_step_seconds", **search_step.PEER_KEYS}
            value = ", ".join(f"{case} {found[key]:.4f} s" for case, key in keys.items())
            theirs = {w: found[keys.get(w.split(",")[0], "alpha_step_seconds")] for w in seconds}
            ratios = ", ".join(f"{w} {seconds[w] / theirs[w]:.3f}" for w in seconds)
            self.row(space, f"peer, {layout}", value, f"ours / peer's: {ratios}")

    def table(self):
        """Markdown."""
        lines = [("space", "what", "value", "remark"), ("---",) * 4, *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def reason(error):
    """The last two lines of an error that say something."""
    lines = (line.strip().replace("|", "/") for line in str(error).splitlines())
    return " ".join([line for line in lines if line and not line.startswith("[[")][-2:])[-300:]


def main(argv=None):
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--parity", nargs="*", default=["darts", "s4"], help="spaces compared")
    parser.add_argument("--bits", nargs="*", default=["s2"], help="spaces resumed")
    parser.add_argument("--space", nargs="*", default=["s1", "s2", "s4", "darts"], help="timed")
    parser.add_argument("--jit_compile", nargs="+", choices=COMPILED, default=[*COMPILED])
    parser.add_argument("--budget_s", type=float, default=3600.0)
    parser.add_argument("--parallel", type=int, default=1, help="processes that start at once")
    parser.add_argument("--start_s", type=float, default=600.0, help="until a first step at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="of each kind in a round")
    parser.add_argument("--peer", default="../shared/bench/torch_peer.py")
    parser.add_argument("--peer_python", default=sys.executable)
    for name, default in search_step.SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default, help="of the timed networks")
    args = parser.parse_args(argv)
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        check = Check(args, folder)
        check.parity(args.parity)
        for part, spaces in ((check.bits, args.bits), (check.steps, args.space)):
            for space in spaces:
                part(space)
    print(f"{check.table()}\n{check.misses} missed")
    return int(check.misses > 0)


if __name__ == "__main__":
    sys.exit(main())
