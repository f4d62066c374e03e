"""CPU seconds and memory of disparity searches at the size of the reference, and of the correlation.

    python benchmarks/disparity_steps.py --what=weight_step [--batch_size=1]   # exact_step, lambda_max, primitives

Pairs of 192x384, 24 channels, six and three cells (Saikia et al. 2019), random pixels. One quantity a
process, whose largest memory is told; CPU seconds, since they are the same on a busy machine.
"""

import argparse
import resource
import time

import rdarts_tf  # isort: skip  # noqa: F401 - before TensorFlow, whose kernels it chooses

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.engine import curvature, distribution, search_steps
from rdarts_tf.tasks.disparity import pairs, task
from rdarts_tf.tasks.disparity.correlation import correlation
from rdarts_tf.tasks.disparity.options import SearchConfig

HEIGHT, WIDTH, PRODUCTS = 192, 384, 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = ("weight_step", "exact_step", "lambda_max", "primitives")
    parser.add_argument("--what", choices=kinds, required=True)
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--init_channels", type=int, default=24)
    given = parser.parse_args()
    distribution.configure_runtime()
    keras.utils.set_random_seed(0)
    if given.what == "primitives":
        return primitives(given.batch_size)
    search = made(given)
    run = {"weight_step": weight_step, "exact_step": exact_step, "lambda_max": lambda_max}
    first, later = cpu_seconds(*run[given.what](search))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{given.what}, batch {given.batch_size}: {later:.1f} CPU s, {first - later:.0f} to trace, "
        f"{memory:.1f} GiB"
    )


def made(given):
    """The search_steps.Search of random pairs."""
    config = SearchConfig(batch_size=given.batch_size, init_channels=given.init_channels)
    part = pairs.of_arrays([pair(i) for i in range(given.batch_size)])
    problem = task.Search(config, pairs.Data("random", part, part, part, ""))
    strategy = tf.distribute.get_strategy()
    return search_steps.Search(problem, problem.network(), config=config, strategy=strategy)


def pair(seed):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    return left, right, rng.uniform(0, 40, (HEIGHT, WIDTH)).astype(np.float32)


def batch_of(search):
    config = search.config
    (found,) = search.problem.search_epoch(config, 0)
    rates = {k: tf.constant(v) for k, v in search.problem.rates(config, 0).items()}
    return found, rates


def weight_step(search):
    (train, _), rates = batch_of(search)

    @tf.function(autograph=False)
    def step():
        alpha, key = search.alpha(), search.key(0, 0, 0)
        forward = search.forward(train, key, rates=rates, stream="train", regularized=True)
        return search._weight_step(search.weights(), lambda w: forward(w, alpha), train, rates)

    return step, 1


def exact_step(search):
    """With the weight step that follows it."""
    found, rates = batch_of(search)
    step = tf.function(lambda: search._search_step(found, 0, 0, rates), autograph=False)
    return step, 1


def lambda_max(search):
    """A Hessian-vector product, the passes that do not depend on the vector included."""
    measured = curvature.Curvature(
        search, eigensolver="power", tolerance=1e-9, num_products=PRODUCTS
    )
    (_, valid), _ = batch_of(search)
    rates = search.problem.rates(search.config, 0)
    return lambda: measured.measure([valid], epoch=0, rates=rates), PRODUCTS


def primitives(batch_size):
    """Forward, with the gradient, and with the gradient of that, at 1/8 of the images."""
    x, y = (tf.random.normal([batch_size, HEIGHT // 8, WIDTH // 8, 144]) for _ in range(2))
    kernel, point = tf.random.normal([3, 3, 144, 144]), tf.random.normal([1, 1, 144, 81])
    for name, function in {
        "correlation, 81 displacements": lambda x: correlation(x, y, 40),
        "the same by shifts and means": lambda x: shifted(x, y, 40),
        "tf.nn.conv2d 1x1, 144 to 81": lambda x: tf.nn.conv2d(x, point, 1, "SAME"),
        "tf.nn.conv2d 3x3, 144 to 144": lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"),
        "tf.nn.depthwise_conv2d 3x3": lambda x: tf.nn.depthwise_conv2d(
            x, kernel[..., :1], (1, 1, 1, 1), "SAME"
        ),
        "tf.nn.max_pool2d 3x3": lambda x: tf.nn.max_pool2d(x, 3, 1, "SAME"),
    }.items():
        functions = (function, derivative(function), derivative(derivative(function)))
        times = [
            cpu_seconds(on(tf.function(f, autograph=False), x), 10, repeat=3)[1] for f in functions
        ]
        print(f"{name:32}" + "".join(f"{1e3 * seconds:9.1f}" for seconds in times) + " CPU ms")


def on(function, x):
    def repeated():
        for _ in range(10):
            function(x)

    return repeated


def derivative(function):
    def of(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.square(function(x)))
        return tape.gradient(y, x)

    return of


def shifted(left, right, m):
    right = tf.pad(right, ((0, 0), (0, 0), (m, m), (0, 0)))
    width = left.shape[2]
    parts = [tf.reduce_mean(left * right[:, :, k : k + width], axis=-1) for k in range(2 * m + 1)]
    return tf.stack(parts, axis=-1)


def cpu_seconds(function, num, *, repeat=2):
    """(of the first call, of one of `num` units of the best of the later ones)."""
    times = []
    for _ in range(1 + repeat):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return times[0], min(times[1:]) / num


if __name__ == "__main__":
    main()
