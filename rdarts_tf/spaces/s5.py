"""S5: the paper's tiny space of 81 architectures (Zela et al. 2020, sec. 3).

One intermediate node with two edges in each cell type, three primitives an edge; the concatenation
is one node wide. Not the authors' flag value `s5`, which is the full space (here `darts`).
"""

from rdarts_tf.spaces.base import uniform

SPACE = uniform("s5", ("sep_conv_3x3", "skip_connect", "max_pool_3x3"), num_nodes=1)
