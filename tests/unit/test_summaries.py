import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from rdarts_tf.engine import summaries as summaries_lib
from rdarts_tf.engine.summaries import CURVATURE_TAGS, STAGES, SearchSummaries
from rdarts_tf.genotypes.genotype import Genotype
from rdarts_tf.spaces.base import CellSpace
from rdarts_tf.tasks.base import Metric

METRICS = (Metric("loss", -1), Metric("perplexity", -1))
TAGS = {stage: summaries_lib.tags(stage, METRICS, ("learning_rate",)) for stage in STAGES}
SEP, SKIP = "sep_conv_3x3", "skip_connect"
GENOTYPE = Genotype(
    {"normal": ((SEP, 0), (SKIP, 1)), "reduce": ((SKIP, 0), (SKIP, 1))},
    {"normal": (2,), "reduce": (2,)},
)


def _read(log_dir):
    """Events as TensorBoard itself reads them.

    The older event_accumulator.EventAccumulator never drops orphaned tensors, so it would show
    what a killed process wrote too much.
    """
    accumulator = EventAccumulator(
        str(log_dir), size_guidance={"tensors": 0}, purge_orphaned_data=True
    )
    return accumulator.Reload()


def _values(log_dir, tag):
    """[(step, array)] of a tag."""
    return [(e.step, tf.make_ndarray(e.tensor_proto)) for e in _read(log_dir).Tensors(tag)]


def _scalars(log_dir, tag):
    return [(step, float(value)) for step, value in _values(log_dir, tag)]


def _write_losses(summaries, epochs, loss):
    for epoch in epochs:
        summaries.epoch(epoch, scalars={"search/loss": loss})
    summaries.flush()


def _wait_for_the_next_second():
    """Event files are read in the order of their names, which hold seconds."""
    time.sleep(1.1)


def test_tags_are_those_of_the_tasks_metrics_and_of_what_varies():
    trained, scored = ("loss", "perplexity", "learning_rate"), ("loss", "perplexity")
    for train, score in (("search", "validation"), ("train", "score")):
        expected = [f"{train}/{name}" for name in trained] + [f"{score}/{name}" for name in scored]
        assert TAGS[train] == (*expected, *CURVATURE_TAGS)


@pytest.mark.parametrize("stage", STAGES)
def test_scalars_come_back_at_their_epoch(tmp_path, stage):
    summaries = SearchSummaries(tmp_path, TAGS[stage])
    for epoch in range(3):
        summaries.epoch(epoch, scalars={tag: epoch + i for i, tag in enumerate(TAGS[stage])})
    summaries.close()
    for i, tag in enumerate(TAGS[stage]):
        assert _scalars(tmp_path, tag) == [(0, i), (1, i + 1), (2, i + 2)]


@pytest.mark.parametrize(
    "tag",
    ["serach/loss", "search/accuracy", "validation/learning_rate", "train/loss", "curvature/loss"],
)
def test_unknown_scalar_tag_is_refused_before_anything_is_written(tmp_path, tag):
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    with pytest.raises(ValueError, match=f"unknown scalar tag '{tag}'; known are search/loss, "):
        summaries.epoch(0, scalars={"search/loss": 1.0, tag: 1.0})
    summaries.close()
    assert _read(tmp_path).Tags()["tensors"] == []


def test_alphas_as_histogram_and_heat_map(tmp_path):
    raw = np.arange(10.0).reshape(5, 2)
    weights = np.full([5, 2], 0.5)
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    summaries.alphas(
        4,
        dict.fromkeys(("normal", "reduce"), CellSpace(((SEP, SKIP),) * 5, num_nodes=2)),
        alphas={"normal": raw, "reduce": raw + 100},
        edge_weights={"normal": weights, "reduce": weights},
    )
    summaries.close()
    [(step, buckets)] = _values(tmp_path, "alpha/reduce")  # [left, right, count] each
    assert step == 4
    assert buckets[0, 0] == 100 and buckets[-1, 1] == 109 and buckets[:, 2].sum() == raw.size
    for cell_type in ("normal", "reduce"):
        _check_image(tmp_path, f"alpha/{cell_type}_weights", step=4)


def test_edge_weights_of_another_cell_are_refused(tmp_path):
    cells = {"normal": CellSpace(((SEP, SKIP),) * 5, num_nodes=2)}
    alphas = {"normal": np.zeros([2, 2])}
    with pytest.raises(ValueError, match=r"edge weights \[2, 2\] but 5 edges"):
        SearchSummaries(tmp_path).alphas(0, cells, alphas=alphas, edge_weights=alphas)


