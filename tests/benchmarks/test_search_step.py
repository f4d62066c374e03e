"""The step benchmark on a tiny network, beside a peer that only answers."""

import json
import pathlib
import sys
import types

import pytest

from benchmarks import search_step

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER = """
import json, sys
slow = "--channels_last" in sys.argv
assert sys.argv[sys.argv.index("--rows") + 1] in ("0", "3")
assert sys.argv[sys.argv.index("--size") + 1] == "8"
print("a line before")
print(json.dumps({"weight_step_seconds": 2 if slow else 1, "alpha_step_seconds": 4, "peak_rss_gib": 0.5, "hessian_seconds": 9}))
"""
TINY = ["--rounds=2", "--steps=2", "--cells=1", "--channels=2", "--batch=2", "--size=8"]


@pytest.fixture
def peer(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    path = tmp_path / "peer.py"
    path.write_text(PEER)
    return path


@pytest.mark.slow
def test_rows_and_table(peer, tmp_path, capsys):
    out = tmp_path / "rows.json"
    arguments = [f"--peer={peer}", "--space=s5", f"--out={out}", "--case", "weight", "curvature"]
    search_step.main(arguments + TINY)
    weight, curvature = json.loads(out.read_text())
    assert (weight["case"], curvature["case"], weight["rounds"]) == ("weight", "curvature", 2)
    for row in (weight, curvature):
        median, least, largest = row["seconds"]
        assert 0 < least <= median <= largest < row["first_seconds"]
        assert 0.2 < row["rss_gib"] < 3
    assert weight["peer_nchw"] == [1, 1, 1]
    assert weight["peer_nhwc"] == [2, 2, 2]
    assert curvature["peer_nchw"] == [9, 9, 9]
    assert "| s5 | curvature |" in capsys.readouterr().out


def test_ratios_are_ours_over_the_peers():
    child = types.SimpleNamespace(first_seconds=9.0, rss_gib=6.0)
    result = {"alpha_step_seconds": 2.0, "peak_rss_gib": 3.0}
    peer = {"nchw": [result, result | {"alpha_step_seconds": 4.0}], "nhwc": [result]}
    row = search_step.make_row("s2", "exact", child, [1.0, 5.0, 3.0], peer)
    assert row["seconds"] == [3.0, 1.0, 5.0]
    assert row["peer_nchw"] == [3.0, 2.0, 4.0]
    assert (row["ratio_nchw"], row["ratio_nhwc"]) == (1.0, 1.5)
    assert row["memory_ratio_nchw"] == 2.0
    line = search_step.table([row]).splitlines()[-1]
    assert line == (
        "| s2 | exact | 3.00 (1.00-5.00) | 3.00 (2.00-4.00), 1.00 | 2.00 (2.00-2.00), 1.50 | 9 s "
        "| 6.0 GiB (2.00, 2.00) |"
    )


@pytest.mark.slow
def test_a_child_that_fails_tells_why(peer):
    with pytest.raises(RuntimeError, match="unknown space 's9'"):
        search_step.Child("s9", "weight", search_step.SIZES)


def test_a_peer_that_fails_tells_why(peer):
    peer.write_text("raise SystemExit('no torch here')")
    sizes = {"steps": 1} | search_step.SIZES
    args = types.SimpleNamespace(peer=str(peer), peer_python=sys.executable, **sizes)
    with pytest.raises(RuntimeError, match="no torch here"):
        search_step.run_peer(args, "s5", "nchw", rows="0")
