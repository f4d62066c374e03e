"""The page about runs: python -m rdarts_tf.report."""

import html.parser
import importlib.resources
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from rdarts_tf import report
from rdarts_tf.errors import UserError
from rdarts_tf.reporting import charts, correlations, errors, figures, page, paper, tables
from rdarts_tf.reporting.page import Cell, Commands, Heading, Paragraph, Picture, Table
from rdarts_tf.runs import record_reading
from tests import in_process
from tests.recorded_runs import (
    write_drops,
    write_json,
    write_result,
    write_run,
    write_selection,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "data" / "trajectories" / "eigenvalue_trajectories.csv"
DEFAULTS = {"weight_decay": 3e-4, "drop_path_prob": 0.0, "layers": 8, "epochs": 3}
WITHOUT_TENSORFLOW = """
import runpy, sys
sys.argv = ["report", *sys.argv[1:]]
try:
    runpy.run_module("rdarts_tf.report", run_name="__main__")
except SystemExit as end:
    code = end.code
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
sys.exit(code)
"""


@pytest.fixture
def run_report(monkeypatch, capsys, tmp_path):
    """run_report(*arguments) -> (exit code, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: in_process.run(monkeypatch, capsys, report, *arguments)


def read(*paths):
    records, refused = record_reading.read(paths)
    assert not refused
    return records


def tables_in(blocks):
    return [block for block in blocks if isinstance(block, Table)]


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def commands(blocks):
    return [line for block in blocks if isinstance(block, Commands) for line in block.lines]


class Attributes(html.parser.HTMLParser):
    """Collects tags, and the values of src and href."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]


# The page.


PAGE = [
    Heading("A & B"),
    Paragraph("<i>x</i> *y*"),
    Commands(("python <x>", "```")),
    Picture("p.png", b"\x89PNG", "seen", "below"),
    Table(
        ("name", "value"),
        (
            (Cell("a|b"), Cell("1", "2", ("first",))),
            (Cell("c"), Cell("3", notes=("next", "first"))),
        ),
    ),
]


def test_markdown_escapes_what_it_shows():
    text = page.to_markdown("T", PAGE)
    assert text == (
        "# T\n\n## A &amp; B\n\n&lt;i&gt;x&lt;/i&gt; \\*y\\*\n\n    python <x>\n    ```\n\n"
        "![seen](p.png)\n\nbelow\n\n| name | value |\n| --- | ---: |\n"
        "| a\\|b | 1<sup>a</sup> (2) |\n| c | 3<sup>b,a</sup> |\n\n"
        "<sup>a</sup> first\n\n<sup>b</sup> next\n"
    )


def test_html_escapes_what_it_shows_and_holds_its_pictures():
    text = page.to_html("T", PAGE)
    assert '<h2 id="a-b">A &amp; B</h2>' in text and '<a href="#a-b">' in text
    assert "<p>&lt;i&gt;x&lt;/i&gt; *y*</p>" in text
    assert "<pre><code>python &lt;x&gt;\n```</code></pre>" in text
    assert '<img src="data:image/png;base64,iVBORw==" alt="seen">' in text
    assert '<td class="number">1<sup>a</sup> <span class="aside">(2)</span></td>' in text
    assert '<p class="note"><sup>b</sup> next</p>' in text


def test_footnotes_have_letters_beyond_z():
    rows = tuple((Cell("x", notes=(str(number),)),) for number in range(28))
    assert list(Table(("x",), rows).notes().values())[25:] == ["z", "aa", "bb"]


def test_a_ragged_table_is_refused():
    with pytest.raises(ValueError, match="a row has not 2 cells"):
        Table(("a", "b"), ((Cell(),),))


# The paper's tables.


def test_the_papers_tables_are_installed_files():
    folder = importlib.resources.files("rdarts_tf") / "reporting" / "paper_tables"
    names = sorted(file.name[:6] for file in folder.iterdir())
    assert names == ["table1", *["table2"] * 2, "table3", "table4", "table5", "table6"]


def test_the_papers_values_and_doubts_as_printed():
    selected, doubts = paper.selected()
    assert len(selected) == 12
    assert list(selected["cifar10", "s1"].values()) == [
        *("3.23", "3.84", "3.11", "2.78", "3.01", "3.10")
    ]
    assert "2.51 is a reconstruction" in doubts["svhn", "s2"]
    means, doubts = paper.mean_errors()
    assert means["svhn", "s1"] == {
        "darts": "9.88 ± 5.50",
        "darts_es": "2.80 ± 0.09",
        "random_ws": "2.64 ± 0.09",
        "darts_ada": "2.59 ± 0.07",
    }
    assert "chance level" in doubts["cifar10", "s4"]
    runs = paper.drop_path_runs()
    assert len(runs) == 48
    assert runs["cifar10", "s4", 0.6, 3]["test_acc"] == "96.64"


def test_tables_1_and_6_print_the_same_searches():
    first = {(row["dataset"], row["space"]): row for row in paper.read("table1_darts_vs_darts_es")}
    for row in paper.read("table6_mean_std_three_runs"):
        other = first[row["dataset"], row["space"]]
        for method in ("darts", "darts_es"):
            for kind in ("mean", "std"):
                assert row[f"{method}_{kind}"] == other[f"{method}_test_error_{kind}"]


# Reading.


def test_runs_are_found_below_folders_once_and_labelled(tmp_path):
    run = write_run(tmp_path / "a" / "deep" / "x")
    write_json(run / "evaluate" / "digits" / "config.json", {"genotype": "..."})
    write_run(tmp_path / "b" / "x")
    write_selection(tmp_path / "r")
    write_json(tmp_path / "other" / "config.json", {"genotype": "..."})
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    records = read(tmp_path, run)
    assert [record.label for record in records] == ["a/deep/x", "b/x", "r"]
    assert [part.label for part in records[2].parts] == ["r/runs/l2_0.0003", "r/runs/l2_0.0009"]
    assert read(run)[0].label == "x"


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} holds no run"):
        read(tmp_path)


