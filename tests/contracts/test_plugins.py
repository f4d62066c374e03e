"""Plugins that records name: a stranger's run directory runs no code; a flag allows one's own."""

import json

import pytest
from sklearn.datasets import load_digits

from rdarts_tf import analyze, evaluate, export, report, search, sweep
from rdarts_tf.errors import UserError
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import export as image_export
from tests import in_process
from tests.recorded_runs import write_json, write_result, write_run

COMMANDS = {
    "analyze": analyze,
    "evaluate": evaluate,
    "export": export,
    "report": report,
    "search": search,
    "sweep": sweep,
}
# (fields that name the plugin, command, its flags; RUN stands for the run directory)
READERS = [
    (("space",), "report", ["RUN"]),
    (("method",), "report", ["RUN"]),
    (("method",), "analyze", ["RUN"]),
    (("space", "dataset", "method"), "analyze", ["--what=regret", "RUN"]),
    (("space",), "analyze", ["--what=discretization", "RUN"]),
    (("dataset",), "analyze", ["--what=discretization", "RUN"]),
    (("method",), "analyze", ["--what=spectrum", "RUN"]),
    (("space",), "evaluate", ["--run_dir=RUN"]),
    (("dataset",), "evaluate", ["--run_dir=RUN"]),
    (("dataset",), "export", ["--run_dir=RUN"]),
]
PLUGIN = """
import pathlib
from rdarts_tf.datasets.digits import load
from rdarts_tf.methods.darts import Method
from rdarts_tf.spaces.s1 import SPACE
pathlib.Path(__file__).with_name("it_ran").touch()
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """command(name, *flags) -> (exit code, error) in a folder that is importable, as by python -m."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(name, *flags):
        code, _, err = in_process.run(monkeypatch, capsys, COMMANDS[name], *flags)
        return code, [line for line in err.splitlines() if line.startswith("error: ")]

    return run


def write_plugin(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLUGIN)


def write_named(path, fields, plugin):
    """A searched and evaluated run whose records name a plugin."""
    write_run(path, **dict.fromkeys(fields, plugin))
    RunDir(path).checkpoints.mkdir()
    RunDir(path).save_checkpoint({}, epoch=1)
    write_result(path, [0.5])
    trained = RunDir(path / "evaluate" / "test" / "seed_0")
    trained.checkpoints.mkdir(parents=True)
    trained.save_checkpoint({}, epoch=1)
    named = {"genotype": "DARTS_V2", "dataset": plugin if "dataset" in fields else "digits"}
    write_json(path / "evaluate/test/config.json", named)
    names = [str(name) for name in load_digits().target_names]
    write_json(path / "evaluate/test/dataset.json", {"name": "digits", "class_names": names})


def flags_of(flags, run):
    return [flag.replace("RUN", run) for flag in flags]


def assert_refused(found, *words):
    code, errors = found
    assert code == 2
    (line,) = errors
    assert all(word in line for word in words), line


@pytest.mark.parametrize("run", ["stranger", "strangers/run"])
@pytest.mark.parametrize(("fields", "name", "flags"), READERS)
def test_a_run_directory_runs_no_code(command, tmp_path, fields, name, flags, run):
    plugin = f"{run.replace('/', '.')}.payload"
    write_named(tmp_path / run, fields, plugin)
    write_plugin(tmp_path / run / "payload.py")
    refused = command(name, *flags_of(flags, run))
    assert_refused(refused, repr(plugin), f"--plugin={plugin}")
    assert name != "report" or f"run {run}: " in refused[1][0]
    refused = command(name, f"--plugin={plugin}", *flags_of(flags, run))
    assert_refused(refused, f"in the run directory {tmp_path / run}")
    assert not list(tmp_path.rglob("it_ran"))


def test_no_package_of_a_run_directory_is_imported_on_the_way(command, tmp_path):
    run = write_run(tmp_path / "stranger", space="stranger.inner.payload")
    for name in ("__init__.py", "inner/__init__.py", "inner/payload.py"):
        write_plugin(run / name)
    assert_refused(command("report", "stranger"), "--plugin=stranger.inner.payload")
    assert_refused(command("report", "--plugin=stranger.inner.payload", "stranger"), "'stranger'")
    assert not list(tmp_path.rglob("it_ran"))


