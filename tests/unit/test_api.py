"""The package from Python, without a search: flags, errors, arrays, what is read of a run."""

import concurrent.futures
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import rdarts_tf
from rdarts_tf import registry
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.datasets import arrays
from rdarts_tf.runs import child
from rdarts_tf.runs.result import Result
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import options as classification
from tests import recorded_runs

Y = np.arange(12) % 3
X = np.arange(12 * 64).reshape(12, 8, 8) // 4
X = X.astype(np.uint8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", set())
    monkeypatch.setattr(registry, "_DISTRUSTED", set())


@pytest.fixture
def started(monkeypatch):
    """list of the (command, flags) that would have been started; no process is."""
    calls = []
    monkeypatch.setattr(child, "run", lambda command, flags: calls.append((command, flags)) or [])
    return calls


def from_arrays(x=X, y=Y, **options):
    return rdarts_tf.Dataset.from_arrays(x, y, x[:4], y[:4], **options)


def write_result(run, name="digits", **fields):
    result = {
        "split": "test",
        "dataset": "digits",
        "epochs": 3,
        "error_mean": 0.25,
        "error_std": 0.05,
        "num_parameters": 7,
    }
    result |= {"seeds": [{"seed": 1, "error": 0.2}, {"seed": 2, "error": 0.3}]}
    recorded_runs.write_json(run / "evaluate" / name / "result.json", result | fields)


# Flags.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (np.bool_(True), "true"),
        (3, "3"),
        (3e-4, "0.0003"),
        (np.float32(0.5), "0.5"),
        ("a, b", "a, b"),
        (pathlib.Path("a") / "b", "a/b"),
        ((1, 2, 3), "1,2,3"),
        ([1], "1"),
        (range(2), "0,1"),
    ],
    ids=repr,
)
def test_a_value_becomes_text(value, text):
    assert child.arguments({"name": value}) == [f"--name={text}"]


def test_none_is_left_out_plugins_repeat_and_a_flagfile_is_first():
    values = {"epochs": 2, "plugin": ("a.b", "c.d"), "seed": None, "flagfile": "f.cfg"}
    assert child.arguments(values) == [
        "--flagfile=f.cfg",
        "--epochs=2",
        "--plugin=a.b",
        "--plugin=c.d",
    ]


