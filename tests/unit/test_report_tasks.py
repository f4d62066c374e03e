"""A report of runs of other tasks than images: their own names, directions and units."""

import json

import pytest

from rdarts_tf import registry, report
from rdarts_tf.config.report import ReportConfig
from rdarts_tf.reporting import correlations, errors, figures, language, table2, tables
from rdarts_tf.reporting.page import Heading, Paragraph, Picture, Table
from rdarts_tf.runs import record_reading
from rdarts_tf.spaces import s6
from rdarts_tf.tasks.base import Metric, Score
from rdarts_tf.tasks.image_classification.options import METRICS, SCORE
from tests import in_process
from tests.recorded_runs import (
    write_counting_run,
    write_drops,
    write_json,
    write_result,
    write_run,
)

COUNTING = "tests.counting_task"


@pytest.fixture
def trusted(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", {COUNTING, "tests.toy_task"})


def read(*paths):
    records, refused = record_reading.read(paths)
    assert not refused
    return records


def tables_in(blocks):
    return [block for block in blocks if isinstance(block, Table)]


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def words(blocks):
    return [block.text for block in blocks if isinstance(block, Heading | Paragraph)]


def write_tested(path, errors, **config):
    run = write_counting_run(path, **config)
    write_result(run, errors, dataset="words", score="counting_error")
    return run


@pytest.mark.parametrize(
    ("quantity", "heading", "number", "told", "plain"),
    [
        (METRICS[-1], "accuracy, %", "91.20", "91.20 +- 50.00 %", "0.9120"),
        (SCORE, "error, %", "91.20", "91.20 +- 50.00 %", "0.9120"),
        (Metric("perplexity", -1, digits=1), "perplexity", "0.9", "0.9 +- 0.5", "0.9"),
        (
            Score("end_point_error", min, "pixels", 2),
            *("end point error, pixels", "0.91", "0.91 +- 0.50 pixels", "0.91 pixels"),
        ),
    ],
)
def test_how_a_number_is_told(quantity, heading, number, told, plain):
    assert quantity.heading == heading
    assert quantity.number(0.912) == number
    assert quantity.told(0.912, 0.5) == told
    assert quantity.plain(0.912) == plain


def test_each_task_has_a_table_of_its_own(tmp_path, trusted):
    write_tested(tmp_path / "count", [80, 82])
    write_result(write_run(tmp_path / "image"), [0.1])
    blocks = list(tables.runs(read(tmp_path)))
    assert words(blocks)[:2] == ["Runs", f"Runs of the task {COUNTING}"]
    assert "Runs of the task image_classification" in words(blocks)
    count, image = tables_in(blocks)
    assert count.header[7:] == (
        *("validation counting error, words", "lambda_max", "skips", "parameters"),
        "test counting error, words",
    )
    assert texts(count) == [
        [
            *("count", COUNTING, "words", "darts", "L2 0.0003", "finished, 3 epochs", "2"),
            *("79.4", "0.4", "1 of 2", "123,456", "81.0 ± 1.0 (n = 2)"),
        ]
    ]
    assert [row[0] for row in texts(image)] == ["image"]
    assert image.header[-1] == "test error, %" and texts(image)[0][-1] == "10.00 (n = 1)"
    below = next(text for text in words(blocks) if text.startswith("Validation counting error is"))
    assert "Skips are those of the count cell" in below and "auxiliary" not in below
    assert "its test counting error is mean" in below


def test_of_one_task_there_is_one_table_without_a_name(tmp_path, trusted):
    run = write_counting_run(tmp_path / "a")
    blocks = list(tables.runs(read(run)))
    assert [block.text for block in blocks if isinstance(block, Heading)] == ["Runs"]
    assert "Where the test counting error is missing, it comes from" in words(blocks)


def test_the_toy_task_is_reported(tmp_path, trusted):
    genotype = {"cells": {"toy": [["on", 0]]}, "concat": {"toy": [1]}, "layouts": {"toy": [1, [1]]}}
    config = {"genotype": genotype, "validated": {"validation/loss": 0.04}}
    write_run(tmp_path / "toy", space="tests.toy_task", dataset="tests.toy_task", **config)
    (tmp_path / "toy" / "alphas.npz").unlink()
    (table,) = tables_in(tables.runs(read(tmp_path)))
    assert table.header[7] == "validation loss" and table.header[-1] == "test loss"
    assert texts(table)[0][7:] == ["0.0400", "0.4", "0 of 1", "–", "–"]


def test_a_selection_is_by_the_score_of_its_task(tmp_path, trusted):
    run = write_counting_run(tmp_path / "run", method="best_of(darts, seeds=2)", curvature=())
    (run / "alphas.npz").unlink()
    rows = []
    for seed, error in ((0, 80.0), (1, 79.0)):
        write_counting_run(run / "runs" / f"seed_{seed}", seed=seed)
        rows.append(
            {"name": f"seed_{seed}", "method": "darts", "seed": seed, "weight_decay": 3e-4}
            | {"drop_path_prob": 0.0, "lambda_max": 0.4, "num_parameters": 5, "skips_count": 1}
            | {"validation_counting_error": error, "genotype": "Genotype(...)"}
        )
    write_json(run / "selection.json", {"winner": "seed_1", "runs": rows})
    records = read(run)
    blocks = list(tables.selections(records))
    (table,) = tables_in(blocks)
    assert table.header[5:8] == ("skips", "lambda_max", "validation counting error, words")
    assert [row[7] for row in texts(table)] == ["80.0", "79.0"]
    assert any(text.startswith("Validation counting error: of the cells") for text in words(blocks))
    # The winner's numbers stand for the selection's.
    assert [row[7] for row in texts(tables_in(tables.runs(records))[0])] == ["79.4"] * 3


def test_no_selection_by_drop_path_is_proposed_where_there_is_none(tmp_path, trusted):
    lines = list(tables.selections(read(write_counting_run(tmp_path / "run"))))[-1].lines
    assert [line.rpartition("=")[2] for line in lines] == ["rdarts_l2"]


def test_correlations_are_with_the_score_of_each_task(tmp_path, trusted):
    for number, (last, error) in enumerate(((1, 80), (2, 82), (3, 81))):
        write_tested(tmp_path / f"count{number}", [error], curvature=(last,))
        write_result(write_run(tmp_path / f"image{number}", curvature=(last,)), [0.01 * last])
    blocks = list(correlations.correlations(read(tmp_path)))
    told = words(blocks)
    assert told[0] == "Figure 4: lambda_max against test counting error or error"
    assert f"lambda_max against test counting error: {COUNTING}, words" in told
    assert sum(text.startswith("The paper: Pearson") for text in told) == 1
    assert [(table.header[0], table.rows[0][1].text) for table in tables_in(blocks)] == [
        ("correlation with the test counting error", "0.500"),
        ("correlation with the test error", "1.000"),
    ]
    captions = [block.caption for block in blocks if isinstance(block, Picture)]
    assert [text.partition(" of")[0] for text in captions] == ["Test counting error", "Test error"]


def test_discretisation_worsens_the_metric_of_each_task(tmp_path, trusted):
    count = write_counting_run(tmp_path / "count")
    (count / "analysis").mkdir()
    (count / "analysis" / "discretization.csv").write_text(
        "run,epoch,running/counting_error_drop,batch/counting_error_drop\ncount,0,3.5,2\n"
    )
    write_drops(write_run(tmp_path / "image"), [(0, 0.2, 0.1)])
    records = read(tmp_path)
    assert correlations._drop_points(records[0], "running") == [(0.1, 3.5)]
    assert correlations._drop_points(records[1], "running") == [(0.1, 20)]
    pictures = [b for b in correlations.discretisation(records) if isinstance(b, Picture)]
    assert [(p.name, p.alt, p.caption.partition(" when")[0]) for p in pictures] == [
        (
            "discretisation.png",
            "counting error rise against lambda_max",
            "Counting error that the one-shot model gains",
        ),
        (
            "discretisation_1.png",
            "accuracy drop against lambda_max",
            "Accuracy that the one-shot model loses",
        ),
    ]


def test_trajectories_and_edge_weights_need_no_images(tmp_path, trusted):
    records = read(write_counting_run(tmp_path / "run"))
    blocks = [*figures.trajectories(records, []), *figures.alphas(records)]
    shown = [block.alt for block in blocks if isinstance(block, Picture)]
    assert shown == ["lambda_max of tests.counting task, words", "run, count cell"]


RECURRENT = ("relu", 0), ("identity", 1)


def write_language_run(path, *, space="rnn_reduced", dataset="words", tested=None, **given):
    searched = registry.load("spaces", space)[0].SPACE
    cells = {"cells": {"recurrent": RECURRENT}, "concat": {"recurrent": [1, 2]}}
    write_run(path, space=space, dataset=dataset, searched=searched, genotype=cells, **given)
    if tested is not None:
        write_result(path, [tested], dataset=dataset, score="perplexity")
    return path


def test_perplexity_by_l2(tmp_path):
    for k, (strength, one_shot, tested) in enumerate(((5e-7, 70.0, 62.5), (15e-7, 80.0, 61.0))):
        validated = {"validation/perplexity": one_shot}
        run = tmp_path / f"run{k}"
        write_language_run(run, weight_decay=strength, validated=validated, tested=tested)
    records = read(tmp_path)
    assert language._points(records) == {
        "test, retrained": [(5e-7, 62.5), (15e-7, 61.0)],
        "validation, one-shot model": [(5e-7, 70.0), (15e-7, 80.0)],
    }
    blocks = list(language.perplexities(records, {}))
    (picture,) = [block for block in blocks if isinstance(block, Picture)]
    assert "Figure 19" in picture.caption and not tables_in(blocks)
    assert [line.split()[4] for line in blocks[-1].lines] == [
        *("--weight_decay=4.5e-06", "--weight_decay=1.35e-05")
    ]
    assert not list(language.perplexities(records[:1], {}))


def test_full_spaces_beside_table_4(tmp_path):
    write_language_run(tmp_path / "ptb", space="rnn", dataset="ptb", tested=60.25)
    found = read(tmp_path / "ptb")
    (table,) = tables_in(errors.full_spaces(found, {}))
    assert [cell.text for cell in table.rows[0]] == ["ptb", "rnn", "60.25 (n = 1)", ""]
    assert [cell.aside for cell in table.rows[0]] == ["", "", "58.64", "57.59"]
    darts = registry.load("spaces", "darts")[0].SPACE
    write_run(tmp_path / "darts", space="darts", dataset="svhn", searched=darts)
    write_result(tmp_path / "darts", [0.03])
    (table,) = tables_in(errors.full_spaces(read(tmp_path / "darts"), {}))
    assert [cell.aside for cell in table.rows[0][2:]] == ["2.46 ± 0.09", "2.17 ± 0.09"]
    assert not list(errors.full_spaces(read(write_run(tmp_path / "s1")), {}))


def test_the_papers_tables_are_of_images_only(tmp_path, trusted, monkeypatch):
    for part in ("trajectories", "alphas", "cells"):  # figures take seconds
        monkeypatch.setattr(figures, part, lambda *args: ())
    write_tested(tmp_path / "count", [80])
    alone = words(report.blocks(read(tmp_path), []))
    assert not any("paper's" in text for text in alone)
    write_result(write_run(tmp_path / "image"), [0.1])
    both = list(report.blocks(read(tmp_path), []))
    start = next(
        k for k, b in enumerate(both) if getattr(b, "text", "").startswith("Test errors b")
    )
    first = next(block for block in both[start:] if isinstance(block, Table))
    assert texts(first) == [["digits", "s1", "10.00 (n = 1)"]]


# What cannot be imported.


def test_a_run_that_names_code_is_listed_beside_the_others(tmp_path, monkeypatch, capsys):
    for part in ("trajectories", "alphas", "cells"):  # figures take seconds
        monkeypatch.setattr(figures, part, lambda *args: ())
    write_run(tmp_path / "runs/image")
    run = write_counting_run(tmp_path / "runs/count")
    arguments = (tmp_path / "runs", f"--out={tmp_path / 'out'}")
    code, _, err = in_process.run(monkeypatch, capsys, report, *arguments)
    assert code == 0, err
    assert err.startswith(f"not shown: run {run}: space '{COUNTING}' is code outside of rdarts_tf")
    text = (tmp_path / "out/report.md").read_text()
    assert f"Not shown: run {run}: space" in text.replace("\\", "")
    assert f"give --plugin={COUNTING}" in text and "| image | s1 |" in text
    flags = ("--overwrite", f"--plugin={COUNTING}")
    code, _, err = in_process.run(monkeypatch, capsys, report, *arguments, *flags)
    assert (code, err) == (0, "")
    text = (tmp_path / "out/report.md").read_text()
    assert "Not shown:" not in text and f"| count | {COUNTING} |" in text


def test_a_part_of_a_selection_that_names_code_does_not_hide_the_rest(tmp_path):
    run = write_run(tmp_path / "run", method="best_of(darts, seeds=2)", curvature=(), genotype=None)
    write_run(run / "runs/seed_0")
    write_run(run / "runs/seed_1", method="somebodys.method")
    (record,), (sentence,) = record_reading.read([run])
    assert [part.label for part in record.parts] == ["run/runs/seed_0"]
    assert sentence.startswith(f"run {run / 'runs/seed_1'}: method 'somebodys.method' is code")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "cannot import task '{}.own': No module named"),
        ({"own/__init__": ""}, "cannot import 'options' of task '{}.own': "),
        (
            {"own/__init__": "", "own/options": "CELL_TYPES = ('count',)"},
            "{}.own.options defines no METRICS, which this needs",
        ),
    ],
)
def test_a_task_that_is_not_whole_is_one_sentence(tmp_path, monkeypatch, files, sentence):
    package = f"broken_{abs(hash(tmp_path))}"
    space = "from tests.counting_task import SPACE as S\nimport dataclasses\n"
    space += f"SPACE = dataclasses.replace(S, task='{package}.own')\n"
    for name, text in ({"__init__": "", "space": space} | files).items():
        (tmp_path / package / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_TRUSTED", {f"{package}.space"})
    run = write_run(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", config | {"space": f"{package}.space"})
    records, (refused,) = record_reading.read([run])
    assert records == [] and refused.startswith(f"run {run}: {sentence.format(package)}")


@pytest.mark.parametrize("given", ["run", "."])
def test_the_page_of_one_run_lies_in_it_though_a_part_is_not_shown(tmp_path, monkeypatch, given):
    monkeypatch.setattr(report, "blocks", lambda *args: [])
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", method="best_of(darts, seeds=2)", curvature=())
    write_run(run / "runs/seed_1", method="somebodys.method")
    folder = report.write(ReportConfig(), [given])
    assert folder.resolve() == tmp_path / ("run/report" if given == "run" else "report")


def test_the_paper_s_table_of_disparities_stands_beside_searches(tmp_path):
    """Tested on whole pairs what was searched on halved ones; other data and strengths have no value beside."""
    for name, dataset, scale in (
        ("paper", "flying_things3d", 2.0),
        ("other", "flying_things3d", 0.7),
        ("own", "motorcycle", 2.0),
    ):
        run = write_run(
            tmp_path / name,
            space="s6",
            searched=s6.SPACE,
            genotype=None,
            dataset=f"{dataset}(half=True)",
            augmentation_scale=scale,
            validated={"validation/epe": 6.5},
        )
        write_json(run / "dataset.json", {"name": f"{dataset} at half size"})
        write_result(run, [2.5], dataset=dataset, score="epe")
    (table,) = tables_in(table2.errors(read(tmp_path)))
    found = [[(cell.text, cell.aside) for cell in row[-3:]] for row in table.rows]
    ours = [("6.500", ""), ("2.500", ""), ("0.12", "")]
    assert found == [ours, [("6.500", "7.45"), ("2.500", "2.33"), ("0.12", "12.25")], ours]
