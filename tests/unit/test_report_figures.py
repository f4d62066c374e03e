"""Figures of the report by strength of regularisation, of spectra, and of the authors' logs."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from rdarts_tf import report
from rdarts_tf.analysis import spectrum
from rdarts_tf.drawing import cell_plot, plots
from rdarts_tf.errors import UserError
from rdarts_tf.methods import darts_es
from rdarts_tf.reporting import (
    charts,
    correlations,
    errors,
    figures,
    language,
    not_shown,
    paper,
    recorded,
    series,
    spectra,
    strengths,
    table2,
)
from rdarts_tf.reporting.page import Commands, Heading, Paragraph, Picture, Table
from rdarts_tf.runs import record_reading
from rdarts_tf.spaces import s6
from tests import replay
from tests.recorded_runs import (
    write_drops,
    write_json,
    write_result,
    write_run,
    write_selection,
    write_spectra,
)

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
DEFAULTS = {"weight_decay": 3e-4, "drop_path_prob": 0.0, "layers": 8, "epochs": 3}


def read(*paths):
    records, refused = record_reading.read(paths)
    assert not refused
    return records


def of_kind(kind, blocks):
    return [block for block in blocks if isinstance(block, kind)]


def texts(table):
    return [[(cell.text, cell.aside) for cell in row] for row in table.rows]


def lines(blocks):
    return [line for block in of_kind(Commands, blocks) for line in block.lines]


def write_searches(folder, errors_by_strength, *, field="drop_path_prob", **config):
    """{strength: test errors}; a search for each error, seeds 0, 1, ..."""
    for strength, tested in errors_by_strength.items():
        for seed, error in enumerate(tested):
            name = f"{config.get('method', 'darts')}_{config.get('layers', 8)}_{strength}_{seed}"
            run = write_run(folder / name, seed=seed, **{field: strength}, **config)
            if error is not None:
                write_result(run, [error], dataset=config.get("dataset", "digits"))


# Figures 7, 8, 11, 12 and 18.


def test_means_over_seeds_by_drop_path_stand_beside_the_papers(tmp_path):
    write_searches(tmp_path, {0.0: (0.03, 0.05), 0.2: (0.02,)}, dataset="cifar10")
    es = {0.0: (0.02,), 0.4: (0.01,)}
    write_searches(tmp_path, es, dataset="cifar10", method="darts_es")
    blocks = list(strengths.errors_by_strength(read(tmp_path), DEFAULTS))
    assert of_kind(Heading, blocks)[0].text == "Figures 7, 11, 18: test error by drop path"
    (table,) = of_kind(Table, blocks)
    assert table.header == ("data set", "space", "method", "0", "0.2", "0.4", "0.6")
    # 3.61, 3.34, 3.80 in Table 5: mean 3.583, deviation sqrt(0.0356)
    assert [row[2:] for row in texts(table)] == [
        [
            ("DARTS", ""),
            ("4.00 ± 1.00 (n = 2)", "4.66 ± 0.71"),
            ("2.00 (n = 1)", "3.58 ± 0.19"),
            ("", "3.29 ± 0.21"),
            ("", "3.07 ± 0.03"),
        ],
        [
            ("DARTS-ES", ""),
            ("2.00 (n = 1)", "3.05 ± 0.07"),
            ("–", ""),
            ("1.00 (n = 1)", ""),
            ("–", ""),
        ],
    ]
    assert table.rows[0][2].notes == (
        "Ours: searched with the default settings, retrained for 60 epochs (the paper: 600).",
    )
    first, second = of_kind(Picture, blocks)
    assert "Figures 7 and 18" in first.caption and "Figure 11" in second.caption


def test_the_papers_means_by_strength():
    by_drop_path = paper.by_strength("drop_path_prob")
    assert by_drop_path["cifar10", "s1", "darts"][0.0] == "4.66 ± 0.71"
    assert by_drop_path["svhn", "s4", "darts_es"] == {0.0: "2.55 ± 0.15"}
    for space in ("s1", "s2", "s3", "s4"):  # Tables 1 and 5 print the same runs
        runs = paper.drop_path_runs()
        mean = np.mean([100 - float(runs["cifar10", space, 0.0, s]["test_acc"]) for s in (1, 2, 3)])
        printed = float(by_drop_path["cifar10", space, "darts"][0.0].split()[0])
        assert printed == pytest.approx(mean, abs=0.006)
    assert paper.by_strength("weight_decay")["cifar10", "s1", "darts"] == {3e-4: "4.66 ± 0.71"}


def test_other_settings_and_trainings_have_lines_of_their_own(tmp_path):
    for layers in (3, 8):
        l2 = {3e-4: (0.1,), 9e-4: (0.2,)}
        write_searches(tmp_path, l2, field="weight_decay", layers=layers)
    longer = write_run(tmp_path / "longer", weight_decay=9e-4, layers=8, seed=7)
    write_result(longer, [0.05], epochs=600)
    records = read(tmp_path)
    ((regulariser, every),) = series.of_tasks(records)
    assert regulariser.field == "weight_decay"
    assert [(each.panel, each.label) for each in every] == [
        ("s1, digits", "DARTS, layers 3"),
        ("s1, digits", "DARTS, layers 8"),
    ]
    (table,) = of_kind(Table, strengths.errors_by_strength(records, DEFAULTS))
    assert [[cell.text for cell in row[2:]] for row in table.rows] == [
        ["DARTS, layers 3", "10.00 (n = 1)", "20.00 (n = 1)"],
        ["DARTS, layers 8, retrained for 60 epochs", "10.00 (n = 1)", "20.00 (n = 1)"],
        ["DARTS, layers 8, retrained for 600 epochs", "–", "5.00 (n = 1)"],
    ]


def test_what_is_missing_by_strength_is_named(tmp_path):
    write_searches(tmp_path, {0.0: (0.1,), 0.6: (None,)})
    blocks = list(strengths.errors_by_strength(read(tmp_path), DEFAULTS))
    done, untested = tmp_path / "darts_8_0.0_0", tmp_path / "darts_8_0.6_0"
    assert lines(blocks) == [
        f"python -m rdarts_tf.evaluate --run_dir={untested}",
        *(
            f"python -m rdarts_tf.search --flagfile={done}/flags.cfg --drop_path_prob={p} "
            f"--run_dir={done}_drop_path_prob{p}"
            for p in (0.2, 0.4)
        ),
    ]


def test_one_strength_and_the_parts_of_a_selection_have_no_section(tmp_path):
    write_searches(tmp_path, {0.2: (0.1, 0.2)})
    run = write_selection(tmp_path / "selection")
    assert not list(strengths.errors_by_strength(read(tmp_path), DEFAULTS))
    for part in (run / "runs").iterdir():  # until they are tested
        write_result(part, [0.1])
    assert list(strengths.errors_by_strength(read(tmp_path), DEFAULTS))


def test_means_and_each_search_are_drawn_in_equal_steps():
    panels = {
        "s1, svhn": {"DARTS": {27e-4: [3.0], 3e-4: [1.0, 2.0]}, "DARTS-ES": {9e-4: [4.0]}},
        "s2, svhn": {"DARTS-ES": {9e-4: [4.0]}},
    }
    figure = charts.by_strength(panels, x_label="L2", y_label="error", title="$t")
    left, right = figure.axes
    assert [text.get_text() for text in left.get_xticklabels()] == ["0.0003", "0.0009", "0.0027"]
    means = [container.lines[0] for container in left.containers]
    np.testing.assert_allclose(means[0].get_xydata(), [[0, 1.5], [2, 3]])
    np.testing.assert_allclose(means[1].get_xydata(), [[1, 4]])
    (bars,) = left.containers[0].lines[2]
    np.testing.assert_allclose(bars.get_segments()[0], [[0, 1.0], [0, 2.0]])
    assert right.containers[0].lines[0].get_color() == means[1].get_color()


def test_one_shot_errors_are_drawn_against_test_errors(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "scatter", lambda panels, **_: drawn.append(panels))
    monkeypatch.setattr(charts, "by_strength", lambda panels, **_: drawn.append(panels))
    monkeypatch.setattr(plots, "to_png", lambda figure: b"")
    for seed, (strength, accuracy, error) in enumerate(((0.0, 0.9, 0.05), (0.2, 0.8, 0.03))):
        run = write_run(tmp_path / str(seed), drop_path_prob=strength, accuracy=accuracy)
        write_result(run, [error])
    list(strengths.errors_by_strength(read(tmp_path), DEFAULTS))
    assert drawn[0] == {"s1, digits": {"DARTS": {0.0: [5.0], 0.2: [3.0]}}}
    (points,) = drawn[1].values()
    assert points["DARTS, drop path 0"] == [(pytest.approx(10.0), 5.0)]
    assert points["DARTS, drop path 0.2"] == [(pytest.approx(20.0), 3.0)]


@pytest.mark.parametrize("error", [0.0, 1e307, 0.1])
def test_odd_numbers_are_left_out_or_drawn(tmp_path, error):
    """Too large to draw; all equal; without any validation."""
    write_searches(tmp_path, {0.0: (error,), 0.2: (error,)}, validated={"validation/loss": 1.0})
    blocks = list(strengths.errors_by_strength(read(tmp_path), DEFAULTS))
    assert len(of_kind(Picture, blocks)) == (error < 1)
    assert len(of_kind(Table, blocks)) == 1


def test_many_panels_are_spread_over_pictures():
    panels = {f"panel {number}": {"a": {0.0: [1.0]}} for number in range(30)}
    pages = list(series.pages("name", panels))
    assert [name for name, _ in pages] == ["name.png", "name_1.png", "name_2.png"]
    assert [len(some) for _, some in pages] == [12, 12, 6]
    assert dict(item for _, some in pages for item in some.items()) == panels


# Figure 17.


def test_drops_by_strength_are_those_of_the_last_epoch(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "by_strength", lambda panels, **_: drawn.append(panels))
    monkeypatch.setattr(plots, "to_png", lambda figure: b"")
    for strength in (3e-4, 9e-4):
        run = write_run(tmp_path / str(strength), weight_decay=strength)
        write_drops(run, [(2, 0.5, 100 * strength), (0, 0.9, 0.9), (3, 0.7, 0.7)])
    blocks = list(correlations.drops_by_strength(read(tmp_path)))
    assert blocks[0].text == "Figure 17: discretisation drop by strength of regularisation"
    (panels,) = drawn
    assert panels["s1, digits"]["DARTS, running statistics"] == {3e-4: [50.0], 9e-4: [50.0]}
    of_batch = panels["s1, digits"]["DARTS, statistics of each batch"]
    assert of_batch == {3e-4: [pytest.approx(3)], 9e-4: [pytest.approx(9)]}
    assert not list(correlations.drops_by_strength(read(tmp_path / "0.0003")))


# Figures 15 and 16.


def eigenvalues(scale, n=56):
    return np.sort(np.r_[np.zeros(n // 2), scale * np.linspace(-0.3, 1, n - n // 2)])


def test_recorded_spectra_are_those_of_the_first_middle_and_last_epoch(tmp_path):
    run = write_run(tmp_path / "run", eigensolver="full")
    write_spectra(run, {epoch: eigenvalues(epoch + 1) for epoch in range(0, 50, 2)})
    (record,) = read(run)
    assert list(record.spectra) == [0, 24, 48]
    np.testing.assert_array_equal(record.spectra[24], eigenvalues(25))
    write_spectra(run, {48: eigenvalues(1) * np.nan})
    assert list(read(run)[0].spectra) == [0, 24]
    (run / "hessian" / "epoch_0000.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"epoch_0000.npz is damaged"):
        read(run)


@pytest.mark.filterwarnings("error")
def test_spectra_may_have_single_precision(tmp_path):
    run = write_run(tmp_path / "run", eigensolver="full")
    write_spectra(run, {0: eigenvalues(1).astype(np.float32), 1: np.full(4, np.inf, np.float32)})
    (record,) = read(run)
    assert list(record.spectra) == [0]


def test_spectra_that_were_computed_anew_are_read(tmp_path):
    run = write_run(tmp_path / "run")
    rows = ["run,epoch,index,eigenvalue", "run,1,0,-0.5", "run,1,1,2", "run,2,0,nan"]
    (run / "analysis").mkdir()
    (run / "analysis" / "spectrum.csv").write_text("\n".join(rows) + "\n")
    (record,) = read(run)
    assert {epoch: list(values) for epoch, values in record.spectra.items()} == {1: [-0.5, 2.0]}


def test_spectra_are_drawn_by_magnitude_and_counted():
    values = eigenvalues(2.0)
    columns = {"epoch 0": {"a": values}, "epoch 9": {"a": -values, "b": np.zeros(3)}}
    figure = charts.spectra(columns, title="t")
    upper, _, lower, below = figure.axes
    drawn = upper.lines[0].get_ydata()
    assert len(drawn) == 30 and (np.diff(np.abs(drawn)) <= 0).all()
    assert drawn[0] == 2.0 and drawn[-1] == 0.0
    counts, edges, _ = lower.patches[0].get_data()
    assert counts.sum() == 30 and (edges[0], edges[-1]) == (drawn.min(), drawn.max())
    assert below.patches[1].get_data().values.sum() == 3
    assert len(figure.legends[0].get_texts()) == 2


def test_the_section_of_spectra_names_runs_without_them(tmp_path):
    for name in ("a", "b", "c"):
        write_run(tmp_path / name, eigensolver="full" if name == "a" else "power")
    assert not list(spectra.spectra(read(tmp_path), {}))
    write_spectra(tmp_path / "a", {2: eigenvalues(1)})
    (tmp_path / "b" / "checkpoints").mkdir()
    (tmp_path / "b" / "checkpoints" / "epoch_0003_step_000000.npz").touch()
    blocks = list(spectra.spectra(read(tmp_path), {}))
    assert [block.name for block in of_kind(Picture, blocks)] == ["spectra_0.png"]
    ready = f"python -m rdarts_tf.analyze {tmp_path / 'b'} --what=spectrum"
    assert lines(blocks) == [ready]
    path = tmp_path / "c"
    assert lines(spectra.spectra(read(tmp_path / "a", path), {})) == [
        f"python -m rdarts_tf.search --flagfile={path}/flags.cfg --eigensolver=full "
        f"--run_dir={path}_eigensolverfull"
    ]


def test_columns_of_spectra_say_which_epochs_they_are():
    found = {e: eigenvalues(1) for e in (0, 5, 9)}
    columns = spectra._columns({"a": found, "b": {2: eigenvalues(2)}, "c": {0: [1], 9: [2]}})
    assert {title: list(runs) for title, runs in columns.items()} == {
        "epoch 0": ["a", "c"],
        "epoch 5": ["a"],
        "last epoch": ["a", "b", "c"],
    }


# The authors' logs.


def test_a_folder_of_logs_holds_trajectories_and_spectra(tmp_path):
    shutil.copy(DATA / "trajectories" / recorded.TRAJECTORIES, tmp_path)
    shutil.copy(DATA / recorded.HESSIANS, tmp_path)
    assert recorded.is_log(tmp_path) and not recorded.is_log(DATA / "earlier_runs")
    trajectories, found = recorded.read([tmp_path])
    assert len(trajectories) == 33 and len(found) == 4
    for name, epochs in found.items():
        assert list(epochs) == [0, 20, 49]
        with np.load(DATA / recorded.HESSIANS) as file:
            H = file[f"{name}/epoch49/H"].astype(np.float64)
        np.testing.assert_allclose(epochs[49], np.sort(np.linalg.eigvals(H).real), atol=1e-12)
    blocks = list(spectra.spectra([], found))
    titles = [block.alt for block in of_kind(Picture, blocks)]
    assert titles == ["spectra of s1, cifar10", "spectra of s3, svhn"]
    assert "0.001" in of_kind(Paragraph, blocks)[0].text


def test_both_spellings_of_the_columns_are_the_same_logs(tmp_path):
    text = (DATA / "trajectories" / recorded.TRAJECTORIES).read_text()
    header, rest = text.split("\n", 1)
    for ours, theirs in (
        *(("drop_path", "max_drop_path_prob"), ("l2", "weight_decay")),
        *(("lambda_max", "eig_max"), ("lambda_max_local_avg", "local_average")),
    ):
        header = ",".join(theirs if name == ours else name for name in header.split(","))
    (tmp_path / "released.csv").write_text(f"{header}\n{rest}")
    (ours, _), (theirs, _) = (
        recorded.read([path]) for path in (DATA / "trajectories", tmp_path / "released.csv")
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read .*odd.npz: No such file"),
        ({"x": np.zeros(2)}, "odd.npz holds no Hessians"),
        ({"r/epoch1/H": np.zeros([2, 3])}, "is damaged: a Hessian has shape .2, 3."),
        ({"r/epoch1/H": np.array([["a"]])}, "is damaged: a Hessian has shape"),
    ],
)
def test_logs_of_another_form_are_refused(tmp_path, content, sentence):
    path = tmp_path / "odd.npz"
    if content:
        np.savez(path, **content)
    with pytest.raises(UserError, match=sentence):
        recorded.read([path])


def test_the_reports_stops_are_those_of_the_replay():
    """Figures 6, 13 and 14, against the authors' class as recorded, and our methods epoch by epoch."""
    trajectories, _ = recorded.read([DATA / "trajectories"])
    replayed = {name: (rows, stop) for name, rows, stop in replay.read(DATA / "trajectories")}
    method = darts_es.Method()
    blocks = list(figures.trajectories([], [(each, method) for each in trajectories]))
    assert len(of_kind(Picture, blocks)) == 2
    (table,) = of_kind(Table, blocks)
    assert len(table.rows) == len(replayed) == 33
    for found, row in zip(trajectories, table.rows, strict=True):
        rows, stop = replayed[" ".join(found.run.values())]
        assert all(equal for *_, equal in replay.compare(rows, stop))
        none = {"": "–", "49": "–"}
        names = ("decision_epoch", "stop_epoch", "stop_epoch_plot_script_rule")
        wanted = [none.get(stop[name], stop[name]) for name in names]
        assert [cell.text for cell in row[2:5]] == wanted


