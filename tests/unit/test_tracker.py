"""Smoothing and the stop rule on numbers computed by hand, and on the authors' recorded ones."""

import importlib.util
import itertools
import math
import pathlib
import random

import pytest

from rdarts_tf.errors import UserError
from rdarts_tf.methods import tracker

TESTS = pathlib.Path(__file__).resolve().parents[1]


def load_replay():
    spec = importlib.util.spec_from_file_location("replay", TESTS / "replay.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


replay = load_replay()


def history(values):
    """One row an epoch; None: without a value."""
    rows = [{"epoch": epoch} for epoch in range(len(values))]
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            row[tracker.LAMBDA_MAX] = value
    return rows


def rule(**changes):
    small = {"window": 3, "delta": 2, "factor": 1.5, "start_epoch": 0, "frequency": 1}
    return tracker.StopRule(**small | changes)


def test_local_averages_are_centred_and_cut_off_at_the_ends():
    values = [1, 2, 4, 8, 16, 32]
    expected = [7 / 3, 15 / 4, 31 / 5, 62 / 5, 60 / 4, 56 / 3]
    assert tracker.local_averages(values, window=5) == pytest.approx(expected)
    assert tracker.local_averages([3, 5], window=5) == [4, 4]
    assert tracker.local_averages(values, window=1) == values
    assert tracker.local_averages([], window=5) == []


def test_local_averages_are_over_the_values_that_are_there():
    values = [None, 2, None, None, None, 6, 0]
    assert tracker.local_averages(values, window=3) == [2, 2, 2, None, 6, 3, 3]


def test_the_newest_average_is_centred_half_a_window_before_the_last_evaluation():
    rows = history([1, 2, 4, 8, 16, 32])
    found = [tracker.newest_average(rows[:n], frequency=1, window=3) for n in range(7)]
    assert found[:2] == [None, None]
    assert found[2:] == pytest.approx([3 / 2, 7 / 3, 14 / 3, 28 / 3, 56 / 3])
    assert tracker.newest_average(rows, frequency=2, window=1) == 16
    assert tracker.newest_average(rows[:3], frequency=1, window=5) == pytest.approx(7 / 3)


def test_evaluations_are_at_the_frequency_and_at_the_end():
    rows = history([10, 11, 12, 13, 14, 15])
    assert tracker.evaluations(rows, 2, last_epoch=5) == [(0, 10), (2, 12), (4, 14), (5, 15)]
    assert tracker.evaluations(rows[:4], 2, last_epoch=5) == [(0, 10), (2, 12)]
    assert tracker.evaluations(rows[:5], 2, last_epoch=4) == [(0, 10), (2, 12), (4, 14)]


def test_a_value_that_is_none_or_not_finite_is_missing():
    rows = [{}, {tracker.LAMBDA_MAX: None}, {tracker.LAMBDA_MAX: math.nan}]
    rows += [{tracker.LAMBDA_MAX: math.inf}, {tracker.LAMBDA_MAX: 0.0}]
    found = tracker.evaluations(rows, 1, last_epoch=4)
    assert [value for _, value in found] == [None, None, None, None, 0.0]


def test_the_test_compares_the_newest_complete_average_with_one_delta_before():
    # LA: 1.5 (two values), 2, 3, 5, ...; LA_3 is complete with epoch 4 and is compared with LA_1.
    rows = history([1, 2, 3, 4, 8])
    assert rule().growth(rows) == tracker.Growth(epoch=1, earlier=2, newest=5)
    assert rule().growth(rows).ratio == 2.5
    assert rule().growth(rows[:4]) == tracker.Growth(epoch=0, earlier=1.5, newest=3)
    assert rule().growth(rows[:3]) is None
    assert rule(factor=2).first_stop(rows) == (4, 1)
    assert rule(factor=1.9).first_stop(rows) == (3, 0)
    assert rule(factor=2.5).first_stop(rows) == (None, None)


def test_the_authors_test_at_even_epochs_from_22_to_48():
    authors = tracker.stop_rule("authors")
    rows = history([1.0] * 50)
    tested = {now: authors.growth(rows[: now + 1]) for now in range(50)}
    tested = {now: growth.epoch for now, growth in tested.items() if growth}
    assert tested == {now: now - 12 for now in range(22, 49, 2)}


def test_the_papers_rule_on_numbers():
    """lambda grows by 0.1 an epoch from 1: LA_0 = 1.1, LA_1 = 1.15, LA_i = 1 + 0.1 i after these."""
    paper = tracker.stop_rule("paper")
    rows = history([1 + 0.1 * epoch for epoch in range(20)])
    assert paper.growth(rows[:7]) is None  # needs LA_5, which epoch 7 completes
    assert paper.growth(rows[:8]).ratio == pytest.approx(1.5 / 1.1)
    assert paper.first_stop(rows) == (7, 0)  # 1.1 / 1.5 < 0.75
    rows = history([1 + 0.07 * epoch for epoch in range(20)])
    assert paper.growth(rows[:8]).ratio == pytest.approx(1.35 / 1.07)
    assert paper.first_stop(rows) == (None, None)
    jump = history([1.0] * 10 + [2.0] * 10)
    # LA_8 .. LA_11 = 1.2, 1.4, 1.6, 1.8; LA_9 / LA_4 = 1.4 is the first above 4 / 3.
    assert paper.first_stop(jump) == (11, 4)


def test_missing_values_move_no_epoch():
    values = [1.0] * 10 + [2.0] * 10
    values[3] = values[10] = values[12] = None
    rows = history(values)
    paper = tracker.stop_rule("paper")
    assert paper.growth(rows[:12]) == tracker.Growth(epoch=4, earlier=1.0, newest=1.25)
    # LA_10 = 4 / 3 of 1, 1, 2 is not above 4 / 3; LA_11 = 5 / 3 of 1, 2, 2 is.
    assert paper.first_stop(rows) == (13, 6)
    assert paper.first_stop(history([None] * 20)) == (None, None)


def test_nothing_is_tested_where_an_average_has_no_value():
    rows = history([1.0, None, None, None, None, 9.0, 9.0, 9.0])
    growths = [rule().growth(rows[: now + 1]) for now in range(8)]
    # LA: 1, 1, None, None, 9, 9, 9; LA_i / LA_{i-2} has two values only for i = 6.
    assert growths[:7] == [None] * 7
    assert rule(delta=3).growth(rows[:6]) == tracker.Growth(epoch=1, earlier=1.0, newest=9.0)


@pytest.mark.parametrize(
    ("earlier", "newest", "ratio"),
    [(0, 0, 1), (0, 1, math.inf), (1, 0, 0), (-1e-9, -1e-9, 1), (-1e-9, 2, math.inf), (2, 3, 1.5)],
)
def test_no_curvature_divides_nothing(earlier, newest, ratio):
    assert tracker.Growth(0, earlier, newest).ratio == ratio


def test_zero_curvature_does_not_stop():
    assert tracker.stop_rule("authors").first_stop(history([0.0] * 50)) == (None, None)
    assert tracker.stop_rule("authors").offline_stop_epoch(history([0.0] * 50)) is None


def test_the_plot_scripts_also_test_the_averages_at_the_end():
    rows, authors = history([1.0] * 49 + [9.0]), tracker.stop_rule("authors")
    assert authors.first_stop(rows) == (None, None)
    assert authors.offline_stop_epoch(rows) == 38  # LA at 46 is of epochs 42, 44, 46, 48, 49
    growing = history([1.1**epoch for epoch in range(50)])
    assert authors.offline_stop_epoch(growing) == authors.first_stop(growing)[1] == 10


@pytest.mark.parametrize("preset", tracker.PRESETS)
def test_a_decision_never_looks_at_later_epochs(preset):
    draw, stopping = random.Random(0), tracker.stop_rule(preset)
    for _ in range(50):
        values = list(itertools.accumulate(draw.choice((0, 0.1, None)) or 0 for _ in range(50)))
        other = history(values[:30] + [draw.random() * 9 for _ in range(20)])
        rows = history(values)
        for now in range(30):
            assert stopping.stop_epoch(rows[: now + 1]) == stopping.stop_epoch(other[: now + 1])
        decided, stop = stopping.first_stop(rows)
        if decided is not None:
            assert stopping.first_stop(rows[: decided + 1]) == (decided, stop)
            assert stop == decided - stopping.lag_epochs


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"window": 4}, "window=4 must be an odd whole number"),
        ({"window": 5.0}, "window=5.0 must be an odd"),
        ({"window": -1}, "window=-1 must be an odd"),
        ({"delta": 0}, "delta=0 must be a whole number of at least 1"),
        ({"factor": 0}, "factor=0 must be a number greater than 0"),
        ({"factor": math.nan}, "factor=nan must be"),
        ({"factor": "1,3"}, "factor='1,3' must be"),
        ({"factor": True}, "factor=True must be"),
        ({"start_epoch": -1}, "start_epoch=-1 must be a whole number, 0 or more"),
        ({"frequency": 0}, "frequency=0 must be"),
        ({"frequency": [2]}, "must be a whole number"),
    ],
)
def test_values_that_cannot_be(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        tracker.stop_rule("authors", **arguments)


@pytest.mark.parametrize("preset", ["code", 5, ["paper"]])
def test_an_unknown_preset(preset):
    with pytest.raises(UserError, match="unknown preset .*; there are: authors, paper"):
        tracker.stop_rule(preset)


def test_none_is_the_presets_own_value():
    assert tracker.stop_rule("paper", window=None, delta=3).window == 5


RECORDED = TESTS / "data" / "trajectories"


@pytest.mark.parametrize("run", replay.read(RECORDED), ids=lambda run: run[0].replace(" ", "-"))
def test_recorded_runs_are_decided_as_by_the_authors(run):
    _, rows, stop = run
    assert [result for result in replay.compare(rows, stop) if not result[-1]] == []


def test_replay_notices_a_miss(tmp_path, capsys):
    for name in ("eigenvalue_trajectories.csv", "early_stopping.csv"):
        (tmp_path / name).write_bytes((RECORDED / name).read_bytes())
    assert replay.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("33 runs: 0 misses of ")
    stops = tmp_path / "early_stopping.csv"
    stops.write_text(stops.read_text().replace(",20,32,1.69203936,", ",18,32,1.69203936,"))
    assert replay.main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "s1 cifar10 0.0 0.0009 2 2516844: stop epochs: 20, recorded 18" in "\n".join(lines)
    assert " misses of " in lines[-1]


def test_replay_of_an_unusable_folder_is_one_sentence(tmp_path, capsys):
    assert replay.main([str(tmp_path)]) == 2
    (tmp_path / "eigenvalue_trajectories.csv").write_text("a,b\n1,2\n")
    assert replay.main([str(tmp_path)]) == 2
    assert all(line.startswith("error: ") for line in capsys.readouterr().err.splitlines())
