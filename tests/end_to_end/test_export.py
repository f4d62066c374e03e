"""The export command in this process, of a network that was retrained."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import evaluate, export
from rdarts_tf.datasets import digits
from tests import in_process, scripted_steps

PAIRS = "[('sep_conv_3x3', 1), ('skip_connect', 0)]"
GENOTYPE = f"Genotype(normal={PAIRS}, normal_concat=[2], reduce={PAIRS}, reduce_concat=[2])"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("export") / "run"
    flags = (
        f"--run_dir={run_dir}",
        f"--genotype={GENOTYPE}",
        "--dataset=digits",
        "--epochs=1",
        "--batch_size=128",
        "--init_channels=4",
        "--layers=2",
        "--seeds=3",
    )
    with pytest.MonkeyPatch.context() as patch:
        assert in_process.run(patch, scripted_steps.unread(), evaluate, *flags)[0] == 0
    return run_dir


@pytest.fixture
def command(monkeypatch, capsys):
    """stdout of an export that ends well."""

    def command(*flags):
        code, stdout, stderr = in_process.run(monkeypatch, capsys, export, *flags)
        assert code == 0, stderr
        return stdout

    return command


def test_tflite_of_the_retrained_network_scores_as_recorded(evaluated, command):
    stdout = command(f"--run_dir={evaluated}", "--format=tflite")
    difference, path = stdout.strip().splitlines()[-2:]
    assert "read back in a new process, 64 test examples: largest difference" in difference
    assert path == str(evaluated / "export/digits.tflite")
    test = digits.load().test
    serve = tf.lite.Interpreter(path).get_signature_runner("serve")
    probabilities = serve(images=test.images)["probabilities"]
    error = np.mean(probabilities.argmax(-1) != test.labels)
    record = json.loads((evaluated / "evaluate/digits/result.json").read_text())
    assert error == pytest.approx(record["error_mean"], abs=2 / 360)  # ties within rounding


@pytest.mark.parametrize(
    ("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("dot", b"dig")]
)
def test_drawings(evaluated, kind, start, command):
    command(f"--run_dir={evaluated}", f"--format={kind}")
    for cell in ("normal", "reduce"):
        content = (evaluated / f"export/{cell}_cell.{kind}").read_bytes()
        assert content.startswith(start)
        assert kind == "png" or b"skip_connect" in content or b"<path" in content


def test_a_published_cell_is_drawn_without_a_run(command, tmp_path):
    command("--genotype=NASNet", "--format=dot", f"--out={tmp_path}")
    assert "avg_pool_3x3" in (tmp_path / "normal_cell.dot").read_text()


def test_a_cell_of_the_run(evaluated, command, tmp_path):
    out = tmp_path / "cell.keras"
    flags = ("--what=cell", "--format=keras", "--cell=reduce", f"--out={out}")
    command(f"--run_dir={evaluated}", *flags)
    assert out.exists()


@pytest.fixture
def in_folder(tmp_path, monkeypatch, capsys):
    """in_folder(*flags) -> (exit code, stdout, stderr), beside a file of the user."""
    (tmp_path / "notes.md").write_text("mine")
    monkeypatch.chdir(tmp_path)
    yield lambda *flags: in_process.run(monkeypatch, capsys, export, *flags)
    assert (tmp_path / "notes.md").read_text() == "mine"


CELL = ("--what=cell", f"--genotype={GENOTYPE}", "--channels=2", "--input_channels=2")


@pytest.mark.parametrize(("kind", "out"), [("keras", "."), ("savedmodel", "mine")])
def test_into_a_folder_and_over_a_former_export_by_overwrite(in_folder, tmp_path, kind, out):
    (tmp_path / "mine").mkdir()
    flags = (*CELL, f"--format={kind}", f"--out={out}")
    code, stdout, stderr = in_folder(*flags)
    assert code == 0, stderr
    name = "normal_cell.keras" if kind == "keras" else "normal_cell_savedmodel"
    path = tmp_path / out / name
    assert path.exists() and stdout.splitlines()[-1] == str(pathlib.Path(out) / name)
    before = path.stat().st_ino
    code, _, stderr = in_folder(*flags)
    assert code == 2 and f"{name} exists; choose another --out" in stderr
    assert path.stat().st_ino == before
    assert in_folder(*flags, "--overwrite")[0] == 0
    assert path.stat().st_ino != before
    assert in_folder(*CELL, f"--format={kind}", f"--out={path}", "--overwrite")[0] == 0
    assert {p.name for p in tmp_path.iterdir()} - {name} == {"mine", "notes.md"}


def test_what_is_the_users_is_not_replaced(evaluated, in_folder, tmp_path):
    taken = tmp_path / "digits_savedmodel"
    taken.mkdir()
    (taken / "saved_model.pb").write_text("of another program")
    for flags in ((), ("--overwrite",)):
        code, _, stderr = in_folder(f"--run_dir={evaluated}", "--out=.", *flags)
        assert code == 2 and "digits_savedmodel is no file and no SavedModel exported" in stderr
    code, _, stderr = in_folder(f"--run_dir={evaluated}", "--format=onnx", "--out=notes.md")
    assert code == 2 and "notes.md exists" in stderr
    assert [p.name for p in taken.iterdir()] == ["saved_model.pb"]


def test_drawings_replace_no_file_in_a_folder_of_the_user(in_folder, tmp_path):
    drawing = tmp_path / "reduce_cell.dot"
    drawing.write_text("mine")
    flags = (f"--genotype={GENOTYPE}", "--format=dot", "--out=.")
    code, _, stderr = in_folder(*flags)
    assert code == 2 and "reduce_cell.dot exists; choose another --out" in stderr
    assert drawing.read_text() == "mine" and len(list(tmp_path.iterdir())) == 2
    assert in_folder(*flags, "--overwrite")[0] == 0
    assert drawing.read_text().startswith("dig")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], ["give --run_dir"]),
        (["--run_dir={empty}"], ["no finished evaluation", "rdarts_tf.evaluate"]),
        (["--run_dir={empty}", "--format=png"], ["no finished evaluation", "a genotype"]),
        (["--run_dir={run}", "--evaluation=cifar10"], ["'cifar10'"]),
        (["--run_dir={run}", "--evaluation=../evaluate/digits"], ["'../evaluate/digits'"]),
        (["--run_dir={run}", "--evaluation=.."], ["'..'"]),
        (["--run_dir={run}", "--out={run}/evaluate/digits/result.json"], ["result.json exists"]),
        (["--run_dir={run}", "--format=keras", "--out={empty}/cells"], ["cells", "end in .keras"]),
        (["--run_dir={run}", "--seed=1"], ["the seeds 3, not 1"]),
        (["--run_dir={run}", "--what=cell", "--format=onnx"], ["cell", "onnx"]),
        (["--run_dir={run}", "--quantize=int8"], ["int8", "tflite"]),
        (["--genotype=DARTS_V2"], ["--run_dir", "--what=cell"]),
        (["--genotype=DARTS_V9", "--format=png"], ["DARTS_V9"]),
        (["--run_dir={run}", "--format=pdf"], ["pdf"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    evaluated, tmp_path, flags, words, monkeypatch, capsys
):
    empty = tmp_path / "empty"
    empty.mkdir()
    before = sorted(evaluated.rglob("*"))
    flags = [flag.format(run=evaluated, empty=empty) for flag in flags]
    code, _, stderr = in_process.run(monkeypatch, capsys, export, *flags)
    assert code == 2, stderr
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and all(word in last for word in words), last
    assert not list(empty.iterdir()) and sorted(evaluated.rglob("*")) == before


def test_other_classes_than_the_network_was_trained_on_are_refused(
    evaluated, tmp_path, monkeypatch, capsys
):
    run_dir = tmp_path / "run"
    shutil.copytree(evaluated, run_dir)
    path = run_dir / "evaluate/digits/dataset.json"
    text = path.read_text().replace('"digest"', '"unknown"')  # as an earlier version left it
    path.write_text(text.replace('"9"', '"9",\n  "10"'))
    code, _, stderr = in_process.run(monkeypatch, capsys, export, f"--run_dir={run_dir}")
    assert code == 2
    assert "not that of a network with 11 classes" in stderr
