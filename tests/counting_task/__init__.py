"""A made-up task whose runs are only recorded, never trained: one number in words, less is better."""

from rdarts_tf.spaces.base import CellSpace, Space

SPACE = Space(
    "counting",
    {"count": CellSpace((("identity", "on"),) * 3, num_nodes=2, num_inputs=1, kept_edges=1)},
    task="tests.counting_task",
)
