"""Killed before whatever file operation, every command goes on to the same bits; nothing is left lying about.

--all-crash-points takes all of them, some thousand; otherwise a sample.
"""

import json
import random
import shutil

import numpy as np
import pytest

from rdarts_tf import registry
from rdarts_tf.runs.files import load_npz
from tests import scripted_steps
from tests.killed_disk import Disk, Killed
from tests.scripted_steps import ADA, TOY

SAMPLE = 3
TIMINGS = ("search/step_seconds", "train/step_seconds", "curvature/seconds")
SEARCH = ("search", *TOY, "--run_dir=RUN")
EVALUATE = ("evaluate", "--run_dir=RUN", "--plugin=tests.toy_task", "--dataset=tests.toy_task")
SCENARIOS = {
    "darts_ada": [(*SEARCH, f"--method={ADA}", "--epochs=4")],
    "rdarts_l2": [
        (*SEARCH, "--method=rdarts_l2(values=[0.1, 0.2])", "--epochs=2")
        + ("--select_epochs=2", "--executor=local")
    ],
    "evaluate": [(*SEARCH, "--epochs=1"), (*EVALUATE, "--seeds=1,2", "--epochs=4")],
    "overwrite": [(*SEARCH, "--epochs=1"), (*SEARCH, "--epochs=2", "--seed=5", "--overwrite")],
    "extend": [(*SEARCH, "--epochs=1"), (*SEARCH, "--epochs=3", "--extend")],
    "sweep": [("sweep", *TOY, "--seeds=1,2", "--out=RUN", "--", "--epochs=2")],
}


@pytest.fixture(scope="module", params=SCENARIOS)
def scenario(request, tmp_path_factory):
    """(arguments of the command, folder before it, folder after it, number of file operations)."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_TRUSTED", set())
        scripted_steps.replace_steps(patch)
        last, number = run_whole(request.param, folder, patch)
        yield last, folder / "before", folder / "whole", number


def run_whole(name, folder, patch):
    """(arguments of the last command, number of its file operations); FOLDER/before and FOLDER/whole are made."""
    *before, last = SCENARIOS[name]
    (folder / "before").mkdir()
    for arguments in before:
        assert call(arguments, folder / "before") == 0
    shutil.copytree(folder / "before", folder / "whole")
    with patch.context() as counted:
        disk = Disk(counted, folder / "whole")
        assert call(last, folder / "whole") == 0
    return last, disk.done


def call(arguments, folder):
    return scripted_steps.call(*(a.replace("RUN", str(folder)) for a in arguments))


def test_killed_anywhere_it_ends_with_the_same_bits(scenario, tmp_path, request, monkeypatch):
    arguments, before, whole, number = scenario
    points = range(number)
    if not request.config.getoption("--all-crash-points"):
        points = sorted(random.Random(1).sample(points, SAMPLE))
    for at in points:
        folder = tmp_path / str(at)
        shutil.copytree(before, folder)
        with monkeypatch.context() as patch:
            Disk(patch, folder, at=at)
            with pytest.raises(Killed):
                call(arguments, folder)
        assert call(again(arguments, folder), folder) == 0, f"killed before operation {at}"
        assert contents(folder) == contents(whole), f"killed before operation {at}"
        shutil.rmtree(folder)


def again(arguments, folder):
    """The command that goes on: --overwrite no more once the new run is on record."""
    file = folder / "config.json"
    begun = file.exists() and json.loads(file.read_text()).get("seed") == 5
    return [a for a in arguments if not begun or a != "--overwrite"]


def contents(folder):
    """{name: content} of all files; what tells of time or place is left out."""
    return {
        path.relative_to(folder).as_posix(): _content(path, folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log.txt"
    }


def _content(path, folder):
    if path.suffix == ".npz":
        arrays = load_npz(path)
        arrays.pop("seconds", None)  # of a Hessian
        return {name: (str(a.dtype), a.tolist()) for name, a in arrays.items()}
    if path.suffix == ".jsonl":
        rows = map(json.loads, path.read_text().splitlines())
        return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]
    return path.read_text().replace(str(folder), "RUN")


def test_a_kill_leaves_something_to_be_compared(scenario):
    _, _, whole, number = scenario
    assert number > 20 and any(name.endswith(".npz") for name in contents(whole))
    assert all(np.isfinite(a).all() for p in whole.rglob("*.npz") for a in load_npz(p).values())