def test_what_a_stopped_run_recorded_counts_up_to_its_result(tmp_path):
    write_run(tmp_path / "es", curvature=(0.1, 0.3, None, 0.8))
    write_json(tmp_path / "es" / "decisions.json", [{"decision": "stop", "epoch": 2}])
    write_run(tmp_path / "full", curvature=(0.1, 0.3, None, 0.8))
    stopped, full = read(tmp_path / "es", tmp_path / "full")
    assert (stopped.lambda_max, stopped.mean_lambda_max) == (0.3, pytest.approx(0.2))
    assert (full.lambda_max, full.mean_lambda_max) == (0.8, pytest.approx(0.4))


def test_the_longest_test_on_the_own_data_counts(tmp_path):
    run = write_run(tmp_path / "run")
    write_result(run, [0.5], name="other", dataset="cifar10", epochs=900)
    write_result(run, [0.4], name="select", split="search", epochs=800)
    write_result(run, [0.3], name="short", epochs=10)
    write_result(run, [0.1, 0.3], name="long", epochs=20)
    (record,) = read(run)
    assert [test.name for test in record.tests] == ["long", "short"]
    row = tables_in(tables.runs([record]))[0].rows[0]
    assert row[-1].text == "20.00 ± 10.00 (n = 2)"
    assert row[-1].notes == ("Not shown: evaluate/other, evaluate/short",)