def test_genotype_is_drawn_per_cell_type(tmp_path):
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    summaries.genotype(7, GENOTYPE)
    summaries.close()
    for cell_type in ("normal", "reduce"):
        _check_image(tmp_path, f"cell/{cell_type}", step=7)


def test_recurrent_cell_is_drawn(tmp_path):
    genotype = Genotype({"recurrent": (("tanh", 0), ("relu", 1))}, {"recurrent": (1, 2)})
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    summaries.genotype(0, genotype)
    summaries.alphas(
        0,
        {"recurrent": CellSpace((("tanh", "relu"),) * 3, num_nodes=2, num_inputs=1, kept_edges=1)},
        alphas={"recurrent": np.zeros([3, 2])},
        edge_weights={"recurrent": np.full([3, 2], 0.5)},
    )
    summaries.close()
    _check_image(tmp_path, "cell/recurrent", step=0)
    _check_image(tmp_path, "alpha/recurrent_weights", step=0)


def _check_image(log_dir, tag, *, step):
    [(got_step, (width, height, png))] = _values(log_dir, tag)
    pixels = tf.io.decode_png(png).numpy()
    assert got_step == step
    assert pixels.shape == (int(height), int(width), 3)
    assert 200 < int(width) < 2000 and 150 < int(height) < 2000
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_hparams_hold_simple_values_and_results(tmp_path):
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    config = {"method": "darts_es", "epochs": 50, "exact": True, "seeds": (1, 2), "name": None}
    summaries.hparams(config, {"test_error": 0.03}, step=50)
    summaries.close()
    content = _read(tmp_path).PluginTagToContent("hparams")["_hparams_/session_start_info"]
    written = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert written["method"].string_value == "darts_es"
    assert written["epochs"].number_value == 50
    assert written["exact"].bool_value is True
    assert written["seeds"].string_value == "[1, 2]"
    assert written["name"].string_value == "null"
    assert _scalars(tmp_path, "result/test_error") == [(50, pytest.approx(0.03))]


def test_hparams_refuse_what_json_cannot_hold(tmp_path):
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    with pytest.raises(TypeError, match="not JSON serializable"):
        summaries.hparams({"layer": object()})
    summaries.close()


def test_text(tmp_path):
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    summaries.text("decision", "stopped at **epoch 3**", step=3)
    summaries.close()
    [(step, text)] = _values(tmp_path, "decision")
    assert (step, text.item()) == (3, b"stopped at **epoch 3**")


def test_resume_hides_what_the_killed_process_wrote_too_much(tmp_path):
    """The first writer is flushed but never closed, as after a kill."""
    killed = SearchSummaries(tmp_path, TAGS["search"])
    _write_losses(killed, range(5), 1.0)
    _wait_for_the_next_second()
    resumed = SearchSummaries(tmp_path, TAGS["search"], resume_step=3)
    before = [(0, 1.0), (1, 1.0), (2, 1.0)]
    assert _scalars(tmp_path, "search/loss") == before
    _write_losses(resumed, range(3, 6), 2.0)
    assert _scalars(tmp_path, "search/loss") == [*before, (3, 2.0), (4, 2.0), (5, 2.0)]


def test_resume_twice_and_from_the_start(tmp_path):
    for resume_step, loss in ((0, 1.0), (2, 2.0), (0, 3.0), (1, 4.0)):
        summaries = SearchSummaries(tmp_path, TAGS["search"], resume_step=resume_step)
        _write_losses(summaries, range(resume_step, 3), loss)
        _wait_for_the_next_second()
    assert _scalars(tmp_path, "search/loss") == [(0, 3.0), (1, 4.0), (2, 4.0)]


def test_resume_after_a_kill_in_the_middle_of_a_record(tmp_path):
    killed = SearchSummaries(tmp_path, TAGS["search"])
    _write_losses(killed, range(5), 1.0)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    _wait_for_the_next_second()
    _write_losses(SearchSummaries(tmp_path, TAGS["search"], resume_step=4), [4], 2.0)
    assert _scalars(tmp_path, "search/loss") == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]


def test_rewind_within_a_process(tmp_path):
    summaries = SearchSummaries(tmp_path, TAGS["search"])
    _write_losses(summaries, range(4), 1.0)
    summaries.rewind(1)
    _write_losses(summaries, range(1, 3), 2.0)
    assert _scalars(tmp_path, "search/loss") == [(0, 1.0), (1, 2.0), (2, 2.0)]
