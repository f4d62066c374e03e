"""How large a disparity network is. No TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a network is.

    Attributes:
        channels: C; stems have 2C and 4C, the feature cell 2C; reductions double, upsampling halves.
        stems: 2, or 1 for small images: what follows has twice the resolution then.
        encoder_cells: after the feature cell; each second one is a reduction.
        decoder_cells: upsampling cells.
        max_displacement: of the correlation, in pixels of its resolution, 2^(stems + 1) of the input's.
    """

    channels: int
    stems: int
    encoder_cells: int
    decoder_cells: int
    max_displacement: int

    @property
    def coarsest(self):
        """l of the encoder's output, which has 1 / 2^l of the input's size."""
        return self.stems + 1 + self.encoder_cells // 2

    @property
    def finest(self):
        """l of the final prediction."""
        return self.coarsest - self.decoder_cells

    @property
    def multiple(self):
        """Of which height and width of the input are multiples."""
        return 2**self.coarsest