DAMAGE = {
    "config.json": ('{"space": "s1", "method": "darts"}', "no 'dataset'"),
    "metrics.jsonl": ('{"epoch": 1}\n', "line 1 is of epoch 1"),
    "alphas.npz": ("no archive", "not a zip file"),
    "decisions.json": ('[{"decision": "stop"}]', "no 'epoch'"),
    "genotype.json": ('{"cells": {}}', "cannot read a genotype"),
    "evaluate/test/result.json": ('{"split": "test"}', "no 'dataset'"),
    "analysis/discretization.csv": ("run,epoch,x/accuracy_drop\nr,0,high\n", "'high'"),
    "selection.json": ('{"winner": "a", "runs": [{}]}', "no 'name'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_one_sentence(tmp_path, name):
    text, sentence = DAMAGE[name]
    run = write_run(tmp_path / "run")
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).write_text(text)
    with pytest.raises(UserError, match=f"{run / name} is damaged.*{sentence}"):
        read(run)


def test_numbers_that_are_none_are_refused(tmp_path):
    run = write_run(tmp_path / "run", curvature=(0.1, "much"))
    with pytest.raises(UserError, match="curvature/lambda_max is no number: 'much'"):
        read(run)
    np.savez(write_run(run) / "alphas.npz", normal=np.zeros([2, 3, 2]))
    with pytest.raises(UserError, match=r"alphas.npz is damaged: .*'normal' has shape \[2, 3, 2\]"):
        read(run)


# Tables.


def test_the_table_of_runs(tmp_path):
    write_run(tmp_path / "a", weight_decay=3e-3)
    write_result(tmp_path / "a", [0.01])
    write_run(tmp_path / "b", genotype=None, epochs=50, drop_path_prob=0.2)
    blocks = list(tables.runs(read(tmp_path / "a", tmp_path / "b")))
    (table,) = tables_in(blocks)
    assert texts(table) == [
        [
            *("a", "s1", "digits", "darts", "L2 0.003, drop path 0", "finished, 3 epochs"),
            *("2", "75.00", "0.4", "4 of 8", "123,456", "1.00 (n = 1)"),
        ],
        [
            *("b", "s1", "digits", "darts", "L2 0.0003, drop path 0.2", "3 of 50 epochs so far"),
            *("2", "75.00", "0.4", "–", "–", "–"),
        ],
    ]
    path = tmp_path / "b"
    assert commands(blocks) == [
        f"python -m rdarts_tf.search --flagfile={path}/flags.cfg --run_dir={path}"
    ]


def test_a_rollback_shows_both_strengths(tmp_path):
    run = write_run(tmp_path / "ada", method="darts_ada")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[-1]["search/weight_decay"] = 0.003
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(run / "decisions.json", [{"decision": "rollback", "epoch": 1}])
    row = texts(tables_in(tables.runs(read(run)))[0])[0]
    assert row[4:6] == ["L2 0.0003 → 0.003, drop path 0", "finished, 3 epochs, rolled back to 1"]


def test_means_over_seeds_stand_beside_the_papers(tmp_path):
    for seed, error in enumerate((0.03, 0.04, 0.05)):
        run = write_run(tmp_path / f"s{seed}", dataset="cifar10", seed=seed)
        write_result(run, [error], dataset="cifar10", epochs=600)
    other = write_run(tmp_path / "small", dataset="cifar10", layers=3)
    write_result(other, [0.2], dataset="cifar10")
    stronger = write_run(tmp_path / "strong", dataset="cifar10", weight_decay=9e-4)
    write_result(stronger, [0.5], dataset="cifar10")
    table = tables_in(errors.errors(read(tmp_path), DEFAULTS))[0]
    assert table.header == ("data set", "space", "RS-ws", "DARTS", "DARTS-ES", "DARTS-ADA")
    mean, second = table.rows
    # standard deviation of 3, 4, 5 over the population: sqrt(2 / 3)
    assert (mean[3].text, mean[3].aside) == ("4.00 ± 0.82 (n = 3)", "4.66 ± 0.71")
    assert mean[3].notes[0].endswith("Search seeds: 0, 1, 2.")
    assert mean[4] == Cell("", "3.05 ± 0.07")
    assert mean[1].notes[0].startswith("Paper: std of RandomNAS garbled")
    assert (second[3].text, second[3].aside) == ("20.00 (n = 1)", "")
    assert second[3].notes == (
        "Ours: searched with layers=3, retrained for 60 epochs (the paper: 600). Search seeds: 2.",
    )


def test_other_data_sets_have_rows_of_their_own_values_only(tmp_path):
    run = write_run(tmp_path / "run")
    write_result(run, [0.03])
    write_run(tmp_path / "untested", space="s5", alphas=False)
    (tmp_path / "untested" / "alphas.npz").unlink()
    (table,) = tables_in(errors.errors(read(tmp_path), DEFAULTS))
    assert table.header == ("data set", "space", "DARTS")
    assert texts(table) == [["digits", "s1", "3.00 (n = 1)"]]


def test_selections_mark_the_winner_and_fill_table_3(tmp_path):
    run = write_selection(tmp_path / "run", dataset="svhn", space="s2")
    write_result(run, [0.02, 0.04], dataset="svhn")
    records = read(run)
    (table,) = tables_in(tables.selections(records))
    assert [row[0].strong for row in table.rows] == [False, True]
    assert texts(table)[1] == [
        *("l2_0.0009", "darts", "2", "0.0009", "0", "3", "0.25", "10.00", "123,456", "winner")
    ]
    found = tables_in(errors.errors(records, DEFAULTS))
    row = next(t for t in found if "R-DARTS(L2)" in t.header).rows[0]
    assert (row[5].text, row[5].aside) == ("3.00 ± 1.00 (n = 2)", "2.51")
    assert "weight_decay=0.0009" in row[5].notes[0]
    assert "2.51 is a reconstruction" in row[1].notes[0]
    runs = texts(tables_in(tables.runs(records))[0])
    assert [row[0] for row in runs] == ["run", "run/runs/l2_0.0003", "run/runs/l2_0.0009"]
    assert runs[0][5] == "chose l2_0.0009" and runs[0][8] == "0.25"


def test_an_unfinished_selection_says_how_to_go_on(tmp_path):
    run = write_run(tmp_path / "run", method="best_of(darts_es(window=3), seeds=4)", genotype=None)
    record = read(run)[0]
    assert record.selects and record.method == "darts_es"
    assert commands(tables.selections([record])) == [record.resume_command]


def test_drop_path_runs_stand_beside_table_5(tmp_path):
    run = write_run(tmp_path / "run", dataset="cifar10", space="s1", drop_path_prob=0.2, seed=3)
    write_result(run, [0.04], dataset="cifar10")
    table = tables_in(errors.errors(read(run), DEFAULTS))[-1]
    (row,) = table.rows
    assert [(cell.text, cell.aside) for cell in row[2:]] == [
        ("0.2", ""),
        ("3", ""),
        ("75.00", "84.22"),
        ("96.00", "96.20"),
        ("1.23", "2.48"),
        ("0.4", "0.228"),
    ]


def test_the_same_search_of_two_selections_is_one_row_of_table_5(tmp_path):
    for name in ("one", "two"):
        write_selection(tmp_path / name, dataset="cifar10", space="s2")
    table = tables_in(errors.errors(read(tmp_path), DEFAULTS))[-1]
    assert "drop path" in table.header
    assert len(table.rows) == 1


def test_commands_are_quoted_for_the_shell(tmp_path):
    run = write_run(tmp_path / "a b", dataset="image_folder(my images, size=32)", genotype=None)
    records = read(run)
    assert commands(tables.runs(records)) == [
        f"python -m rdarts_tf.search --flagfile='{run}/flags.cfg' --run_dir='{run}'"
    ]
    assert commands(tables.selections(records))[0] == (
        "python -m rdarts_tf.search --space=s1 --dataset='image_folder(my images, size=32)' "
        "--method=rdarts_l2"
    )


# Figures.


def correlation_runs(folder, curvatures, errors):
    for number, (values, error) in enumerate(zip(curvatures, errors, strict=True)):
        write_result(write_run(folder / str(number), curvature=values), [error])
    return read(folder)


def test_correlations_of_the_last_and_of_the_mean_lambda_max(tmp_path):
    # last 1, 2, 3 and mean 2, 1, 3 against 0.1, 0.3, 0.2
    records = correlation_runs(tmp_path, [(3, 1), (0, 2), (3, 3)], [0.1, 0.3, 0.2])
    (table,) = tables_in(correlations.correlations(records))
    assert [row[1:] for row in texts(table)] == [["0.500"] * 2 + ["3"], ["-0.500"] * 2 + ["3"]]


def test_equal_values_have_no_correlation(tmp_path):
    records = correlation_runs(tmp_path, [(3, 1), (1, 1), (2, 1)], [0.1, 0.3, 0.2])
    (table,) = tables_in(correlations.correlations(records))
    assert texts(table)[0][1:3] == ["not defined"] * 2


def test_too_few_points_say_how_many_are_missing(tmp_path):
    records = correlation_runs(tmp_path, [(3, 1)], [0.1])
    blocks = list(correlations.correlations(records))
    assert any("n = 1;" in b.text and "2 more" in b.text for b in blocks if hasattr(b, "text"))
    new = tmp_path / "0_seed3"
    assert commands(blocks) == [
        f"python -m rdarts_tf.search --flagfile={tmp_path}/0/flags.cfg --seed=3 --run_dir={new}",
        f"python -m rdarts_tf.evaluate --run_dir={new}",
    ]


def test_drops_are_joined_with_curvature_by_epoch(tmp_path):
    run = write_run(tmp_path / "run", curvature=(0.1, None, 0.4))
    write_drops(run, [(0, 0.2, 0.1), (1, 0.3, 0.1), (2, 0.5, 0.25), (3, 0.9, 0.9)])
    (record,) = read(run)
    found = [correlations._drop_points(record, mode) for mode in ("running", "batch")]
    assert found == [[(0.1, 20), (0.4, 50)], [(0.1, 10), (0.4, 25)]]
    pictures = [b for b in correlations.discretisation([record]) if isinstance(b, Picture)]
    assert [picture.name for picture in pictures] == ["discretisation.png"]


def test_a_missing_drop_names_the_analysis_or_a_search_that_keeps_checkpoints(tmp_path):
    run = write_run(tmp_path / "run")
    assert commands(correlations.discretisation(read(run))) == [
        f"python -m rdarts_tf.search --flagfile={run}/flags.cfg --keep_checkpoints=0 "
        f"--run_dir={run}_keep_checkpoints0"
    ]
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "epoch_0003_step_000000.npz").touch()
    assert commands(correlations.discretisation(read(run))) == [
        f"python -m rdarts_tf.analyze {run} --what=discretization"
    ]


