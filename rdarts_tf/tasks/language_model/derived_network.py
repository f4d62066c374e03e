"""The network of a recurrent genotype, trained from scratch (Liu et al. 2019, sec. 3.3)."""

import keras

from rdarts_tf.genotypes import genotype as genotype_lib
from rdarts_tf.tasks.language_model import recurrent_cell
from rdarts_tf.tasks.language_model.network import LanguageModel
from rdarts_tf.tasks.language_model.scan import scan


@keras.saving.register_keras_serializable("rdarts_tf.language_model")
class DerivedNetwork(LanguageModel):
    """A language model with the cell of a genotype; there is no BatchNorm.

    Args:
        genotype: genotype.Genotype with a recurrent cell, or its text form.
        vocabulary, hidden: see `LanguageModel`.
    Raises:
        GenotypeError: other cells, or an unknown activation.
    """

    def __init__(self, genotype, vocabulary, *, hidden, **kwargs):
        found = genotype_lib.parse(genotype) if isinstance(genotype, str) else genotype
        check_genotype(found)
        super().__init__(vocabulary, hidden, len(found.cells["recurrent"]), **kwargs)
        self.genotype = found

    def get_config(self):
        return super().get_config() | {"genotype": str(self.genotype)}

    def call(self, tokens, hidden, masks=None, training=False):
        """network.Outputs of tokens [B, T] and hidden [B, n]; masks as `dropout.draw` gives them, or None."""
        return self.outputs(tokens, hidden, masks)

    def unrolled(self, x, hidden, mask):
        """Outputs of the cell at all times: x [T, B, n], hidden [B, n], mask [B, n] or None -> [T, B, n]."""
        of_x, constants = self.read(x)
        cell, concat = (part["recurrent"] for part in (self.genotype.cells, self.genotype.concat))
        masked = mask is not None
        step = recurrent_cell.derived_step(cell, concat, self.hidden, masked=masked)
        constants += [mask] if masked else []
        return scan(step, [hidden], [of_x], constants)[0].y[0]

    def num_parameters(self):
        return sum(v.shape.num_elements() for v in self.trainable_variables)


def check_genotype(genotype):
    """Raises GenotypeError unless a language model can be built from the genotype."""
    if set(genotype.cells) != {"recurrent"}:
        raise genotype_lib.GenotypeError(
            f"a language model needs the cell recurrent, not {', '.join(genotype.cells)}"
        )
    genotype_lib.check_primitives(genotype, recurrent_cell.ACTIVATIONS)
