"""The spectra of a report, as Figures 15 and 16 of Zela et al. 2020."""

import itertools

from rdarts_tf.drawing import plots
from rdarts_tf.reporting import charts
from rdarts_tf.reporting.page import Heading, Paragraph, Picture
from rdarts_tf.reporting.tables import family, missing, regularisation

_PLACES = {1: ("last",), 2: ("first", "last"), 3: ("first", "middle", "last")}


def spectra(records, recorded):
    """Eigenvalues of the Hessian in alpha by epoch; nothing where no run has them.

    Args:
        records: run_records.Records.
        recorded: {name: {epoch: eigenvalues}} of the authors' runs.
    """
    groups, searches = {}, [record for record in family(records) if not record.selects]
    for record in (record for record in searches if record.spectra):
        runs = groups.setdefault(f"{record.space}, {record.dataset}", {})
        runs[f"{record.label}: {regularisation(record)}"] = record.spectra
    for name, found in ((name, found) for name, found in recorded.items() if found):
        groups.setdefault(name.partition("_dp")[0].replace("_", ", "), {})[name] = found
    if not groups:
        return
    yield Heading("Figures 15, 16: spectra of the Hessian in alpha")
    for number, (title, runs) in enumerate(_pictures(groups)):
        content = plots.to_png(charts.spectra(_columns(runs), title=title))
        yield Picture(f"spectra_{number}.png", content, f"spectra of {title}")
    yield Paragraph(
        "The 30 eigenvalues of the largest magnitude, and how many are where, at the first, the middle "
        "and the last epoch with a spectrum. Each edge has one eigenvalue 0, since adding a number to "
        "all its alphas changes nothing" + ("; in the authors' logs 0.001." if recorded else ".")
    )
    without = [record for record in searches if record.curvature() and not record.spectra]
    ready = [record.spectrum_command for record in without if record.has_checkpoints]
    yield from missing("Runs without it; commands that measure it:", ready)
    if without and not ready:
        again = without[0].repeat_command("eigensolver", "full")
        yield from missing("Runs without it need a search that records it, such as:", [again])


def _pictures(groups):
    """Yields (title, {run: spectra}) with no more runs than there are colours."""
    most = len(plots.CURVE_COLORS)
    for title, runs in groups.items():
        for first in range(0, len(runs), most):
            yield title, dict(itertools.islice(runs.items(), first, first + most))


def _columns(runs):
    """{title: {run: eigenvalues}} of {run: {epoch: eigenvalues}}, one to three epochs each."""
    columns = {place: {} for place in _PLACES[max(map(len, runs.values()))]}
    epochs = {place: set() for place in columns}
    for run, found in runs.items():
        for place, (epoch, values) in zip(_PLACES[len(found)], sorted(found.items()), strict=True):
            columns[place][run] = values
            epochs[place].add(epoch)
    titles = {
        place: f"epoch {min(some)}" if len(some) == 1 else f"{place} epoch"
        for place, some in epochs.items()
    }
    return {titles[place]: lines for place, lines in columns.items()}
