"""Writes one page about runs.

    python -m rdarts_tf.report runs --out=page
    python -m rdarts_tf.report runs/s1_digits_darts_s2

RUNS are run directories, folders that hold some, or the authors' logs: eigenvalue_trajectories.csv,
hessian_samples.npz, or a folder of them. Writes report.md, its pictures beside it, and report.html, which
holds them. No TensorFlow.
"""

import dataclasses
import pathlib
import sys
import types
from collections.abc import Iterable

from rdarts_tf import registry
from rdarts_tf.config import flags
from rdarts_tf.config.report import ReportConfig
from rdarts_tf.config.search import SearchConfig, of_space
from rdarts_tf.errors import UserError
from rdarts_tf.reporting import errors, not_shown, page, paper, recorded, table2, tables
from rdarts_tf.runs import child, placing, record_reading
from rdarts_tf.runs.placing import write_files

TITLE = "Report of architecture searches"


def main(config, paths):
    write(config, paths)
    return 0


def write(config, paths):
    """Writes the page; returns its folder."""
    if not paths:
        raise UserError(
            "nothing to report; give run directories, folders that hold some, or CSV files"
        )
    records, logs, refused = _read(paths)
    for sentence in refused:
        print(f"not shown: {sentence}", file=sys.stderr)
    alone = len(records) == 1 and not any(logs)
    alone &= not refused or [records[0].path] == [pathlib.Path(path) for path in paths]
    folder = config.out or (placing.inside(records[0].path, "report") if alone else "report")
    found = list(blocks(records, *logs, refused))
    files = page_files([*found, *not_shown.not_shown(found)])
    write_files(folder, files, replace=config.overwrite or (alone and not config.out))
    return pathlib.Path(folder)


def blocks(records, trajectories, spectra_of=None, refused=()):
    """Yields the blocks of the page.

    Args:
        records, refused: run_records.Records and sentences, as record_reading.read gives them.
        trajectories, spectra_of: of the authors' logs, see recorded.read.
    """
    # Not earlier: matplotlib takes a second to load.
    from rdarts_tf.reporting import (
        by_class,
        by_epoch,
        correlations,
        exactness,
        figures,
        language,
        made_spaces,
        regrets,
        spectra,
        strengths,
    )

    defaults = dataclasses.asdict(of_space("s1")()) | {"extended_after": None}
    of_paper = [record for record in records if record.task == paper.TASK]
    authors = SearchConfig(method="darts_es").make_method()
    yield from tables.runs(records)
    yield from tables.refusals(refused)
    if of_paper or not records:
        yield from errors.errors(of_paper, defaults)
    yield from by_class.by_class(records)
    if of_disparity := [record for record in records if record.task == table2.TASK]:
        yield from table2.errors(of_disparity)
    if of_language := [record for record in records if record.task == language.TASK]:
        yield from language.perplexities(of_language, dataclasses.asdict(of_space("rnn")()))
    yield from exactness.exactness(records)
    yield from regrets.regrets(records)
    yield from tables.selections(records)
    yield from strengths.errors_by_strength(records, defaults)
    yield from figures.trajectories(records, [(each, authors) for each in trajectories])
    yield from by_epoch.by_epoch(records)
    yield from made_spaces.made_spaces(records)
    yield from spectra.spectra(records, spectra_of or {})
    yield from figures.alphas(records)
    yield from figures.cells(records)
    yield from correlations.discretisation(records)
    yield from correlations.drops_by_strength(records)
    yield from correlations.correlations(records)


def page_files(found):
    """{name: bytes} of the pictures, report.md and report.html."""
    pictures = {p.name: p.content for p in found if isinstance(p, page.Picture)}
    return pictures | {
        "report.md": page.to_markdown(TITLE, found).encode(),
        "report.html": page.to_html(TITLE, found).encode(),
    }


def _read(paths):
    """(Records, what recorded.read gives, refusals): folders hold runs, or logs of the authors; so do files.

    Raises:
        UserError: there is nothing but refusals.
    """
    paths = [pathlib.Path(path) for path in paths]
    logs = recorded.read([path for path in paths if recorded.is_log(path)])
    records, refused = record_reading.read([path for path in paths if not recorded.is_log(path)])
    if refused and not (records or any(logs)):
        raise UserError("; ".join(refused))
    return records, logs, refused


def run():
    """The command; exits."""
    flags.run(main, lambda _: ReportConfig, in_run_dir=False)


class _Module(types.ModuleType):
    """This module can be called: `rdarts_tf.report(["runs"])`."""

    def __call__(self, paths, *, out=None, overwrite=False, plugin=()):
        """Writes the page in this process.

        Args:
            paths: run directories, folders that hold some, CSV files, or Runs: one or a list.
            out, overwrite: as the flags.
            plugin: names of modules outside of rdarts_tf that the runs may name.
        Returns:
            pathlib.Path of report.html.
        Raises:
            UserError.
        """
        several = paths if isinstance(paths, Iterable) and not isinstance(paths, str) else [paths]
        found = [child.a_path(getattr(each, "path", each)) for each in several]
        for name in child.plugin_names(plugin):
            registry.trust(name)
        return write(ReportConfig(out=out, overwrite=overwrite), found) / "report.html"


sys.modules[__name__].__class__ = _Module


if __name__ == "__main__":
    run()
