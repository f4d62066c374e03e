"""The weights of a network as one vector, so that a step of them is a handful of operations."""

import typing

import numpy as np
import tensorflow as tf

from rdarts_tf.layers import traced_once


class Slice(typing.NamedTuple):
    """A part of a variable [P], read and written as a tensor of its own, outside of graphs."""

    variable: tf.Variable
    part: slice
    shape: tuple

    def numpy(self):
        return self.variable[self.part].numpy().reshape(self.shape)

    def assign(self, value):
        whole = self.variable.numpy()
        whole[self.part] = np.ravel(value)
        self.variable.assign(whole)


class Packing:
    """Concatenates tensors of given shapes to one vector and splits it again; all of one dtype.

    The two are linear and each the other's transpose, hence gradient.

    Args:
        shapes: of the tensors.
    """

    def __init__(self, shapes):
        self.shapes = [tuple(shape) for shape in shapes]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self._concat = tf.function(self._concatenated, **traced_once.OPTIONS)
        self._split = tf.function(self._pieces, **traced_once.OPTIONS)

    def pack(self, tensors):
        """list of tensors -> [P]."""
        (vector,) = traced_once.with_vjp(self._concat, tensors, vjp=self._unpack)
        return vector

    def unpack(self, vector):
        """[P] -> list of tensors."""
        return self._unpack([vector])

    def _unpack(self, vector):
        return traced_once.with_vjp(self._split, vector, vjp=lambda g: [self.pack(g)])

    def slices(self, variable):
        """Of a variable [P], one `Slice` for each tensor."""
        ends = np.cumsum(self.sizes)
        parts = zip(ends - self.sizes, ends, self.shapes, strict=True)
        return [Slice(variable, slice(*ends), shape) for *ends, shape in parts]

    def _concatenated(self, tensors):
        flat = tf.constant([-1])
        return [tf.concat([tf.reshape(x, flat) for x in tensors], axis=0)]

    def _pieces(self, vector):
        pieces = tf.split(vector[0], self.sizes)
        shapes = {shape: tf.constant(shape, tf.int32) for shape in set(self.shapes)}
        return [tf.reshape(x, shapes[shape]) for x, shape in zip(pieces, self.shapes, strict=True)]
