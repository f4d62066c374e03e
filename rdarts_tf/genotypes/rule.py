"""Which cells are found: the discretisation rule, choices and sampled paths as genotypes. No TensorFlow."""

import dataclasses

import numpy as np

from rdarts_tf.errors import UserError
from rdarts_tf.genotypes.genotype import GenotypeError, of_space


def derive(space, edge_weights):
    """The genotype of a relaxed architecture (Liu et al. 2019, sec. 2.4; the authors' code).

    Each node keeps its edges with the largest weight of any primitive but `none` (two in image cells)
    and on each its strongest primitive but `none`; ties go to the lower state and the first primitive.
    `noise` is not excluded. Strongest edge first.

    Args:
        space: spaces.base.Space.
        edge_weights: {cell type: [num_edges, num_ops]}, softmax over all primitives, `none`
        included.
    Returns:
        Genotype.
    Raises:
        ValueError: the weights are not finite, or have another shape than the space.
    Differs from: the authors look `none` up by the state within the node instead of by the edge,
        which is the same for their spaces.
    """
    cells = {}
    for cell_type, cell in space.cells.items():
        weights = np.asarray(edge_weights[cell_type])
        if weights.shape != cell.alpha_shape:
            raise ValueError(
                f"edge weights of cell {cell_type!r} have shape {weights.shape}, "
                f"space {space.name!r} needs {cell.alpha_shape}"
            )
        if not np.all(np.isfinite(weights)):
            raise ValueError(f"edge weights of cell {cell_type!r} are not finite")
        cells[cell_type] = tuple(
            pair for node in range(cell.num_nodes) for pair in _strongest(cell, weights, node)
        )
    return of_space(space, cells)


def _strongest(cell, weights, node):
    """The (primitive, state) pairs of the strongest edges into `node`."""
    candidates = []
    for edge, (target, state) in enumerate(cell.edges):
        if target == node:
            names = cell.primitives[edge]
            allowed = [k for k, name in enumerate(names) if name != "none"]
            if allowed:
                best = max(allowed, key=lambda k: weights[edge, k])  # noqa: B023 - first of equals
                candidates.append((weights[edge, best], names[best], state))
    candidates.sort(key=lambda candidate: -candidate[0])  # stable: equal edges keep their order
    return [(name, state) for _, name, state in candidates[: cell.kept[node]]]


def of_choice(space, choice):
    """The genotype with one given primitive on every edge.

    Args:
        space: spaces.base.Space whose nodes keep all their edges, such as `s5`.
        choice: {cell type: one primitive per edge}, as `space.architectures()` yields it.
    Returns:
        Genotype; the pairs of a node in the order of their states.
    Raises:
        UserError: the nodes of the space have more edges than they keep.
    """
    check_keeps_all_edges(space)
    states = {t: [state for _, state in space.cell(t).edges] for t in choice}
    cells = {t: tuple(zip(names, states[t], strict=True)) for t, names in choice.items()}
    return of_space(space, cells)


def choice_of(space, genotype):
    """The inverse of `of_choice`; a genotype may give the pairs of a node in any order.

    Raises:
        UserError: the nodes of the space have more edges than they keep.
        GenotypeError: the genotype is not of this space.
    """
    check_keeps_all_edges(space)
    ordered = {
        t: tuple(sorted(pairs, key=lambda pair: pair[1])) for t, pairs in genotype.cells.items()
    }
    choice = {t: tuple(name for name, _ in pairs) for t, pairs in ordered.items()}
    offered = choice.keys() == space.primitives.keys() and all(
        len(choice[t]) == len(by_edge) and all(map(tuple.__contains__, by_edge, choice[t]))
        for t, by_edge in space.primitives.items()
    )
    if not offered or of_choice(space, choice) != dataclasses.replace(genotype, cells=ordered):
        raise GenotypeError(f"space {space.name!r} has no architecture {genotype}")
    return {t: choice[t] for t in space.cell_types}


def check_keeps_all_edges(space):
    """Raises UserError unless every choice of one primitive per edge is an architecture."""
    if not all(cell.keeps_all_edges for cell in space.cells.values()):
        raise UserError(
            f"the nodes of space {space.name!r} keep some of their edges only, so its architectures "
            "are no choices of one primitive per edge; take a space with one node, such as s5"
        )


def of_path(space, path):
    """The genotype of one sampled architecture; `none` and `noise` stay.

    Args:
        space: spaces.base.Space.
        path: {cell type: [num_edges, num_ops]}, 1 for each operation that is there, else 0.
    Returns:
        Genotype; the pairs of a node in order of state.
    """
    cells = {
        t: tuple(
            (cell.primitives[edge][k], cell.edges[edge][1])
            for edge, k in np.argwhere(path[t]).tolist()
        )
        for t, cell in space.cells.items()
    }
    return of_space(space, cells)
