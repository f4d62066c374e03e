"""Times our search steps of recurrent cells beside a plain PyTorch network, alternating, in one run.

    python benchmarks/rnn_step.py --peer=PATH/torch_rnn_peer.py --peer_python=PATH/python --out=FILE

As `search_step.py`: each kind of step in a process of its own, the peer once a round. `exact` is told
beside our own finite difference, too. The step of `curvature` is lambda_max of a validation window by
Lanczos to 1e-3 from a random start, beside the peer's 180 rows of the Hessian, of which it times one.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import search_step

CASES = ("weight", "finite_difference", "exact", "curvature")
PEER_KEYS = {"weight": "weight_step_seconds", "curvature": "hessian_seconds"}  # else the alpha step
SIZES = {"batch": 256, "bptt": 35, "hidden": 300, "vocabulary": 10000}


def make_step(case, sizes):
    """A function that runs one step of a kind: `weight`, `curvature`, or an alpha step by its name."""
    import numpy as np
    import tensorflow as tf

    from rdarts_tf.engine import curvature, distribution, search_steps
    from rdarts_tf.tasks.language_model import corpus, options, task

    class WeightOnly(search_steps.Search):
        def _alpha_step(self, *args):
            pass

    class AlphaOnly(search_steps.Search):
        def _weight_step(self, *args):
            return tf.constant(0.0)

    distribution.configure_runtime()
    batch, bptt, size = sizes["batch"], sizes["bptt"], sizes["vocabulary"]
    rng = np.random.default_rng(0)
    text = rng.integers(size, size=batch * (3 * bptt + 1)).astype(np.int32)
    data = corpus.Corpus("random", tuple(map(str, range(size))), text, text[::-1], text)
    config = options.SearchConfig(
        batch_size=batch,
        bptt=bptt,
        hidden=sizes["hidden"],
        alpha_step="exact" if case in PEER_KEYS else case,
    )
    problem = task.Search(config, data)
    kind = WeightOnly if case == "weight" else AlphaOnly
    strategy = tf.distribute.get_strategy()
    search = kind(problem, problem.network(), config=config, strategy=strategy)
    rates = {name: tf.constant(rate) for name, rate in problem.rates(config, 0).items()}
    first, last, epoch = tf.constant(0), tf.constant(1), tf.constant(0)
    if case == "curvature":
        measured = curvature.Curvature(search, eigensolver="lanczos", tolerance=1e-3)
        (window,) = problem.curvature_epoch(config, 0, 1)

        def measure():
            measured.vector.assign(tf.zeros_like(measured.vector))
            found = measured.measure([window], epoch=0, rates=problem.rates(config, 0))
            _note(f"lambda_max {found.lambda_max:.6g}, {found.products} products")

        return measure
    (pair,) = problem.search_epoch(config, 0).take(1)
    iterator = iter(tf.data.Dataset.from_tensors(pair).repeat())
    return lambda: search.search_block(iterator, first, last, epoch, rates)[1].numpy()


def run_peer(args, *, rows):
    """{"weight_step_seconds", "alpha_step_seconds", "peak_rss_gib", ...}."""
    command = [args.peer_python, args.peer, "--rows", rows, "--repeats", str(args.steps)]
    for name in SIZES:
        command += [f"--{name}", str(getattr(args, name))]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def measure(args, cases):
    """A row for each of `cases`, whose processes live at the same time.

    The peer's runs stand between ours, but for its Hessian: both do not fit into 24 GiB.
    """
    sizes, children = {name: getattr(args, name) for name in SIZES}, {}
    apart = "curvature" in cases
    try:
        for case in cases:  # one after the other: each first step has the machine to itself
            children[case] = search_step.Child("rnn", case, sizes, script=__file__)
            _note(f"{case}: first step {children[case].first_seconds:.1f} s")
        ours, peer = {case: [] for case in cases}, []
        for number in range(args.rounds):
            for case, child in children.items():
                ours[case].append(child.seconds(args.steps))
            if not apart:
                peer.append(run_peer(args, rows="0"))
            _note(f"round {number + 1} of {args.rounds}")
    finally:
        for child in children.values():
            child.close()
    if apart:
        peer = [run_peer(args, rows="1") for _ in range(args.rounds)]
    return [make_row(case, children[case], ours[case], peer) for case in cases]


def make_row(case, child, seconds, peer):
    """The record of one case: seconds, ours and the peer's, and the ratio of their medians."""
    theirs = [result[PEER_KEYS.get(case, "alpha_step_seconds")] for result in peer]
    memory = statistics.median(result["peak_rss_gib"] for result in peer)
    return {
        "case": case,
        "seconds": seconds,
        "peer_seconds": theirs,
        "ratio": round(statistics.median(seconds) / statistics.median(theirs), 3),
        "first_seconds": round(child.first_seconds, 1),
        "rss_gib": round(child.rss_gib, 2),
        "memory_ratio": round(child.rss_gib / memory, 3),
    }


def _note(text):
    print(text, file=sys.stderr, flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True)
    parser.add_argument("--peer_python", default=sys.executable)
    parser.add_argument("--case", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps of each kind in a round")
    parser.add_argument("--out", help="file for the rows as JSON")
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    rows = []
    for together in (PEER_KEYS.keys() ^ CASES, {"weight"}, {"curvature"}):
        cases = [case for case in CASES if case in together and case in args.case]
        rows += measure(args, cases) if cases else []
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        search_step.serve(make_step(*json.loads(sys.argv[2])[1:]))
    else:
        main()
