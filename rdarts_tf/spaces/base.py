"""A search space: which primitives each edge of each cell type may carry."""

import dataclasses
import itertools
import math

from rdarts_tf.errors import UserError


def edges(num_nodes, num_inputs=2):
    """(node, state) of every edge, target-major: node i receives the states 0 .. i + num_inputs - 1.

    State j < num_inputs is an input of the cell, state num_inputs + i the output of node i.
    """
    return tuple((i, j) for i in range(num_nodes) for j in range(i + num_inputs))


@dataclasses.dataclass(frozen=True)
class Space:
    """Primitives of each edge by cell type.

    Attributes:
        name: how users call it.
        primitives: {cell type: one tuple of primitive names per edge}, in the order of `edges` and
            of the columns of alpha.
        num_nodes: intermediate nodes of a cell; their outputs are concatenated.
        num_inputs: input states of a cell.
    Raises:
        ValueError: the number of edges is not that of `num_nodes`, or edges of one cell type differ
            in the number of their primitives.
    """

    name: str
    primitives: dict[str, tuple[tuple[str, ...], ...]]
    num_nodes: int = 4
    num_inputs: int = 2

    def __post_init__(self):
        for cell_type, by_edge in self.primitives.items():
            if len(by_edge) != len(self.edges):
                raise ValueError(
                    f"space {self.name!r}: {len(by_edge)} edges in cell {cell_type!r}, "
                    f"{self.num_nodes} nodes need {len(self.edges)}"
                )
            if len({len(names) for names in by_edge}) != 1:
                raise ValueError(
                    f"space {self.name!r}: the edges of cell {cell_type!r} must offer equally many "
                    "primitives; fill up with 'none'"
                )

    @property
    def cell_types(self):
        return tuple(self.primitives)

    @property
    def edges(self):
        return edges(self.num_nodes, self.num_inputs)

    def alpha_shape(self, cell_type):
        """[num_edges, num_ops] of the architecture parameters of `cell_type`.

        Raises:
            ValueError: the space has no such cell.
        """
        by_edge = self.cell_primitives(cell_type)
        return len(by_edge), len(by_edge[0])

    def cell_primitives(self, cell_type):
        if cell_type not in self.primitives:
            raise ValueError(
                f"space {self.name!r} has no cell {cell_type!r}; its cells are "
                + ", ".join(self.cell_types)
            )
        return self.primitives[cell_type]

    def with_nodes(self, num_nodes):
        """The same space with another number of intermediate nodes.

        Raises:
            UserError: fewer than one node, or the space lists its primitives edge by edge.
        """
        if num_nodes == self.num_nodes:
            return self
        if num_nodes < 1:
            raise UserError(f"nodes must be at least 1, not {num_nodes}")
        if any(len(set(by_edge)) > 1 for by_edge in self.primitives.values()):
            raise UserError(
                f"space {self.name!r} defines its primitives edge by edge for {self.num_nodes} nodes; "
                f"it cannot have {num_nodes}"
            )
        row = {cell_type: by_edge[0] for cell_type, by_edge in self.primitives.items()}
        num_edges = len(edges(num_nodes, self.num_inputs))
        return dataclasses.replace(
            self,
            num_nodes=num_nodes,
            primitives={cell_type: (names,) * num_edges for cell_type, names in row.items()},
        )

    def architectures(self):
        """Every choice of one primitive per edge, as {cell type: one name per edge}; lazily.

        For spaces whose nodes keep all their edges (one node, two inputs: `s5`, 81 of them).
        """
        choices = [list(itertools.product(*by_edge)) for by_edge in self.primitives.values()]
        for combination in itertools.product(*choices):
            yield dict(zip(self.cell_types, combination, strict=True))

    def num_architectures(self):
        return math.prod(len(names) for by_edge in self.primitives.values() for names in by_edge)


def uniform(name, primitives, *, num_nodes=4):
    """A space with the same primitives on every edge of normal and reduction cells."""
    by_edge = (tuple(primitives),) * len(edges(num_nodes))
    return Space(name, {"normal": by_edge, "reduce": by_edge}, num_nodes)