def test_the_process_decides_what_is_heard_of_tensorflow(monkeypatch):
    """`startup.load_tensorflow` keeps it back where the user has set no level."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    assert "TF_CPP_MIN_LOG_LEVEL" not in child._environment()


@pytest.mark.parametrize(
    "value", [{}, np.zeros(3), object(), [[{}]]], ids=["dict", "array", "object", "list"]
)
def test_another_value_is_refused(value, started):
    with pytest.raises(rdarts_tf.UserError, match="^dataset is a .*; give a number, a text"):
        rdarts_tf.search(dataset=value)
    assert not started


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"epoch": 3}, "search takes no epoch; did you mean epochs"),
        ({"datset": "digits"}, "did you mean dataset"),
        ({"xyzzy": 3}, "'xyzzy'"),
        ({"epochs": "many"}, "^flag --epochs=many: "),
        ({"epochs": -1}, "^flag --epochs=-1: "),
        ({"space": "s9"}, "unknown space 's9'"),
        ({"flagfile": "/nowhere.cfg"}, "nowhere.cfg"),
        ({"undefok": "epoch"}, "search takes no undefok"),
        ({"nooverwrite": ""}, "did you mean overwrite"),
        ({"extent": True}, "did you mean extend"),
        ({"self": 1}, "'self'"),
        ({"data_dir": "a\0b"}, "data_dir is 'a.x00b', which has characters"),
        ({"data_dir": "\ud800"}, "data_dir is '.ud800', which has characters"),
        ({"data_dir": [None]}, "data_dir has None in a list"),
        ({"plugin": 3}, "plugin is '3'; give the name"),
        ({"plugin": [None]}, "plugin is '.None.'; give the name"),
    ],
    ids=str,
)
def test_a_wrong_flag_is_told_before_a_process_starts(started, tmp_path, flags, words):
    with pytest.raises(rdarts_tf.UserError, match=words) as raised:
        rdarts_tf.search(run_dir=tmp_path / "run", **flags)
    assert "\n" not in str(raised.value)
    assert not started and not (tmp_path / "run").exists()


def test_search_starts_the_command_and_opens_its_run(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded_runs.write_run(tmp_path / "mine")
    run = rdarts_tf.search(space="s1", dataset="digits", run_dir="mine", overwrite=True)
    told = ["--space=s1", "--dataset=digits", f"--run_dir={tmp_path / 'mine'}", "--overwrite=true"]
    assert started == [("search", told)]
    assert run.path == tmp_path / "mine"


def test_every_switch_of_a_command_is_a_keyword(started, tmp_path):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run"))
    write_result(run.path)
    rdarts_tf.search(run_dir=run.path, epochs=99, extend=True)
    run.evaluate(epochs=99, extend=True)
    run.evaluate(epochs=99, overwrite=True)
    switches = ("--extend=true", "--extend=true", "--overwrite=true")
    assert all(switch in each[1] for switch, each in zip(switches, started, strict=True))


def test_a_run_directory_is_named_after_the_search_or_in_the_flag_file(
    started, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    recorded_runs.write_run(tmp_path / "runs" / "s1_digits_darts_s3")
    assert rdarts_tf.search(dataset="digits", seed=3).path == tmp_path / "runs/s1_digits_darts_s3"
    recorded_runs.write_run(tmp_path / "other")
    (tmp_path / "flags.cfg").write_text("--run_dir=other\n--epochs=3\n")
    assert rdarts_tf.search(flagfile="flags.cfg", dataset="digits").path == tmp_path / "other"


# A process.


@pytest.fixture
def boom(tmp_path, monkeypatch):
    """boom(code): a command rdarts_tf.boom of another package of that name, found by sys.path."""
    (tmp_path / "rdarts_tf").mkdir()
    (tmp_path / "rdarts_tf" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def run(source, **options):
        (tmp_path / "rdarts_tf" / "boom.py").write_text(f"import os, signal, sys\n{source}\n")
        return child.run("boom", ["--a=1"], **options)

    return run


def test_a_process_imports_what_this_one_does_and_its_lines_are_passed_on(boom, capsys):
    assert boom("print(sys.argv[1:])\nprint('later', file=sys.stderr)") == ["['--a=1']", "later"]
    assert capsys.readouterr().out == "['--a=1']\nlater\n"


def test_lines_come_while_a_process_runs(boom):
    """It ends when it is told that its line came."""
    said = []

    def say(line):
        said.append(line)
        pathlib.Path(line).touch()

    source = "import pathlib, time, tempfile\npath = tempfile.mkdtemp() + '/seen'\nprint(path)\n"
    boom(source + "while not pathlib.Path(path).exists(): time.sleep(0.01)", say=say)
    assert len(said) == 1


def test_noise_of_tensorflow_is_not_shown(boom, capsys):
    boom("print('WARNING: All log messages before absl::x')\nprint('I0000 00:00')\nprint('Iris')")
    assert capsys.readouterr().out == "Iris\n"


@pytest.mark.parametrize("code", [1, 2])
def test_the_sentence_of_a_process_is_raised_and_not_shown(boom, capsys, code):
    with pytest.raises(rdarts_tf.UserError, match="^no such thing$"):
        boom(f"print('begun')\nprint('error: no such thing', file=sys.stderr)\nsys.exit({code})")
    assert capsys.readouterr().out == "begun\n"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise KeyError('defect')", "exit code 1:\n(.*\n)+KeyError: 'defect'"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL; the same call goes on"),
        ("sys.exit(143)", "ended by SIGTERM; the same call goes on"),
    ],
    ids=["defect", "killed", "terminated"],
)
def test_another_end_is_no_user_error(boom, source, words):
    with pytest.raises(child.Died, match=words):
        boom(source)


def test_an_interrupt_is_passed_on_once_and_awaited(boom, tmp_path, capsys):
    def say(line):
        if line == "ready":
            raise KeyboardInterrupt
        print(line)

    source = f"""
