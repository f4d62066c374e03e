"""Which tokens a step reads: batch columns and windows of random length. No TensorFlow.

All lengths of a run come from one generator, epoch after epoch, as in the authors' code; an epoch is a
function of (seed, epoch) nonetheless.
"""

import typing

import numpy as np

_WHOLE = 0.95  # probability of a window that is not halved
_LEAST, _SPREAD, _MORE = 5, 5.0, 20  # of the lengths of an evaluation


class Window(typing.NamedTuple):
    """Rows start .. start + length - 1 are read, each next one is the target.

    Attributes:
        nominal: the length that was drawn; the end of the data cuts the last window.
    """

    start: int
    length: int
    nominal: int


def columns(tokens, batch):
    """[rows, batch]: column c holds tokens c * rows .. (c + 1) * rows - 1, the remainder is dropped."""
    rows = len(tokens) // batch
    return tokens[: rows * batch].reshape(batch, rows).T


def of_search(rng, bptt):
    """The length of a window: bptt, now and then half of it."""
    return bptt if rng.random_sample() < _WHOLE else bptt // 2


def of_evaluation(rng, bptt, *, more=_MORE):
    """The length of a window: normal around bptt, now and then around half of it (Merity et al. 2018)."""
    base = bptt if rng.random_sample() < _WHOLE else bptt / 2
    return min(max(_LEAST, int(rng.normal(base, _SPREAD))), bptt + more)


class Epochs:
    """The windows of each epoch of a run: `epochs[3]` is a list of Window.

    Args:
        seed: of the lengths.
        rows: of the data.
        bptt: usual length.
        draw: `of_search` or `of_evaluation`.
    """

    def __init__(self, seed, rows, bptt, draw):
        self._rng, self._rows, self._bptt, self._draw = (
            np.random.RandomState(seed),
            rows,
            bptt,
            draw,
        )
        self._epochs = []

    def __getitem__(self, epoch):
        while len(self._epochs) <= epoch:
            self._epochs.append(list(self._next()))
        return self._epochs[epoch]

    def _next(self):
        start = 0
        while start < self._rows - 2:
            nominal = max(self._draw(self._rng, self._bptt), 1)
            yield Window(start, min(nominal, self._rows - 1 - start), nominal)
            start += nominal


def passing(rows, bptt):
    """The windows of one pass over all rows."""
    starts = range(0, rows - 1, bptt)
    return [Window(start, min(bptt, rows - 1 - start), bptt) for start in starts]


def beside(windows, rows, bptt):
    """The validation window of each training window of a search: at its position, modulo the rows.

    Differs from: nothing; as in the authors' code a window may hold a single row.
    """
    starts = [window.start % (rows - 1) for window in windows]
    return [Window(start, min(bptt, rows - 1 - start), bptt) for start in starts]