# Tables 2 and 4, Figure 19, and the end of the page.


def write_stereo_run(path, *, scale, sintel=None, **given):
    given = {"genotype": None, "dataset": "flying_things3d(half=True)"} | given
    validated = {"validation/epe": 6.5}
    run = write_run(
        path, space="s6", searched=s6.SPACE, augmentation_scale=scale, validated=validated, **given
    )
    write_json(run / "dataset.json", {"name": "flying_things3d at half size"})
    write_result(run, [2.5, 2.7], dataset="flying_things3d", score="epe")
    if sintel:
        path = run / "evaluate" / "test" / "result.json"
        result = json.loads(path.read_text())
        for each, error in zip(result["seeds"], sintel, strict=True):
            each["sintel_stereo_epe"] = error
        write_json(path, result)
    return run


def test_sintel_has_a_column_only_where_it_was_tested(tmp_path):
    write_stereo_run(tmp_path / "a", scale=2.0)
    (table,) = of_kind(Table, table2.errors(read(tmp_path)))
    assert not any("Sintel" in name for name in table.header)
    write_stereo_run(tmp_path / "b", scale=1.5, sintel=(4.0, 5.0))
    blocks = list(table2.errors(read(tmp_path)))
    (table,) = of_kind(Table, blocks)
    assert table.header[-1] == "Sintel EPE, pixels"
    assert [row[-1] for row in texts(table)] == [("4.500", "4.15"), ("–", "3.76")]
    first = tmp_path / "b"
    assert lines(blocks)[0] == (
        f"python -m rdarts_tf.search --flagfile={first}/flags.cfg --augmentation_scale=0 "
        f"--run_dir={first}_augmentation_scale0"
    )
    assert len(lines(blocks)) == 4  # 0, 0.1, 0.5 and 1: L2 varies beside scale 1 only


