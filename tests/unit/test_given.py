"""Whose cells a command is about, by its early flags."""

import dataclasses
import os
import subprocess
import sys

import pytest

from rdarts_tf import evaluate, export, registry
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import export as export_config
from rdarts_tf.config import flags
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.runs import given
from rdarts_tf.tasks.image_classification import options as images
from tests import in_process
from tests.counting_task import SPACE, options
from tests.recorded_runs import write_json, write_run

COUNTING = "tests.counting_task"
# One pair a node, which the name of the cell does not tell: only its space does.
CELLS = str(rule.derive(SPACE, {"count": [[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]}))
WITHIN = "Genotype(count=[('on', 0), ('on', 1)], count_concat=[2])"  # read without a space
IMAGES = {"space": "s1", "method": "darts"}


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", {COUNTING})


def of(space=None, genotype=None, run_dir=None):
    return given.options({"space": space, "genotype": genotype, "run_dir": run_dir})


def test_nothing_is_of_images():
    assert of() is images


def test_a_genotype_is_of_the_task_that_its_cells_tell():
    assert of(genotype="DARTS_V2") is images


def test_cells_of_no_task_name_the_remedy():
    with pytest.raises(UserError, match="networks of the cells count; give --space=..."):
        of(genotype=WITHIN)


def test_a_genotype_is_of_the_task_of_its_space():
    assert of(space=COUNTING, genotype=CELLS) is options
    with pytest.raises(UserError, match="cells normal, reduce, networks of --space=.* count;"):
        of(space=COUNTING, genotype="DARTS_V2")


def test_a_space_without_a_genotype_is_refused(tmp_path):
    with pytest.raises(UserError, match="--space=s1 is for --genotype"):
        of(space="s1", run_dir=write_run(tmp_path / "run"))


def test_the_task_of_the_run_comes_before_that_of_equal_cells(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", space=COUNTING)
    assert of(run_dir=run) is options
    assert of(run_dir=run, genotype=WITHIN) is options
    assert of(run_dir=run, genotype="DARTS_V2") is images
    monkeypatch.setattr(options, "CELL_TYPES", images.CELL_TYPES)
    assert of(run_dir=run, genotype="DARTS_V2") is options


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ({"genotype": CELLS, "space": COUNTING, "split": "test"}, options),
        ({"genotype": "DARTS_V2", "space": None, "split": "test"}, images),
        ({"genotype": "DARTS_V2", "split": "test"}, images),  # before there was --space
        ({"mine": 1}, images),
    ],
)
def test_where_nothing_was_searched_an_evaluation_tells(tmp_path, recorded, expected):
    write_json(tmp_path / "evaluate" / "x" / "config.json", recorded)
    assert of(run_dir=tmp_path) is expected


def test_the_classes_are_those_of_the_task():
    early = {"space": COUNTING, "genotype": CELLS, "run_dir": None}
    assert given.evaluation(early) is options.EvaluateConfig
    assert given.export(early) is export_config.ExportConfig  # it exports no networks
    early = {"space": None, "genotype": "DARTS_V2", "run_dir": None}
    assert given.evaluation(early) is images.EvaluateConfig
    assert given.export(early) is images.ExportConfig


def test_an_evaluation_keeps_whose_cells_it_trained():
    argv = [f"--space={COUNTING}", f"--genotype={CELLS}", "--dataset=digits", "--epochs=1"]
    config, _ = flags.parse(given.evaluation, argv)
    resolved = evaluate_config.resolve(config, None)
    assert (resolved.space, resolved.genotype) == (COUNTING, CELLS)
    assert evaluate_config.default_run_dir(config).endswith("_digits")


def test_the_space_of_a_published_cell_gives_the_papers_sizes():
    config = images.EvaluateConfig(genotype="DARTS_V2", dataset="cifar10")
    assert evaluate_config.resolve(config, None).init_channels == 36
    config = dataclasses.replace(config, space="s2")
    assert evaluate_config.resolve(config, None).init_channels == 16


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (evaluate, [f"--genotype={WITHIN}"], "no task has networks of the cells count; give --sp"),
        (export, ["--what=cell", f"--genotype={WITHIN}"], "no task has networks of the cells co"),
        (
            export,
            ["--what=cell", f"--genotype={CELLS}", f"--space={COUNTING}"],
            f"{COUNTING}.options defines no ExportConfig",
        ),
        (evaluate, [f"--space={COUNTING}"], "is for --genotype"),
    ],
)
def test_the_commands_refuse_in_one_sentence(monkeypatch, capsys, command, arguments, sentence):
    code, _, err = in_process.run(monkeypatch, capsys, command, *arguments)
    (line,) = err.splitlines()
    assert code == 2 and line.startswith("error: ") and sentence in line


@pytest.mark.parametrize(
    "cells", [[f"--genotype={WITHIN}"], [f"--genotype={CELLS}", f"--space={COUNTING}"]]
)
def test_any_cells_can_be_drawn(monkeypatch, capsys, tmp_path, cells):
    code, _, err = in_process.run(
        monkeypatch, capsys, export, "--format=dot", f"--out={tmp_path}", *cells
    )
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["count_cell.dot"]


def test_names_beyond_ascii_under_a_c_locale(tmp_path):
    (tmp_path / "läufe.txt").write_text("--dataset='image_folder(kätzchen)' --space=s5\n", "utf-8")
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "rdarts_tf.sweep", "--list=läufe.txt", "--dry_run"]
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert "image_folder(kätzchen)" in found.stdout
