"""The configuration of python -m rdarts_tf.shrink."""

import dataclasses

from rdarts_tf.config.base import REPLACE, option


@dataclasses.dataclass(frozen=True)
class ShrinkConfig:
    """What a space is made of."""

    READS_RECORDS = True

    keep: int | None = option("what", None, "primitives that each edge keeps, such as 4")
    out: str | None = option(
        "run directory",
        None,
        "file of the space, its drawings beside; default RUN/shrink/<space>_keep<number>.json",
    )
    overwrite: bool = option("run directory", False, REPLACE)