def test_what_table_4_and_figure_19_lack_is_named(tmp_path):
    run = write_run(tmp_path / "run", space="darts", genotype=None, dataset="svhn", curvature=())
    (run / "alphas.npz").unlink()
    assert lines(errors.full_spaces(read(run), {})) == [
        "python -m rdarts_tf.search --space=darts --dataset=svhn --method=rdarts_l2"
    ]
    assert not list(language.perplexities([], {}))


def test_the_end_of_the_page_lists_what_is_not_shown():
    blocks = [Heading("Figures 7, 11, 18: x"), Heading("Table 2: y"), Heading("Figure 170")]
    found = list(not_shown.not_shown(blocks))
    names = [line.split()[3] for line in lines(found)]
    assert names == [
        *("table4", "figure2", "figure3", "figure8", "figure15", "figure17", "figure19")
    ]
    assert found[0].text == "Not shown" and len(found) == 3
    every = [Heading(f"{kind} {number}: x") for kind in ("Table", "Figure") for number in range(20)]
    assert not list(not_shown.not_shown(every))


def test_the_page_of_one_run_has_no_figures_by_strength(tmp_path, monkeypatch):
    for part in ("trajectories", "alphas", "cells"):  # take seconds
        monkeypatch.setattr(figures, part, lambda *args: ())
    run = write_run(tmp_path / "run")
    write_result(run, [0.1])
    headings = [b.text for b in of_kind(Heading, report.blocks(read(run), []))]
    assert not any(text.startswith(("Figures 7", "Figures 15", "Figure 17")) for text in headings)


