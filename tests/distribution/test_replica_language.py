"""A search of recurrent cells on two replicas is that on one device, BatchNorm over all columns."""

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
from rdarts_tf.engine import search_run
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.language_model.options import SearchConfig

run_dir = RunDir(sys.argv[1])
run_dir.create()
run = search_run.SearchRun(SearchConfig(
    space="rnn_reduced", dataset=f"text_folder({sys.argv[3]})", epochs=1, batch_size=3, nodes=2,
    hidden=4, bptt=8, learning_rate=2.0, eval_batch_size=3, dropout=0.0, dropouth=0.0, dropoutx=0.0,
    dropouti=0.0, strategy=sys.argv[2], sync_batch_norm=True, hessian_every=0,
    alpha_step="exact"), run_dir)
assert run.trainer.strategy.num_replicas_in_sync == (2 if sys.argv[2] == "mirrored" else 1)
run.run()
"""


@pytest.mark.slow
def test_two_replicas_are_one_device(tmp_path):
    text, found = tmp_path / "text.txt", {}
    text.write_text("a b c d e\nb d a\n" * 20)
    for strategy in ("one", "mirrored"):
        result = forked.python("-c", SCRIPT, tmp_path / strategy, strategy, text)
        assert result.returncode == 0, result.stderr[-3000:]
        found[strategy] = load_npz(tmp_path / strategy / "checkpoints/epoch_0001_step_000000.npz")
    rows = [json.loads((tmp_path / name / "metrics.jsonl").read_text()) for name in found]
    for name in ("search/loss", "validation/loss"):  # batches of 3 on two replicas
        assert rows[1][name] == pytest.approx(rows[0][name], rel=1e-5)
    for name, value in found["one"].items():
        np.testing.assert_allclose(
            found["mirrored"][name], value, rtol=2e-4, atol=2e-5, err_msg=name
        )
