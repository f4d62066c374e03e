"""What a run needs, told before its first step: memory; and once steps are measured: hours."""

import resource
import sys

_GIB = 2**30
_PROCESS = 0.6 * _GIB  # TensorFlow, code and data loaders
_PASSES = {
    "first_order": 1.0,
    "finite_difference": 1.0,
    "exact": 1.5,
}  # of what a forward pass keeps


def of_search(problem, net, config, *, sampled=False):
    """Sentences about a search that is about to start; the second one is a warning.

    Args:
        problem: tasks.base.Problem.
        net: its supernet.
        config: config.search.SearchConfig.
        sampled: a step computes one architecture only, of whose memory nothing is told.
    """
    parameters = sum(v.shape.num_elements() for v in net.trainable_variables)
    told = f"supernet of {parameters:,} parameters"
    kept = problem.kept_values(net)
    if kept is None or sampled:
        return [told]
    width = 2 if config.mixed_precision else 4
    needed = _PROCESS + config.batch_size * kept * width * _PASSES[config.alpha_step]
    sentences = [f"{told}; a step takes about {needed / _GIB:.1f} GiB of memory"]
    there = available()
    if there is not None and needed > there:
        sentences.append(
            f"warning: this machine has {there / _GIB:.1f} GiB free; take a smaller --batch_size "
            "(first), --init_channels or --layers, or smaller images"
        )
    return sentences


def pace(seconds, steps, epochs):
    """A sentence about a run of whose steps some are measured.

    Args:
        seconds: a step.
        steps: of an epoch.
        epochs: that remain.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    total = seconds * steps * epochs
    return (
        f"{seconds:.2g} s a step: {epochs} epoch{'s' * (epochs != 1)} of {steps} steps take about {_told(total)}; "
        f"{peak / _GIB:.1f} GiB of memory so far"
    )


def available():
    """Bytes that processes may still take, None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file)
        return int(found["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _told(seconds):
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
