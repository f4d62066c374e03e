"""Times our search steps beside a plain PyTorch supernet, alternating, in one run.

    python benchmarks/search_step.py --peer=PATH/torch_peer.py --peer_python=PATH/python --out=FILE

Each round runs every case once in a process of its own; a case reports the median of its steps, the
table the median over the rounds. Ratios are ours / peer's; the peer's alpha step is a finite
difference. `--space`, `--rounds`, `--steps` narrow it down.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

CASES = ("weight", "finite_difference", "exact")


def measure(space_name, case, steps):
    """{"seconds", "first_seconds", "rss_gib"} of one kind of step at real size."""
    import numpy as np
    import tensorflow as tf

    from rdarts_tf import config, distribution, registry, training
    from rdarts_tf.networks import cnn

    class WeightOnly(training.Search):
        def _alpha_step(self, train_losses, valid_loss, rates):
            pass

    class AlphaOnly(training.Search):
        def _weight_step(self, loss, batch, rates):
            return tf.constant(0.0)

    distribution.configure_runtime()
    space = registry.load("spaces", space_name)[0].SPACE
    net = cnn.Supernet(space, 10, name="supernet")
    net.build((None, 32, 32, 3))
    settings = config.SearchConfig(alpha_step="exact" if case == "weight" else case)
    kind = WeightOnly if case == "weight" else AlphaOnly
    search = kind(net, config=settings, strategy=tf.distribute.get_strategy())
    rng = np.random.default_rng(0)
    batch = (rng.normal(size=(64, 32, 32, 3)).astype(np.float32), rng.integers(10, size=64))
    batch = (batch[0], batch[1].astype(np.int32))
    data = tf.data.Dataset.from_tensors(batch * 2).repeat()
    rates = {"learning_rate": 0.025, "weight_decay": 3e-4, "drop_path_prob": 0.0}
    rates = {name: tf.constant(rate) for name, rate in rates.items()}
    iterator, seconds = iter(data), []
    for i in range(steps + 1):
        start = time.perf_counter()
        at = tf.constant(i), tf.constant(i + 1)
        search.search_block(iterator, *at, tf.constant(0), rates)[1].numpy()
        seconds.append(time.perf_counter() - start)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": statistics.median(seconds[1:]),
        "first_seconds": seconds[0],
        "rss_gib": rss,
    }


def _child(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    return json.loads(result.stdout.strip().splitlines()[-1])


def _ours(space, case, steps):
    return _child([sys.executable, __file__, "--child", space, case, str(steps)])


def _peer(args, space, layout):
    command = [args.peer_python, args.peer, "--space", space, "--rows", "0"]
    command += ["--repeats", str(args.steps)] + (["--channels_last"] if layout == "nhwc" else [])
    return _child(command)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer", required=True)
    parser.add_argument("--peer_python", default=sys.executable)
    parser.add_argument("--space", nargs="+", default=["s1", "s2", "s4"])
    parser.add_argument("--case", nargs="+", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = []
    for space in args.space:
        ours = {case: [] for case in args.case}
        peer = {layout: [] for layout in ("nchw", "nhwc")}
        for _ in range(args.rounds):
            for case, results in ours.items():
                results.append(_ours(space, case, args.steps))
            for layout, results in peer.items():
                results.append(_peer(args, space, layout))
        rows += [_row(space, case, results, peer) for case, results in ours.items()]
        for row in rows[-len(ours) :]:
            print(json.dumps(row), flush=True)
    if args.out:
        with open(args.out, "w") as file:
            json.dump(rows, file, indent=1)


def _row(space, case, ours, peer):
    def median(results, key):
        return statistics.median(result[key] for result in results)

    key = "weight_step_seconds" if case == "weight" else "alpha_step_seconds"
    row = {"space": space, "case": case}
    row |= {name: round(median(ours, name), 3) for name in ours[0]}
    for layout, results in peer.items():
        row[f"peer_{layout}"] = round(median(results, key), 3)
        row[f"ratio_{layout}"] = round(row["seconds"] / row[f"peer_{layout}"], 2)
        row[f"memory_ratio_{layout}"] = round(row["rss_gib"] / median(results, "peak_rss_gib"), 2)
    return row


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main()
