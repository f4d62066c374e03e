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
    "layers": 2,
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


def test_disparity(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    monkeypatch.setenv("DISPARITY_RUN_DIR", str(tmp_path / "run"))
    search = TINY_STEREO | {"space": "tests.tiny_stereo", "hessian_products": 1}
    monkeypatch.setenv("DISPARITY_FLAGS", json.dumps(search))
    monkeypatch.setenv("DISPARITY_TRAINING", json.dumps(TINY_STEREO | {"stems": 1}))
    notebook = nbformat.read(ROOT / "notebooks" / "disparity.ipynb", as_version=4)
    where = {"metadata": {"path": str(ROOT / "notebooks")}}
    client = nbclient.NotebookClient(notebook, timeout=300, resources=where)
    with client.setup_kernel():
        outputs = [*execute(client)]
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
