"""What a one-shot model loses when its architecture is made discrete (Zela et al. 2020, sec. 4.2)."""

import numpy as np
import tensorflow as tf

from rdarts_tf.tasks.image_classification import metrics


def discrete_weights(space, genotype):
    """Edge weights of a genotype: 1 for its operations, 0 for all others.

    Args:
        space: spaces.base.Space; genotype: derived from it.
    Returns:
        {cell type: float32 [num_edges, num_ops]}.
    Differs from: the authors let `none` win an edge here, unlike in the genotype.
    """
    weights = {t: np.zeros(space.alpha_shape(t), np.float32) for t in space.cell_types}
    for cell_type, pairs in genotype.cells.items():
        for index, (name, state) in enumerate(pairs):
            edge = space.edges.index((index // 2, state))
            op = space.primitives[cell_type][edge].index(name)
            weights[cell_type][edge, op] = 1.0
    return weights


def score(net, batches, edge_weights, *, batch_statistics):
    """(mean loss, accuracy) of a Supernet; nothing of it is moved.

    Args:
        net: built Supernet.
        batches: tf.data.Dataset of (images, labels).
        edge_weights: {cell type: [num_edges, num_ops]}, taken as they are.
        batch_statistics: normalise with the statistics of each batch, not with the moving ones.
    """
    edge_weights = {t: tf.constant(p, tf.float32) for t, p in edge_weights.items()}
    w = [v.value for v in net.trainable_variables]
    state = [v.value for v in net.non_trainable_variables]

    @tf.function(autograph=False)
    def sums(images, labels, seed):
        logits, _ = net.stateless_call(
            w, state, images, edge_weights=edge_weights, seed=seed, training=batch_statistics
        )
        loss = tf.reduce_sum(metrics.cross_entropy(logits, labels))
        return loss, tf.reduce_sum(metrics.correct(logits, labels)), tf.size(labels)

    steps = [
        [float(x) for x in sums(images, labels, tf.constant([0, step]))]
        for step, (images, labels) in enumerate(batches)
    ]
    loss, correct, count = np.sum(steps, axis=0)
    return loss / count, correct / count


def row(net, batches, space, *, edge_weights, genotype):
    """Loss and accuracy at the architecture and at its discrete version, in both modes of BatchNorm.

    Returns:
        {"running/accuracy_drop": ..., ...}: keys mode/quantity, the modes being running and batch.
    """
    found = {}
    discrete = discrete_weights(space, genotype)
    for mode, batch_statistics in (("running", False), ("batch", True)):
        for name, weights in (("alpha", edge_weights), ("discrete", discrete)):
            loss, accuracy = score(net, batches, weights, batch_statistics=batch_statistics)
            found |= {f"{mode}/loss_{name}": loss, f"{mode}/accuracy_{name}": accuracy}
        drop = found[f"{mode}/accuracy_alpha"] - found[f"{mode}/accuracy_discrete"]
        found[f"{mode}/accuracy_drop"] = drop
    return found
