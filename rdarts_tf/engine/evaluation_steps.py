"""The inner loop of retraining: blocks of weight steps of a derived network, a tf.function."""

import tensorflow as tf

from rdarts_tf.engine import distribution
from rdarts_tf.engine.weight_steps import WEIGHT, WeightTraining, path, share_of_mean
from rdarts_tf.tasks.image_classification import metrics, networks


class Retraining(WeightTraining):
    """The weight steps of a derived network, auxiliary head and drop path included.

    Args:
        net: built DerivedNetwork.
        config: evaluate_config.EvaluateConfig.
        strategy: in whose scope the network was built.
        seed: of noise and drop path.
    """

    def __init__(self, net, *, config, strategy, seed):
        jit = config.jit(gpus=len(tf.config.list_logical_devices("GPU")))
        super().__init__(net, config=config, strategy=strategy, seed=seed, jit=jit)
        self._run_train_step = self._compiled(self._train_step)

    @tf.function
    def train_block(self, iterator, first, last, epoch, rates):
        """Runs the steps first .. last - 1 of an epoch, or up to the first loss that is not finite.

        Args:
            iterator: of (images, labels), global batches.
            first, last, epoch: int32 scalars.
            rates: {"learning_rate", "weight_decay", "drop_path_prob"}: float32 scalars.
        Returns:
            (int32 the first step that was not run, float32 the loss of the last one that was).
        """
        return self._run_block(self._run_train_step, iterator, first, last, epoch, rates)

    def _train_step(self, batch, step, epoch, rates):
        images, labels = distribution.local_part(batch)
        key, scale = self.key(epoch, step, WEIGHT), share_of_mean(batch[1])
        drop_path_prob = rates["drop_path_prob"] if self.config.drop_path_prob else None

        def loss(w):
            state = [v.value for v in self.net.non_trainable_variables]
            outputs, state = self.net.stateless_call(
                w, state, images, drop_path_prob=drop_path_prob, seed=key, training=True
            )
            logits, *auxiliary = outputs if self.config.auxiliary else (outputs,)
            total = tf.reduce_sum(metrics.cross_entropy(logits, labels))
            for side in auxiliary:
                weight = tf.cast(self.config.auxiliary_weight, side.dtype)
                total += weight * tf.reduce_sum(metrics.cross_entropy(side, labels))
            return tf.cast(scale, total.dtype) * total, logits, [state[i] for i in self.statistics]

        return self._weight_step(loss, labels, rates)


def make_network(config, image_shape, num_classes, **changes):
    """The built DerivedNetwork of a configuration.

    Args:
        changes: arguments of DerivedNetwork that differ.
    """
    stem = networks.stem_for(image_shape) if config.stem == "auto" else config.stem
    arguments = {
        "channels": config.init_channels,
        "num_cells": config.layers,
        "stem": stem,
        "auxiliary": config.auxiliary,
        "batch_norm": config.batch_norm,
        "dtype": config.dtype,
        "name": "network",
    }
    net = networks.DerivedNetwork(config.genotype, num_classes, **(arguments | changes))
    net.build((None, *image_shape))
    return net


def trained_network(config, image_shape, num_classes, *, arrays):
    """The network of a checkpoint, without auxiliary head, in float32.

    Args:
        arrays: {name: array} of the checkpoint.
    """
    net = make_network(config, image_shape, num_classes, auxiliary=False, dtype="float32")
    for v in net.trainable_variables:
        v.assign(arrays[f"weights/{path(v)}"])
    for v in net.non_trainable_variables:
        v.assign(arrays[f"state/{path(v)}"])
    return net
