"""The networks of language models: as many parameters as the authors', exported and read back."""

import json

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.genotypes import named
from rdarts_tf.genotypes.genotype import GenotypeError
from rdarts_tf.methods import random_ws
from rdarts_tf.tasks.language_model.derived_network import DerivedNetwork
from rdarts_tf.tasks.language_model.supernet import Supernet

SPACES = {name: registry.load("spaces", name)[0].SPACE for name in ("rnn", "rnn_reduced")}


@pytest.mark.parametrize("name", SPACES)
def test_the_number_of_parameters_of_a_search_is_the_authors(name):
    net = Supernet(SPACES[name].cell("recurrent"), 10_000, hidden=300)
    net.build()
    assert sum(v.shape.num_elements() for v in net.trainable_variables) == 4_810_000
    assert net.alphas["recurrent"].shape[0] == 36


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DARTS_RNN_V1", "DARTS_RNN_V2"])
def test_the_number_of_parameters_of_an_evaluation_is_the_authors(name):
    net = DerivedNetwork(named.read(name), 10_000, hidden=850)
    net.build()
    assert net.num_parameters() == 22_960_000


def test_a_sampled_path_computes_what_its_edge_weights_say():
    space = SPACES["rnn"].with_nodes(3)
    net = Supernet(space.cell("recurrent"), 7, hidden=4)
    net.build()
    paths = random_ws.Method().edge_weights(space, np.random.default_rng(0), 20)["recurrent"]
    assert (paths[..., 0] == 0).all()  # none is never drawn
    targets = [node for node, _ in space.cell("recurrent").edges]
    for node in range(3):
        assert (paths[:, np.equal(targets, node)].sum((1, 2)) == 1).all()
    tokens, hidden = tf.constant([[1, 2, 3], [4, 5, 6]]), tf.ones([2, 4])
    for path in paths[:3]:
        weights = {"recurrent": tf.constant(path)}
        both = [
            net(tokens, hidden, edge_weights=weights, sampled=sampled) for sampled in (True, False)
        ]
        np.testing.assert_allclose(both[0].logits, both[1].logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Genotype(recurrent=[('none', 0)], concat=[1])", "unknown primitive 'none'"),
        (
            "Genotype(normal=[('relu', 0), ('relu', 1)], normal_concat=[2])",
            "needs the cell recurrent",
        ),
    ],
)
def test_other_cells_are_refused(text, words):
    with pytest.raises(GenotypeError, match=words):
        DerivedNetwork(text, 5, hidden=2)


def test_metadata_is_ready_for_json():
    from rdarts_tf.tasks.language_model.serving import ServedModel

    net = DerivedNetwork("Genotype(recurrent=[('relu', 0)], concat=[1])", 3, hidden=2)
    net.build()
    served = ServedModel(net, vocabulary=("a", "b", "<eos>"))
    out = served(tf.constant([[0, 1]]), tf.zeros([1, 2]))
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(out["log_probabilities"]), -1), 1, rtol=1e-5)
    assert json.loads(json.dumps(served.metadata()))["vocabulary"] == ["a", "b", "<eos>"]
