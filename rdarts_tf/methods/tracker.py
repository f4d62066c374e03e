"""Curvature smoothed, and the test on its growth: pure functions of recorded numbers.

Letters: f the frequency; evaluation i is the lambda_max recorded at epoch f i, or at the very last
epoch; LA_i its local average; k the lag `delta`. All but f and the start epoch are counted in
evaluations. A value that was not measured, or is not finite, is missing: None.
"""

import dataclasses
import math

from rdarts_tf.errors import UserError

LAMBDA_MAX = "curvature/lambda_max"
_LARGEST = 2**31  # of the arguments of methods

PRESETS = {
    "authors": {"window": 5, "delta": 4, "factor": 1.3, "start_epoch": 10, "frequency": 2},
    "paper": {"window": 5, "delta": 5, "factor": 1 / 0.75, "start_epoch": 0, "frequency": 1},
}


@dataclasses.dataclass(frozen=True)
class Growth:
    """Two local averages that a test compares.

    Attributes:
        epoch: of the earlier one, whose architecture a stop returns.
        earlier, newest: the local averages.
    """

    epoch: int
    earlier: float
    newest: float

    @property
    def ratio(self):
        """newest / earlier; from nothing to something it is infinite, from nothing to nothing 1.

        The pure Hessian has exactly flat directions, so lambda_max is at least 0 and may be 0.
        """
        if self.earlier > 0:
            return self.newest / self.earlier
        return math.inf if self.newest > 0 else 1.0


@dataclasses.dataclass(frozen=True)
class StopRule:
    """Stop if LA(newest complete) / LA(k evaluations earlier) > factor; take the earlier epoch.

    LA_i is complete when evaluation i + window // 2 is there. Zela et al. 2020, sec. 4.3.

    Attributes:
        window: evaluations in a local average, odd.
        delta: lag k in evaluations.
        factor: growth that is too much.
        start_epoch: the earliest epoch to stop at.
        frequency: epochs between evaluations.
    Raises:
        UserError: a value that cannot be.
    """

    window: int
    delta: int
    factor: float
    start_epoch: int
    frequency: int

    def __post_init__(self):
        check_number("window", self.window, _is_odd, "an odd whole number such as 5")
        check_number("delta", self.delta, _is_whole(1), "a whole number of at least 1")
        check_number("factor", self.factor, lambda x: x > 0, "a number greater than 0 such as 1.3")
        check_number("start_epoch", self.start_epoch, _is_whole(0), "a whole number, 0 or more")
        check_number("frequency", self.frequency, _is_whole(1), "a whole number of at least 1")

    @property
    def lag_epochs(self):
        """Epochs from the one that a stop returns to that of the test."""
        return self.frequency * (self.delta + self.window // 2)

    def growth(self, history):
        """What is tested after the last epoch of `history`; None where nothing is.

        Args:
            history: see `base.Method.after_epoch`.
        Returns:
            Growth or None: off the frequency, too early, or all values missing.
        """
        now = len(history) - 1
        epoch = now - self.lag_epochs
        if now % self.frequency or epoch < self.start_epoch:
            return None
        values = [value for _, value in evaluations(history, self.frequency, last_epoch=now)]
        index = epoch // self.frequency
        earlier, newest = (
            local_average(values, i, window=self.window) for i in (index, index + self.delta)
        )
        return None if earlier is None or newest is None else Growth(epoch, earlier, newest)

    def stop_epoch(self, history):
        """The epoch to stop at, decided after the last epoch of `history`, or None."""
        growth = self.growth(history)
        return growth.epoch if growth and growth.ratio > self.factor else None

    def first_stop(self, history):
        """(epoch of the decision, epoch to stop at) of the first stop in `history`; or both None."""
        for now in range(len(history)):
            epoch = self.stop_epoch(history[: now + 1])
            if epoch is not None:
                return now, epoch
        return None, None

    def averages(self, history):
        """[(epoch, value, LA)] of all evaluations of a finished `history`."""
        found = evaluations(history, self.frequency, last_epoch=len(history) - 1)
        smooth = local_averages([value for _, value in found], window=self.window)
        return [(*pair, average) for pair, average in zip(found, smooth, strict=True)]

    def offline_stop_epoch(self, history):
        """The epoch to stop at by the rule of the authors' plot scripts, or None.

        It looks back on the finished run: averages cut off by its end are tested as well, and the
        last epoch counts as an evaluation. So it may stop where the search did not.
        """
        found = self.averages(history)
        for (epoch, _, earlier), (_, _, newest) in zip(found, found[self.delta :], strict=False):
            present = earlier is not None and newest is not None
            if present and epoch >= self.start_epoch:
                growth = Growth(epoch, earlier, newest)
                if growth.ratio > self.factor:
                    return epoch
        return None


def stop_rule(preset, **changes):
    """The StopRule of a preset.

    Args:
        preset: "authors", the constants of their code; "paper", those of its text: k = 5 epochs,
            threshold 0.75, no earliest epoch.
        changes: fields of StopRule that replace the preset's; None keeps it.
    Raises:
        UserError: unknown preset, or a value that cannot be.
    """
    if preset not in tuple(PRESETS):
        raise UserError(f"unknown preset {preset!r}; there are: {', '.join(PRESETS)}")
    changes = {name: value for name, value in changes.items() if value is not None}
    return StopRule(**PRESETS[preset] | changes)


def evaluations(history, frequency, *, last_epoch):
    """[(epoch, lambda_max or None)] at epochs 0, f, 2f, ... and `last_epoch`.

    Args:
        history: see `base.Method.after_epoch`.
    """
    return [
        (epoch, _finite(row.get(LAMBDA_MAX)))
        for epoch, row in enumerate(history)
        if epoch % frequency == 0 or epoch == last_epoch
    ]


def local_averages(values, *, window):
    """[LA_0, LA_1, ...]: centred means over `window` values, cut off at both ends.

    Args:
        values: numbers, None where missing.
    Returns:
        As many; a mean is over the values that are present, None if none is.
    """
    return [local_average(values, i, window=window) for i in range(len(values))]


def newest_average(history, *, frequency, window):
    """The newest complete LA after the last epoch of `history`; None before there is one.

    It is centred window // 2 evaluations earlier.
    """
    values = [value for _, value in evaluations(history, frequency, last_epoch=None)]
    index = len(values) - 1 - window // 2
    return local_average(values, index, window=window) if index >= 0 else None


def local_average(values, index, *, window):
    """LA_index of `values`, see `local_averages`."""
    half = window // 2
    present = [v for v in values[max(index - half, 0) : index + half + 1] if v is not None]
    return sum(present) / len(present) if present else None


def check_number(name, value, allows, wanted):
    """Raises UserError unless `value` is a finite number that `allows` accepts.

    Args:
        name: of the method's argument.
        wanted: in words what it must be.
    """
    if not is_number(value) or not allows(value):
        raise UserError(f"method argument {name}={repr(value)[:60]} must be {wanted}")


def is_number(value):
    """Whether a method's argument is a number that others can be computed from."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -_LARGEST < value < _LARGEST


def _is_whole(low):
    return lambda value: isinstance(value, int) and value >= low


def _is_odd(value):
    return _is_whole(1)(value) and value % 2 == 1


def _finite(value):
    return value if value is not None and math.isfinite(value) else None
