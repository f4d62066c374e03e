"""The drawing of a space: a cell that carries all its primitives, as Figure 9 of Zela et al. 2020."""

from rdarts_tf.drawing import cell_plot
from rdarts_tf.genotypes.genotype import Genotype


def draw_space(space, cell_type, *, title):
    """Figure of a cell type of a spaces.base.Space, with an arrow for each primitive of each edge."""
    cell = space.cell(cell_type)
    rows = list(zip(cell.edges, cell.primitives, strict=True))
    pairs = tuple((name, state) for (_, state), names in rows for name in names)
    entering = [node for (node, _), names in rows for _ in names]
    sizes = tuple(entering.count(node) for node in range(cell.num_nodes))
    every = Genotype(
        {cell_type: pairs},
        {cell_type: cell.node_states},
        {cell_type: (cell.num_inputs, sizes)},
    )
    return cell_plot.draw_cell(every, cell_type, title=title)