import pathlib, time
def handle(number, frame):
    time.sleep(0.5)
    with open({str(tmp_path / "seen")!r}, 'a') as file:
        file.write('SIGINT\\n')
    print('stopped')
    sys.exit(130)
signal.signal(signal.SIGINT, handle)
print('ready')
time.sleep(60)
"""
    with pytest.raises(KeyboardInterrupt):
        boom(source, say=say)
    assert (tmp_path / "seen").read_text() == "SIGINT\n"
    assert capsys.readouterr().out == "stopped\n"


# Nothing of this loads TensorFlow, and `search` is a module and a function.


def test_no_tensorflow(tmp_path):
    run = recorded_runs.write_run(tmp_path / "run")
    source = f"""
import sys, rdarts_tf
run = rdarts_tf.open_run({str(run)!r})
print(run, run.history, run.alphas, run.draw("normal"), run.plot_lambda_max())
rdarts_tf.report([run])
rdarts_tf.Dataset
try:
    rdarts_tf.search(epoch=3)
except rdarts_tf.UserError as error:
    print(error)
heavy = [name for name in ("tensorflow", "keras", "matplotlib.pyplot") if name in sys.modules]
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (run / "report" / "report.html").exists()


def test_importing_the_package_imports_nothing_else():
    source = "import sys, rdarts_tf; print([n for n in sys.modules if n.startswith('rdarts_tf.')])"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["search", "report"])
def test_a_command_can_be_imported_called_and_run(name):
    source = f"from rdarts_tf import {name}; assert {name}.main; assert callable({name})"
    subprocess.run([sys.executable, "-c", source], check=True)
    strict = [sys.executable, "-W", "error", "-m", f"rdarts_tf.{name}", "--version"]
    done = subprocess.run(strict, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "rdarts_tf 0.1.0\n", "")


def test_names():
    assert {"Dataset", "Run", "UserError", "open_run", "report", "search"} <= set(dir(rdarts_tf))
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        rdarts_tf.serach  # noqa: B018


