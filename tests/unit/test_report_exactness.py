"""The report's blocks on the alpha step and on test regret."""

import csv
import json

import pytest

from rdarts_tf import registry
from rdarts_tf.analysis import regret
from rdarts_tf.genotypes import rule
from rdarts_tf.reporting import exactness, page, regrets
from rdarts_tf.runs import record_reading
from rdarts_tf.spaces import s5
from tests.recorded_runs import GENOTYPE, write_counting_run, write_result, write_run

ALL_SKIPS = {**GENOTYPE, "cells": dict.fromkeys(GENOTYPE["cells"], (("skip_connect", 0),) * 8)}


@pytest.fixture
def write(tmp_path):
    """write(alpha step, seed, curvature, error) makes a tested search."""

    def make(step, seed, last, error, **given):
        run = write_run(
            tmp_path / f"{step}_{seed}", alpha_step=step, seed=seed, curvature=(9.0, last), **given
        )
        write_result(run, [error])
        return run

    return make


def table(tmp_path, blocks=exactness.exactness):
    """{(column, ...) of the words of a row: the other texts} of the only table."""
    registry.trust("tests.counting_task")
    records, refused = record_reading.read([tmp_path])
    assert not refused
    found = [b for b in blocks(records) if isinstance(b, page.Table)]
    return {
        tuple(cell.text for cell in row[:3]): [cell.text for cell in row[3:]]
        for each in found
        for row in each.rows
    }


def test_means_and_deviations_by_alpha_step(write, tmp_path):
    write("exact", 1, 0.2, 0.02)  # 4 skips of 8
    write("exact", 2, 0.4, 0.04, genotype=ALL_SKIPS)
    write("first_order", 1, 0.5, 0.1)
    assert table(tmp_path) == {
        ("s1", "digits", "exact"): ["2", "6.0 ± 2.0 of 8", "0.3 ± 0.1", "–", "3.00 ± 1.00"],
        ("s1", "digits", "first_order"): ["1", "4.0 of 8", "0.5", "–", "10.00"],
    }


def test_only_searches_that_differ_in_nothing_else_stand_side_by_side(write, tmp_path):
    write("exact", 1, 0.2, 0.02)
    write("first_order", 1, 0.5, 0.1, weight_decay=9e-4)
    assert table(tmp_path) == {}
    write("finite_difference", 1, 0.5, 0.1, weight_decay=9e-4)
    write_counting_run(tmp_path / "counting")
    assert [key[2] for key in table(tmp_path)] == ["finite_difference", "first_order"]


def test_what_is_not_tested_yet_is_told(write, tmp_path):
    write("exact", 1, 0.2, 0.02)
    write("first_order", 1, 0.2, 0.02)
    write_run(tmp_path / "untested", alpha_step="exact", seed=3, curvature=(9.0, 0.4))
    assert table(tmp_path)[("s1", "digits", "exact")][-1] == "2.00 (n = 1)"


def of_s5(primitive):
    """A genotype of S5 of one primitive, and the columns of its row in the table."""
    choice = dict.fromkeys(s5.SPACE.cell_types, (primitive,) * 2)
    columns = {f"{t}_edge{e}": primitive for t in choice for e in range(2)}
    return json.loads(rule.of_choice(s5.SPACE, choice).to_json()), columns


def errors():
    """{columns of an architecture: its error} as the file has them."""
    with (regret.SHIPPED / "s5_digits.csv").open(newline="") as file:
        return {
            tuple(v for k, v in row.items() if "_edge" in k): float(row["test_error"])
            for row in csv.DictReader(file)
        }


def test_where_all_are_trained_there_is_regret(write, tmp_path):
    given = {"space": "s5", "searched": s5.SPACE}
    for step, primitive in {"exact": "sep_conv_3x3", "first_order": "skip_connect"}.items():
        genotype, columns = of_s5(primitive)
        run = write(step, 1, 0.2, 0.5, genotype=genotype, **given)
        (run / "evaluate/test/result.json").unlink()
        error = errors()[tuple(columns.values())]
        expected = [f"{100 * (error - min(errors().values())):.2f}", f"{100 * error:.2f}"]
        assert step == "exact" or table(tmp_path)[("s5", "digits", step)][-2:] == expected
    picture, told = list(regrets.regrets(record_reading.read([tmp_path])[0]))[1:]
    assert picture.content.startswith(b"\x89PNG") and "alpha_step exact (1 run)" in told.text


def test_a_table_beside_the_run_comes_first(write, tmp_path):
    run = write("exact", 1, 0.2, 0.5, space="s5", searched=s5.SPACE, genotype=None)
    (record,), _ = record_reading.read([run])
    text = (regret.SHIPPED / "s5_digits.csv").read_text()
    (tmp_path / "s5_digits.csv").write_text(text.replace(",2,20,3,8", ",1,20,3,8"))
    trained = next(iter(regrets.table_of(record).trained.values()))
    assert trained.num_seeds == 1
    other = write("exact", 2, 0.2, 0.5, space="s1", genotype=None)
    assert regrets.table_of(record_reading.read([other])[0][0]) is None
