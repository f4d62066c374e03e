"""The sweep command as a user runs it: two searches one after the other, then all it can tell."""

import pytest

from rdarts_tf.runs.run_dir import RunDir
from tests import forked

TINY = ("--epochs=1", "--batch_size=300", "--init_channels=2", "--layers=1")
CHEAP = ("--alpha_step=first_order", "--hessian_every=0")


def sweep(out, *arguments):
    flags = (f"--out={out}", "--executor=local", "--space=s5", "--dataset=digits", *arguments)
    return forked.python("-m", "rdarts_tf.sweep", *flags)


@pytest.mark.slow
def test_two_searches(tmp_path):
    result = sweep(tmp_path, "--seeds=2", "--", *TINY, *CHEAP)
    assert result.returncode == 0, result.stderr
    failing, done = (RunDir(tmp_path / f"s5_digits_darts_s{seed}") for seed in (1, 2))
    assert done.read_json("config.json")["seed"] == 2
    assert len(done.read_metrics()) == 1
    assert (done.path / "genotype.json").exists()
    assert "validation" in (done.path / "log.txt").read_text()
    assert f"{done.path}: done" in result.stdout
    # A run that fails is named, and the others end.
    failing.create()
    failing.write_json("config.json", done.read_json("config.json") | {"seed": 1})
    failing.write_json("dataset.json", done.read_json("dataset.json") | {"digest": "other"})
    result = sweep(tmp_path, "--seeds=1,2", "--", *TINY, *CHEAP)
    assert result.returncode == 1
    log = failing.path / "log.txt"
    assert f"error: {failing.path} failed with exit code 2, see {log}" in result.stderr
    assert "the data are no longer those" in log.read_text()
    assert "is finished" in (done.path / "log.txt").read_text()