def test_a_run_without_curvature_is_named(tmp_path):
    run = write_run(tmp_path / "run", curvature=(None, None))
    blocks = list(figures.trajectories(read(run), []))
    assert any("measured in run;" in block.text for block in blocks if hasattr(block, "text"))
    assert commands(blocks) == [
        f"python -m rdarts_tf.search --flagfile={run}/flags.cfg --hessian_every=1 "
        f"--run_dir={run}_hessian_every1"
    ]


def test_trajectories_have_no_more_runs_in_a_figure_than_colours(tmp_path):
    for number in range(8):
        write_run(tmp_path / str(number))
    blocks = list(figures.trajectories(read(tmp_path), []))
    assert sum(isinstance(block, Picture) for block in blocks) == 2
    (table,) = tables_in(blocks)
    assert len(table.rows) == 8


def test_edge_weights_are_drawn_by_edge_with_the_chosen_bold():
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], size=[12, 5])
    names = [["none", "skip_connect", "unheard_of"]] * 5
    figure = charts.alpha_evolution(weights, primitives=names, title="t", chosen={(2, 1)})
    shown = figure.axes
    assert len(shown) == 5  # two edges into node 0, three into node 1
    assert shown[2].get_title() == r"1 $\leftarrow$ $c_{k-2}$"
    for edge, axes in enumerate(shown):
        for op, line in enumerate(axes.lines):
            np.testing.assert_array_equal(line.get_ydata(), weights[:, edge, op])
            assert (line.get_linewidth() > 2) == ((edge, op) == (2, 1))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["none", "skip", "unheard of"]


