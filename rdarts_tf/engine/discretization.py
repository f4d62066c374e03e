"""What a one-shot model loses when its architecture is made discrete (Zela et al. 2020, sec. 4.2)."""

import numpy as np
import tensorflow as tf

from rdarts_tf.engine.batches import iterate


def discrete_weights(space, genotype):
    """Edge weights of a genotype: 1 for its operations, 0 for all others.

    Args:
        space: spaces.base.Space; genotype: derived from it.
    Returns:
        {cell type: float32 [num_edges, num_ops]}.
    Differs from: the authors let `none` win an edge here, unlike in the genotype.
    """
    weights = {t: np.zeros(cell.alpha_shape, np.float32) for t, cell in space.cells.items()}
    for cell_type, pairs in genotype.cells.items():
        cell = space.cell(cell_type)
        for node, (name, state) in zip(genotype.targets(cell_type), pairs, strict=True):
            edge = cell.edges.index((node, state))
            op = cell.primitives[edge].index(name)
            weights[cell_type][edge, op] = 1.0
    return weights


def score(problem, net, batches, edge_weights, *, batch_statistics):
    """{metric: number} of a one-shot model; nothing of it is moved.

    Args:
        problem: tasks.base.Problem of the search.
        net: its built network.
        batches: tf.data.Dataset of one pass.
        edge_weights: {cell type: [num_edges, num_ops]}, taken as they are.
        batch_statistics: normalise with the statistics of each batch, not with the moving ones.
    """
    edge_weights = {t: tf.constant(p, tf.float32) for t, p in edge_weights.items()}
    w = [v.value for v in net.trainable_variables]
    state = [v.value for v in net.non_trainable_variables]
    carry = [tf.zeros(shape) for shape in problem.carries.get("score", ())]

    def call(*inputs, **kwargs):
        outputs, _ = net.stateless_call(w, state, *inputs, training=batch_statistics, **kwargs)
        return outputs

    @tf.function(autograph=False)
    def step(batch, carry, seed):
        found = problem.loss(
            call,
            batch,
            carry,
            rates={},
            seed=seed,
            training=False,
            edge_weights=edge_weights,
            sampled=False,
        )
        return problem.sums(found.outputs, batch), found.carry

    steps = []
    for number, batch in enumerate(iterate(batches)):
        sums, carry = step(batch, carry, tf.constant([0, number]))
        steps.append([float(x) for x in sums])
    return problem.metrics(np.sum(steps, axis=0))


def row(problem, net, batches, space, *, edge_weights, genotype):
    """Metrics at the architecture and at its discrete version, in both modes of BatchNorm.

    Returns:
        {"running/accuracy_drop": ..., ...}: keys mode/quantity, the modes being running and batch; a
        drop is how much worse the last metric gets.
    """
    found, metric = {}, problem.METRICS[-1]
    discrete = discrete_weights(space, genotype)
    for mode, batch_statistics in (("running", False), ("batch", True)):
        for name, weights in (("alpha", edge_weights), ("discrete", discrete)):
            scored = score(problem, net, batches, weights, batch_statistics=batch_statistics)
            found |= {f"{mode}/{key}_{name}": value for key, value in scored.items()}
        drop = found[f"{mode}/{metric.name}_alpha"] - found[f"{mode}/{metric.name}_discrete"]
        found[f"{mode}/{metric.name}_drop"] = metric.better * drop
    return found
