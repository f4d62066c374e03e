"""Published cells by name, and reading a genotype from whatever a user gives. No TensorFlow."""

import codecs
import os
import pathlib

from rdarts_tf import reading
from rdarts_tf.genotypes import genotype

# As the authors of DARTS (Liu et al. 2019) give them, NASNet-A (Zoph et al. 2018) and AmoebaNet-A
# (Real et al. 2019) in their encoding.
TEXTS = {
    "DARTS_V1": "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=range(2, 6))",
    "DARTS_V2": "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))",
    "NASNet": "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), "
    "('sep_conv_3x3', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), "
    "('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('skip_connect', 1)], normal_concat=range(2, 7), "
    "reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0), "
    "('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2), "
    "('sep_conv_3x3', 2), ('max_pool_3x3', 1)], reduce_concat=range(4, 7))",
    "AmoebaNet": "Genotype(normal=[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_5x5', 2), ('sep_conv_3x3', 0), ('avg_pool_3x3', 3), ('sep_conv_3x3', 1), "
    "('skip_connect', 1), ('skip_connect', 0), ('avg_pool_3x3', 1)], normal_concat=range(4, 7), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('max_pool_3x3', 0), ('sep_conv_7x7', 2), "
    "('sep_conv_7x7', 0), ('avg_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), "
    "('conv_7x1_1x7', 0), ('sep_conv_3x3', 5)], reduce_concat=[3, 4, 6])",
    "DARTS_RNN_V1": "Genotype(recurrent=[('relu', 0), ('relu', 1), ('tanh', 2), ('relu', 3), ('relu', 4), "
    "('identity', 1), ('relu', 5), ('relu', 1)], concat=range(1, 9))",
    "DARTS_RNN_V2": "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), "
    "('tanh', 2), ('sigmoid', 5), ('tanh', 3), ('relu', 5)], concat=range(1, 9))",
}


def read(spec, space=None):
    """The Genotype of a published name, of a text that `genotype.parse` reads, or of a file with one.

    Args:
        spec: the text, FILE, or FILE:NAME of one of several in it, NAME being that of an assignment or
            the number of a line.
        space: spaces.base.Space that it is of, see `genotype.parse`.
    Raises:
        GenotypeError: it is none of these.
    """
    spec = spec.strip()
    if spec in TEXTS:
        return genotype.parse(TEXTS[spec], space)
    file, colon, name = spec.rpartition(":")
    for path, of_file in ((spec, None), (file, name)) if colon else ((spec, None),):
        if os.path.isfile(path):  # False where it is too long for a path
            return genotype.parse(_content(pathlib.Path(path)), space, name=of_file)
    if "(" in spec or "{" in spec:
        return genotype.parse(spec, space)
    raise genotype.GenotypeError(
        f"no genotype {spec!r}: neither a file, nor the text Genotype(...), nor one of "
        + ", ".join(TEXTS)
    )


def _content(path):
    """The text of a file in UTF-8 or UTF-16."""
    try:
        content = reading.read_bytes(path)
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, ValueError) as error:
        raise genotype.GenotypeError(f"cannot read a genotype from {path}: {error}") from error