def test_edge_weights_that_hardly_move_look_so():
    weights = 1 / 3 + np.random.default_rng(0).uniform(-1e-6, 1e-6, size=[2, 2, 3])
    figure = charts.alpha_evolution(weights, primitives=[["a", "b", "c"]] * 2, title="t")
    for axes in figure.axes:
        assert axes.get_ylim() == pytest.approx((1 / 3 - 0.01, 1 / 3 + 0.01), abs=1e-5)
    charts.alpha_evolution(weights[:0], primitives=[["a", "b", "c"]] * 2, title="t")


def test_a_scatter_plot_shows_each_point():
    panels = {"x": {"a": [(1, 2), (3, 4)], "b": [(5, 6)]}, "y": {"b": [(7, 8)]}}
    figure = charts.scatter(panels, y_label="error", title="t")
    left, right = figure.axes
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[7, 8]])
    assert left.lines[1].get_color() == right.lines[0].get_color() != left.lines[0].get_color()


def test_the_chosen_operations_are_those_of_the_genotype(tmp_path):
    record = read(write_run(tmp_path / "run"))[0]
    # s1's edges 0..: (0,0) (0,1) (1,0) (1,1) (1,2); of the cell, only what the space offers there
    chosen = figures._chosen(record.genotype, record.make_space(), "normal")
    names = record.make_space().cell("normal").primitives
    assert (1, list(names[1]).index("skip_connect")) in chosen
    assert all(names[e][op] in ("sep_conv_3x3", "skip_connect", "dil_conv_3x3") for e, op in chosen)


