"""Random search with weight sharing: what is sampled, for how long, and what is refused."""

import itertools

import numpy as np
import pytest
import scipy.stats

from rdarts_tf import registry
from rdarts_tf.config import search as config_lib
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype, rule
from rdarts_tf.methods import base, random_ws
from rdarts_tf.tasks.image_classification.options import SearchConfig

NUM = 6000


def space_of(name):
    return registry.load("spaces", name)[0].SPACE


def sample(space, num=NUM, seed=0):
    return random_ws.Method().edge_weights(space, np.random.default_rng(seed), num)


def entering(paths, node):
    """[num, i + 2, K]: the rows of the edges into `node`, which come after those of 2, 3, ... nodes."""
    first = sum(range(2, node + 2))
    return paths[:, first : first + node + 2]


def uniformity(paths, node):
    """(p value of the frequencies of predecessor pairs, that of the primitives on all edges)."""
    rows = entering(paths, node)
    pairs = [tuple(np.flatnonzero(row)) for row in rows.any(axis=2)]
    counts = [pairs.count(pair) for pair in itertools.combinations(range(node + 2), 2)]
    return (
        scipy.stats.chisquare(counts).pvalue if len(counts) > 1 else 1.0,
        scipy.stats.chisquare(rows.sum(axis=(0, 1))).pvalue,
    )


@pytest.mark.parametrize("name", ["s1", "s4", "s5", "darts"])
def test_every_node_has_two_distinct_predecessors_with_one_primitive_each(name):
    space = space_of(name)
    for cell_type, paths in sample(space).items():
        cell = space.cell(cell_type)
        assert paths.shape == (NUM, *cell.alpha_shape)
        assert paths.dtype == np.float32
        assert set(np.unique(paths)) == {0, 1}
        assert paths.sum(axis=2).max() == 1
        for node in range(cell.num_nodes):
            assert (entering(paths, node).any(axis=2).sum(axis=1) == 2).all()


@pytest.mark.parametrize("name", ["s4", "darts"])
@pytest.mark.parametrize("cell_type", ["normal", "reduce"])
def test_predecessors_and_primitives_are_uniform(name, cell_type):
    """`none` of darts and `noise` of s4 included."""
    paths = sample(space_of(name))[cell_type]
    for node in range(4):
        assert min(uniformity(paths, node)) > 1e-3


def test_a_biased_sampler_would_be_found():
    paths = sample(space_of("darts"))["normal"]
    biased = paths.copy()
    changed = biased[: NUM // 10, :, 0]  # every tenth `none` is another primitive
    biased[: NUM // 10, :, 3] += changed
    changed[:] = 0
    assert uniformity(biased, 2)[1] < 1e-3
    biased = paths.copy()
    last = biased[: NUM // 10, 5:9]  # node 2 takes the states 0 and 1 a little too often
    last[:] = 0
    last[:, :2, 1] = 1
    assert uniformity(biased, 2)[0] < 1e-3


def test_cell_types_and_primitives_are_independent():
    paths = sample(space_of("s5"))
    normal, reduce = (paths[t].argmax(axis=2) for t in ("normal", "reduce"))
    counts = np.zeros((9, 9))
    np.add.at(counts, (normal @ [3, 1], reduce @ [3, 1]), 1)
    assert scipy.stats.chisquare(counts.ravel()).pvalue > 1e-3  # all 81 alike


def test_the_genotype_of_a_path_keeps_none_and_lists_states_in_order():
    space = space_of("darts").with_nodes(2)
    path = np.zeros((5, 8))
    path[[0, 1, 2, 4], [0, 4, 3, 1]] = 1  # none<-0, sep3<-1 | skip<-0, max<-2
    found = rule.of_path(space, {"normal": path, "reduce": path})
    cell = "[('none', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('max_pool_3x3', 2)]"
    assert str(found) == (
        f"Genotype(normal={cell}, normal_concat=range(2, 4), reduce={cell}, "
        "reduce_concat=range(2, 4))"
    )
    assert genotype.parse(str(found)) == found


@pytest.mark.parametrize(
    ("epoch_steps", "full_epochs", "rest"),
    [(391, 49, 372), (573, 34, 49)],  # CIFAR, SVHN
)
def test_budget_of_the_authors(epoch_steps, full_epochs, rest):
    steps = random_ws.Method(budget="authors").total_steps(SearchConfig(), epoch_steps)
    assert steps == 19531
    assert divmod(steps, epoch_steps) == (full_epochs, rest)


def test_budget_in_epochs_and_one_that_does_not_fit():
    settings = SearchConfig()
    assert random_ws.Method().total_steps(settings, 573) == 28650
    assert base.Method().total_steps(settings, 391) == 19550
    with pytest.raises(UserError, match="--epochs=50 of 12 steps are 600; take --epochs=1628 or"):
        random_ws.Method(budget="authors").total_steps(settings, 12)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("random_ws(n_samples=0)", "n_samples=0 must be a whole number of at least 1"),
        ("random_ws(score_batches=2.5)", "score_batches=2.5 must be a whole number"),
        ("random_ws(top=True)", "top=True must be a whole number"),
        ("random_ws(score_every=-1)", "score_every=-1 must be a whole number of at least 0"),
        ("random_ws(n_samples=5)", "top=10 must be at most n_samples=5"),
        ("random_ws(budget=paper)", "unknown budget 'paper'; there are: epochs, authors"),
        ("random_ws(window=5)", "does not take that: .*window"),
    ],
)
def test_arguments_that_cannot_be_are_refused_before_any_work(spec, sentence):
    with pytest.raises(UserError, match=sentence):
        config_lib.check(SearchConfig(method=spec))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"drop_path_prob": 0.2}, "leave out --drop_path_prob=0.2"),
        ({"sync_batch_norm": True}, "leave out --sync_batch_norm"),
        ({"hessian_spectrum": True, "eigensolver": "full"}, "leave out --hessian_spectrum"),
    ],
)
def test_flags_that_have_no_meaning_are_refused(flags, sentence):
    with pytest.raises(UserError, match=sentence):
        config_lib.check(SearchConfig(method="random_ws", **flags))
