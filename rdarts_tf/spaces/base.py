"""A search space: cell types, and which primitives each of their edges may carry."""

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
class CellSpace:
    """The choices of one cell type.

    Attributes:
        primitives: one tuple of names per edge, in the order of `edges` and of the rows of alpha.
        num_nodes: intermediate nodes.
        num_inputs: input states.
        kept_edges: that enter a node of a derived cell: a number, or one for each node.
        samples_none: whether random search with weight sharing draws "none", too.
    Raises:
        ValueError: numbers that do not belong together, or edges that differ in the number of their
            primitives.
    """

    primitives: tuple[tuple[str, ...], ...]
    num_nodes: int = 4
    num_inputs: int = 2
    kept_edges: int | tuple[int, ...] = 2
    samples_none: bool = True

    def __post_init__(self):
        if len(self.primitives) != len(self.edges):
            raise ValueError(
                f"{len(self.primitives)} edges, {self.num_nodes} nodes need {len(self.edges)}"
            )
        if len(set(map(len, self.primitives))) != 1:
            raise ValueError("the edges must offer equally many primitives; fill up with 'none'")
        if len(self.kept) != self.num_nodes or not all(
            1 <= kept <= self.num_inputs + node for node, kept in enumerate(self.kept)
        ):
            raise ValueError(f"kept_edges={self.kept_edges} does not fit {self.num_nodes} nodes")

    @property
    def edges(self):
        return edges(self.num_nodes, self.num_inputs)

    @property
    def kept(self):
        """Edges that each node keeps."""
        one_number = isinstance(self.kept_edges, int)
        return (self.kept_edges,) * self.num_nodes if one_number else tuple(self.kept_edges)

    @property
    def keeps_all_edges(self):
        return sum(self.kept) == len(self.edges)

    @property
    def alpha_shape(self):
        """(num_edges, num_ops) of the architecture parameters."""
        return len(self.primitives), len(self.primitives[0])

    @property
    def node_states(self):
        """The states that the nodes put out."""
        return tuple(range(self.num_inputs, self.num_inputs + self.num_nodes))

    def with_nodes(self, num_nodes):
        """The same with another number of nodes; raises ValueError where the edges differ."""
        if len(set(self.primitives)) > 1 or not isinstance(self.kept_edges, int):
            raise ValueError(f"the edges of {self.num_nodes} nodes are listed one by one")
        rows = self.primitives[:1] * len(edges(num_nodes, self.num_inputs))
        return dataclasses.replace(self, primitives=rows, num_nodes=num_nodes)


@dataclasses.dataclass(frozen=True)
class Space:
    """The cell types of a search.

    Attributes:
        name: how users call it.
        cells: {cell type: CellSpace}; the first one's skip connections are counted.
        task: whose networks are built of the cells, a folder of `tasks`.
    """

    name: str
    cells: dict[str, CellSpace]
    task: str = "image_classification"

    @property
    def cell_types(self):
        return tuple(self.cells)

    @property
    def primitives(self):
        """{cell type: one tuple of names per edge}."""
        return {cell_type: cell.primitives for cell_type, cell in self.cells.items()}

    def cell(self, cell_type):
        """The CellSpace of a cell type; raises ValueError if there is none."""
        if cell_type not in self.cells:
            raise ValueError(
                f"space {self.name!r} has no cell {cell_type!r}; its cells are "
                + ", ".join(self.cells)
            )
        return self.cells[cell_type]

    def check_derivable(self):
        """Raises UserError where a node has fewer edges that offer more than `none` than it keeps."""
        for t, cell in self.cells.items():
            offering = [
                node
                for (node, _), names in zip(cell.edges, cell.primitives, strict=True)
                if set(names) != {"none"}
            ]
            for node, kept in enumerate(cell.kept):
                if (num := offering.count(node)) < kept:
                    raise UserError(
                        f"space {self.name!r} has no architecture: node {node} of cell {t!r} keeps "
                        f"{kept} edges, but {num} offer more than 'none'; offer another primitive"
                    )

    def skips(self, genotype):
        """How many edges of a genotype's cell of the first type pass their input on."""
        names = [name for name, _ in genotype.cells[self.cell_types[0]]]
        return sum(name in ("skip_connect", "identity") for name in names)

    def with_nodes(self, num_nodes):
        """The same space with another number of intermediate nodes.

        Raises:
            UserError: fewer than one node, or the space lists its primitives edge by edge.
        """
        if all(cell.num_nodes == num_nodes for cell in self.cells.values()):
            return self
        if num_nodes < 1:
            raise UserError(f"nodes must be at least 1, not {num_nodes}")
        try:
            cells = {t: cell.with_nodes(num_nodes) for t, cell in self.cells.items()}
        except ValueError as error:
            raise UserError(
                f"space {self.name!r} cannot have {num_nodes} nodes: {error}; leave --nodes out"
            ) from error
        return dataclasses.replace(self, cells=cells)

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
    cell = CellSpace((tuple(primitives),) * len(edges(num_nodes)), num_nodes)
    return Space(name, {"normal": cell, "reduce": cell})


def recurrent(name, primitives, *, num_nodes=8):
    """A space of recurrent cells with the same activations on every edge (Liu et al. 2019, sec. 3.1.2).

    State 0 mixes x_t and h_{t-1}; node i receives the states 0 .. i and keeps one of them.
    """
    rows = (tuple(primitives),) * len(edges(num_nodes, 1))
    cell = CellSpace(rows, num_nodes, num_inputs=1, kept_edges=1, samples_none=False)
    return Space(name, {"recurrent": cell}, task="language_model")
