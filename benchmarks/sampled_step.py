"""Times a weight step of `random_ws` that computes only the sampled operations beside one that
computes all of them and multiplies by 0 and 1, alternating, in one process.

    python benchmarks/sampled_step.py --space s1 darts

A round runs `--steps` steps of each, on the same paths. A result is the median over the rounds of the
median within a round, its spread the least and the largest of these; the ratio is sampled / all. The
first step includes tracing.
"""

import argparse
import json
import pathlib
import statistics
import time

import rdarts_tf  # isort: skip  # noqa: F401 - before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.engine import distribution, search_steps
from rdarts_tf.methods import random_ws
from rdarts_tf.tasks.image_classification import options, supernet, task


class Dense(supernet.Supernet):
    """Computes every operation, whatever its edge weight."""

    def call(self, images, sampled=False, **kwargs):
        return super().call(images, **kwargs)


def make_step(kind, space, args):
    """A function that runs one step."""
    image = (args.size, args.size, 3)
    net = kind(space, 10, channels=args.channels, num_cells=args.cells, name="supernet")
    net.build((None, *image))
    settings = options.SearchConfig(space=space.name, dataset="digits", method="random_ws")
    problem = task.Search(settings, settings.load_dataset())  # for its losses; the batches are ours
    strategy = tf.distribute.get_strategy()
    search = search_steps.PathSearch(problem, net, config=settings, strategy=strategy)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(args.batch, *image)).astype(np.float32)
    labels = rng.integers(10, size=args.batch).astype(np.int32)
    paths = random_ws.Method().edge_weights(space, rng, 100)
    elements = tf.data.Dataset.from_tensor_slices(paths).map(lambda path: ((images, labels), path))
    iterator = iter(elements.repeat())
    rates = {"learning_rate": 0.025, "weight_decay": 3e-4, "drop_path_prob": 0.0}
    rates = {name: tf.constant(rate) for name, rate in rates.items()}
    first, last, epoch = tf.constant(0), tf.constant(1), tf.constant(0)
    return lambda: search.search_block(iterator, first, last, epoch, rates)[1].numpy()


def measure(args, name):
    """{"space", "sampled": [median, least, largest], "all", "ratio", "first_sampled", "first_all"}."""
    space = registry.load("spaces", name)[0].SPACE
    kinds = {"sampled": supernet.Supernet, "all": Dense}
    steps = {label: make_step(kind, space, args) for label, kind in kinds.items()}
    row = {"space": name} | {f"first_{label}": _seconds(step) for label, step in steps.items()}
    rounds = {label: [] for label in steps}
    for _ in range(args.rounds):
        for label, step in steps.items():
            seconds = [_seconds(step) for _ in range(args.steps)]
            rounds[label].append(statistics.median(seconds))
    row |= {k: [statistics.median(v), min(v), max(v)] for k, v in rounds.items()}
    return row | {"ratio": row["sampled"][0] / row["all"][0]}


def _seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def table(rows):
    """Markdown: seconds as median (least-largest), and their ratio."""
    lines = ["| space | sampled | all | ratio | first steps |", "|---|---|---|---|---|"]
    for row in rows:
        spreads = ["{:.3f} ({:.3f}-{:.3f})".format(*row[label]) for label in ("sampled", "all")]
        first = f"{row['first_sampled']:.0f} s, {row['first_all']:.0f} s"
        lines.append(f"| {row['space']} | {' | '.join(spreads)} | {row['ratio']:.2f} | {first} |")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", nargs="+", default=["s1", "darts"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="of each kind in a round")
    parser.add_argument("--out", help="file for the rows as JSON, written after each space")
    for name, default in {"cells": 4, "channels": 16, "batch": 64, "size": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args, rows = parser.parse_args(argv), []
    distribution.configure_runtime()
    for name in args.space:
        rows.append(measure(args, name))
        if args.out:
            pathlib.Path(args.out).write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
