"""The discretisation rule on small matrices worked out by hand, and the text forms."""

import json
import os

import numpy as np
import pytest

from rdarts_tf import registry
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes.genotype import Genotype, GenotypeError, check_primitives, parse
from rdarts_tf.genotypes.rule import derive
from rdarts_tf.layers.primitives import PRIMITIVES
from rdarts_tf.spaces.base import CellSpace, Space, uniform

SEP, SKIP, POOL = "sep_conv_3x3", "skip_connect", "max_pool_3x3"
SMALL = Genotype(
    {"normal": ((SEP, 0), (SKIP, 1)), "reduce": ((POOL, 1), (SEP, 0))},
    {"normal": (2,), "reduce": (2,)},
)
TEXT = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 1), ('sep_conv_3x3', 0)], reduce_concat=range(2, 3))"
)
RECURRENT = (
    "Genotype(recurrent=[('tanh', 0), ('relu', 1), ('relu', 1), ('identity', 1), ('relu', 2), "
    "('sigmoid', 5), ('tanh', 1), ('relu', 7)], concat=range(1, 9))"
)


def _space(name):
    return registry.load("spaces", name)[0].SPACE


def _derive(space, normal):
    """The normal cell; the reduction cell is uniform."""
    reduce = np.full(space.cell("reduce").alpha_shape, 0.1)
    return derive(space, {"normal": np.asarray(normal), "reduce": reduce}).cells["normal"]


def test_the_two_strongest_edges_enter_each_node_strongest_first():
    space = uniform("small", (SKIP, SEP), num_nodes=2)
    weights = [[0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.55, 0.45], [0.1, 0.9]]
    assert _derive(space, weights) == ((SEP, 1), (SKIP, 0), (SEP, 2), (SEP, 0))


def test_none_is_never_kept_nor_counted_for_the_strength_of_an_edge():
    space = uniform("small", ("none", SKIP, SEP), num_nodes=2)
    weights = [
        [0.9, 0.04, 0.06],
        [0.9, 0.07, 0.03],
        [0.98, 0.01, 0.01],  # weakest but for none
        [0.5, 0.2, 0.3],
        [0.6, 0.25, 0.15],
    ]
    assert _derive(space, weights) == ((SKIP, 1), (SEP, 0), (SEP, 1), (SKIP, 2))


def test_an_edge_of_none_only_is_not_kept_and_a_node_needs_as_many_others():
    rows = [("none", "none"), (SKIP, SEP), (SEP, SKIP)]
    three = CellSpace(tuple(rows), num_nodes=1, num_inputs=3)
    space = Space("gap", {"normal": three})
    space.check_derivable()
    found = derive(space, {"normal": [[0.5, 0.5], [0.4, 0.6], [0.7, 0.3]]})
    assert found.cells["normal"] == ((SEP, 2), (SEP, 1))
    lacking = Space("gap", {"normal": CellSpace((*rows[:1], *rows[:2]), 1, num_inputs=3)})
    with pytest.raises(UserError, match="node 0 of cell 'normal' keeps 2 edges, but 1 offer more"):
        lacking.check_derivable()


def test_noise_is_kept():
    weights = np.tile([0.7, 0.3], (14, 1))
    assert _derive(_space("s4"), weights) == (("noise", 0), ("noise", 1)) * 4


def test_ties_go_to_the_lower_state_and_the_first_primitive():
    assert _derive(_space("s3"), np.full((14, 3), 1 / 3)) == ((SKIP, 0), (SKIP, 1)) * 4


def test_a_tie_for_the_second_place_goes_to_the_lower_state():
    weights = np.tile([0.4, 0.3], (5, 1))
    weights[4] = [0.3, 0.9]
    space = uniform("small", (SKIP, SEP), num_nodes=2)
    assert _derive(space, weights)[2:] == ((SEP, 2), (SKIP, 0))


