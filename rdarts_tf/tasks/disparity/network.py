"""What search and derived networks share: stems, correlation, encoder, decoder, predictions."""

import dataclasses

import keras
import tensorflow as tf

from rdarts_tf.tasks.disparity.correlation import correlation
from rdarts_tf.tasks.disparity.primitives import ConvAct, convolution
from rdarts_tf.tasks.disparity.resizing import doubled
from rdarts_tf.tasks.disparity.size import Size


@keras.saving.register_keras_serializable("rdarts_tf.disparity")
class Head(keras.layers.Layer):
    """A prediction: 3x3 convolution with bias to one channel, not negative, in at least float32.

    Differs from: the authors predict x_right - x_left, with min(0, .).
    """

    def build(self, input_shape):
        c_in = input_shape[-1]
        normal = keras.initializers.RandomNormal(stddev=(2 / (9 * c_in)) ** 0.5)
        options = {"autocast": False}
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, c_in, 1), initializer=normal, **options
        )
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros", **options)
        self.built = True

    def call(self, x):
        """[N, H, W, C] -> [N, H, W, 1]."""
        kernel = tf.convert_to_tensor(self.kernel)
        return tf.nn.relu(convolution(tf.cast(x, kernel.dtype), kernel) + self.bias)


class Network(keras.Model):
    """Two images -> disparities, coarse to fine (Saikia et al. 2019; Zela et al. 2020, app. E).

    A subclass gives `make_cell(channels, cell_type=, before=, **options)`, whose options any cell takes.

    Args:
        size: size.Size, or its fields as a dict.
        normalised: BatchNorm after each activation.
        batch_norm: keyword arguments of every BatchNorm.
        stop_prediction: no gradient through a prediction into the next cell, as in the authors' framework;
            gradients in alpha are those of no function then.
    Raises:
        ValueError: cells that do not fit.
    """

    affine = False  # every BatchNorm

    def __init__(self, size, *, normalised=True, batch_norm=None, stop_prediction=False, **kwargs):
        super().__init__(**kwargs)
        self.size = size = Size(**size) if isinstance(size, dict) else size
        if size.finest < 1:
            raise ValueError(f"{size.decoder_cells} decoder cells are more than {size} can have")
        self.normalised, self.batch_norm = normalised, batch_norm or {}
        self.stop_prediction = stop_prediction
        self.stem = self._stems()
        self.feature = self._cell("feature", "reduce", 2 * size.channels, "same")
        self.encoder = self._encoder()
        self.decoder = self._decoder()
        self.heads = [
            Head(name=f"prediction{size.coarsest - i}", dtype=self.dtype_policy)
            for i in range(size.decoder_cells + 1)
        ]

    def get_config(self):
        return super().get_config() | {
            "size": dataclasses.asdict(self.size),
            "normalised": self.normalised,
            "batch_norm": self.batch_norm,
            "stop_prediction": self.stop_prediction,
        }

    def _stems(self):
        sides, c = (7, 5)[-self.size.stems :], self.size.channels
        return [
            ConvAct(
                c * (4 if side == 5 else 2),
                kernel_size=side,
                stride=2,
                normalised=self.normalised,
                affine=self.affine,
                batch_norm=self.batch_norm,
                dtype=self.dtype_policy,
                name=f"stem{i + 1}",
            )
            for i, side in enumerate(sides)
        ]

    def _cell(self, name, cell_type, channels, before):
        return self.make_cell(
            channels,
            cell_type=cell_type,
            before=before,
            normalised=self.normalised,
            batch_norm=self.batch_norm,
            dtype=self.dtype_policy,
            name=name,
        )

    def _encoder(self):
        cells, channels = [], 2 * self.size.channels
        for i in range(self.size.encoder_cells):
            cell_type = ("normal", "reduce")[i % 2]
            channels *= 1 + i % 2
            before = "larger" if i and i % 2 == 0 else "same"
            cells.append(self._cell(f"encoder{i}", cell_type, channels, before))
        return cells

    def _decoder(self):
        cells, channels = [], (2 ** (1 + self.size.encoder_cells // 2)) * self.size.channels
        for i in range(self.size.decoder_cells):
            channels //= 2
            before = "smaller" if i else "same"
            cells.append(self._cell(f"decoder{i}", "upsample", channels, before))
        return cells

    def build(self, input_shape=None):
        def shape(channels):
            return (None, None, None, channels)

        x, skips, level = 3, {}, self.size.stems + 1
        for i, stem in enumerate(self.stem):
            stem.build(shape(x))
            x = skips[i + 1] = stem.channels
        self.feature.build(shape(x), shape(x))
        skips[level] = self.feature.output_channels
        c0, c1 = 2 * skips[level], 2 * self.size.max_displacement + 1
        for cell in self.encoder:
            cell.build(shape(c0), shape(c1))
            c0, c1 = c1, cell.output_channels
            if cell.reduction:
                level += 1
                skips[level] = c1
        self.heads[0].build(shape(c1))
        c0 = c1
        for cell, head in zip(self.decoder, self.heads[1:], strict=True):
            level -= 1
            cell.build(shape(c0), shape(c1), shape(1), shape(skips[level]))
            c0, c1 = c1, cell.output_channels
            head.build(shape(c1))
        self.built = True

    def predictions(self, left, right, of_cell, *, training):
        """Disparities in pixels of the input, coarse to fine, a list of [N, H / 2^l, W / 2^l, 1].

        Args:
            left, right: [N, H, W, 3], normalised; H and W multiples of `size.multiple`.
            of_cell: cell type -> {name: value} of further arguments of such cells.
        """
        mode = {"training": training}
        x = tf.cast(tf.concat((left, right), axis=0), self.compute_dtype)
        skips, level = {}, 0
        for stem in self.stem:
            x, level = stem(x, **mode), level + 1
            skips[level] = tf.split(x, 2)[0]
        features = tf.split(self.feature(x, x, **of_cell("reduce"), **mode), 2)
        level += 1
        skips[level] = features[0]
        s0 = tf.concat(features, axis=-1)
        s1 = tf.nn.relu(correlation(*features, self.size.max_displacement))
        for cell in self.encoder:
            s0, s1 = s1, cell(s0, s1, **of_cell(cell.cell_type), **mode)
            if cell.reduction:
                level += 1
                skips[level] = s1
        s0, found = s1, [self.heads[0](s1)]
        for cell, head in zip(self.decoder, self.heads[1:], strict=True):
            level -= 1
            last = tf.stop_gradient(found[-1]) if self.stop_prediction else found[-1]
            last = tf.cast(doubled(last, **mode), s1.dtype)
            s0, s1 = s1, cell(s0, s1, last, skips[level], **of_cell("upsample"), **mode)
            found.append(head(s1))
        return found

    def num_parameters(self):
        return sum(v.shape.num_elements() for v in self.trainable_variables)
