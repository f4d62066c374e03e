"""A cell as text for Graphviz; reading it needs Graphviz, writing it does not."""

from rdarts_tf.drawing import cell_graph

_COLORS = {"input": "#b4eeb4", "node": "#add8e6", "output": "#eee8aa"}  # as in the DARTS paper


def to_dot(pairs, concat, *, title, num_inputs=2, ops_per_node=2):
    """The DOT text of a cell.

    Args:
        pairs, concat, num_inputs, ops_per_node: see `cell_graph.cell_graph`.
        title: name of the graph.
    """
    graph = cell_graph.cell_graph(pairs, concat, num_inputs=num_inputs, ops_per_node=ops_per_node)
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
