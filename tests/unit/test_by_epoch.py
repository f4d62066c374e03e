"""Figure 3 and the spaces that were made, in the report of recorded runs."""

import json
import shlex

import numpy as np
import pytest

from rdarts_tf.analysis import regret
from rdarts_tf.config import flags, spaces
from rdarts_tf.drawing import plots
from rdarts_tf.reporting import by_epoch, made_spaces
from rdarts_tf.reporting.page import Commands, Paragraph, Picture, Table
from rdarts_tf.runs import given, record_reading
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.spaces import s1, s2, space_file
from tests.recorded_runs import write_json, write_result, write_run

HOW = {
    "seeds": "1,2",
    "epochs": 60,
    "layers": 3,
    "init_channels": 8,
    "split": "test",
    "dataset": "digits",
}


@pytest.fixture
def figures(monkeypatch):
    """list of the figures that are drawn; no file is."""
    drawn = []
    for name in ("to_png", "to_svg"):
        monkeypatch.setattr(plots, name, lambda figure: drawn.append(figure) or b"")
    return drawn


def write_tests(run, errors, space=s1.SPACE, **how):
    """Evaluations of {epoch: [errors by seed]} of a run."""
    directory = RunDir(run)
    genotypes = regret.genotypes_of_run(space, directory.read_metrics(), directory.read_alphas())
    how = HOW | how
    for epoch, found in errors.items():
        folder = run / f"search_epochs/epoch_{epoch:04d}"
        write_result(folder, found, name="digits", epochs=how["epochs"])
        config = how | {"genotype": str(genotypes[epoch])}
        write_json(folder / "evaluate/digits/config.json", config)


def read(path):
    records, refused = record_reading.read([path])
    assert not refused
    return records


def lines(axes):
    """{x: y} of the points of a panel's line."""
    (line,) = axes.lines
    return dict(zip(*map(np.ndarray.tolist, map(np.asarray, line.get_data())), strict=True))


def band(axes):
    """(lowest, highest) y of a panel's band."""
    (band,) = axes.collections
    ys = np.concatenate([path.vertices[:, 1] for path in band.get_paths()])
    return ys.min(), ys.max()


def told(blocks, kind):
    return [block for block in blocks if isinstance(block, kind)]


def test_means_and_deviations_over_seeds(tmp_path, figures):
    curves = {1: (0.1, 0.2, None), 2: (0.3, 0.4, 0.6)}
    for seed, curvature in curves.items():
        run = write_run(tmp_path / f"s{seed}", seed=seed, curvature=curvature, accuracy=0.8 / seed)
        write_tests(run, {0: [0.1 * seed], 2: [0.2 * seed, 0.4 * seed]})
    blocks = list(by_epoch.by_epoch(read(tmp_path)))
    (picture,) = told(blocks, Picture)
    assert "retrained for 60 epochs" in picture.caption and "digits" in picture.alt
    validation, test, curvature = (row[0] for row in np.reshape(figures[0].axes, (3, 1)))
    assert lines(validation) == pytest.approx({0: 40, 1: 40, 2: 40})
    assert band(validation) == pytest.approx((20, 60))  # of 20 and 60, the population's
    assert lines(test) == pytest.approx({0: 15, 2: 45})
    assert band(test) == pytest.approx((10, 60))
    assert lines(curvature) == pytest.approx({0: 0.2, 1: 0.3, 2: 0.6})
    assert validation.get_title() == "s1, n = 2" and "error (%)" in test.get_ylabel()
    assert not told(blocks, Commands)


def test_spaces_are_columns_and_other_settings_other_pictures(tmp_path, figures):
    write_tests(write_run(tmp_path / "a"), {0: [0.1]})
    write_run(tmp_path / "b", space="s2", searched=s2.SPACE)
    write_run(tmp_path / "c", weight_decay=0.1)
    blocks = list(by_epoch.by_epoch(read(tmp_path)))
    assert len(told(blocks, Picture)) == 1
    assert [axes.get_title() for axes in figures[0].axes[:2]] == ["s1, n = 1", "s2, n = 1"]
    first, second = told(blocks, Commands)
    assert first.lines == (
        f"python -m rdarts_tf.evaluate --run_dir={tmp_path}/b --epochs=60 --init_channels=8 "
        "--layers=3 --seeds=1,2 --search_epoch=0",
    )
    assert second.lines == (
        f"python -m rdarts_tf.evaluate --run_dir={tmp_path}/c --search_epoch=0,2",
    )
    for block in (first, second):  # commands that can be run
        config, _ = flags.parse(given.evaluation, shlex.split(block.lines[0])[3:])
        assert config.search_epochs()[0] == 0


def test_evaluations_made_otherwise_do_not_mix(tmp_path, figures):
    run = write_run(tmp_path / "a", curvature=(0.1, 0.2, None, None))
    write_tests(run, {0: [0.1], 1: [0.2]})
    write_tests(run, {2: [0.9]}, layers=20)
    write_tests(run, {3: [0.8]}, dataset="cifar10")
    blocks = list(by_epoch.by_epoch(read(tmp_path)))
    assert lines(figures[0].axes[1]) == pytest.approx({0: 10, 1: 20})
    texts = [block.text for block in told(blocks, Paragraph)]
    assert "Not drawn: 2 evaluations of epochs with other settings." in texts


def test_without_evaluations_the_command_is_named(tmp_path, figures):
    run = write_run(tmp_path / "a", curvature=(None,) * 12)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[5]["genotype"] = None  # random_ws scores some epochs only
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    blocks = list(by_epoch.by_epoch(read(tmp_path)))
    (command,) = told(blocks, Commands)
    assert command.lines[0].endswith("/a --search_epoch=0,10,11") and not figures
    (empty,) = told(by_epoch.by_epoch([]), Commands)
    assert "rdarts_tf.search" in empty.lines[0]


def test_a_space_of_s1s_shape_is_shown_beside_s1(tmp_path, figures):
    normal = list(s1.SPACE.cell("normal").primitives)
    normal[:2] = [("skip_connect", "avg_pool_3x3"), ("sep_conv_5x5", "avg_pool_3x3")]
    content = space_file.to_plain(s1.SPACE) | {"name": "mine"}
    content["cells"]["normal"]["primitives"] = normal
    (tmp_path / "space.json").write_text(json.dumps(content))
    spec = spaces.recorded(f"space_file({tmp_path / 'space.json'})")
    write_run(tmp_path / "runs/a", space=spec)
    write_run(tmp_path / "runs/b")
    small = space_file.to_plain(spaces.make("s5")) | {"name": "small"}
    write_run(
        tmp_path / "runs/c", space=f"space_file({small})", searched=spaces.make("s5"), genotype=None
    )
    blocks = list(made_spaces.made_spaces(read(tmp_path / "runs")))
    (table,) = told(blocks, Table)
    assert len(table.rows) == 28
    assert [cell.text for cell in table.rows[0]] == [
        "normal",
        "node 0 ← input 0",
        "skip_connect, avg_pool_3x3",
        "skip_connect, dil_conv_3x3",
        "1",
    ]
    assert [row[-1].text for row in table.rows[:3]] == ["1", "0", "2"]
    assert any(
        "26 have both primitives of S1, 1 one and 1 none" in b.text for b in told(blocks, Paragraph)
    )
    assert len(told(blocks, Picture)) == 4
    assert not list(made_spaces.made_spaces(read(tmp_path / "runs/b")))
