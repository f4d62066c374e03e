"""The configuration of python -m rdarts_tf.analyze."""

import dataclasses

from rdarts_tf.config.base import REPLACE, option


@dataclasses.dataclass(frozen=True)
class AnalyzeConfig:
    """What is drawn of finished searches."""

    READS_RECORDS = True

    what: str = option("what", "trajectory", "the analysis, one of those above")
    method: str | None = option(
        "what", None, "whose stop rule is applied; default the run's own, else darts_es"
    )
    table: str | None = option(
        "what",
        None,
        "of --what=regret: CSV file that rdarts_tf.sweep --exhaustive wrote; default: one that comes "
        "along",
    )
    data_dir: str | None = option(
        "data", None, "where data sets are; default ~/tensorflow_datasets"
    )
    out: str | None = option(
        "run directory",
        None,
        "folder for what is written; default analysis, in the run directory if there is one",
    )
    overwrite: bool = option("run directory", False, REPLACE)
