"""A genotype cell as positioned boxes and edges, in inches, ready to draw.

Layered drawing after Sugiyama et al. 1981: depth gives the column, every edge owns a slot in each
column that it crosses, neighbouring columns are ordered for few crossings, then slots are moved
towards their neighbours without overlapping. Operation names have columns of their own. Inside a
column edges run flat, so no edge runs through a box or a name, and two edges between the same
two boxes stay apart.
"""

from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 0.58, 0.36
LABEL_HEIGHT, LINE_HEIGHT = 0.26, 0.12
CHARACTER_WIDTH = 0.078
COLUMN_GAP, ROW_GAP, MARGIN = 0.45, 0.06, 0.15
BOX_GAP = 0.12  # on top of ROW_GAP
STRAIGHT_WEIGHT = 6.0  # how much a long edge resists bending, against 1 at its ends
ORDER_SWEEPS, POSITION_SWEEPS = 12, 40


@dataclass(frozen=True)
class Node:
    """A box: `kind` is "input", "node" or "output"; x, y is its centre."""

    label: str
    kind: str
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes.

    source, target: indices into `CellGraph.nodes`; op: its name, "" for an edge that only copies.
    points: way points from box to box, x ascending; label_xy: where the name is centred.
    """

    source: int
    target: int
    op: str
    points: tuple[tuple[float, float], ...]
    label_xy: tuple[float, float] | None


@dataclass(frozen=True)
class CellGraph:
    """Boxes and edges inside the rectangle [0, width] x [0, height], y upwards."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float


@dataclass
class _Slot:
    """Room for a box, a name or a passing line; `before`, `after`: indices of its neighbours."""

    column: int
    width: float
    height: float
    passes: bool
    y: float = 0.0

    def __post_init__(self):
        self.before, self.after = [], []


def cell_graph(genotype, cell_type):
    """Boxes and edges of one cell.

    Args:
        genotype: genotypes.genotype.Genotype.
        cell_type: of the cell. The first states are inputs: c_{k-2}, c_{k-1}; in an upsampling cell also
            the previous prediction and the encoder's; in a recurrent cell one, which mixes x_t and
            h_{t-1}.
    Returns:
        CellGraph; edges in the order of pairs, then those without an operation.
    Raises:
        ValueError: the pairs do not form a cell.
    """
    pairs, concat = genotype.cells[cell_type], genotype.concat[cell_type]
    (num_inputs, sizes), targets = genotype.layout(cell_type), genotype.targets(cell_type)
    _check(pairs, targets, concat, num_inputs, len(sizes))
    labels, kinds = _boxes(len(sizes), num_inputs)
    links = _links(pairs, targets, concat, num_inputs, output=len(labels) - 1)
    slots, chains = _slots(len(labels), links)
    columns = _ordered_columns(slots)
    _place_rows(slots, columns)
    xs, width = _column_positions(slots, columns)
    height = _shift_into_view(slots)
    nodes = tuple(
        Node(label, kind, xs[slot.column], slot.y)
        for label, kind, slot in zip(labels, kinds, slots[: len(labels)], strict=True)
    )
    edges = tuple(
        _edge(link, chain, slots, columns, xs) for link, chain in zip(links, chains, strict=True)
    )
    return CellGraph(nodes, edges, width, height)


def state_labels(num_nodes, num_inputs=2):
    """Names of states 0 .. num_inputs + num_nodes - 1, e.g. c_{k-2}, c_{k-1}, 0, 1, 2, 3."""
    if num_inputs == 1:
        return [str(state) for state in range(num_nodes + 1)]
    inputs = ["c_{k-2}", "c_{k-1}", "d", "c_{skip}"][:num_inputs]
    return inputs + [str(node) for node in range(num_nodes)]


def _check(pairs, targets, concat, num_inputs, num_nodes):
    for node, (op, state) in zip(targets, pairs, strict=True):
        if not 0 <= state < num_inputs + node:
            raise ValueError(
                f"node {node} takes {op!r} from state {state}; "
                f"its states are 0 to {num_inputs + node - 1}"
            )
    num_states = num_inputs + num_nodes
    for state in concat:
        if not 0 <= state < num_states:
            raise ValueError(f"the output takes state {state}; states are 0 to {num_states - 1}")


def _boxes(num_nodes, num_inputs):
    """Labels and kinds of all boxes: the states in order, the output last."""
    states = state_labels(num_nodes, num_inputs)
    if num_inputs == 1:
        labels = ["x_{t}", "h_{t-1}", *states, "h_{t}"]
        return labels, ["input"] * 2 + ["node"] * len(states) + ["output"]
    return [*states, "c_{k}"], ["input"] * num_inputs + ["node"] * num_nodes + ["output"]


def _links(pairs, targets, concat, num_inputs, *, output):
    """(source box, target box, op) of every edge."""
    first = 2 if num_inputs == 1 else 0  # boxes x_t and h_{t-1} come before state 0
    links = [
        (first + state, first + num_inputs + node, op)
        for node, (op, state) in zip(targets, pairs, strict=True)
    ]
    links += [(first + state, output, "") for state in concat]
    return links + [(box, first, "") for box in range(first)]


def _depths(num_boxes, links):
    """Longest path from any box without predecessor, the output right of everything."""
    depths = [0] * num_boxes
    for target in range(num_boxes):  # boxes are numbered so that sources come first
        sources = [depths[source] for source, to, _ in links if to == target]
        depths[target] = max(sources, default=-1) + 1
    depths[-1] = max(depths[:-1]) + 1
    return depths


