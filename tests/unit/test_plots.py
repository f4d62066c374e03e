import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib import figure as mpl_figure
from matplotlib import image as mpl_image

from rdarts_tf.drawing import cell_graph, cell_plot, heatmap, plots
from rdarts_tf.genotypes.genotype import Genotype

SEP, DIL, SKIP = "sep_conv_3x3", "dil_conv_3x3", "skip_connect"
DARTS_V2 = [(SEP, 0), (SEP, 1), (SEP, 0), (SEP, 1), (SEP, 1), (SKIP, 0), (SKIP, 0), (DIL, 2)]
EIGHT = [
    (SEP, 0),
    (DIL, 1),
    (SEP, 2),
    (DIL, 0),
    (SKIP, 2),
    (SEP, 3),
    ("max_pool_3x3", 1),
    (SKIP, 4),
]
EIGHT += [(SEP, 3), (SEP, 3), (SKIP, 6), (SKIP, 0), (SEP, 6), (DIL, 5), ("noise", 8), (SKIP, 7)]
CELLS = {
    "darts_v2": ("normal", DARTS_V2, range(2, 6)),
    "all_skip": ("normal", [(SKIP, 0), (SKIP, 1)] * 4, range(2, 6)),
    "one_node": ("normal", [(SEP, 0), (SKIP, 0)], [2]),
    "eight_nodes": ("normal", EIGHT, range(2, 10)),
    "chain": ("normal", [(SEP, 0), (SEP, 1), (SEP, 2), (SKIP, 2), (SEP, 3), (SKIP, 3)], [4]),
    "recurrent": ("recurrent", [("relu", s) for s in (0, 1, 2, 3, 4, 1, 5, 1)], range(1, 9)),
}


def _genotype(pairs, concat, cell_type="normal"):
    return Genotype({cell_type: tuple(pairs)}, {cell_type: tuple(concat)})


def _graph(pairs, concat):
    return cell_graph.cell_graph(_genotype(pairs, concat), "normal")


@pytest.fixture(params=CELLS, scope="module")
def cell(request):
    cell_type, pairs, concat = CELLS[request.param]
    genotype = _genotype(pairs, concat, cell_type)
    return cell_type, genotype, cell_graph.cell_graph(genotype, cell_type)


def _rectangle(x, y, width, height):
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _box(node):
    return _rectangle(node.x, node.y, cell_graph.BOX_WIDTH, cell_graph.BOX_HEIGHT)


def _label(edge):
    width = cell_graph.CHARACTER_WIDTH * len(edge.op)
    return _rectangle(*edge.label_xy, width, 0.9 * cell_graph.LABEL_HEIGHT)


