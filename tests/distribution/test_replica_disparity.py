"""A search of disparity cells on two replicas is that on one device, batches of an odd number included."""

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

registry.trust("tests.tiny_stereo")
run_dir = RunDir(sys.argv[1])
run_dir.create()
run = search_run.SearchRun(SearchConfig(
    space="tests.tiny_stereo", dataset="tests.tiny_stereo(num=2)", epochs=1, batch_size=3, stems=1,
    encoder_cells=1, decoder_cells=1, max_displacement=2, init_channels=2, crop_height=8, crop_width=16,
    strategy=sys.argv[2], batch_norm=False, hessian_every=0, alpha_step="first_order"), run_dir)
assert run.trainer.strategy.num_replicas_in_sync == (2 if sys.argv[2] == "mirrored" else 1)
run.run()
"""


@pytest.mark.xfail(reason="weights differ by up to 1e-3 after two steps; not yet explained")
def test_two_replicas_are_one_device(tmp_path):
    found = {}
    for strategy in ("one", "mirrored"):
        result = forked.python("-c", SCRIPT, tmp_path / strategy, strategy)
        assert result.returncode == 0, result.stderr[-3000:]
        found[strategy] = load_npz(tmp_path / strategy / "checkpoints/epoch_0001_step_000000.npz")
    for name, value in found["one"].items():
        np.testing.assert_allclose(
            found["mirrored"][name], value, rtol=2e-4, atol=2e-5, err_msg=name
        )
