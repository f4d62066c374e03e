"""Searches of a report that differ in a strength of regularisation: what its figures by strength are drawn of."""

import dataclasses
import itertools

from rdarts_tf.drawing import plots
from rdarts_tf.reporting import paper
from rdarts_tf.reporting.tables import by_task

METHODS = ("darts", "darts_es")  # whose strength is that of their configuration
_MOST_PANELS = 12  # of a picture


@dataclasses.dataclass(frozen=True)
class Regulariser:
    """A field of a search's configuration.

    Attributes:
        figures: of the paper: test errors by it; beside one-shot validation errors; of more strengths.
        strengths: the paper's, of images.
    """

    field: str
    words: str
    figures: tuple[int, int, int]
    strengths: tuple[float, ...]


REGULARISERS = (
    Regulariser("drop_path_prob", "drop path", (7, 11, 18), (0.0, 0.2, 0.4, 0.6)),
    Regulariser("weight_decay", "L2", (8, 12, 18), (3e-4, 9e-4, 27e-4, 81e-4, 243e-4)),
)


@dataclasses.dataclass(frozen=True)
class Series:
    """Searches that differ in nothing but a strength and the seed.

    Attributes:
        place: data set, space.
        label: the method and what else tells it apart from the others of its panel.
        settings: {name: value} of the first.
        runs: {strength: [Record, ...]}, ascending.
    """

    place: tuple[str, str]
    label: str
    settings: dict
    runs: dict

    @property
    def panel(self):
        return "{1}, {0}".format(*self.place)

    @property
    def records(self):
        return list(itertools.chain(*self.runs.values()))

    def only(self, keep, label=None):
        """The Series of the records that `keep` is true of."""
        runs = {strength: [*filter(keep, records)] for strength, records in self.runs.items()}
        runs = {strength: records for strength, records in runs.items() if records}
        return dataclasses.replace(self, runs=runs, label=label or self.label)

    def numbers(self, number_of):
        """{strength: [number, ...]} of those that can be drawn."""
        runs = {s: drawable(map(number_of, records)) for s, records in self.runs.items()}
        return {strength: numbers for strength, numbers in runs.items() if numbers}


def of_tasks(records):
    """Yields (Regulariser, Series list) by task, of the searches by METHODS that vary a strength."""
    plain = [each for each in records if not each.selects and each.method in METHODS]
    for group in by_task(plain).values():
        found = [(record, record.settings()) for record in group]
        for regulariser in REGULARISERS:
            if every := of_field(found, regulariser.field):
                yield regulariser, every


def of_field(found, field):
    """The Series with at least two strengths.

    Args:
        found: (Record, its settings) pairs.
        field: of the strength.
    """
    groups = {}
    for record, settings in found:
        if settings.get(field) is not None:
            others = ((name, str(value)) for name, value in settings.items() if name != field)
            groups.setdefault(tuple(sorted(others)), []).append((settings[field], record, settings))
    several = [group for group in groups.values() if len({strength for strength, *_ in group}) > 1]
    every = [_of_group(group) for group in several]
    every = [dataclasses.replace(each, label=_label(each, every, field)) for each in every]
    return sorted(every, key=lambda each: (*each.place, each.label))


def pages(name, panels):
    """Yields (file name, some of the panels): {title: ...} in parts that a picture can hold."""
    for number, first in enumerate(range(0, len(panels), _MOST_PANELS)):
        some = itertools.islice(panels.items(), first, first + _MOST_PANELS)
        yield f"{name}{f'_{number}' * (number > 0)}.png", dict(some)


def drawable(numbers):
    return [n for n in numbers if n is not None and abs(n) < plots.LARGEST]


def _of_group(group):
    """The Series of (strength, Record, settings) triples, labelled by its method."""
    runs = {}
    for strength, record, _ in sorted(group, key=lambda each: each[0]):
        runs.setdefault(strength, []).append(record)
    _, first, settings = group[0]
    label = paper.METHODS.get(settings["method"], settings["method"])
    return Series((first.dataset, first.space), label, settings, runs)


def _label(series, every, field):
    """Its label, with what tells it apart from those of its panel that have the same."""
    alike = [
        each.settings for each in every if (each.place, each.label) == (series.place, series.label)
    ]
    differing = [
        f"{name} {value}"
        for name, value in series.settings.items()
        if name != field and len({str(settings.get(name)) for settings in alike}) > 1
    ]
    return ", ".join([series.label, *differing])
