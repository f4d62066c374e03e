"""A cell as text for Graphviz; reading it needs Graphviz, writing it does not."""

from rdarts_tf.drawing import cell_graph

_COLORS = {"input": "#b4eeb4", "node": "#add8e6", "output": "#eee8aa"}  # as in the DARTS paper


def to_dot(genotype, cell_type, *, title):
    """The DOT text of a cell.

    Args:
        genotype, cell_type: see `cell_graph.cell_graph`.
        title: name of the graph.
    """
    graph = cell_graph.cell_graph(genotype, cell_type)
    lines = [
        f'digraph "{title}" {{',
        "  rankdir=LR;",
        '  node [shape=box, style="rounded,filled", fontname=Helvetica];',
        "  edge [fontname=Helvetica, fontsize=10];",
    ]
    for index, node in enumerate(graph.nodes):
        lines.append(f'  {index} [label="{node.label}", fillcolor="{_COLORS[node.kind]}"];')
    for edge in graph.edges:
        label = f' [label="{edge.op}"]' if edge.op else ""
        lines.append(f"  {edge.source} -> {edge.target}{label};")
    return "\n".join([*lines, "}"]) + "\n"
