"""The authors' numbers of recurrent cells, in float64; `python tests/parity.py FILE` prints all of a file."""

import pathlib

import pytest

from tests import parity, parity_rnn, parity_rnn_steps

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


@pytest.mark.parametrize(("name", "num"), [("rnn_eval_v2", 46), ("rnn_asgd", 24), ("batching", 43)])
def test_evaluation_averaging_and_batches_equal_the_authors(name, num):
    rows = parity.check(DATA / f"{name}.npz")
    assert not [row for row in rows if not row[1] <= row[2]]
    assert len(rows) == len({quantity for quantity, _, _ in rows}) == num


@pytest.fixture(scope="module")
def fixture():
    return parity_rnn.Fixture(DATA / "rnn_search_full.npz")


def failures(rows):
    return {name for name, error, tolerance in rows if not error <= tolerance}


@pytest.mark.parametrize("group", [parity_rnn.forward, parity_rnn.masked, parity_rnn.genotypes])
def test_search_network_equals_the_authors(fixture, group):
    rows = list(parity.compared(fixture, group))
    assert len(rows) > 2 and not failures(rows)


def test_alpha_step_equals_the_authors(fixture):
    """All weights move in one group, the tied embedding stays in the other; smooth: exact is exact."""
    rows = []
    for name, all_weights in (("smooth/second_order", False), ("second_order_all_weights", True)):

        def group(f, name=name, all_weights=all_weights):
            return parity_rnn_steps.of_group(f, name, all_weights)

        rows += parity.compared(fixture, group)
    assert len(rows) == 46 and not failures(rows)


def test_a_wrong_word_is_noticed(fixture):
    fixture.arrays["data/train_x"][3, 1] += 1
    found = failures(parity.compared(fixture, parity_rnn.forward))
    fixture.arrays["data/train_x"][3, 1] -= 1
    assert {"logits_train", "loss_train", "bn_after_one_train_forward"} <= found