def test_a_flag_file_of_a_run_names_no_code_of_that_run(command, tmp_path):
    write_plugin(tmp_path / "stranger/payload.py")
    (tmp_path / "stranger/flags.cfg").write_text("--method=best_of(method=stranger.payload)\n")
    flags = ("--dataset=digits", "--flagfile=stranger/flags.cfg", "--run_dir=stranger")
    assert_refused(command("search", *flags), "in the run directory")
    assert not list(tmp_path.rglob("it_ran"))


def test_a_data_set_beside_the_records_is_not_read(command, tmp_path):
    """TFDS imports the modules that its features.json names."""
    run, folder = tmp_path / "stranger", tmp_path / "stranger/data"
    write_named(run, (), "")
    write_plugin(run / "payload.py")
    recorded = json.loads((run / "config.json").read_text())
    recorded |= {"dataset": "tfds(foreign)", "data_dir": str(folder)}
    write_json(run / "config.json", recorded)
    features = {"pythonClassName": "stranger.payload.Feature"}
    write_json(folder / "foreign/1.0.0/features.json", features)
    info = {"name": "foreign", "version": "1.0.0", "fileFormat": "tfrecord"}
    write_json(folder / "foreign/1.0.0/dataset_info.json", info)
    empty = tmp_path / "empty"
    empty.mkdir()
    found = command("analyze", "--what=discretization", f"--data_dir={empty}", "stranger")
    assert_refused(found, "'foreign'")
    assert_refused(command("analyze", "--what=discretization", "stranger"), "'foreign'")
    assert not list(tmp_path.rglob("it_ran"))


@pytest.fixture
def plugin(tmp_path):
    """A plugin of the user's own, in a package of this test alone."""
    package = f"of_{tmp_path.name}".replace("-", "_")
    write_plugin(tmp_path / package / "own.py")
    return f"{package}.own"


@pytest.mark.parametrize(
    ("fields", "name"), [(("space", "method"), "report"), (("method",), "analyze")]
)
def test_a_flag_allows_the_users_own_plugin(command, tmp_path, plugin, fields, name):
    write_run(tmp_path / "run", **dict.fromkeys(fields, plugin))
    assert_refused(command(name, "run"), f"--plugin={plugin}")
    assert_refused(command(name, "--plugin=another.one", "run"), f"--plugin={plugin}")
    assert command(name, "--plugin=another.one", f"--plugin={plugin}", "run") == (0, [])


def test_evaluate_trains_on_the_users_own_data_set(command, tmp_path, monkeypatch, plugin):
    trained = []

    def train(opened, **_):
        trained.extend(config.dataset for config, _ in opened)
        return 0

    monkeypatch.setattr(evaluate, "_evaluate", train)
    write_run(tmp_path / "run", dataset=plugin)
    for flag in ("plugin", "dataset"):
        assert command("evaluate", f"--{flag}={plugin}", "--run_dir=run") == (0, [])
    assert trained == [plugin] * 2


def test_export_reads_the_users_own_data_set(command, tmp_path, monkeypatch, plugin):
    def served(*_):
        raise UserError("the data set was read")

    monkeypatch.setattr(image_export, "served", served)
    write_named(tmp_path / "run", ("dataset",), plugin)
    assert_refused(command("export", f"--plugin={plugin}", "--run_dir=run"), "was read")


def test_runs_that_a_command_starts_know_its_plugins(command, tmp_path, monkeypatch, plugin):
    """Each started command names the plugins that it needs."""
    started = []
    monkeypatch.setattr(sweep, "execute", lambda tasks, settings: started.extend(tasks) or 0)
    flags = (f"--space=s1,{plugin}", f"--dataset={plugin}", "--evaluate")
    method = f"--method=darts,best_of(method={plugin})"
    assert command("sweep", *flags, method) == (0, [])
    assert [f"--dataset={plugin}" in t.commands[1] for t in started] == [True] * 4
    own_space = [f"--space={plugin}" in t.commands[0] for t in started]
    assert [f"--plugin={plugin}" in t.commands[1] for t in started] == own_space
    assert sum(own_space) == 2
