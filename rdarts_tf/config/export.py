"""The configuration of python -m rdarts_tf.export."""

import dataclasses

from rdarts_tf.config.base import option


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What is written of a run for use elsewhere."""

    READS_RECORDS = True
    RUN_DIR = "the run whose cells or retrained network are exported"
    OVERWRITE = "replace a file or a former export that is in the way; another folder never is"

    format: str = option(
        "what",
        "savedmodel",
        "of the file; png, svg and dot draw the cells",
        choices=("savedmodel", "tflite", "onnx", "keras", "png", "svg", "dot"),
    )
    what: str = option(
        "what",
        "network",
        "the retrained network, or one untrained cell",
        choices=("network", "cell"),
    )
    evaluation: str | None = option("what", None, "folder in RUN/evaluate; default: the only one")
    seed: int | None = option("what", None, "which of its trainings; default: its first", low=0)
    input: str = option(
        "network",
        "uint8",
        "type of the images: uint8 in 0..255 or float32 in 0..1",
        choices=("uint8", "float32"),
    )
    quantize: str = option(
        "network",
        "none",
        "int8: a TFLite file of 8-bit weights and activations, calibrated on training images",
        choices=("none", "int8"),
    )
    calibration_images: int = option("data", 200, "of --quantize=int8", low=1)
    data_dir: str | None = option(
        "data", None, "where data sets are; default ~/tensorflow_datasets"
    )
    # Cells.
    genotype: str | None = option(
        "what",
        None,
        "to draw or export cells of: the text Genotype(...), a file, or a published name",
    )
    cell: str = option("network", "normal", "of --what=cell", choices=("normal", "reduce"))
    channels: int = option("network", 16, "of --what=cell", low=2)
    input_channels: int = option("network", 64, "of both inputs of --what=cell", low=1)
    out: str | None = option(
        "run directory",
        None,
        "file or folder to write, or a folder that exists, to write into; default RUN/export",
    )
