"""The processes of gpu_check.py: one search step's numbers, a resumed run, or steps to be timed."""

import functools
import json
import os
import pathlib
import signal
import sys
import time

import numpy as np

from benchmarks import search_step


def begin(space, case, options):
    """A function, the step of a child."""
    if not options["gpu"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if case in JOBS:
        return functools.partial(JOBS[case], space, options)
    return search_step.make_step(space, case, options["sizes"], jit_compile=options["jit"])


def device():
    """What a child tells of its device."""
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU") and tf.config.list_physical_devices("GPU")
    if not gpus:
        return {"device": "CPU", "device_gib": 0.0}
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return {"device": name, "device_gib": peak}


def numbers(space, options):
    """Writes {quantity/tensor: array} of one step."""
    search, pair = search_step.make_search(
        space,
        options["sizes"],
        dtype=options["dtype"],
        jit_compile=options["jit"],
        arch_weight_decay=0.0,  # Adam's first moment is then a multiple of the gradient
    )
    rng, found = np.random.default_rng(1), {}
    scatter(search, rng)
    if options["jit"] == "false":
        found["Hessian product/"] = product(search, pair[1], rng)
    before = read(search)
    found["loss/"] = search_step.stepping(search, pair)()
    alphas = {f"state/{v.path.split('/', 1)[1]}" for v in search.net.alphas.values()}
    kinds = {"weights/": "weight step", "state/": "statistics", "adam/m/": "alpha gradient"}
    for name, after in read(search).items():
        for prefix, quantity in kinds.items():
            if name.startswith(prefix) and name not in alphas:
                found[f"{quantity}/{name}"] = after - before[name]
    np.savez(options["file"], **found)


def scatter(search, rng):
    """Draws weights, alphas and momenta, the same for every device and dtype."""
    for variable in (*search.net.trainable_variables, *search.net.alphas.values()):
        fan = np.sqrt(np.prod(variable.shape[:-1]))
        variable.assign(np.float32(rng.normal(size=variable.shape) / fan))
    (momentum,) = search.slots["momentum"]
    momentum.assign(np.float32(0.01 * rng.normal(size=momentum.shape)))


def product(search, batch, rng):
    """H v for a random v of length 1."""
    import tensorflow as tf

    from rdarts_tf import hessian
    from rdarts_tf.engine import curvature

    v = rng.normal(size=sum(alpha.shape.num_elements() for alpha in search.net.alphas.values()))
    v = tf.constant(np.float32(v / np.linalg.norm(v)), search.alpha_dtype)

    @tf.function(autograph=False)
    def of_v():
        key = search.key(0, 0, curvature.CURVATURE)
        loss, w = search.loss(batch, key, rates=search_step.RATES), search.weights()
        return hessian.hessian_vector_product(lambda alpha: loss(w, alpha), search.alpha(), v)

    return of_v().numpy()


def read(search):
    return {name: variable.numpy() for name, variable in search.variables().items()}


def resume(space, options):
    """Writes the variables after four steps and, unless it starts from them, after two."""
    import tensorflow as tf

    if options["deterministic"]:
        tf.config.experimental.enable_op_determinism()
    search, pair = search_step.make_search(space, options["sizes"])
    middle = pathlib.Path(options["middle"])
    first = 2 if middle.exists() else 0
    if first:
        with np.load(middle) as kept:
            for name, variable in search.variables().items():
                variable.assign(kept[name])
    step = search_step.stepping(search, pair, first=first)
    for number in range(first, 4):
        if number == 2 > first:
            np.savez(middle, **read(search))
        step()
    np.savez(options["file"], **read(search))


JOBS = {"numbers": numbers, "resume": resume}


def main(space, case, options):
    """Ends with `start_s` without a first step, else at the time `end`, whatever it is doing."""

    def told():
        signal.alarm(max(1, round(options["end"] - time.time())))
        return device()

    signal.alarm(round(options["start_s"]))
    search_step.serve(begin(space, case, options), told)


if __name__ == "__main__":
    main(*json.loads(sys.argv[2]))