def test_every_edge_of_the_genotype_is_drawn_in_order(cell):
    cell_type, genotype, graph = cell
    pairs, concat = genotype.cells[cell_type], genotype.concat[cell_type]
    recurrent = cell_type == "recurrent"
    num_inputs, per_node = (1, 1) if recurrent else (2, 2)
    names = [node.label for node in graph.nodes]
    states = cell_graph.state_labels(len(pairs) // per_node, num_inputs)
    got = [(names[e.source], names[e.target], e.op) for e in graph.edges]
    want = [
        (states[state], states[num_inputs + i // per_node], op)
        for i, (op, state) in enumerate(pairs)
    ]
    want += [(states[state], "h_{t}" if recurrent else "c_{k}", "") for state in concat]
    if recurrent:
        want += [("x_{t}", "0", ""), ("h_{t-1}", "0", "")]
    assert got == want


def test_labels_are_those_of_the_papers():
    graph = _graph(DARTS_V2, range(2, 6))
    assert [n.label for n in graph.nodes] == ["c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}"]
    assert [n.kind for n in graph.nodes] == ["input"] * 2 + ["node"] * 4 + ["output"]


def test_columns_follow_the_longest_path():
    x = [node.x for node in _graph(DARTS_V2, range(2, 6)).nodes]
    assert x[0] == x[1] < x[2] == x[3] == x[4] < x[5] < x[6]


def test_boxes_and_names_do_not_overlap(cell):
    graph = cell[-1]
    rectangles = [_box(node) for node in graph.nodes] + [_label(e) for e in graph.edges if e.op]
    for a, b in combinations(rectangles, 2):
        assert not _overlap(a, b)
    for left, bottom, right, top in rectangles:
        assert left >= 0 and bottom >= 0 and right <= graph.width and top <= graph.height


def test_no_edge_runs_through_a_box_or_a_foreign_name(cell):
    graph = cell[-1]
    for edge in graph.edges:
        obstacles = [_box(n) for n in graph.nodes]
        obstacles += [_label(e) for e in graph.edges if e.op and e is not edge]
        for x, y in _curve(edge):
            assert not any(_overlap(_rectangle(x, y, 0, 0), o) for o in obstacles)


def _curve(edge):
    """Points along an edge as it is drawn, its two ends left out."""
    path = cell_plot._smooth_path(edge.points).vertices
    t = np.linspace(0, 1, 20)[:, np.newaxis]
    pieces = [
        (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
        for a, b, c, d in zip(path[:-1:3], path[1::3], path[2::3], path[3::3], strict=True)
    ]
    return np.concatenate(pieces)[1:-1]


def test_edges_between_the_same_nodes_stay_apart():
    graph = _graph([(SKIP, 0), (SKIP, 0)], [2])
    first, second = graph.edges[:2]
    assert abs(first.label_xy[1] - second.label_xy[1]) >= cell_graph.LABEL_HEIGHT
    assert first.points[0] != second.points[0] and first.points[-1] != second.points[-1]


def test_edges_meet_their_boxes(cell):
    graph = cell[-1]
    for edge in graph.edges:
        source, target = graph.nodes[edge.source], graph.nodes[edge.target]
        assert edge.points[0][0] == pytest.approx(source.x + cell_graph.BOX_WIDTH / 2)
        assert edge.points[-1][0] == pytest.approx(target.x - cell_graph.BOX_WIDTH / 2)
        assert abs(edge.points[0][1] - source.y) < cell_graph.BOX_HEIGHT / 2
        assert abs(edge.points[-1][1] - target.y) < cell_graph.BOX_HEIGHT / 2
        xs = [x for x, _ in edge.points]
        assert xs == sorted(xs)


def test_names_fit_the_room_that_the_layout_gives_them():
    """CHARACTER_WIDTH is a guess made without matplotlib; the drawn text must not be wider."""
    name = "sep_conv_3x3"
    figure = cell_plot.draw_cell(_genotype([(name, 0), (name, 1)], [2]), "normal", title="")
    plots.to_image(figure)
    texts = [text for text in figure.axes[0].texts if text.get_text() == name]
    assert len(texts) == 2
    for text in texts:
        assert text.get_window_extent().width / figure.dpi <= cell_graph.CHARACTER_WIDTH * len(name)


def test_separated_is_the_least_squares_solution():
    # slots of height 1 and gap 0.06; the first two want the same place and share the shift
    y = cell_graph._separated([0.0, 0.0, 5.0], [1.0, 1.0, 1.0])
    np.testing.assert_allclose(y, [-0.53, 0.53, 5.0])


@pytest.mark.parametrize(
    ("pairs", "concat", "message"),
    [
        ([(SEP, 0)], [2], "needs 2 pairs a node, not 1"),
        ([], [2], "needs 2 pairs a node, not 0"),
        ([(SEP, 0), (SEP, 2)], [2], "state 2; its states are 0 to 1"),
        ([(SEP, 0), (SEP, 1)], [3], "output takes state 3; states are 0 to 2"),
    ],
)
def test_impossible_cells_are_refused(pairs, concat, message):
    with pytest.raises(ValueError, match=message):
        _graph(pairs, concat)


def test_draw_cell_as_png_and_as_pixels(cell):
    cell_type, genotype, graph = cell
    figure = cell_plot.draw_cell(genotype, cell_type, title="normal cell")
    pixels = plots.to_image(figure)
    decoded = mpl_image.imread(io.BytesIO(plots.to_png(figure)), format="png")
    assert pixels.dtype == np.uint8 and pixels.shape[0] == 1 and pixels.shape[3] == 3
    assert pixels.shape[1:3] == decoded.shape[:2]
    assert pixels.shape[2] == pytest.approx(graph.width * plots.DPI, abs=1)
    for color in ((0xB4, 0xEE, 0xB4), (0xAD, 0xD8, 0xE6), (0xEE, 0xE8, 0xAA), (255, 255, 255)):
        assert np.sum(np.all(pixels == color, axis=-1)) > 1000  # inputs, nodes, output, paper


def test_heat_map_with_shared_primitives():
    weights = np.full([14, 3], 1 / 3)
    weights[4] = [0.05, 0.9, 0.05]  # node 1 <- node 0
    figure = heatmap.alpha_heatmap(weights, primitives=[["none", SKIP, SEP]] * 14, title="normal")
    axes = figure.axes[0]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert len(rows) == 14
    assert rows[0] == r"0 $\leftarrow$ $c_{k-2}$" and rows[4] == r"1 $\leftarrow$ 0"
    assert rows[13] == r"3 $\leftarrow$ 2"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["none", "skip", "sep 3x3"]
    assert [text.get_text() for text in axes.texts][12:15] == ["0.05", "0.90", "0.05"]
    assert [text.get_color() for text in axes.texts][12:15] == ["white", "black", "white"]
    assert axes.get_title() == "normal"
    np.testing.assert_array_equal(axes.images[0].get_array(), weights)


def test_heat_map_with_primitives_by_edge_names_each_field():
    primitives = [[SKIP, SEP], [DIL, "max_pool_3x3"]]
    figure = heatmap.alpha_heatmap([[0.25, 0.75], [0.5, 0.5]], primitives=primitives, title="s1")
    axes = figure.axes[0]
    fields = [text.get_text().split("  ") for text in axes.texts]
    assert fields[:2] == [["skip", "0.25"], ["sep 3x3", "0.75"]]
    assert fields[2:] == [["dil 3x3", "0.50"], ["max 3x3", "0.50"]]
    assert not any(text.get_text() for text in axes.get_xticklabels())


def test_heat_map_of_a_recurrent_cell():
    figure = heatmap.alpha_heatmap(
        np.full([6, 2], 0.5), primitives=[["tanh", "relu"]] * 6, title="", num_inputs=1
    )
    rows = [
        text.get_text().replace(r"$\leftarrow$", "<-") for text in figure.axes[0].get_yticklabels()
    ]
    assert rows == ["1 <- 0", "2 <- 0", "2 <- 1", "3 <- 0", "3 <- 1", "3 <- 2"]


@pytest.mark.parametrize("primitives", [[[SKIP, SEP], [DIL, "none"]], [[SKIP, SEP]] * 2])
def test_heat_map_painted_again_is_that_painted_anew(primitives):
    early, late = np.array([[0.25, 0.75], [0.5, 0.5]]), np.array([[1, 0], [0.02, 0.98]])
    again = heatmap.AlphaHeatmap(early.shape, primitives=primitives)
    pixels = [again.pixels(w, title=f"epoch {i}") for i, w in ((9, early), (10, late), (9, early))]
    for w, epoch, found in zip((early, late), (9, 10), pixels, strict=False):
        anew = heatmap.alpha_heatmap(w, primitives=primitives, title=f"epoch {epoch}")
        np.testing.assert_array_equal(found, plots.to_image(anew))
    np.testing.assert_array_equal(pixels[0], pixels[2])
    assert np.any(pixels[0] != pixels[1])


def test_heat_map_refuses_shapes_that_disagree():
    with pytest.raises(ValueError, match="13 edges; a cell of 4 nodes has 14"):
        heatmap.alpha_heatmap(np.ones([13, 1]), primitives=[[SEP]] * 13, title="")
    with pytest.raises(ValueError, match=r"edge weights \[2, 1\] but 3 edges with \[1\]"):
        heatmap.alpha_heatmap(np.ones([2, 1]), primitives=[[SEP]] * 3, title="")
    with pytest.raises(ValueError, match=r"2 edges with \[1, 2\]"):
        heatmap.alpha_heatmap(np.ones([2, 2]), primitives=[[SEP], [SEP, SKIP]], title="")


def test_the_same_figure_is_the_same_svg_at_any_time(monkeypatch):
    found = set()
    for date in ("1", "1000000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        figure = mpl_figure.Figure()
        figure.add_subplot(xlim=(0, 2)).plot([1, 2], [3, 5])
        found.add(plots.to_svg(figure))
    assert len(found) == 1
