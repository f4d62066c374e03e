"""What the parity checks share: errors, recorded outputs, and how the files' layouts become ours."""

import json

import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.image_classification.metrics import cross_entropy


class Absent(KeyError):
    """A file lacks an array."""

    def __str__(self):
        return f"it holds no {self.args[0]}"


class Arrays(dict):
    """{name: array} of a file; raises Absent for others."""

    def __missing__(self, name):
        raise Absent(name)


def read(path):
    """(Arrays, its meta as a dict) of a parity file; raises Absent without meta."""
    with np.load(path, allow_pickle=False) as file:
        arrays = Arrays(file)
    return arrays, json.loads(str(arrays["meta"]))


def mean_loss(logits, labels):
    return tf.reduce_mean(cross_entropy(logits, labels))


def error(value, reference):
    value, reference = np.asarray(value), np.asarray(reference)
    if value.shape != reference.shape:
        raise ValueError(f"shape {value.shape}, the file's is {reference.shape}")
    return float(np.abs(value - reference).max() / (np.abs(reference).max() or 1.0))


def worst(pairs):
    return float(np.max([error(value, reference) for value, reference in pairs]))  # keeps NaN


def compare(references, values):
    """The worst error of the references that are there; None: there is nothing to compare.

    Args:
        references: arrays, None for each that the file lacks.
        values: called for ours, as many; raises Absent where the file lacks what they follow from.
    """
    if all(reference is None for reference in references):
        return None
    try:
        pairs = list(zip(values(), references, strict=True))
    except Absent:
        return None
    return worst((value, reference) for value, reference in pairs if reference is not None)


class recorded:
    """While it is entered, {name: output} of the layers {name: layer}."""

    def __init__(self, layers):
        self.layers = layers

    def __enter__(self):
        outputs = {}
        for name, layer in self.layers.items():
            layer.call = _recording(layer.call, outputs, name)
        return outputs

    def __exit__(self, *_):
        for layer in self.layers.values():
            del layer.call


def _recording(call, outputs, name):
    def recording(*args, **kwargs):
        outputs[name] = call(*args, **kwargs)
        return outputs[name]

    return recording


def fixed_noise(sample):
    def call(x, scale=None, seed=None, training=False):
        return sample if scale is None else scale * sample

    return call


# The file's layouts, and how they become ours.
def nhwc(x):
    return x.transpose(0, 2, 3, 1)


def nchw(x):
    return np.asarray(x).transpose(0, 3, 1, 2)


def full(kernel):  # OIHW -> HWIO
    return kernel.transpose(2, 3, 1, 0)


def depthwise(kernel):  # C1HW -> HWC1
    return kernel.transpose(2, 3, 0, 1)


def pointwise(kernel):  # OI11 -> IO
    return kernel[:, :, 0, 0].T


KERNELS = {  # attribute of a primitive: (name in the file, layout)
    "dw": ("dw", depthwise),
    "dw_1": ("dw_1", depthwise),
    "dw_2": ("dw_2", depthwise),
    "pw": ("pw", pointwise),
    "pw_1": ("pw_1", pointwise),
    "pw_2": ("pw_2", pointwise),
    "kernel": ("conv", pointwise),
    "kernel_1": ("conv_1", pointwise),
    "kernel_2": ("conv_2", pointwise),
}
