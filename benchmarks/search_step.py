"""Times our search steps beside a plain PyTorch supernet, alternating, in one run.

    python benchmarks/search_step.py --peer=PATH/torch_peer.py --peer_python=PATH/python --out=FILE

Each kind of step has a process of its own that traces once, which is its first step, and then waits;
those of one space live at the same time, but `curvature`, whose peer alone takes 7 GiB. A round asks
each of them for `--steps` steps and runs the peer once in each layout, so that all see the same state
of the machine. A result is the median over the rounds of the median within a round, its spread the
least and the largest of these. Ratios are ours / peer's; the peer's alpha step is a finite
difference. Memory is the peak of each process. The step of `curvature` is an epoch's lambda_max by
Lanczos to 1e-3 from a random start, beside the peer's full Hessian, of which it times three rows of
each half.
"""

import argparse
import contextlib
import itertools
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import rdarts_tf  # noqa: F401 - before TensorFlow, whose kernels it chooses

CASES = ("weight", "finite_difference", "exact", "curvature")
PEER_KEYS = {"weight": "weight_step_seconds", "curvature": "hessian_seconds"}  # else the alpha step
LAYOUTS = {"nchw": [], "nhwc": ["--channels_last"]}
RATES = {"learning_rate": 0.025, "weight_decay": 3e-4, "drop_path_prob": 0.0}
SIZES = {"cells": 8, "channels": 16, "batch": 64, "size": 32}


def make_step(space_name, case, sizes, **settings):
    """A function that runs one step of a kind: `weight`, `curvature`, or an alpha step by its name."""
    import tensorflow as tf

    from rdarts_tf.engine import curvature

    search, pair = make_search_of(space_name, case, sizes, **settings)
    if case != "curvature":
        return stepping(search, pair)
    measured = curvature.Curvature(search, eigensolver="lanczos", tolerance=1e-3)

    def measure():
        measured.vector.assign(tf.zeros_like(measured.vector))
        found = measured.measure([pair[1]], epoch=0, rates=RATES)
        _note(f"{space_name}: lambda_max {found.lambda_max:.6g}, {found.products} products")

    return measure


def make_search_of(space_name, case, sizes, **settings):
    """As `make_search`, but that its search steps do one kind of step only."""
    import tensorflow as tf

    alpha_step = "exact" if case in PEER_KEYS else case
    search, pair = make_search(space_name, sizes, alpha_step=alpha_step, **settings)
    if case == "weight":
        search._alpha_step = lambda *args: None
    else:
        search._weight_step = lambda *args: tf.constant(0.0)
    return search, pair