def test_names_in_s1_are_those_of_the_edge():
    """Edge 9 + j enters node 3 from state j; S1 lists other primitives on each."""
    weights = np.tile([0.5, 0.5], (14, 1))
    weights[12], weights[10] = [0.1, 0.9], [0.8, 0.2]
    weights[1], weights[0] = [0.1, 0.9], [0.3, 0.7]
    cell = _derive(_space("s1"), weights)
    assert cell[6:] == (("dil_conv_5x5", 3), (POOL, 1))
    assert cell[:2] == (("dil_conv_5x5", 1), ("dil_conv_3x3", 0))
    reduce = np.tile([0.5, 0.5], (14, 1))
    reduce[4], reduce[6] = [0.1, 0.9], [0.1, 0.8]
    cell = derive(_space("s1"), {"normal": weights, "reduce": reduce}).cells["reduce"]
    assert cell[2:6] == (("dil_conv_5x5", 2), (POOL, 0), (SEP, 1), (POOL, 0))


@pytest.mark.parametrize(
    "weights, message",
    [(np.ones((14, 3)), "shape"), (np.full((14, 2), np.nan), "finite")],
)
def test_derive_refuses_weights_that_cannot_be(weights, message):
    with pytest.raises(ValueError, match=message):
        _derive(_space("s2"), weights)


def test_count():
    genotype = Genotype({"normal": ((SEP, 0), (SEP, 1), (SKIP, 0), (SEP, 2))}, {"normal": (2, 3)})
    assert genotype.count(SEP, "normal") == 3
    assert genotype.count(POOL, "normal") == 0


def test_text_form():
    assert str(SMALL) == TEXT
    assert parse(TEXT) == SMALL
    assert parse(f"  {TEXT}\n") == SMALL


def test_both_forms_of_the_concatenation():
    assert parse(TEXT.replace("range(2, 3)", "[2]")) == SMALL
    gap = Genotype({"normal": ((SEP, 0), (SKIP, 1), (SEP, 0), (SKIP, 1))}, {"normal": (1, 3)})
    assert str(gap).endswith("normal_concat=[1, 3])")
    assert parse(str(gap)) == gap


def test_json_round_trip():
    text = SMALL.to_json()
    assert json.loads(text)["concat"] == {"normal": [2], "reduce": [2]}
    assert parse(text) == SMALL
    space = uniform("small", (SKIP, SEP), num_nodes=1)  # laid out as its types say
    found = derive(space, {t: np.full((2, 2), 0.5) for t in space.cell_types})
    assert "layouts" not in json.loads(found.to_json())


