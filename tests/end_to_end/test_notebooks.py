"""The notebooks run from top to bottom, with a tiny search."""

import ast
import json
import pathlib

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = {
    "space": "s5",
    "epochs": 2,
    "batch_size": 359,
    "init_channels": 2,
    "layers": 1,
    "alpha_step": "first_order",
}
TINY_STEREO = {
    "dataset": "tests.tiny_stereo",
    "epochs": 1,
    "batch_size": 3,
    "init_channels": 2,
    "encoder_cells": 1,
    "decoder_cells": 1,
    "max_displacement": 2,
    "crop_height": 8,
    "crop_width": 16,
    "batch_norm": False,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_stored_without_output(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_quickstart(tmp_path, monkeypatch):
    """Twice in one kernel: the second time it finds the search finished."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    monkeypatch.setenv("QUICKSTART_RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("QUICKSTART_FLAGS", json.dumps(TINY))
    notebook = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=300, resources=where)
    with client.setup_kernel():
        first, second = ([*execute(client)] for _ in range(2))
    for outputs in (first, second):
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 6
        assert "Genotype(normal=[" in printed(outputs)
    assert "epoch 2/2: loss" in printed(first)
    assert "is finished" in printed(second) and "epoch" not in printed(second)


def run_once(name, monkeypatch, run_dir, *, flags, training):
    """The outputs of a notebook whose settings are those of its environment variables."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    monkeypatch.setenv(f"{name.upper()}_RUN_DIR", str(run_dir))
    monkeypatch.setenv(f"{name.upper()}_FLAGS", json.dumps(flags))
    monkeypatch.setenv(f"{name.upper()}_TRAINING", json.dumps(training))
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=300, resources=where)
    with client.setup_kernel():
        return [*execute(client)]


@pytest.mark.slow
def test_language(tmp_path, monkeypatch):
    for part, lines in (("train", 24), ("valid", 8), ("test", 8)):
        (tmp_path / f"{part}.txt").write_text("a b c d e\n" * lines)
    tiny = {"hidden": 6, "batch_size": 3, "bptt": 6, "eval_batch_size": 2, "epochs": 1}
    flags = tiny | {"space": "rnn_reduced", "nodes": 2, "dataset": f"text_folder({tmp_path})"}
    training = tiny | {"learning_rate": 2}
    outputs = run_once("language", monkeypatch, tmp_path / "run", flags=flags, training=training)
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 3
    assert "recurrent=[" in printed(outputs) and "epoch 1/1: loss" in printed(outputs)
    assert 1 < float(outputs[-1]["data"]["text/plain"]) < 20  # of seven words
    assert "curvature/lambda_max" in outputs_of(outputs, "validation/bigram_perplexity")


@pytest.mark.slow
def test_disparity(tmp_path, monkeypatch):
    search = TINY_STEREO | {"space": "tests.tiny_stereo", "hessian_products": 1}
    training = TINY_STEREO | {"stems": 1}
    outputs = run_once("disparity", monkeypatch, tmp_path / "run", flags=search, training=training)
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 3
    assert "upsample=[" in printed(outputs) and "epoch 1/1: loss" in printed(outputs)
    epe, constant, matched = ast.literal_eval(outputs[-1]["data"]["text/plain"])
    assert matched == 0 < constant and 0 < epe < 20  # whole pixels are found by matching
    row = outputs_of(outputs, "validation/epe")
    assert "curvature/lambda_max" in row


def outputs_of(outputs, words):
    """The text of the first answer with these words."""
    texts = (output.get("data", {}).get("text/plain", "") for output in outputs)
    return next(text for text in texts if words in text)


def execute(client):
    """Yields the outputs of all cells."""
    for index, cell in enumerate(client.nb.cells):
        yield from client.execute_cell(cell, index).get("outputs", ())


def printed(outputs):
    return "".join(output.text for output in outputs if output.output_type == "stream")
