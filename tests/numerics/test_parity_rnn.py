"""The authors' numbers of recurrent cells, in float64; `python tests/parity.py FILE` prints all of a file."""

import pathlib

import pytest

from tests import parity, parity_rnn, parity_rnn_steps

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


@pytest.mark.parametrize(("name", "num"), [("rnn_eval_v2", 46), ("rnn_asgd", 24), ("batching", 33)])
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


# What an alpha step is made of; the command compares all the rest.
PARTS = {
    "second_order": ["unrolled", "grad_fd"],
    "second_order_all_weights": ["unrolled", "v", "clip_coef", "grad_fd", "grad_exact_clip_const"],
}


@pytest.mark.parametrize("name", PARTS)
def test_alpha_step_equals_the_authors(fixture, name):
    """All weights move in one group, in the other the tied embedding stays."""

    def group(f):
        rows = parity_rnn_steps.of_group(f, name, name == "second_order_all_weights")
        return (row for row in rows if row[0].rpartition("/")[2] in PARTS[name])

    rows = list(parity.compared(fixture, group))
    assert len(rows) == len(PARTS[name]) and not failures(rows)


@pytest.mark.slow
def test_all_of_a_search_equals_the_authors():
    rows = parity.check(DATA / "rnn_search_full.npz")
    absent = [quantity for quantity, error, _ in rows if error is None]
    assert not failures(row for row in rows if row[1] is not None)
    assert len(rows) == len({quantity for quantity, _, _ in rows}) == 240
    # The file keeps the weights of two alpha steps only.
    assert len(absent) == 8 and all(q.endswith(("/unrolled", "/v")) for q in absent)


def test_a_wrong_word_is_noticed(fixture):
    fixture.arrays["data/train_x"][3, 1] += 1
    found = failures(parity.compared(fixture, parity_rnn.forward))
    fixture.arrays["data/train_x"][3, 1] -= 1
    assert {"logits_train", "loss_train", "bn_after_one_train_forward"} <= found