def test_the_package_as_a_command_lists_the_commands():
    def run(*arguments):
        command = [sys.executable, "-m", "rdarts_tf", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    listed = run()
    assert listed.returncode == 0
    assert "python -m rdarts_tf.export    Exports the retrained network" in listed.stdout
    modules = pathlib.Path(rdarts_tf.__file__).parent.glob("*.py")
    commands = [path.stem for path in modules if "flags.run(main" in path.read_text()]
    assert all(f"rdarts_tf.{command} " in listed.stdout for command in commands)
    assert run("--version").stdout == "rdarts_tf 0.1.0\n"
    wrong = run("search")
    assert (wrong.returncode, wrong.stderr[:7]) == (2, "error: ")


# A run.


def test_a_run_tells_what_is_on_disk(tmp_path):
    path = recorded_runs.write_run(tmp_path / "run", curvature=(0.1, None, 0.4))
    write_result(path)
    run = rdarts_tf.open_run(path)
    assert run.lambda_max == [0.1, None, 0.4]
    assert [row["epoch"] for row in run.history] == [0, 1, 2]
    assert {t: a.shape for t, a in run.alphas.items()} == {
        "normal": (3, 14, 2),
        "reduce": (3, 14, 2),
    }
    assert run.config["space"] == "s1" and run.genotype.count("skip_connect", "normal") == 4
    assert run.space.name == "s1" and len(run.space.primitives["normal"]) == 14
    assert run.runs == {} and list(run.results) == ["digits"]
    told = repr(run)
    assert all(text in told for text in (str(path), "space s1", "3 of 3 epochs", "Genotype(normal"))
    assert "error_mean=0.25, error_std=0.05; seeds 1, 2" in told


def test_figures_show_in_a_notebook(tmp_path):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run"))
    for figure in (run.draw("normal"), run.plot_lambda_max()):
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_of_a_selection_the_numbers_are_the_winners(tmp_path):
    path = recorded_runs.write_selection(tmp_path / "run")
    run = rdarts_tf.open_run(path)
    winner = json.loads((path / "selection.json").read_text())["winner"]
    assert len(run.runs) == 2 and winner in run.runs
    assert run.lambda_max == run.runs[winner].lambda_max == [0.15, 0.25]
    assert run.alphas["normal"].shape[0] == 2
    assert run.plot_lambda_max()


def test_an_unfinished_run(tmp_path):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run", genotype=None))
    assert run.genotype is None and "not finished" in repr(run)
    with pytest.raises(rdarts_tf.UserError, match="no cell yet"):
        run.draw("normal")


def test_while_a_run_becomes_longer_its_former_cells_are_not_its_result(tmp_path):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run"))
    recorded_runs.write_json(run.path / "config.json", run.config | {"extending": True})
    assert run.genotype is None and "not finished" in repr(run)
    with pytest.raises(rdarts_tf.UserError, match="holds no genotype; finish the search"):
        evaluate_config.resolve(classification.EvaluateConfig(), RunDir(run.path))


def test_what_there_is_not(tmp_path):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run", curvature=(None, None)))
    with pytest.raises(rdarts_tf.UserError, match="no cell 'upsample'; there are: normal, reduce"):
        run.draw("upsample")
    with pytest.raises(rdarts_tf.UserError, match="holds no curvature"):
        run.plot_lambda_max()


@pytest.mark.parametrize("name", ["", "nowhere", "file"])
def test_open_run_of_something_else(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(rdarts_tf.UserError, match="is no run: it holds no config.json of a search"):
        rdarts_tf.open_run(tmp_path / name)


@pytest.mark.parametrize(
    "value", [None, 3, b"run", object()], ids=lambda value: type(value).__name__
)
def test_what_is_no_path(value):
    for call in (rdarts_tf.open_run, rdarts_tf.report, lambda each: rdarts_tf.report([each])):
        with pytest.raises(rdarts_tf.UserError, match="is a .*; give a path"):
            call(value)


def test_a_run_stays_where_it_is_when_the_caller_moves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded_runs.write_run(tmp_path / "run")
    run = rdarts_tf.open_run("run")
    monkeypatch.chdir("/")
    assert run.history


def test_evaluate_starts_the_command_and_reads_its_result(started, tmp_path):
    path = recorded_runs.write_run(tmp_path / "run")
    write_result(path)
    write_result(path, "other", error_mean=0.5)
    write_result(path, "digits_search", error_mean=0.75)
    run = rdarts_tf.open_run(path, plugin="my.space")
    result = run.evaluate(seeds=(1, 2), epochs=3)
    assert started == [
        ("evaluate", ["--epochs=3", "--seeds=1,2", f"--run_dir={path}", "--plugin=my.space"])
    ]
    assert result.error_mean == result["error_mean"] == 0.25
    assert result.num_parameters == 7 and len(result.seeds) == 2 and dict(result)["split"] == "test"
    assert run.evaluate(name="other").error_mean == 0.5
    assert run.evaluate(split="search").error_mean == 0.75
    assert run.evaluate(genotype="DARTS_V2").error_mean == 0.25


def test_a_result_has_nothing_else(tmp_path):
    result = Result(tmp_path, {"error_mean": 0.5})
    assert "error_mean" in dir(result)
    with pytest.raises(AttributeError, match="no 'eror'; it has error_mean"):
        result.eror  # noqa: B018


@pytest.mark.parametrize(
    ("method", "flags", "words"),
    [
        ("evaluate", {"seed": 1}, "evaluate takes no seed; did you mean seeds"),
        ("evaluate", {"run_dir": "x"}, "evaluate takes no run_dir here"),
        ("export", {"format": "pdf"}, "^flag --format=pdf: "),
        ("export", {"quantise": "int8"}, "did you mean quantize"),
    ],
)
def test_a_wrong_flag_of_a_run(started, tmp_path, method, flags, words):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run"))
    with pytest.raises(rdarts_tf.UserError, match=words):
        getattr(run, method)(**flags)
    assert not started


def test_export_returns_what_was_written(tmp_path):
    run = rdarts_tf.open_run(recorded_runs.write_run(tmp_path / "run"))
    assert run.export("svg") == tmp_path / "run" / "export"
    assert (tmp_path / "run" / "export" / "normal_cell.svg").exists()


@pytest.mark.parametrize("as_", [str, pathlib.Path, rdarts_tf.open_run])
def test_report_of_one_or_several(tmp_path, monkeypatch, as_):
    monkeypatch.setattr(rdarts_tf.report, "blocks", lambda *args: [])  # figures take seconds
    path = recorded_runs.write_run(tmp_path / "run")
    assert rdarts_tf.report(as_(path)) == path / "report" / "report.html"
    page = rdarts_tf.report([as_(path)], out=tmp_path / "page")
    assert page == tmp_path / "page" / "report.html" and page.exists()
    with pytest.raises(rdarts_tf.UserError, match="exists; choose another --out"):
        rdarts_tf.report([as_(path)], out=tmp_path / "page")
    with pytest.raises(rdarts_tf.UserError, match="nothing to report"):
        rdarts_tf.report([])


# Arrays.


def load(name, run_dir=None, data_dir=None):
    return arrays.load(name, run_dir=run_dir, data_dir=data_dir)


def name_of(dataset):
    return registry.parse(dataset.spec)[1][0]


def test_arrays_are_loaded_as_they_were_given(tmp_path):
    given = from_arrays(class_names=("a", "b", "c"), name="mine", crop_padding=1, flip=False)
    arrays.store(given.data, tmp_path)
    loaded = load(name_of(given), tmp_path)
    order = np.lexsort(loaded.train.images.reshape(12, -1).T[::-1])
    expected = np.lexsort(X.reshape(12, -1).T[::-1])
    np.testing.assert_array_equal(loaded.train.images[order], X[expected][..., np.newaxis])
    np.testing.assert_array_equal(loaded.train.labels[order], Y[expected])
    np.testing.assert_array_equal(loaded.test.images, X[:4, ..., np.newaxis])
    assert (loaded.class_names, loaded.crop_padding, loaded.flip) == (("a", "b", "c"), 1, False)
    assert loaded.mean == given.data.mean and loaded.name == given.spec
    assert arrays.folder_name(given.data) == name_of(given)


def test_sorted_arrays_are_shuffled(tmp_path):
    given = from_arrays(y=np.sort(Y))
    arrays.store(given.data, tmp_path)
    labels = load(name_of(given), tmp_path).train.labels
    assert set(labels[:6]) == set(labels[6:]) == {0, 1, 2}


def test_every_part_of_a_run_finds_them_wherever_it_was_moved(tmp_path, monkeypatch):
    given = from_arrays()
    arrays.store(given.data, tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir("/")
    for part in ("", "runs/a", "runs/a/evaluate/select", "evaluate/b", "runs/a/runs/b"):
        assert len(load(name_of(given), tmp_path / "new" / part).train) == 12
    assert len(load(str(tmp_path / "new" / "data" / name_of(given))).train) == 12
    assert len(load(f"new/data/{name_of(given)}", data_dir=str(tmp_path)).train) == 12
    with pytest.raises(rdarts_tf.UserError, match="there are no arrays"):
        load(name_of(given), tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        {"x": X + 1},
        {"y": (Y + 1) % 3},
        {"class_names": ["a", "b", "c"]},
        {"crop_padding": 2},
        {"flip": False},
        {"x": X.swapaxes(1, 2)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_content_has_another_name(change):
    assert from_arrays(**change).spec != from_arrays().spec


def test_the_same_content_has_the_same_name():
    as_int64 = from_arrays(np.asfortranarray(X[..., np.newaxis]), Y.astype(np.int64))
    assert as_int64.spec == from_arrays(X, list(Y)).spec


def damage_array(folder):
    changed = np.load(folder / "x_test.npy")
    changed[0, 0, 0, 0] += 1
    np.save(folder / "x_test.npy", changed)


def damage_description(folder):
    path = folder / "arrays.json"
    path.write_text(path.read_text().replace('"flip": true', '"flip": false'))


def cut(folder):
    path = folder / "y_train.npy"
    path.write_bytes(path.read_bytes()[:-8])


def pickle(folder):
    np.save(folder / "y_train.npy", np.array([{}, print], object), allow_pickle=True)


@pytest.mark.parametrize(
    "damage", [damage_array, damage_description, cut, pickle], ids=lambda d: d.__name__
)
def test_what_was_changed_is_refused(tmp_path, damage):
    given = from_arrays()
    arrays.store(given.data, tmp_path)
    damage(tmp_path / "data" / name_of(given))
    with pytest.raises(
        rdarts_tf.UserError, match="delete that folder and call rdarts_tf.search"
    ) as told:
        load(name_of(given), tmp_path)
    assert "\n" not in str(told.value)


def test_arrays_are_stored_whole_or_not_at_all(tmp_path, monkeypatch):
    given = from_arrays()
    save = np.save

    def fail(file, array, **options):
        if array.ndim == 1:
            raise OSError(28, "No space left on device")
        save(file, array, **options)

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(rdarts_tf.UserError, match="No space left on device"):
        arrays.store(given.data, tmp_path)
    assert list((tmp_path / "data").iterdir()) == []
    monkeypatch.undo()
    killed = tmp_path / "data" / f".{name_of(given)}.1.tmp"
    killed.mkdir()
    arrays.store(given.data, tmp_path)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name_of(given)]


def test_arrays_are_stored_once(tmp_path):
    given = from_arrays()
    arrays.store(given.data, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    arrays.store(given.data, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (X / 255, Y, {}, r"x_train has dtype float64; give uint8, \(255 \* x\).round"),
        (X.astype(np.float32), Y, {}, "x_train has dtype float32; give uint8"),
        (X.astype(np.int64), Y, {}, "x_train has dtype int64; give uint8, x.astype"),
        (X.reshape(12, 64), Y, {}, r"x_train has shape \(12, 64\); give \[n, height, width\]"),
        (X[:, :4, :4], Y, {}, "images of 4x4"),
        (
            X,
            Y[:, np.newaxis],
            {},
            r"y_train has .* shape \(12, 1\); give integers \[n\], such as y.ravel",
        ),
        (X, np.eye(3)[Y], {}, "y.argmax"),
        (X, Y.astype(float), {}, "y_train has dtype float64"),
        (X, Y == 1, {}, "y_train has dtype bool"),
        (X, Y[:-1], {}, r"labels of dtype int32 and shape \(11,\); give int32 \[12\]"),
        (X, Y - 1, {}, "labels from -1 to 1"),
        (X, Y + 2000, {}, "go up to 2002 for 12 training images; number the classes from 0 on"),
        (X, Y + 2**40, {}, "number the classes from 0 on"),
        (X, Y * 0, {}, "1 classes; at least 2 are needed"),
        (X, Y, {"class_names": ("a", "b")}, "with 2 classes they must lie in 0 to 1"),
        (X[:0], Y[:0], {"class_names": ("a", "b")}, "x_train of arrays is empty"),
        (X, Y, {"name": "my data"}, "name='my data' must be up to 64 letters"),
        (X, Y, {"name": None}, "name='None' must be"),
        (X, Y, {"name": "a" * 300}, "must be up to 64 letters"),
        ([[1], [1, 2]], Y, {}, "x_train is no array"),
        (np.ma.masked_array(X, X > 3), Y, {}, "x_train is a MaskedArray that is masked"),
        (X, [2**70] * 12, {}, "y_train is a list that is masked or holds objects"),
        (X, Y, {"class_names": "abc"}, "class_names='abc' is no list of different texts"),
        (X, Y, {"class_names": {0: "a", 1: "b", 2: "c"}}, "is no list of different texts"),
        (X, Y, {"class_names": 3}, "class_names='3' is no list"),
        (X, Y, {"class_names": ["a", "a", "b"]}, "is no list of different texts"),
        (X, Y, {"class_names": ["a", "\ud800", "b"]}, "is no list of different texts"),
        (X, Y, {"crop_padding": 0.5}, "crop_padding=0.5"),
        (X, Y, {"crop_padding": True}, "crop_padding=True"),
        (X, Y, {"crop_padding": 9}, "crop_padding=9 .* from 0 to 8"),
        (X, Y, {"flip": 1}, "flip=1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_do_not_fit(x, y, options, words):
    with pytest.raises(rdarts_tf.UserError, match=words) as raised:
        from_arrays(x, y, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [None, iter(Y)], ids=["None", "iterator"])
def test_what_is_no_array(value):
    for arrays_ in ((value, Y, X, Y), (X, value, X, Y)):
        with pytest.raises(rdarts_tf.UserError, match="_train is a .* that is masked or holds obj"):
            rdarts_tf.Dataset.from_arrays(*arrays_)


def test_numbers_and_switches_of_numpy():
    plain = from_arrays(crop_padding=2, flip=False)
    assert from_arrays(crop_padding=np.int64(2), flip=np.bool_(False)).spec == plain.spec


def test_a_search_stores_its_arrays_and_names_them(started, tmp_path):
    path, given = tmp_path / "run", from_arrays()
    recorded_runs.write_run(path, dataset=given.spec)
    run = rdarts_tf.search(dataset=given, run_dir=path, epochs=3)
    assert started[0][1] == [f"--dataset={given.spec}", f"--run_dir={path}", "--epochs=3"]
    assert run.config["dataset"] == given.spec and load(name_of(given), path)


def test_other_arrays_for_the_same_run_are_refused(started, tmp_path):
    path, given, other = tmp_path / "run", from_arrays(), from_arrays(x=X + 1)
    recorded_runs.write_run(path, dataset=given.spec)
    with pytest.raises(rdarts_tf.UserError, match="digest of the content; choose another run_dir"):
        rdarts_tf.search(dataset=other, run_dir=path)
    assert not started and not (path / "data").exists()
    rdarts_tf.search(dataset=other, run_dir=path, overwrite=True)
    assert load(name_of(other), path)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"overwrite": True, "extend": True}, "leave one of them out"),
        ({"epochs": 1}, "holds a run with other flags"),
        ({"epochs": 1, "extend": True}, "--extend makes a run longer"),
    ],
    ids=str,
)
def test_no_arrays_are_stored_for_a_search_that_is_refused(started, tmp_path, flags, words):
    given = from_arrays()
    path = recorded_runs.write_run(tmp_path / "run", dataset=given.spec)
    with pytest.raises(rdarts_tf.UserError, match=words):
        rdarts_tf.search(dataset=given, run_dir=path, **flags)
    assert not started and not (path / "data").exists()


def test_arrays_are_stored_by_several_at_once(started, tmp_path):
    given = from_arrays()
    path = recorded_runs.write_run(tmp_path / "run", dataset=given.spec)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        flags = {"dataset": given, "run_dir": path, "epochs": 3}
        several = [pool.submit(rdarts_tf.search, **flags) for _ in range(8)]
    assert all(each.result().path == path for each in several) and load(name_of(given), path)


def test_no_arrays_are_stored_for_a_search_that_cannot_be(started, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(rdarts_tf.UserError, match="is odd"):
        rdarts_tf.search(dataset=from_arrays(), run_dir=path, init_channels=3)
    assert not started and not path.exists()


def test_an_evaluation_on_other_arrays_stores_them_too(started, tmp_path):
    path, given = recorded_runs.write_run(tmp_path / "run"), from_arrays()
    write_result(path, given.spec.replace("(", "-").strip(")"))
    rdarts_tf.open_run(path).evaluate(dataset=given)
    assert f"--dataset={given.spec}" in started[0][1]
    assert load(name_of(given), path)