def _slots(num_boxes, links):
    """One slot for each box, then for each link a chain of slots through the columns between.

    A box of depth d stands in column 2 d; odd columns hold names.

    Returns:
        slots, chains: per link ([slot indices between its ends], position of the name or None).
    """
    depths = _depths(num_boxes, links)
    slots = [_Slot(2 * depth, BOX_WIDTH, BOX_HEIGHT + BOX_GAP, False) for depth in depths]
    chains = []
    for source, target, op in links:
        first, last = slots[source].column + 1, slots[target].column - 1
        named = (last - first) // 4 * 2 if op else None  # the middle odd column
        chain = [source]
        for position, column in enumerate(range(first, last + 1)):
            has_name = position == named
            width = CHARACTER_WIDTH * len(op) if has_name else 0.0
            slots.append(_Slot(column, width, LABEL_HEIGHT if has_name else LINE_HEIGHT, True))
            chain.append(len(slots) - 1)
        chain.append(target)
        for left, right in zip(chain[:-1], chain[1:], strict=True):
            slots[left].after.append(right)
            slots[right].before.append(left)
        chains.append((chain[1:-1], named))
    return slots, chains


def _ordered_columns(slots):
    """Columns of slot indices, bottom to top, ordered by sweeps of neighbour averages."""
    columns = [[] for _ in range(max(slot.column for slot in slots) + 1)]
    for index, slot in enumerate(slots):
        columns[slot.column].insert(0, index)  # the first operation on top
    best, fewest = [list(column) for column in columns], _crossings(columns, slots)
    for sweep in range(ORDER_SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            _sort_column(column, columns, slots, forward)
        crossings = _crossings(columns, slots)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    return best


def _sort_column(column, columns, slots, forward):
    rank = {index: row for other in columns for row, index in enumerate(other)}

    def average(index):
        near = slots[index].before if forward else slots[index].after
        return sum(rank[other] for other in near) / len(near) if near else rank[index]

    column.sort(key=average)


def _crossings(columns, slots):
    count = 0
    for left, right in zip(columns[:-1], columns[1:], strict=True):
        row = {index: position for position, index in enumerate(right)}
        ends = [sorted(row[after] for after in slots[index].after) for index in left]
        flat = [end for group in ends for end in group]
        count += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return count


def _place_rows(slots, columns):
    """Sets every y: each column in turn goes as close to its neighbours as its order allows."""
    for column in columns:
        for row, index in enumerate(column):
            slots[index].y = (row - (len(column) - 1) / 2) * BOX_HEIGHT
    for sweep in range(POSITION_SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            heights = [slots[index].height for index in column]
            wanted = [_neighbour_average(slots, slots[index]) for index in column]
            for index, y in zip(column, _separated(wanted, heights), strict=True):
                slots[index].y = y


def _neighbour_average(slots, slot):
    near = [slots[index] for index in slot.before + slot.after]
    weights = [STRAIGHT_WEIGHT if slot.passes and other.passes else 1.0 for other in near]
    total = sum(weight * other.y for weight, other in zip(weights, near, strict=True))
    return total / sum(weights) if near else slot.y


def _separated(wanted, heights):
    """Least-squares y [n] near `wanted` [n], in order, without overlap: isotonic regression."""
    offsets = [0.0]
    for below, above in zip(heights[:-1], heights[1:], strict=True):
        offsets.append(offsets[-1] + (below + above) / 2 + ROW_GAP)
    blocks = []  # [mean, size] of merged neighbours
    for y, offset in zip(wanted, offsets, strict=True):
        blocks.append([y - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            total = blocks[-1][1] + size
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * size) / total, total]
    means = [mean for mean, size in blocks for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _column_width(column, slots):
    return max((slots[index].width for index in column), default=0.0)


def _column_positions(slots, columns):
    """Centre of each column, total width."""
    xs, x = [], MARGIN
    for column in columns:
        width = _column_width(column, slots)
        xs.append(x + width / 2)
        x += width + COLUMN_GAP
    return xs, x - COLUMN_GAP + MARGIN


def _shift_into_view(slots):
    low = min(slot.y - slot.height / 2 for slot in slots) - MARGIN
    for slot in slots:
        slot.y -= low
    return max(slot.y + slot.height / 2 for slot in slots) + MARGIN


def _port(slots, box, slot, side):
    """Height at which an edge meets its box: edges are spread over the side, in their order."""
    near = sorted(getattr(slots[box], side), key=lambda index: slots[index].y)
    step = 0.7 * BOX_HEIGHT / max(len(near) - 1, 3)
    return slots[box].y + (near.index(slot) - (len(near) - 1) / 2) * step


def _edge(link, chain, slots, columns, xs):
    source, target, op = link
    inner, named = chain
    start = (xs[slots[source].column] + BOX_WIDTH / 2, _port(slots, source, inner[0], "after"))
    end = (xs[slots[target].column] - BOX_WIDTH / 2, _port(slots, target, inner[-1], "before"))
    points = [start]
    for index in inner:
        slot = slots[index]
        half = _column_width(columns[slot.column], slots) / 2
        x = xs[slot.column]
        if half:  # a column without box or name needs no flat piece
            points += [(x - half, slot.y), (x + half, slot.y)]
    label_xy = None
    if op:
        slot = slots[inner[named]]
        label_xy = (xs[slot.column], slot.y)
    return Edge(source, target, op, (*points, end), label_xy)
