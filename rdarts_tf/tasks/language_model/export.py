"""What language modelling exports: the retrained network as others use it."""

from rdarts_tf.tasks.language_model import serving
from rdarts_tf.tasks.language_model.task import network_of

_LENGTH = 12  # tokens of a sample


def served(config, record, arrays):
    """The serving.ServedModel of a checkpoint.

    Args:
        config: options.EvaluateConfig, resolved.
        record: what dataset.json has.
        arrays: {name: array} of the checkpoint.
    """
    vocabulary = record["vocabulary"]
    net = network_of(config, len(vocabulary), dtype="float32")
    for v in net.trainable_variables:
        v.assign(arrays[f"weights/{v.path.split('/', 1)[1]}"])
    return serving.ServedModel(net, vocabulary=vocabulary, name="served")


def samples(dataset, num):
    """int32 [<= num, T]: pieces of the test text."""
    length = min(_LENGTH, len(dataset.test))
    num = min(num, len(dataset.test) // length)
    return dataset.test[: num * length].reshape(num, length)
