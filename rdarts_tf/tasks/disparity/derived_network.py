"""The disparity network of a genotype, trained from scratch."""

import keras

from rdarts_tf.genotypes import genotype as genotype_lib
from rdarts_tf.tasks.disparity import primitives
from rdarts_tf.tasks.disparity.cells import DerivedCell
from rdarts_tf.tasks.disparity.network import Network

_CELLS = {"normal": 2, "reduce": 2, "upsample": 4}  # {cell type: inputs}


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class DerivedNetwork(Network):
    """A disparity network with the cells of a genotype; every BatchNorm is affine.

    Args:
        genotype: genotypes.genotype.Genotype, or its text form.
        size, others: see `network.Network`.
    Raises:
        GenotypeError: other cells, or an unknown primitive.
    """

    affine = True

    def __init__(self, genotype, size, **kwargs):
        found = genotype_lib.parse(genotype) if isinstance(genotype, str) else genotype
        check_genotype(found)
        self._genotype = found
        super().__init__(size, **kwargs)

    @property
    def genotype(self):
        return self._genotype

    def get_config(self):
        return super().get_config() | {"genotype": str(self.genotype)}

    def make_cell(self, channels, **options):
        return DerivedCell(self.genotype, channels, **options)

    def call(self, left, right, training=False):
        """See `Network.predictions`."""
        return self.predictions(left, right, lambda cell_type: {}, training=training)


def check_genotype(genotype):
    """Raises GenotypeError unless a disparity network can be built from the genotype."""
    genotype_lib.check_primitives(genotype, primitives.NAMES)
    if set(genotype.cells) != set(_CELLS):
        raise genotype_lib.GenotypeError(
            f"a disparity network needs the cells {', '.join(_CELLS)}, not "
            + ", ".join(genotype.cells)
        )
    for cell_type, inputs in _CELLS.items():
        if genotype.layout(cell_type)[0] != inputs or min(genotype.concat[cell_type]) < inputs:
            raise genotype_lib.GenotypeError(
                f"cell {cell_type!r} of a disparity network has {inputs} inputs and concatenates "
                f"nodes only, states from {inputs} on"
            )
