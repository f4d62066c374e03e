"""A search step by operation: seconds of its threads, and the bytes that it reads and writes.

    PYTHONPATH=. python benchmarks/profile_step.py --space=s2 --case=weight

The step of `curvature` is a measurement of lambda_max with a single product. Seconds are from TensorFlow's
profiler, which slows the step a little; bytes are the sizes of all inputs and outputs in the graph, as if none
came from a cache. Below stand the arithmetic of the matrix products, and what large matrices and tensors reach.
"""

import argparse
import collections
import functools
import pathlib
import re
import tempfile

import rdarts_tf  # isort: skip  # noqa: F401 - before TensorFlow, whose kernels it chooses

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import search_step
from rdarts_tf.engine import curvature

_CALLS = {"PartitionedCall": "f", "StatefulPartitionedCall": "f", "While": "body"}
_SHOWN = 14


@functools.cache  # of a function that is called hundreds of times
def counts(graph):
    """{operation: [how often, bytes, FLOP]} of what a graph computes and calls, the body of a loop once."""
    found = collections.defaultdict(lambda: [0, 0, 0])
    for op in _reached(graph):
        attribute = _CALLS.get(op.type.removeprefix("Stateless"))
        if attribute:
            inner = counts(graph._get_function(op.get_attr(attribute).name).graph)
        else:
            inner = {op.type: [1, sum(map(_size, [*op.inputs, *op.outputs])), _flop(op)]}
        for kind, more in inner.items():
            found[kind] = [a + b for a, b in zip(found[kind], more, strict=True)]
    return dict(found)


def _reached(graph):
    """The operations that are run: others TensorFlow leaves out."""
    left, found = [t.op for t in graph.outputs] + list(graph.control_outputs), set()
    while left:
        op = left.pop()
        if op not in found:
            found.add(op)
            left += [t.op for t in op.inputs] + list(op.control_inputs)
    return found


def _size(tensor):
    known = tensor.shape.is_fully_defined() and tensor.dtype.size
    return tensor.shape.num_elements() * tensor.dtype.size if known else 0


def _flop(op):
    """Of a matrix product whose shapes are known."""
    if op.type != "MatMul" or None in (shape := [*op.inputs[0].shape, *op.outputs[0].shape]):
        return 0
    return 2 * shape[0 if op.get_attr("transpose_a") else 1] * shape[2] * shape[3]


def seconds_of(step):
    """{operation: seconds of all threads} of a step."""
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step()
        tf.profiler.experimental.stop()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    found = collections.Counter()
    for plane in space.planes:
        names = {key: each.name for key, each in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            name, _, kind = names[event.metadata_id].rpartition(":")
            if name:  # an operation, called after its node
                found[re.sub("^_Mkl(Native)?", "", kind)] += event.duration_ps / 1e12
    return found


def stepping(space, case, sizes):
    """(a function that runs one step of a kind, the tf.function that it calls)."""
    search, pair = search_step.make_search_of(space, case, sizes)
    if case != "curvature":
        return search_step.stepping(search, pair), search.search_block
    single = curvature.Curvature(search, eigensolver="power", tolerance=0.0, num_products=1)
    rates = search_step.RATES
    return lambda: single.measure([pair[1]], epoch=0, rates=rates), single._solve


def bandwidth():
    """Bytes a second of adding two tensors of 256 MiB."""
    x = tf.zeros([2**26])
    return 3 * 4 * 2**26 / _least_seconds(lambda: x + x)


def arithmetic():
    """FLOP a second of a product of two matrices of 4096 x 4096."""
    x = tf.ones([2**12, 2**12])
    return 2 * 2**36 / _least_seconds(lambda: tf.matmul(x, x))


def _least_seconds(function):
    return min(search_step._timed(function) for _ in range(5))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="s2")
    parser.add_argument("--case", choices=search_step.CASES, default="weight")
    for name, default in search_step.SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    sizes = {name: getattr(args, name) for name in search_step.SIZES}
    step, traced = stepping(args.space, args.case, sizes)
    for _ in range(2):
        step()
    wall, seconds = search_step._timed(step), seconds_of(step)
    (function,) = traced._list_all_concrete_functions()
    counted = counts(function.graph)
    print(f"{args.space}, {args.case} step: {wall:.2f} s")
    print("| operation | calls | seconds of two threads | GB | GB/s |\n|---|---|---|---|---|")
    shown = [kind for kind, _ in seconds.most_common() if kind in counted][:_SHOWN]
    for kind in shown:
        calls, size, _ = counted[kind]
        rate = size / 1e9 / seconds[kind]
        print(f"| {kind} | {calls:,} | {seconds[kind]:.2f} | {size / 1e9:.1f} | {rate:.0f} |")
    others = sum(s for kind, s in seconds.items() if kind in counted and kind not in shown)
    print(f"| all others | | {others:.2f} | | |\n")
    flop, most = counted["MatMul"][2] / 1e9, arithmetic() / 1e9
    print(f"MatMul: {flop:.0f} GFLOP; of large matrices all threads do {most:.0f} a second")
    print(f"Adding two tensors: {bandwidth() / 1e9:.0f} GB/s")


if __name__ == "__main__":
    main()
