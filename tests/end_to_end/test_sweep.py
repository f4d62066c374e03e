"""The sweep command as a user runs it: two searches one after the other, then all it can tell."""

from rdarts_tf.runs.run_dir import RunDir
from tests import forked

TINY = ("--epochs=1", "--batch_size=300", "--init_channels=2", "--layers=1")
CHEAP = ("--alpha_step=first_order", "--hessian_every=0")


def sweep(out, *arguments):
    flags = (f"--out={out}", "--executor=local", "--space=s5", "--dataset=digits", *arguments)
    return forked.python("-m", "rdarts_tf.sweep", *flags)


def test_two_searches(tmp_path):
    result = sweep(tmp_path, "--seeds=1,2", "--", *TINY, *CHEAP)
    assert result.returncode == 0, result.stderr
    runs = [RunDir(tmp_path / f"s5_digits_darts_s{seed}") for seed in (1, 2)]
    for seed, run_dir in enumerate(runs, 1):
        assert run_dir.read_json("config.json")["seed"] == seed
        assert len(run_dir.read_metrics()) == 1
        assert (run_dir.path / "genotype.json").exists()
        assert "validation" in (run_dir.path / "log.txt").read_text()
        assert f"{run_dir.path}: done" in result.stdout
    # A run that fails is named, and the others end.
    (runs[0].path / "genotype.json").unlink()
    runs[0].write_json("dataset.json", runs[0].read_json("dataset.json") | {"digest": "other"})
    result = sweep(tmp_path, "--seeds=1,2", "--", *TINY, *CHEAP)
    assert result.returncode == 1
    log = runs[0].path / "log.txt"
    assert f"error: {runs[0].path} failed with exit code 2, see {log}" in result.stderr
    assert "the data are no longer those" in log.read_text()
    assert "is finished" in (runs[1].path / "log.txt").read_text()