# The command.


def test_the_command_writes_a_page_that_needs_nothing_else(tmp_path):
    odd = write_run(tmp_path / "<script>$x$ `|_", curvature=(0.1, 0.3))
    write_result(odd, [0.1])
    run = write_selection(tmp_path / "r")
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, odd, run, RECORDED]
    command += [f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *written, modules = done.stdout.splitlines()
    assert modules == "[]"  # neither TensorFlow nor Keras was imported
    out = tmp_path / "out"
    assert [str(out / name) for name in ("report.md", "report.html")] == written[-2:]
    assert sorted(map(str, out.iterdir())) == sorted(written)
    text = (out / "report.html").read_text()
    page = Attributes(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert "@import" not in text and "url(" not in text
    names = [path.name for path in out.iterdir() if path.suffix in (".png", ".svg")]
    assert page.tags.count("img") == len(names) >= 10
    assert all(f"]({name})" in (out / "report.md").read_text() for name in names)


def test_the_authors_trajectories_alone_fill_their_part(run_report, tmp_path):
    code, _, err = run_report(RECORDED)
    assert code == 0, err
    text = (tmp_path / "report" / "report.md").read_text()
    # the second run stops at epoch 20, decided after 32
    assert "job=2516844 | – | 32 | 20 | 20 | 0.933 | 0.782 |" in text
    for number in range(2):
        assert f"(lambda_max_{number}.png)" in text
    assert text.count("    python -m rdarts_tf.search") >= 7  # each other part says how to fill it


@pytest.fixture
def empty_page(monkeypatch):
    """Figures take seconds."""
    monkeypatch.setattr(report, "blocks", lambda *args: [])


def test_a_file_outside_of_the_run_is_replaced_by_overwrite_only(empty_page, run_report, tmp_path):
    run = write_run(tmp_path / "run", curvature=())
    thesis = tmp_path / "report" / "report.md"
    thesis.parent.mkdir()
    thesis.write_text("mine")
    code, _, err = run_report(run, "--out=report")
    assert code == 2
    assert "report/report.md exists; choose another --out" in err
    assert thesis.read_text() == "mine" and list(thesis.parent.iterdir()) == [thesis]
    assert run_report(run, "--out=report", "--overwrite")[0] == 0
    assert thesis.read_text() != "mine"
    for _ in range(2):  # in the run itself the page is ours
        assert run_report(run)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing to report; give run directories"),
        (("missing",), "cannot read missing: No such file"),
        (("empty",), "empty holds no run"),
        (("run",), "run/metrics.jsonl is damaged"),
        (("good", "--out=good/config.json"), "cannot write to good/config.json"),
    ],
)
def test_the_command_refuses_in_one_sentence(empty_page, run_report, tmp_path, arguments, sentence):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "good", curvature=())
    (write_run(tmp_path / "run") / "metrics.jsonl").write_text("[1]\n")
    code, _, err = run_report(*arguments)
    (line,) = err.splitlines()
    assert code == 2
    assert line.startswith("error: ") and sentence in line


def test_the_page_of_one_run_lies_in_it_and_is_replaced(empty_page, tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "run", curvature=())
    (run / "report").mkdir()
    (run / "report" / "report.md").write_text("old")
    code, stdout, stderr = in_process.run(monkeypatch, capsys, report, run)
    assert code == 0, stderr
    assert (run / "report" / "report.md").read_text().startswith("# Report")
    assert f"{run}/report/report.html" in stdout