def test_a_page_about_many_runs_does_not_draw_all_edge_weights_and_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "MOST_RUNS", 1)
    monkeypatch.setattr(correlations, "_MOST_LABELS", 1)
    monkeypatch.setattr(charts, "alpha_evolution", lambda *args, **given: None)
    monkeypatch.setattr(cell_plot, "draw_cell", lambda *args, **given: None)
    for name in ("to_png", "to_svg"):
        monkeypatch.setattr(plots, name, lambda figure: b"")
    for number in range(3):
        run = write_run(tmp_path / str(number))
        write_drops(run, [(0, 0.1, 0.2)])
    records = read(tmp_path)
    blocks = list(figures.alphas(records))
    assert len(of_kind(Picture, blocks)) == 2
    assert lines(blocks) == [f"python -m rdarts_tf.report {tmp_path / '1'}"]
    assert "of 2 others" in of_kind(Paragraph, blocks)[1].text
    assert len(of_kind(Picture, figures.cells(records))) == 2  # all three found the same
    assert correlations._drop_panels(records)["lambda_max (running statistics)"] == {
        "s1, digits": [(0.1, 10.0)] * 3
    }


def test_three_epochs_are_chosen_of_many():
    assert spectrum.chosen([]) == []
    assert spectrum.chosen([4]) == [4]
    assert spectrum.chosen([9, 0]) == [0, 9]
    assert spectrum.chosen([*range(0, 50, 2), 49]) == [0, 26, 49]
