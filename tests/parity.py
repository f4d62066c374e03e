"""Compares this package with numbers of the authors' implementation, in float64.

    python tests/parity.py FILE...

prints a line per quantity, says how many are absent, and exits with 1 if one is out of tolerance,
with 2 if a file is unusable: without meta, weights or anything to compare.

A file holds weights and batches of a search network (`parity_search.py`, recurrent: `parity_rnn.py`,
`parity_rnn_steps.py`) or of a derived one (`parity_derived.py`, `parity_rnn_eval.py`), and what the authors' PyTorch code computed from them or a part of that, NCHW
and OIHW. Errors are relative to the largest entry of the reference tensor; a quantity of many tensors
reports the worst one that is there. A quantity is absent if nothing of it is there, or not all that it
follows from. Of a correlation (`parity_disparity.py`) it holds that of tensorflow-addons, which has no
second derivative; ours is compared with differences of the gradient. Images run eagerly: tracing costs more than the few calls of each function.

Not compared: `steps_torch2_adam/*`, another Adam; `steps*/bn_final`, which counts the
passes of the authors' alpha step, ours leaves the statistics of BatchNorm alone.
"""

import pathlib
import sys
import zipfile

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tests import (
    parity_derived,
    parity_disparity,
    parity_rnn,
    parity_rnn_eval,
    parity_rnn_steps,
    parity_search,
    parity_supernet,
)
from tests import parity_tools as tools


def check(path):
    """Compares all that `path` holds.

    Returns:
        list of (quantity, worst relative error or None if it is absent, tolerance).
    Raises:
        OSError, KeyError, ValueError, zipfile.BadZipFile: the file is unusable.
    """
    kind, groups = _kind(path)
    fixture = kind(path)
    rows = [row for group in groups for row in compared(fixture, group)]
    if all(error is None for _, error, _ in rows):
        raise ValueError("it holds nothing to compare")
    return rows


def _kind(path):
    """(Fixture, its groups) by what a file's meta has."""
    if parity_disparity.fits(path):
        return parity_disparity.Fixture, parity_disparity.GROUPS
    _, meta = tools.read(path)
    for key, groups in parity_rnn_eval.PLAIN.items():
        if key in meta:
            return parity_rnn_eval.Plain, groups
    if "ntoken" in meta and "genotype" in meta:
        return parity_rnn_eval.Fixture, parity_rnn_eval.GROUPS
    if "ntoken" in meta:
        return parity_rnn.Fixture, parity_rnn.GROUPS + parity_rnn_steps.GROUPS
    if "genotype" in meta:
        return parity_derived.Fixture, parity_derived.GROUPS
    return parity_supernet.Fixture, parity_search.GROUPS


def compared(fixture, group):
    """Yields what `check` lists of a group, one of the functions GROUPS.

    A group yields (quantity, references, values, tolerance), see `parity_tools.compare`.
    """
    for quantity, references, values, tolerance in group(fixture):
        yield quantity, tools.compare(references, values), tolerance


def main(paths):
    if not paths:
        print("usage: python tests/parity.py FILE...", file=sys.stderr)
        return 2
    failed = False
    for path in paths:
        try:
            rows = check(path)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            print(f"error: {path} is no usable parity file: {error}", file=sys.stderr)
            return 2
        print(path)
        present = [row for row in rows if row[1] is not None]
        for quantity, error, tolerance in present:
            bad = not error <= tolerance  # NaN is bad, too
            failed |= bad
            print(f"  {quantity:46s} {error:8.1e} <= {tolerance:5.0e}  {'FAIL' if bad else 'ok'}")
        if len(present) < len(rows):
            print(f"  {len(rows) - len(present)} absent")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
