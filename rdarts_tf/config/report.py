"""The configuration of python -m rdarts_tf.report."""

import dataclasses

from rdarts_tf.config.base import REPLACE, option


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """Where the page about runs goes."""

    READS_RECORDS = True

    out: str | None = option(
        "run directory",
        None,
        "folder for the page; default report, in the run directory if there is only one",
    )
    overwrite: bool = option("run directory", False, REPLACE)
