"""Trajectories read from run directories and CSV files, their figures and the table."""

import csv
import json
import pathlib

import numpy as np
import pytest
from matplotlib import image

from rdarts_tf import analyze as analyze_command
from rdarts_tf.analysis import trajectory
from rdarts_tf.drawing import plots
from rdarts_tf.errors import UserError
from rdarts_tf.methods import tracker
from tests import in_process

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "data" / "trajectories" / "eigenvalue_trajectories.csv"


def rows(values, *, weight_decay=3e-4):
    return [
        {"epoch": epoch, "curvature/lambda_max": value, "search/weight_decay": weight_decay}
        for epoch, value in enumerate(values)
    ]


def make_run(path, history, *, method="darts_ada"):
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"space": "s1", "method": method}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    return path


@pytest.fixture
def analyze(monkeypatch, capsys, tmp_path):
    """analyze(*arguments) -> (exit code, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: in_process.run(monkeypatch, capsys, analyze_command, *arguments)


def test_the_keys_of_curvature_agree():
    assert trajectory.LAMBDA_MAX == tracker.LAMBDA_MAX


def test_the_authors_csv_gives_histories_as_of_runs():
    found = trajectory.read_csv(RECORDED)
    assert len(found) == 33
    first = found[0]
    assert first.run == {
        "space": "s1",
        "dataset": "cifar10",
        "drop_path": "0.0",
        "l2": "0.0009",
        "seed": "1",
        "job": "2516844",
    }
    assert len(first.history) == 50
    assert first.history[2] == {"epoch": 2, "curvature/lambda_max": 0.2203327951}
    assert first.history[3] == {"epoch": 3}
    assert first.measured() == [*range(0, 50, 2), 49]
    assert first.spacing() == 2
    assert {recorded.figure for recorded in found} == {"s1_cifar10", "s3_svhn"}


def test_panels_separate_l2_from_drop_path_and_share_the_default(tmp_path):
    path = tmp_path / "runs.csv"
    header = "space,dataset,drop_path,l2,seed,job,epoch,lambda_max\n"
    settings = ("0.0,0.0003", "0.0,0.0009", "0.2,0.0003", "0.2,0.0009")
    path.write_text(header + "".join(f"s1,svhn,{s},1,7,0,0.5\n" for s in settings))
    l2, drop_path = "L2 factor, without drop path", "drop path, L2 factor 0.0003"
    assert [recorded.panels for recorded in trajectory.read_csv(path)] == [
        {l2: "0.0003", drop_path: "0"},
        {l2: "0.0009"},
        {drop_path: "0.2"},
        {drop_path: "0.2, L2 0.0009"},
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n", "has no column 'space'"),
        ("space,dataset,drop_path,l2,seed,job,epoch,lambda_max\n", "holds no rows"),
        ("space,dataset,drop_path,l2,seed,job,epoch\ns1,svhn,0,1,1,1,0\n", "lambda_max"),
        ("space,dataset,drop_path,l2,seed,job,epoch,lambda_max\ns1,svhn,0,1,1,1,0,x\n", "'x'"),
        (
            "space,dataset,drop_path,l2,seed,job,epoch,lambda_max\n" + "s1,svhn,0,1,1,1,0,1\n" * 2,
            "the epochs of run s1 svhn 0 1 1 1 do not ascend",
        ),
    ],
)
def test_an_unusable_csv_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        trajectory.read_csv(path)


def test_a_curve_has_the_local_averages_and_stops_of_its_rule():
    drawn = trajectory.curve(rows([1, 2, None, 4, 8]), tracker.StopRule(3, 2, 2.0, 0, 1))
    assert drawn.epochs == [0, 1, 2, 3, 4]
    assert drawn.lambda_max == [1, 2, None, 4, 8]
    assert drawn.local_average == [1.5, 1.5, 3, 6, 6]
    assert (drawn.decision_epoch, drawn.stop_epoch, drawn.offline_stop_epoch) == (4, 1, 1)
    assert drawn.local_average_at(3) == 6


def test_rollbacks_are_where_regularisation_changes():
    history = rows([1] * 8)
    assert trajectory.rollbacks(history) == []
    for row in history[3:]:
        row["search/weight_decay"] = 3e-3
    assert trajectory.rollbacks(history) == [2]
    ramp = [{"search/drop_path_prob": 0.2 * epoch / 7} for epoch in range(8)]
    assert trajectory.rollbacks(ramp) == []
    ramp[5:] = [{"search/drop_path_prob": 0.4 * epoch / 7} for epoch in range(5, 8)]
    assert trajectory.rollbacks(ramp) == [4]


def test_the_figure_draws_each_value_and_marks_the_stop():
    rule = tracker.StopRule(3, 2, 2.0, 0, 1)
    runs = {"grows": [1, 2, None, 4, 8], "rests": [1, 1, 1, 1, 1]}
    curves = {name: trajectory.curve(rows(values), rule) for name, values in runs.items()}
    figure = plots.trajectories({"panel": list(curves.items())}, title="title")
    (axes,) = figure.axes
    lines = [np.array(line.get_xydata(), float) for line in axes.lines]
    np.testing.assert_array_equal(lines[0], [[0, 1], [1, 2], [2, np.nan], [3, 4], [4, 8]])
    np.testing.assert_array_equal(lines[1], [[0, 1.5], [1, 1.5], [2, 3], [3, 6], [4, 6]])
    np.testing.assert_array_equal(lines[3], [[1, 1.5]])
    assert len(lines) == 6  # no mark on the second run
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == ["grows", "rests", "stop"]
    assert plots.to_image(figure).shape[-1] == 3


def test_analyze_draws_the_authors_runs(analyze, tmp_path):
    code, out, err = analyze(RECORDED, f"--out={tmp_path}")
    assert code == 0, err
    names = ["trajectory_s1_cifar10.png", "trajectory_s3_svhn.png", "trajectory.csv"]
    assert out.splitlines() == [str(tmp_path / name) for name in names]
    assert image.imread(tmp_path / names[0]).shape[1] > 1000
    with open(tmp_path / "trajectory.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 858
    second = [row for row in table if row["l2"] == "0.0009" and row["seed"] == "2"]
    assert {row["stop_epoch"] for row in second} == {"20"}
    assert float(table[0]["lambda_max_local_average"]) == pytest.approx(0.1927106389)


def test_analyze_draws_runs_with_their_own_rule(analyze, tmp_path):
    rolled_back = rows([1.0] * 30) + rows([1.0] * 20, weight_decay=3e-3)
    rolled_back = [row | {"epoch": epoch} for epoch, row in enumerate(rolled_back)]
    ada = make_run(tmp_path / "ada", rolled_back, method="darts_ada(paper)")
    plain = make_run(tmp_path / "plain", rows([1.1**e for e in range(50)]), method="darts")
    code, _, err = analyze(ada, plain, "--what=trajectory", f"--out={tmp_path / 'out'}")
    assert code == 0, err
    with open(tmp_path / "out" / "trajectory.csv", newline="") as file:
        table = list(csv.DictReader(file))
    # darts has no rule: that of darts_es, but at every epoch, as it was measured.
    stops = {(row["run"], row["decision_epoch"], row["stop_epoch"]) for row in table}
    assert stops == {("ada", "", ""), ("plain", "16", "10")}
    code, _, err = analyze(plain, "--method=darts_es(start_epoch=20, frequency=1)")
    assert code == 0, err
    assert (plain / "analysis" / "trajectory.png").exists()
    assert ",26,20,20\n" in (plain / "analysis" / "trajectory.csv").read_text()


@pytest.mark.parametrize("name", ["trajectory.csv", "trajectory_s1_cifar10.png"])
def test_analyze_replaces_a_file_by_overwrite_only(analyze, tmp_path, name):
    (tmp_path / name).write_text("mine")
    code, _, err = analyze(RECORDED, f"--out={tmp_path}")
    assert code == 2 and f"{name} exists; choose another --out" in err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    assert analyze(RECORDED, f"--out={tmp_path}", "--overwrite")[0] == 0
    assert (tmp_path / name).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing to analyze"),
        (("missing",), "cannot read missing"),
        (("empty",), "is no run directory: it holds no config.json"),
        (("flat",), "run flat holds no curvature"),
        (("flat", "--what=colours"), "unknown --what=colours; there are: trajectory, spectrum"),
        (("flat", "--what=spectrum"), "run flat holds no checkpoint of a whole epoch"),
        (("empty", "--what=spectrum"), "is no run directory: it holds no config.json"),
        ((RECORDED, "--method=darts"), "--method=darts has no stop rule"),
        ((RECORDED, "--out=flat/config.json"), "cannot write to flat/config.json"),
    ],
)
def test_analyze_refuses_in_one_sentence(analyze, tmp_path, arguments, sentence):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "flat", rows([None] * 5))
    code, _, err = analyze(*arguments)
    (line,) = err.splitlines()
    assert code == 2
    assert line.startswith("error: ") and sentence in line
