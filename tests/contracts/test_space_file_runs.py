"""Runs on a space that lies in a file stay what they were when the file moves or changes."""

import json

import pytest

import rdarts_tf
import tests.toy_task
from rdarts_tf import evaluate, registry, search, sweep
from rdarts_tf.runs import record_reading
from rdarts_tf.spaces import space_file
from tests import in_process, scripted_steps

PLUGIN = "--plugin=tests.toy_task"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(space_file.to_json(tests.toy_task.SPACE))
    return path


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """command(module, *flags) -> (exit code, stdout, stderr); steps are arithmetic."""
    scripted_steps.replace_steps(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return lambda module, *flags: in_process.run(monkeypatch, capsys, module, *flags)


@pytest.fixture
def searched(command, file):
    """The folder of a search of two epochs, and its flags."""
    flags = (f"--space=space_file({file})", "--dataset=tests.toy_task", PLUGIN, "--epochs=2")
    code, out, err = command(search, *flags)
    assert code == 0, err
    assert "next:        python -m rdarts_tf.evaluate" in out and PLUGIN in out
    (folder,) = (file.parent / "runs").iterdir()
    assert folder.name.startswith("toy-") and folder.name.endswith("_tests.toy_task_darts_s2")
    return folder, flags


def test_the_same_content_goes_on_and_another_is_refused(searched, command, file):
    folder, flags = searched
    where = f"--run_dir={folder}"
    assert command(search, *flags)[0] == 0  # the same directory by default
    moved = file.rename(file.with_name("moved.json"))
    code, out, _ = command(search, f"--space=space_file({moved})", *flags[1:], where)
    assert code == 0 and "is finished" in out
    assert command(search, f"--flagfile={folder / 'flags.cfg'}", PLUGIN, where)[0] == 0
    code, _, err = command(search, *flags, where)
    assert code == 2 and f"cannot read the space file {file}" in err
    file.write_text(moved.read_text().replace("off", "out"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, _, err = command(search, *flags, where)
    assert code == 2 and err.count("\n") == 1
    assert f"{folder} holds a run with other flags: --space=space_file with toy-" in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_the_file_a_run_is_evaluated_and_reported(searched, command, file, monkeypatch):
    folder, _ = searched
    file.unlink()
    where = f"--run_dir={folder}"
    code, _, err = command(evaluate, where, "--epochs=2")
    assert code == 2 and "give --plugin=tests.toy_task" in err
    code, _, err = command(evaluate, where, "--epochs=2", PLUGIN)
    assert code == 0, err
    monkeypatch.setattr(registry, "_TRUSTED", {"tests.toy_task"})
    (record,), refused = record_reading.read([folder])
    assert not refused and record.make_space() == tests.toy_task.SPACE
    assert record.space in folder.name and record.evaluations
    run = rdarts_tf.open_run(folder, plugin="tests.toy_task")
    assert run.space == tests.toy_task.SPACE and record.space in repr(run)
    assert repr(run).count("\n") < 4


def test_a_genotype_of_a_space_in_a_file(command, file, tmp_path):
    flags = ("--genotype=Genotype(toy=[('on', 0)], toy_concat=[1])", "--epochs=2", PLUGIN)
    flags += (f"--space=space_file({file})", "--dataset=tests.toy_task", "--run_dir=own")
    assert command(evaluate, *flags)[0] == 0
    (result,) = (tmp_path / "own").glob("evaluate/*/result.json")
    file.rename(tmp_path / "moved.json")
    assert command(evaluate, *flags)[0] == 2
    again = (f"--flagfile={result.parent / 'flags.cfg'}", PLUGIN, "--run_dir=own")
    assert command(evaluate, *again)[0] == 0


def test_a_sweep_takes_files_too(command, file):
    flags = (f"--space=space_file({file}),tests.toy_task", "--dataset=tests.toy_task")
    code, out, err = command(sweep, *flags, "--dry_run", "--", "--epochs=2", PLUGIN)
    assert code == 0, err
    commands = out.splitlines()
    assert len(commands) == 2 and f"'--space=space_file({file})'" in commands[0]
    assert "--run_dir=runs/toy-" in commands[0]


def test_the_searches_of_a_selection_know_the_space(command, file):
    method, few = "--method=best_of(darts, seeds=2)", ("--select_epochs=2", "--executor=local")
    flags = (f"--space=space_file({file})", "--dataset=tests.toy_task", PLUGIN, "--epochs=2")
    code, _, err = command(search, *flags, method, "--run_dir=both", *few)
    assert code == 0, err
    parts = sorted((file.parent / "both/runs").iterdir())
    spaces = {json.loads((part / "config.json").read_text())["space"] for part in parts}
    assert len(parts) == 2 and len(spaces) == 1 and "'on', 'off'" in spaces.pop()