def test_recurrent_form():
    genotype = parse(RECURRENT)
    assert len(genotype.cells["recurrent"]) == 8
    assert genotype.cells["recurrent"][5] == ("sigmoid", 5)
    assert genotype.concat == {"recurrent": (1, 2, 3, 4, 5, 6, 7, 8)}
    assert str(genotype) == RECURRENT
    assert parse(genotype.to_json()) == genotype


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch CANARY')",
        "Genotype(normal=__import__('os').system('touch CANARY'), normal_concat=[2])",
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=range(__import__('os').getpid()))",
        "os.system('touch CANARY')",
        "Genotype.__class__(normal=[])",
        "Genotype(normal=[('a', 0), ('a', 1)])",
        "Genotype([('a', 0), ('a', 1)], range(2, 3))",
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=range(2, 3)",
        "Genotype(**{})",
        "Genotype(1, normal=[('a', 0), ('a', 1)], normal_concat=[2])",
        "Cell(normal=[('a', 0), ('a', 1)], normal_concat=[2])",
        "normal",
        "",
        "{",
        "{}",
        '{"cells": [], "concat": {}}',
        '{"cells": {"normal": [["a", 0], ["a", 1]]}, "concat": {}}',
        '{"cells": {"normal": [["a", 0], ["a"]]}, "concat": {"normal": [2]}}',
        '{"cells": {"x": [["a", 0], ["a", 1]]}, "concat": {"x": [2]}, "layouts": {"x": [2, [3]]}}',
        # States are integers,
        "Genotype(normal=[('a', 0.5), ('a', 1)], normal_concat=[2])",
        "Genotype(normal=[('a', 0.0), ('a', 1)], normal_concat=[2])",
        "Genotype(normal=[('a', False), ('a', 1)], normal_concat=[2])",
        "Genotype(normal=[('a', '0'), ('a', 1)], normal_concat=[2])",
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=[2.0])",
        '{"cells": {"normal": [["a", 0], ["a", true]]}, "concat": {"normal": [2]}}',
        '{"cells": {"normal": [["a", 0], ["a", 1]]}, "concat": {"normal": [2.5]}}',
        # and a field that is not read is a mistake.
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=[2], concat=[2])",
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=[2], reduce_concat=[2])",
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=[2], normal_concat=[3])",
        "Genotype(normal=[('a', 0), ('a', 1)], normal_concat=[2], **{'reduce': []})",
        '{"cells": {"normal": [["a", 0], ["a", 1]]}, "concat": {"normal": [2]}, "name": "x"}',
        '{"cells": {"normal": [["a", 0], ["a", 1]]}, "concat": {"normal": [2], "reduce": [2]}}',
    ],
)
def test_other_text_is_refused_and_not_evaluated(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenotypeError):
        parse(text)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "pairs, concat, message",
    [
        ("[('a', 0), ('a', 2)]", "[2]", r"\('a', 2\) has no such state yet"),
        ("[('a', 0), ('a', -1)]", "[2]", "no such state yet"),
        ("[('a', 0), ('a', 1), ('a', 3), ('a', 0)]", "[2, 3]", "no such state yet"),
        ("[('a', 0)]", "[2]", "needs 2 pairs a node"),
        ("[]", "[2]", "needs 2 pairs a node"),
        ("[('a', 0), ('a', 1), ('a', 0)]", "[2]", "needs 2 pairs a node"),
        ("[('a', 0), ('a', 1)]", "[3]", "names a missing state"),
        ("[('a', 0), ('a', 1)]", "[]", "names a missing state"),
        ("[(1, 0), ('a', 1)]", "[2]", "is no pair of a primitive and a state"),
    ],
)
def test_states_out_of_range_are_refused(pairs, concat, message):
    with pytest.raises(GenotypeError, match=message):
        parse(f"Genotype(normal={pairs}, normal_concat={concat})")


def test_a_node_may_use_the_node_before_it():
    pairs = "[('a', 0), ('a', 1), ('a', 2), ('a', 0)]"
    assert parse(f"Genotype(normal={pairs}, normal_concat=[3])").concat == {"normal": (3,)}


def test_a_recurrent_pair_may_not_use_its_own_node():
    with pytest.raises(GenotypeError, match=r"\('tanh', 1\)"):
        parse("Genotype(recurrent=[('tanh', 1)], concat=range(1, 2))")


def test_unknown_primitive_is_named():
    check_primitives(SMALL, PRIMITIVES)
    genotype = parse(TEXT.replace(POOL, "mox_pool"))
    with pytest.raises(GenotypeError, match="unknown primitive 'mox_pool' in cell 'reduce'.*none"):
        check_primitives(genotype, PRIMITIVES)


def test_cells_of_any_layout_are_read_back_with_their_space():
    """One kept edge a node, three inputs; an upsampling cell's first node keeps four."""
    thin = CellSpace((("none", SKIP, SEP),) * 7, num_nodes=2, num_inputs=3, kept_edges=1)
    up = CellSpace((("none", SKIP),) * 15, num_nodes=3, num_inputs=4, kept_edges=(4, 2, 2))
    space = Space("mixed", {"thin": thin, "upsample": up})
    weights = {t: np.full(cell.alpha_shape, 0.3) for t, cell in space.cells.items()}
    found = derive(space, weights)
    assert found.layout("thin") == (3, (1, 1)) and found.targets("thin") == [0, 1]
    assert found.targets("upsample") == [0] * 4 + [1] * 2 + [2] * 2
    assert parse(str(found), space) == parse(found.to_json()) == found
    with pytest.raises(GenotypeError, match="thin"):  # its type says two edges a node
        parse(str(found).replace("upsample", "other"))
