"""A search of disparity cells on two replicas is that on one device: batches of 3 pairs, then of one."""

import json

import numpy as np
import pytest

from rdarts_tf.runs.files import load_npz
from tests import forked

SCRIPT = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from rdarts_tf import registry
from rdarts_tf.engine import search_run
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.disparity.options import SearchConfig

SearchConfig.dtype = "float64"
registry.trust("tests.tiny_stereo")
for strategy in ("one", "mirrored"):
    run_dir = RunDir(f"{sys.argv[1]}/{strategy}")
    run_dir.create()
    run = search_run.SearchRun(SearchConfig(
        space="tests.tiny_stereo", dataset="tests.tiny_stereo(num=2)", epochs=1, batch_size=3, stems=1,
        encoder_cells=1, decoder_cells=1, max_displacement=2, init_channels=2, crop_height=8,
        crop_width=16, strategy=strategy, batch_norm=False, hessian_every=0,
        alpha_step="first_order"), run_dir)
    assert run.trainer.strategy.num_replicas_in_sync == (2 if strategy == "mirrored" else 1)
    run.run()
"""


def results(folder):
    (row,) = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    metrics = {k: v for k, v in row.items() if k.endswith(("loss", "epe", "pixel"))}
    assert len(metrics) >= 6
    return load_npz(folder / "checkpoints/epoch_0001_step_000000.npz"), metrics


@pytest.mark.slow
def test_two_replicas_are_one_device(tmp_path):
    """In float64, but for metrics, which are summed in float32."""
    result = forked.python("-c", SCRIPT, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    one, metrics = results(tmp_path / "one")
    two, others = results(tmp_path / "mirrored")
    assert others == pytest.approx(metrics, rel=1e-6)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
