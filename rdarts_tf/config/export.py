"""The configuration of an export: what tasks have in common."""

import dataclasses

from rdarts_tf.config.base import option


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What is written of a run for use elsewhere."""

    TASK = None  # none exports such networks; their cells can be drawn
    READS_RECORDS = True
    RUN_DIR = "the run whose cells or retrained network are exported"
    OVERWRITE = "replace a file or a former export that is in the way; another folder never is"

    format: str = option(
        "what",
        "savedmodel",
        "of the file; png, svg and dot draw the cells; text, json (both as DARTS has them) and nni write "
        "them down",
        choices=(
            "savedmodel",
            "tflite",
            "onnx",
            "keras",
            "png",
            "svg",
            "dot",
            "text",
            "json",
            "nni",
        ),
    )
    what: str = option(
        "what",
        "network",
        "the retrained network, or one untrained cell",
        choices=("network", "cell"),
    )
    compare: str = option(
        "what",
        "samples",
        "of the network: read the file back in a new process and compare answers to test examples, or none",
        choices=("samples", "none"),
    )
    evaluation: str | None = option("what", None, "folder in RUN/evaluate; default: the only one")
    seed: int | None = option("what", None, "which of its trainings; default: its first", low=0)
    data_dir: str | None = option(
        "data", None, "where data sets are; default ~/tensorflow_datasets"
    )
    genotype: str | None = option(
        "what",
        None,
        "to draw or export cells of: the text Genotype(...), FILE or FILE:NAME of any dialect, or a "
        "published name",
    )
    space: str | None = option(
        "what", None, "whose cells --genotype has; default: that of the run, or as the cells tell"
    )
    out: str | None = option(
        "run directory",
        None,
        "file or folder to write, or a folder that exists, to write into; default RUN/export",
    )

    def check_values(self):
        """Raises UserError for what does not go together; a task adds its own."""
