"""A search step by operation: seconds of its threads, and the bytes that it reads and writes.

    PYTHONPATH=. python benchmarks/profile_step.py --space=s2 --case=weight

Seconds are from TensorFlow's profiler, which slows the step a little; bytes are the sizes of all inputs and
outputs in the graph, as if none came from a cache. Below stands what adding two large tensors reaches.
"""

import argparse
import collections
import functools
import pathlib
import re
import tempfile
import time

import rdarts_tf  # isort: skip  # noqa: F401 - before TensorFlow, whose kernels it chooses

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import search_step

_CALLS = {"PartitionedCall": "f", "StatefulPartitionedCall": "f", "While": "body"}
_SHOWN = 14


@functools.cache  # of a function that is called hundreds of times
def bytes_of(graph):
    """{operation: (how often, bytes)} of what a graph computes and calls, the body of a loop once."""
    count, moved = collections.Counter(), collections.Counter()
    for op in _reached(graph):
        attribute = _CALLS.get(op.type.removeprefix("Stateless"))
        if attribute:
            inner = bytes_of(graph._get_function(op.get_attr(attribute).name).graph)
            for kind, (n, size) in inner.items():
                count[kind] += n
                moved[kind] += size
        else:
            count[op.type] += 1
            moved[op.type] += sum(map(_size, [*op.inputs, *op.outputs]))
    return {kind: (count[kind], moved[kind]) for kind in count}


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


def bandwidth():
    """Bytes a second of adding two tensors of 256 MiB."""
    x = tf.zeros([2**26])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        _ = x + x
        times.append(time.perf_counter() - start)
    return 3 * 4 * 2**26 / min(times)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="s2")
    parser.add_argument("--case", choices=("weight", "exact"), default="weight")
    for name, default in search_step.SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args(argv)
    sizes = {name: getattr(args, name) for name in search_step.SIZES}
    search, pair = search_step.make_search_of(args.space, args.case, sizes)
    step = search_step.stepping(search, pair)
    for _ in range(2):
        step()
    start = time.perf_counter()
    step()
    wall, seconds = time.perf_counter() - start, seconds_of(step)
    (function,) = search.search_block._list_all_concrete_functions()
    moved = bytes_of(function.graph)
    print(f"{args.space}, {args.case} step: {wall:.2f} s")
    print("| operation | calls | seconds of two threads | GB | GB/s |\n|---|---|---|---|---|")
    shown = [kind for kind, _ in seconds.most_common() if kind in moved][:_SHOWN]
    for kind in shown:
        count, size = moved[kind]
        print(
            f"| {kind} | {count:,} | {seconds[kind]:.2f} | {size / 1e9:.1f} | {size / 1e9 / seconds[kind]:.0f} |"
        )
    others = sum(s for kind, s in seconds.items() if kind in moved and kind not in shown)
    print(
        f"| all others | | {others:.2f} | | |\n\nAdding two tensors: {bandwidth() / 1e9:.0f} GB/s"
    )


if __name__ == "__main__":
    main()