def make_search(space_name, sizes, *, dtype=None, **settings):
    """(search_steps.Search, (training batch, validation batch)) of random images.

    Args:
        sizes: as SIZES.
        dtype: of the network; settings: of the search.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from rdarts_tf import registry
    from rdarts_tf.engine import distribution, search_steps
    from rdarts_tf.tasks.image_classification import options, supernet, task

    distribution.configure_runtime()
    keras.utils.set_random_seed(0)  # lambda_max takes 7 products with one network, 15 with another
    space = registry.load("spaces", space_name)[0].SPACE
    image = (sizes["size"], sizes["size"], 3)
    net = supernet.Supernet(
        space, 10, channels=sizes["channels"], num_cells=sizes["cells"], dtype=dtype
    )
    net.build((None, *image))
    config = options.SearchConfig(space=space_name, dataset="digits", **settings)
    problem = task.Search(config, config.load_dataset())  # for its losses; the batches are ours
    strategy, rng = tf.distribute.get_strategy(), np.random.default_rng(0)
    search = search_steps.Search(problem, net, config=config, strategy=strategy)

    def batch():
        images = rng.normal(size=(sizes["batch"], *image)).astype(np.float32)
        labels = rng.integers(10, size=sizes["batch"]).astype(np.int32)
        return tf.constant(images, net.trainable_variables[0].dtype), tf.constant(labels)

    return search, (batch(), batch())


def stepping(search, pair, *, first=0):
    """A function that runs a step of a search, the next one each time, and returns its loss."""
    import tensorflow as tf

    iterator, steps = iter(tf.data.Dataset.from_tensors(pair).repeat()), itertools.count(first)
    rates = {name: tf.constant(rate) for name, rate in RATES.items()}

    def step():
        at = tf.constant(next(steps))
        return search.search_block(iterator, at, at + 1, tf.constant(0), rates)[1].numpy()

    return step


def serve(step, told=dict):
    """Answers each number of steps that comes in by a line with their seconds, after a first step.

    Args:
        told: () -> dict of what each answer tells besides.
    """

    def answer(seconds):
        status = pathlib.Path("/proc/self/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20
        print(json.dumps({"seconds": seconds, "rss_gib": peak} | told()), flush=True)

    answer(_timed(step))
    for line in sys.stdin:
        answer([_timed(step) for _ in range(int(line))])


def _timed(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


class Child:
    """A process that has traced one kind of step and runs it when asked.

    Attributes:
        first_seconds: of the first step, tracing included.
        rss_gib: peak memory so far.
        told: the last answer.
    """

    def __init__(self, space, case, sizes, *, script=__file__):
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            [sys.executable, script, "--child", json.dumps([space, case, sizes])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.first_seconds = self._read()

    def seconds(self, steps):
        """Median of `steps` steps."""
        with contextlib.suppress(BrokenPipeError):  # `_read` tells why
            print(steps, file=self.process.stdin, flush=True)
        return statistics.median(self._read())

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"the process has ended:\n{self.errors.read()[-2000:]}")
        self.told = json.loads(line)
        self.rss_gib = self.told["rss_gib"]
        return self.told["seconds"]


def run_peer(args, space, layout, *, rows, flags=()):
    """{"weight_step_seconds", "alpha_step_seconds", "peak_rss_gib", ...}."""
    command = [
        args.peer_python,
        args.peer,
        "--space",
        space,
        "--rows",
        rows,
        *LAYOUTS[layout],
        *flags,
    ]
    command += ["--repeats", str(args.steps)]
    for name in SIZES:
        command += [f"--{name}", str(getattr(args, name))]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def measure(args, space):
    """A row for each case of `space`."""
    cases = args.case or (tuple(PEER_KEYS) if space == "darts" else CASES)
    steps = [case for case in cases if case != "curvature"]
    rows = measure_together(args, space, steps, rows="0") if steps else []
    if "curvature" in cases:
        rows += measure_together(args, space, ["curvature"], rows="3")
    return rows


def measure_together(args, space, cases, *, rows):
    """A row for each of `cases`; the peer times `rows` rows of each half of its Hessian."""
    sizes = {name: getattr(args, name) for name in SIZES}
    children = {}
    try:
        for case in cases:  # one after the other: each first step has the machine to itself
            children[case] = Child(space, case, sizes)
            _note(f"{space} {case}: first step {children[case].first_seconds:.1f} s")
        ours, peer = {case: [] for case in cases}, {layout: [] for layout in LAYOUTS}
        for number in range(args.rounds):
            for case, child in children.items():
                ours[case].append(child.seconds(args.steps))
            for layout, results in peer.items():
                results.append(run_peer(args, space, layout, rows=rows))
            _note(f"{space}: round {number + 1} of {args.rounds}")
        return [make_row(space, case, children[case], ours[case], peer) for case in cases]
    finally:
        for child in children.values():
            child.close()


def make_row(space, case, child, seconds, peer):
    """The record of one case.

    Args:
        child: with `first_seconds` and `rss_gib`.
        seconds: one number a round.
        peer: {layout: one result of `run_peer` a round}.
    Returns:
        {"seconds": [median, least, largest], ...}, the same for each layout of the peer with the
        ratios of the medians.
    """
    key = PEER_KEYS.get(case, "alpha_step_seconds")
    row = {"space": space, "case": case, "rounds": len(seconds), "seconds": _spread(seconds)}
    row |= {"first_seconds": round(child.first_seconds, 1), "rss_gib": round(child.rss_gib, 2)}
    for layout, results in peer.items():
        theirs = _spread([result[key] for result in results])
        memory = statistics.median(result["peak_rss_gib"] for result in results)
        row[f"peer_{layout}"] = theirs
        row[f"ratio_{layout}"] = round(row["seconds"][0] / theirs[0], 3)
        row[f"memory_ratio_{layout}"] = round(child.rss_gib / memory, 3)
    return row


def _spread(values):
    return [round(v, 4) for v in (statistics.median(values), min(values), max(values))]


def table(rows):
    """Markdown: seconds as median (least-largest), and the ratios to both layouts of the peer."""
    lines = [
        "| space | step | ours | peer NCHW | peer channels last | first step | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["space"], row["case"], _text(row["seconds"])]
        cells += [f"{_text(row[f'peer_{x}'])}, {row[f'ratio_{x}']:.2f}" for x in LAYOUTS]
        ratios = ", ".join(f"{row[f'memory_ratio_{x}']:.2f}" for x in LAYOUTS)
        cells += [f"{row['first_seconds']:.0f} s", f"{row['rss_gib']:.1f} GiB ({ratios})"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(spread):
    return "{:.2f} ({:.2f}-{:.2f})".format(*spread)


def _note(text):
    print(text, file=sys.stderr, flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True)
    parser.add_argument("--peer_python", default=sys.executable)
    parser.add_argument("--space", nargs="+", default=["s1", "s2", "s4", "darts"])
    parser.add_argument(
        "--case", nargs="+", choices=CASES, help="default: all; of darts weight and curvature"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps of each kind in a round")
    parser.add_argument("--out", help="file for the rows as JSON, written after each space")
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args, rows = parser.parse_args(argv), []
    for space in args.space:
        rows += measure(args, space)
        if args.out:
            pathlib.Path(args.out).write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        serve(make_step(*json.loads(sys.argv[2])))
    else:
        main()
