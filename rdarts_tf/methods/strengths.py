"""R-DARTS: searches of different regularisation, the best cell is selected (Zela et al. 2020)."""

import dataclasses
import math

from rdarts_tf.errors import UserError
from rdarts_tf.methods import base, tracker

_MOST = 100  # searches


class Strengths(base.Method):
    """One search for each strength of a regulariser, selection by a training from scratch.

    Each cell is trained for --select_epochs on the search's training half and scored on its
    validation half; the least error wins. Zela et al. 2020, sec. 5.3.

    Args:
        values: the strengths; None: `factors` times the default of the field.
        method: of each search.
    Attributes:
        field: of the configuration, that the strengths replace; a subclass gives it.
        maximum: strengths are below it; a subclass gives it.
        factors: a subclass that has default values by them gives them.
    Raises:
        UserError: a value that cannot be.
    """

    field, maximum, factors = None, math.inf, ()

    def __init__(self, values, method="darts"):
        base.check_method(method)
        if values is None and self.factors:
            self._values, self.method = None, method
            return
        listed = isinstance(values, tuple | list) and values
        if (
            not listed
            or len(values) > _MOST
            or not all(map(self._is_strength, values))
            or len(set(values)) < len(values)
        ):
            raise UserError(
                f"method argument values={str(values)[:200]} must list different numbers from 0 to below "
                f"{self.maximum:g}, such as values=[0.0, 0.2]"
            )
        self._values, self.method = tuple(values), method

    def _is_strength(self, value):
        return tracker.is_number(value) and 0 <= value < self.maximum

    def values(self, config):
        """The strengths in a search of a task."""
        if self._values is not None:
            return self._values
        default = type(config).__dataclass_fields__[self.field].default
        return tuple(float(f"{factor * default:.12g}") for factor in self.factors)

    def check(self, config):
        """Raises UserError where the configuration gives a strength, too."""
        base.check_field(config, self.field, config.method)
        default = type(config).__dataclass_fields__[self.field].default
        if (given := getattr(config, self.field)) != default:
            raise UserError(
                f"--{self.field}={given} has no effect on a method that varies it; give the method "
                f"values=[{given}, ...] instead"
            )

    def runs(self, config):
        values = self.values(config)
        names = [f"{value:g}" for value in values]
        if len(set(names)) < len(names):  # they print alike
            names = [repr(float(value)) for value in values]
        return {
            f"{self.field}_{name}": dataclasses.replace(
                config, **{"method": self.method, self.field: float(value)}
            )
            for name, value in zip(names, values, strict=True)
        }
