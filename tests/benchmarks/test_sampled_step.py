"""The benchmark of sampled steps on a tiny network."""

import json

import pytest

from benchmarks import sampled_step

TINY = ["--rounds=2", "--steps=2", "--cells=1", "--channels=2", "--batch=2", "--size=8"]


@pytest.mark.slow
def test_rows_and_table(tmp_path, capsys, monkeypatch):
    # Its settings hold for the rest of the process, other tests included.
    monkeypatch.setattr(sampled_step.distribution, "configure_runtime", lambda: None)
    out = tmp_path / "rows.json"
    sampled_step.main(["--space=s5", f"--out={out}", *TINY])
    (row,) = json.loads(out.read_text())
    for label in ("sampled", "all"):
        median, least, largest = row[label]
        assert 0 < least <= median <= largest < row[f"first_{label}"]
    assert row["ratio"] == row["sampled"][0] / row["all"][0]
    assert "| s5 |" in capsys.readouterr().out


def test_the_other_side_computes_every_operation(monkeypatch):
    seen = []
    monkeypatch.setattr(
        sampled_step.supernet.Supernet, "call", lambda self, images, **kwargs: seen.append(kwargs)
    )
    space = sampled_step.registry.load("spaces", "s5")[0].SPACE
    net = sampled_step.Dense(space, 10, channels=2, num_cells=1)
    net.call(None, edge_weights="path", sampled=True, training=True)
    assert seen == [{"edge_weights": "path", "training": True}]
