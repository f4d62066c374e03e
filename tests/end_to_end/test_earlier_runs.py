"""Run directories that an earlier version left are taken up, read and built upon."""

import json
import pathlib
import shutil

import pytest
import tensorflow as tf

from rdarts_tf import analyze, evaluate, export, report, search
from rdarts_tf.config import base, flags
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import search as search_config
from rdarts_tf.engine import evaluation_steps
from rdarts_tf.runs import given as given_cells
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task
from tests import in_process

EARLIER = pathlib.Path(__file__).parents[1] / "data" / "earlier_runs"
REST = ("genotype", "search/step_seconds", "curvature/seconds", "curvature/products")
REST += ("curvature/error_bound",)  # far below the tolerance: mere rounding


@pytest.fixture
def copy(tmp_path):
    """The RunDir of a copy."""
    return lambda name: RunDir(shutil.copytree(EARLIER / name, tmp_path / name))


@pytest.fixture
def command(monkeypatch, capsys):
    """stdout of a command that ends well."""

    def command(module, *arguments):
        code, out, err = in_process.run(monkeypatch, capsys, module, *arguments)
        assert code == 0, out + err
        return out

    return command


def test_a_killed_search_goes_on_to_the_recorded_end(copy, command):
    run_dir = copy("killed")
    where = f"--run_dir={run_dir.path}"
    out = command(search, f"--flagfile={run_dir.path / 'flags.cfg'}", where)
    assert "after 1 of 3 epochs" in out
    lines = (EARLIER / "killed_to_the_end.jsonl").read_text().splitlines()
    for row, line in zip(run_dir.read_metrics(), lines, strict=True):
        expected = json.loads(line)
        assert row.keys() - {"curvature/converged"} == expected.keys()
        assert row["genotype"] == expected["genotype"]
        for name in expected.keys() - set(REST):
            now, then = row[name], expected[name]
            assert now == (then if then is None else pytest.approx(then, rel=1e-4)), name
    found = (run_dir.path / "genotype.txt").read_text()
    assert found == (EARLIER / "killed_genotype.txt").read_text()
    assert run_dir.read_json("dataset.json")["digest"]  # from now on the data are compared


def test_a_finished_run_is_read_evaluated_and_exported(copy, command, tmp_path, monkeypatch):
    """The new seed is not trained."""
    half = tf.constant(0.5)
    monkeypatch.setattr(evaluation_steps.Evaluation, "train_block", lambda *given: (given[3], half))
    monkeypatch.setattr(evaluation_steps.Evaluation, "validate_block", lambda *given: None)
    monkeypatch.setattr(task.Evaluation, "examined", None)
    run_dir = copy("finished")
    path, where = run_dir.path, f"--run_dir={run_dir.path}"
    out = command(search, f"--flagfile={path / 'flags.cfg'}", where)
    assert "is finished" in out
    for what in ("trajectory", "discretization"):
        command(analyze, path, f"--what={what}")
        assert (path / "analysis" / f"{what}.csv").exists()
    command(report, path)
    assert "digits" in (path / "report" / "report.md").read_text()

    folder = RunDir(path / "evaluate" / "digits")
    before = (folder.path / "seed_1/result.json").read_text()
    flagfile = f"--flagfile={folder.path / 'flags.cfg'}"
    command(evaluate, flagfile, where, "--seeds=1,2")
    assert (folder.path / "seed_1/result.json").read_text() == before
    assert [each["seed"] for each in folder.read_json("result.json")["seeds"]] == [1, 2]
    out = command(export, where, "--format=savedmodel", f"--out={tmp_path / 'model'}")
    assert "100.0 % same class" in out and (tmp_path / "model/saved_model.pb").exists()


@pytest.mark.parametrize("name", ["finished", "killed"])
def test_a_configuration_of_then_is_that_of_the_same_flags(name):
    folder = EARLIER / name
    recorded = RunDir(folder).read_json("config.json")
    given, _ = flags.parse(search_config.of_given, [f"--flagfile={folder / 'flags.cfg'}"])
    assert base.differences(given, recorded) == []
    assert search_config.of_record(recorded) == given


def test_an_evaluation_of_then_is_that_of_the_same_flags():
    folder = EARLIER / "finished" / "evaluate" / "digits"
    recorded = RunDir(folder).read_json("config.json")
    arguments = [f"--flagfile={folder / 'flags.cfg'}", f"--run_dir={EARLIER / 'finished'}"]
    given, _ = flags.parse(given_cells.evaluation, arguments)
    resolved = evaluate_config.resolve(given, RunDir(EARLIER / "finished"))
    assert base.differences(resolved, recorded) == []
    assert evaluate_config.of_evaluation(type(resolved), recorded) == resolved


def test_a_report_of_an_extended_run_tells_so(copy, command):
    run_dir = copy("finished")
    recorded = run_dir.read_json("config.json")
    epochs = recorded["epochs"]
    longer = {"epochs": 9, "history": [{"epochs": epochs, "until": epochs}], "extending": True}
    run_dir.write_json("config.json", recorded | longer)
    command(report, run_dir.path)
    text = (run_dir.path / "report/report.md").read_text()
    assert "Searches that are not finished go on with" in text
    run_dir.write_json("config.json", recorded | longer | {"extending": False})
    command(report, run_dir.path)
    text = (run_dir.path / "report/report.md").read_text()
    assert f"extended_after={epochs} of {epochs} epochs" in text
