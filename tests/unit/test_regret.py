"""Test regret from a table of all architectures: numbers worked out by hand, no training."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from matplotlib import image as mpl_image

from rdarts_tf import analyze
from rdarts_tf.analysis import regret
from rdarts_tf.drawing import plots
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes.genotype import Genotype, GenotypeError, parse
from rdarts_tf.genotypes.rule import choice_of, derive, of_choice
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces.s1 import SPACE as S1
from rdarts_tf.spaces.s5 import SPACE
from rdarts_tf.tasks.image_classification.options import SCORE, SearchConfig
from tests import in_process
from tests.toy_task import SPACE as TOY

SEP, SKIP, POOL = "sep_conv_3x3", "skip_connect", "max_pool_3x3"
# An error for each edge's primitive: the best of all is SEP everywhere, with 4 * 0.01.
COST = {SEP: 0.01, SKIP: 0.02, POOL: 0.05}
COLUMNS = "normal_edge0,normal_edge1,reduce_edge0,reduce_edge1,"
COLUMNS += "num_parameters,test_error,test_error_std,num_seeds,epochs,layers,init_channels"


def table_lines():
    """COLUMNS and 81 lines in an order of its own."""
    names = (POOL, SKIP, SEP)
    lines = [
        f"{a},{b},{c},{d},1000,{sum(COST[name] for name in (a, b, c, d)):.2f},0.001,2,30,3,8"
        for a in names
        for b in names
        for c in names
        for d in names
    ]
    return [COLUMNS, *lines]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(table_lines()) + "\n")
    return path


def genotype(*names):
    a, b, c, d = names
    return Genotype(
        {"normal": ((a, 0), (b, 1)), "reduce": ((c, 0), (d, 1))}, {"normal": (2,), "reduce": (2,)}
    )


def one_hot(*names):
    """Alphas of the architecture with these primitives: {cell type: [2, 3]}."""
    order = (SEP, SKIP, POOL)
    rows = np.array([[3.0 * (name == other) for other in order] for name in names])
    return {"normal": rows[:2], "reduce": rows[2:]}


# One primitive per edge.
def test_a_choice_as_a_genotype():
    choice = {"normal": (SEP, SKIP), "reduce": (POOL, SEP)}
    assert of_choice(SPACE, choice) == genotype(SEP, SKIP, POOL, SEP)


def test_the_order_of_the_pairs_of_a_node_does_not_matter():
    """`derive` gives the strongest edge first."""
    weights = {"normal": [[0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], "reduce": [[0.4, 0.3, 0.3]] * 2}
    found = derive(SPACE, weights)
    assert found.cells["normal"] == ((SKIP, 1), (SEP, 0))
    assert choice_of(SPACE, found) == {"normal": (SEP, SKIP), "reduce": (SEP, SEP)}


def test_all_architectures_there_and_back():
    choices = list(SPACE.architectures())
    assert [choice_of(SPACE, of_choice(SPACE, choice)) for choice in choices] == choices
    assert len({str(of_choice(SPACE, choice)) for choice in choices}) == 81


def test_a_space_that_keeps_some_edges_only_is_refused():
    with pytest.raises(UserError, match="'s1' keep some of their edges only.*such as s5"):
        of_choice(S1, {})
    with pytest.raises(UserError, match="'s5' keep some"):
        choice_of(SPACE.with_nodes(2), genotype(SEP, SKIP, POOL, SEP))


@pytest.mark.parametrize(
    "other",
    [
        genotype("noise", SKIP, POOL, SEP),
        dataclasses.replace(
            genotype(SEP, SKIP, POOL, SEP), concat={"normal": (1,), "reduce": (2,)}
        ),
        Genotype({"normal": ((SEP, 0), (SEP, 1))}, {"normal": (2,)}),
        Genotype(
            dict.fromkeys(("normal", "reduce"), ((SEP, 1), (SEP, 1))), genotype(*"abcd").concat
        ),
        Genotype(
            dict.fromkeys(("normal", "reduce"), ((SEP, 0), (SEP, 1)) * 2), genotype(*"abcd").concat
        ),
    ],
)
def test_a_genotype_of_another_space_is_refused(other):
    with pytest.raises(GenotypeError, match="space 's5' has no architecture"):
        choice_of(SPACE, other)


# The table.
def test_regret_is_the_distance_to_the_best_of_the_table(table):
    read = regret.read_table(table, SPACE)
    assert len(read.trained) == 81
    found = parse(str(genotype(SEP, SKIP, POOL, SEP)))
    assert read.test(found) == pytest.approx(0.01 + 0.02 + 0.05 + 0.01)
    assert read.regret(found) == pytest.approx(0.09 - 0.04)
    assert read.regret(genotype(SEP, SEP, SEP, SEP)) == 0
    assert read.regret(genotype(POOL, POOL, POOL, POOL)) == pytest.approx(0.2 - 0.04)


def test_a_row_is_written_as_it_is_read(table):
    read = regret.read_table(table, SPACE)
    choice = {"normal": (POOL, POOL), "reduce": (POOL, SEP)}
    written = regret.row(SPACE, choice, read.trained[regret.key(choice)])
    assert ",".join(written) == COLUMNS
    assert [str(value) for value in written.values()] == table_lines()[3].split(",")


def test_what_an_evaluation_gives():
    result = {
        "num_parameters": 7,
        "seeds": [{"seed": s, "error": e} for s, e in enumerate((9, 2, 4))],
    }
    settings = {"epochs": 30, "layers": 3, "init_channels": 8, "batch_size": 64}
    found = regret.trained_of(SPACE, result, settings, seeds=[2, 1])
    assert found == regret.Trained(7, 3.0, 1.0, 2, 30, (3, 8))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:5] + lines[6:], ["lacks 1 of 81", f"{POOL} {POOL} {SKIP} {SKIP}"]),
        (lambda lines: lines[:1], ["no rows"]),
        (
            lambda lines: [lines[0].replace("test_error,", "error,"), *lines[1:]],
            ["column test_err"],
        ),
        (
            lambda lines: [*lines[:4], lines[4].replace("0.17", "0.1x"), *lines[5:]],
            ["line 5", "0.1x"],
        ),
        (
            lambda lines: [*lines[:4], lines[4].replace("0.17", "nan"), *lines[5:]],
            ["nan", "fraction"],
        ),
        (
            lambda lines: [*lines[:4], lines[4].replace("0.17", "17"), *lines[5:]],
            ["17", "fraction"],
        ),
        (lambda lines: [*lines[:-1], lines[-1][:-2]], ["line 82", "init_channels is None"]),
        (lambda lines: [*lines[:-1], lines[-1][:-1] + "16"], ["mixes", "30, 3, 16", "30, 3, 8"]),
        (lambda lines: [*lines, lines[7]], ["line 83", POOL, "twice"]),
        (lambda lines: [*lines, lines[5].replace(SKIP, "noise")], ["no architecture", "noise"]),
    ],
)
def test_a_damaged_table_is_refused(table, change, words):
    table.write_text("\n".join(change(table_lines())) + "\n")
    with pytest.raises(UserError) as refused:
        regret.read_table(table, SPACE)
    assert all(word in str(refused.value) for word in [str(table), *words]), refused.value


# Runs.
def test_the_architecture_of_each_epoch():
    alphas = [one_hot(SEP, SKIP, POOL, SEP), one_hot(SEP, SEP, SEP, SEP), one_hot(*[POOL] * 4)]
    stacked = {t: np.stack([each[t] for each in alphas]) for t in SPACE.cell_types}
    rows = [{"epoch": 0}, {"epoch": 1, "genotype": None}, {"epoch": 2, "genotype": str(GIVEN)}]
    rows.append({"epoch": 3})  # killed before its alphas were written
    found = regret.genotypes_of_run(SPACE, rows, stacked)
    assert choice_of(SPACE, found[0]) == {"normal": (SEP, SKIP), "reduce": (POOL, SEP)}
    assert found[1:] == [None, GIVEN, None]


GIVEN = genotype(SKIP, SKIP, SKIP, POOL)


def test_labels_name_what_differs_but_the_seed():
    first = {"method": "darts", "weight_decay": 3e-4, "seed": 1, "epochs": 20}
    second = first | {"seed": 2}
    assert regret.labels([first, second]) == ["darts, L2 0.0003"] * 2
    third = first | {"weight_decay": 0.0027, "epochs": 30}
    assert regret.labels([first, third]) == [
        "darts, L2 0.0003, epochs 20",
        "darts, L2 0.0027, epochs 30",
    ]


def test_a_line_is_the_mean_in_a_band_over_those_that_know():
    rows = [
        [{"epoch": 0, "test_regret": 0.1, "validation_error": 0.5}],
        [
            {"epoch": 0, "test_regret": 0.3, "validation_error": 0.4},
            {"epoch": 1, "test_regret": None, "validation_error": 0.2},
        ],
    ]
    line = regret.line(rows, SCORE)
    assert line.num_runs == 2 and line.epochs.tolist() == [0, 1]
    np.testing.assert_allclose(line.regret, [[0.2, 0.1, 0.3], [np.nan] * 3])
    np.testing.assert_allclose(line.validation, [[0.45, 0.4, 0.5], [0.2] * 3])
    assert regret.told("darts", line) == (
        "darts (2 runs): test regret 20.00 % after epoch 0, lowest 20.00 % after epoch 0"
    )


def test_the_figure_has_a_line_and_a_band_in_each_panel():
    values = np.array([[0.02, 0.01, 0.04], [0.01, 0.0, 0.02]])
    lines = {
        "darts": regret.Line(SCORE, 3, np.array([0, 1]), values, values + 0.1),
        "random_ws": regret.Line(SCORE, 1, np.array([0, 1]), values / 2, values + 0.2),
    }
    figure = plots.regrets(lines, title="s5 on digits")
    above, below = figure.axes
    assert above.get_shared_x_axes().joined(above, below)
    np.testing.assert_allclose(above.lines[0].get_ydata(), [2, 1])
    np.testing.assert_allclose(below.lines[1].get_ydata(), [22, 21])
    band = above.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0, 4))
    texts = [text.get_text() for text in above.get_legend().get_texts()]
    assert texts == ["darts (3 runs)", "random_ws (1 run)"]
    assert mpl_image.imread(io.BytesIO(plots.to_png(figure)), format="png").shape[2] >= 3


def test_another_task_has_columns_and_numbers_of_its_own(tmp_path):
    table = tmp_path / "toy.csv"
    header = "toy_edge0,num_parameters,test_loss,test_loss_std,num_seeds,epochs\n"
    table.write_text(f"{header}on,1,12.5,0.5,2,9\noff,1,10.0,0.0,2,9\n")
    read = regret.read_table(table, TOY)
    trained = read.trained["on",]
    assert trained == regret.Trained(1, 12.5, 0.5, 2, 9, ())
    written = regret.row(TOY, {"toy": ("on",)}, trained)
    assert ",".join(written) + "\n" == header
    result = {"num_parameters": 1, "seeds": [{"seed": 0, "loss": 12}, {"seed": 1, "loss": 13}]}
    assert regret.trained_of(TOY, result, {"epochs": 9}, seeds=[0, 1]) == trained
    rows = regret.run_rows(read, [{"epoch": 0, "validation/loss": 3.0}], {"toy": [[[1.0, 0.0]]]})
    assert rows[0] | {"genotype": None} == {
        "epoch": 0,
        "genotype": None,
        "test_loss": 12.5,
        "test_regret": 2.5,
        "validation_loss": 3.0,
    }
    line = regret.line([rows], regret.score_of(TOY))
    assert regret.told("darts", line) == (
        "darts (1 run): test regret 2.5000 after epoch 0, lowest 2.5000 after epoch 0"
    )
    above, below = plots.regrets({"darts": line}, title="toy").axes
    assert above.lines[0].get_ydata() == [2.5]
    assert (above.get_ylabel(), below.get_ylabel()) == ("test regret", "one-shot validation loss")
    table.write_text(f"{header}on,1,inf,0.5,2,9\noff,1,10.0,0.0,2,9\n")
    with pytest.raises(UserError, match="line 2: test_loss is inf, not finite"):
        regret.read_table(table, TOY)


# The command.
def searched(path, *, architectures, accuracies, **changes):
    """A run directory as a search on s5 leaves it, as far as it is read."""
    run_dir = RunDir(path)
    run_dir.create()
    settings = SearchConfig(space="s5", dataset="digits", **changes)
    run_dir.write_json("config.json", dataclasses.asdict(settings))
    book = Logbook(run_dir, "")
    for epoch, (names, accuracy) in enumerate(zip(architectures, accuracies, strict=True)):
        book.add({"epoch": epoch, "validation/accuracy": accuracy}, one_hot(*names))
    return path


@pytest.fixture
def command(monkeypatch, capsys):
    """command(*arguments) -> (exit code, stdout, stderr)."""
    return lambda *arguments: in_process.run(
        monkeypatch, capsys, analyze, "--what=regret", *arguments
    )


@pytest.fixture
def two_runs(tmp_path):
    good, bad = (SEP, SEP, SEP, SKIP), (SKIP, SKIP, SKIP, SKIP)
    return (
        searched(tmp_path / "a", architectures=[bad, good], accuracies=[0.5, 0.75], seed=1),
        searched(tmp_path / "b", architectures=[good, bad], accuracies=[0.25, 1.0], seed=2),
    )


def test_the_command_writes_a_figure_and_a_row_for_each_epoch(command, two_runs, table, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = command(*two_runs, f"--table={table}", f"--out={out}")
    assert code == 0, stderr
    assert (out / "regret.png").read_bytes().startswith(b"\x89PNG")
    # 4 * 0.02 - 0.04 and 0.05 - 0.04
    assert "darts, L2 0.0003 (2 runs): test regret 2.50 % after epoch 1" in stdout
    rows = list(csv.DictReader((out / "regret.csv").open()))
    assert [(row["run"], row["seed"], row["epoch"]) for row in rows] == [
        ("a", "1", "0"),
        ("a", "1", "1"),
        ("b", "2", "0"),
        ("b", "2", "1"),
    ]
    regrets = [float(row["test_regret"]) for row in rows]
    assert regrets == pytest.approx([0.04, 0.01, 0.01, 0.04])
    assert [float(row["validation_error"]) for row in rows] == [0.5, 0.25, 0.75, 0.0]
    assert parse(rows[0]["genotype"]) == genotype(SKIP, SKIP, SKIP, SKIP)


def test_an_architecture_that_is_not_known_leaves_a_gap(command, two_runs, table, tmp_path):
    path = two_runs[0] / "metrics.jsonl"
    rows = [json.loads(row) | {"genotype": None} for row in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, stdout, stderr = command(two_runs[0], f"--table={table}")
    assert code == 0, stderr
    assert "no architecture is known" in stdout
    row = next(csv.DictReader((two_runs[0] / "analysis/regret.csv").open()))
    assert (row["test_regret"], row["genotype"], row["validation_error"]) == ("", "", "0.5")


def test_without_a_table_the_command_that_makes_one_is_named(
    command, two_runs, monkeypatch, tmp_path
):
    monkeypatch.setattr(regret, "SHIPPED", tmp_path)
    code, _, stderr = command(*two_runs)
    assert code == 2
    assert "no table of s5 on digits" in stderr
    assert "python -m rdarts_tf.sweep --space=s5 --dataset=digits --exhaustive" in stderr


def test_the_table_that_comes_along_is_taken(command, two_runs, table, monkeypatch, tmp_path):
    monkeypatch.setattr(regret, "SHIPPED", tmp_path)
    table.rename(tmp_path / "s5_digits.csv")
    assert command(two_runs[0])[0] == 0


def test_every_table_that_comes_along_is_whole():
    for path in regret.SHIPPED.glob("s5_*.csv"):
        regret.read_table(path, SPACE)


def test_runs_that_do_not_fit_are_refused(command, two_runs, table, tmp_path):
    other = searched(tmp_path / "c", architectures=[], accuracies=[], seed=3)
    settings = json.loads((other / "config.json").read_text())
    code, _, stderr = command(two_runs[0], other, f"--table={table}")
    assert code == 2 and "c has no finished epoch" in stderr
    (other / "config.json").write_text(json.dumps(settings | {"dataset": "cifar10"}))
    code, _, stderr = command(two_runs[0], other, f"--table={table}")
    assert code == 2 and "s5 on cifar10 and of s5 on digits" in stderr
    code, _, stderr = command(two_runs[0], two_runs[0], f"--table={table}")
    assert code == 2 and "are the same search" in stderr
    (two_runs[0] / "config.json").write_text(json.dumps(settings | {"space": "s1"}))
    code, _, stderr = command(two_runs[0], f"--table={table}")
    assert code == 2 and "'s1' keep some of their edges only" in stderr
