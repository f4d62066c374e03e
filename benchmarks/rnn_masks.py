"""The implicit term of recurrent alpha steps with dropout shared by w, w+ and w-, and drawn afresh.

    python benchmarks/rnn_masks.py [--hidden=300 --batch=256 --bptt=15 --vocabulary=10000] [--steps=25]

On random tokens at initial weights, then after --steps weight steps: the norm of d, of the term that
the finite difference subtracts from it, by shared and by fresh dropout masks as in the authors' code,
of the exact one, and the cosine of the fresh term between repetitions.
"""

import argparse
import functools

import rdarts_tf  # isort: skip  # noqa: F401 - before TensorFlow, whose kernels it chooses

import numpy as np
import tensorflow as tf

from rdarts_tf import bilevel
from rdarts_tf.engine import distribution, search_steps
from rdarts_tf.engine.weight_steps import ALPHA_MINUS, ALPHA_PLUS, ALPHA_TRAIN, ALPHA_VALID, WEIGHT
from rdarts_tf.tasks.language_model import corpus, options, task

SIZES = {"hidden": 300, "batch": 256, "bptt": 15, "vocabulary": 10000}


def make(sizes):
    """(search_steps.Search at initial weights, batch of training, of validation, rates)."""
    rng, size = np.random.default_rng(0), sizes["vocabulary"]
    text = rng.zipf(1.3, size=sizes["batch"] * (2 * sizes["bptt"] + 1)) % size
    text = text.astype(np.int32)
    data = corpus.Corpus("random", tuple(map(str, range(size))), text, text[::-1], text)
    config = options.SearchConfig(
        batch_size=sizes["batch"], bptt=sizes["bptt"], hidden=sizes["hidden"]
    )
    problem = task.Search(config, data)
    strategy = tf.distribute.get_strategy()
    search = search_steps.Search(problem, problem.network(), config=config, strategy=strategy)
    train, valid = next(iter(problem.search_epoch(config, 0)))
    rates = {k: tf.constant(v, tf.float32) for k, v in problem.rates(config, 0).items()}
    return search, train, valid, search.scaled(rates, train)


class Terms:
    """The parts of the alpha gradient at the present weights of a search."""

    def __init__(self, search, train, valid, rates):
        self.search, self.train, self.valid, self.rates = search, train, valid, rates
        self.own = search.recipe.alpha_step

    def _loss(self, batch, step, use, stream):
        key = self.search.key(tf.constant(0), step, use)
        forward = self.search.forward(batch, key, rates=self.rates, stream=stream)
        return lambda w, alpha: forward(w, alpha).value

    def _arguments(self, step):
        update = self.search._update(self.rates)
        train = self._loss(self.train, step, ALPHA_TRAIN, "train")
        valid = self._loss(self.valid, step, ALPHA_VALID, "valid")
        step = lambda w, g: self.own.step(lambda w, g: update(w, g)[0], w, g)  # noqa: E731
        return train, valid, step

    @functools.cached_property
    def _xi(self):
        return lambda g: self.rates["learning_rate"] * self.own.factor(g)

    @tf.function(autograph=False)
    def direct(self, step):
        """d at the virtual weights."""
        (train, valid, move), w, alpha = (
            self._arguments(step),
            self.search.weights(),
            self.search.alpha(),
        )
        virtual = move(w, bilevel.gradient(train, w, alpha, of=w))
        return bilevel.gradient(valid, virtual, alpha, of=alpha)[0]

    @tf.function(autograph=False)
    def difference(self, step, fresh):
        """d less the implicit term by finite difference; fresh: uses of the draws at w+ and w-."""
        (train, valid, move), w, alpha = (
            self._arguments(step),
            self.search.weights(),
            self.search.alpha(),
        )
        sides = [self._loss(self.train, step, use, "train") for use in tf.unstack(fresh)]
        return bilevel.finite_difference(
            [train, *sides], valid, w, alpha, weight_step=move, xi=self._xi
        )[0]

    @tf.function(autograph=False)
    def exact(self, step):
        """d less the implicit term."""
        (train, valid, move), w, alpha = (
            self._arguments(step),
            self.search.weights(),
            self.search.alpha(),
        )
        return bilevel.exact(train, valid, w, alpha, weight_step=move)[0]

    @tf.function(autograph=False)
    def move(self, step):
        """A weight step."""
        key = self.search.key(tf.constant(0), step, WEIGHT)
        forward = self.search.forward(
            self.train, key, rates=self.rates, stream="train", regularized=True
        )
        alpha = self.search.alpha()
        w = self.search.weights()
        return self.search._weight_step(w, lambda w: forward(w, alpha), self.train, self.rates)


def cosine(a, b):
    return float(np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def row(terms, first, repeats):
    """Prints the norms, means over repetitions with draws of their own."""
    found = {"d": [], "shared": [], "fresh": [], "exact": []}
    for number in range(first, first + repeats):
        step = tf.constant(number)
        d = terms.direct(step).numpy()
        found["d"].append(d)
        same, other = [ALPHA_TRAIN] * 2, [ALPHA_PLUS, ALPHA_MINUS]
        found["shared"].append(d - terms.difference(step, tf.constant(same)).numpy())
        found["fresh"].append(d - terms.difference(step, tf.constant(other)).numpy())
        found["exact"].append(d - terms.exact(step).numpy())
    norms = {k: np.mean([np.linalg.norm(x) for x in v]) for k, v in found.items()}
    print(", ".join(f"{name} {norm:.2g}" for name, norm in norms.items()), end="; ")
    pairs = zip(found["shared"], found["exact"], strict=True)
    print(f"shared to exact: cosine {np.mean([cosine(a, b) for a, b in pairs]):.3f}", end="; ")
    print(f"fresh between repetitions: cosine {cosine(*found['fresh'][:2]):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    distribution.configure_runtime()
    terms = Terms(*make({name: getattr(args, name) for name in SIZES}))
    row(terms, 0, args.repeats)
    for number in range(args.steps):
        terms.move(tf.constant(number + 100))
    row(terms, 50, args.repeats)


if __name__ == "__main__":
    main()
