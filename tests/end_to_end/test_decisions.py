"""Searches that stop early or roll back. The thresholds are so low that they do at known epochs.

Of the toy task, in this process; `Killed` stands for SIGKILL. Where what a step computes does not
matter, steps are arithmetic (tests/scripted_steps.py).
"""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from rdarts_tf import analyze, registry
from rdarts_tf.config import search as config_lib
from rdarts_tf.config.analyze import AnalyzeConfig
from rdarts_tf.engine import search_run, summaries
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype, rule
from rdarts_tf.optimizers import cosine
from rdarts_tf.runs.files import load_npz
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification.options import SearchConfig as ImageConfig
from tests import scripted_steps, stubbed_search
from tests.toy_task import options, task

RULE = "window=1, delta=1, factor=0.01, start_epoch=1, frequency=1"
ES, ADA = f"darts_es({RULE})", f"darts_ada({RULE})"
TOY = {"space": "tests.toy_task", "dataset": "tests.toy_task", "epochs": 5}
TOY |= {"arch_learning_rate": 0.01, "eigensolver": "full"}


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True, scope="module")
def _scheduled():
    """The toy has a schedule, so that what is in force in an epoch shows."""

    def rates(self, config, epoch):
        rate = cosine(epoch, config.epochs, 0.025, 0.001)
        return {"learning_rate": rate, "weight_decay": config.weight_decay}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_TRUSTED", {"tests.toy_task"})
        patch.setattr(task.Search, "rates", rates)
        yield


@pytest.fixture
def scripted(monkeypatch):
    """Steps are arithmetic."""
    scripted_steps.replace_steps(monkeypatch)


def make(path, method, *, kind=options.SearchConfig, **changes):
    run_dir = RunDir(path)
    run_dir.create()
    fields = TOY if kind is options.SearchConfig else {}
    settings = config_lib.check(kind(**fields | {"method": method} | changes))
    return search_run.SearchRun(settings, run_dir, say=lambda line: None)


def decisions(path):
    return json.loads((path / "decisions.json").read_text())


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(first, second):
    timings = ("search/step_seconds", "curvature/seconds")
    one, two = (
        [{k: v for k, v in r.items() if k not in timings} for r in rows(p)] for p in (first, second)
    )
    assert one == two
    ours, theirs = (
        load_npz(sorted((p / "checkpoints").glob("*.npz"))[-1]) for p in (first, second)
    )
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert (first / "genotype.json").read_text() == (second / "genotype.json").read_text()


def at_epoch(path, epoch, space):
    alphas = load_npz(path / "alphas.npz")
    edge_weights = {t: tf.nn.softmax(a[epoch]).numpy() for t, a in alphas.items()}
    return rule.derive(space, edge_weights)


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory):
    """An ADA run; after epoch 2 it goes back to the end of epoch 1, twice."""
    path = tmp_path_factory.mktemp("ada") / "run"
    run, restored = make(path, ADA), []
    go_back = run._go_back

    def spy(num_epochs):
        checkpoint = load_npz(path / f"checkpoints/epoch_{num_epochs:04d}_step_000000.npz")
        go_back(num_epochs)
        arrays = {name: v.numpy() for name, v in run._variables().items()}
        restored.append((num_epochs, arrays, checkpoint))

    run._go_back = spy
    run.run()
    return path, restored


def test_ada_goes_back_and_decays_more(rolled_back):
    path, _ = rolled_back
    assert [(d["epoch"], d["decided_after"]) for d in decisions(path)] == [(1, 2), (1, 2)]
    assert [row["epoch"] for row in rows(path)] == list(range(5))
    decay = [row["search/weight_decay"] for row in rows(path)]
    np.testing.assert_allclose(decay, [3e-4, 3e-4, 3e-2, 3e-2, 3e-2])
    for row in rows(path):  # by the absolute epoch
        assert row["search/learning_rate"] == cosine(row["epoch"], 5, 0.025, 0.001)
    assert len(load_npz(path / "alphas.npz")["toy"]) == 5
    assert len(list((path / "hessian").glob("*.npz"))) == 5


def test_ada_restores_every_bit(rolled_back):
    _, restored = rolled_back
    assert [num_epochs for num_epochs, *_ in restored] == [2, 2]
    for _, arrays, checkpoint in restored:
        assert arrays.keys() == checkpoint.keys()
        for name, array in checkpoint.items():
            np.testing.assert_array_equal(arrays[name], array, err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A scripted ADA run, which goes back twice."""
    path = tmp_path_factory.mktemp("scripted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        scripted_steps.replace_steps(patch)
        make(path, ADA).run()
    assert len(decisions(path)) == 2
    return path


def killing(function=lambda *args, **kwargs: None):
    """A function that ends as the process is killed."""

    def call(*args, **kwargs):
        function(*args, **kwargs)
        raise Killed

    return call


@pytest.mark.parametrize("moment", ["recorded", "deleted", "resumed", "epoch"])
def test_ada_killed_in_a_rollback_ends_the_same(whole, scripted, tmp_path, monkeypatch, moment):
    path = tmp_path / "run"
    run = make(path, ADA)
    with monkeypatch.context() as patch:
        if moment == "recorded":
            patch.setattr(run.run_dir, "delete_checkpoints_after", killing())
        elif moment == "deleted":
            delete = run.run_dir.delete_checkpoints_after
            patch.setattr(run.run_dir, "delete_checkpoints_after", killing(delete))
        elif moment == "resumed":
            patch.setattr(summaries.NoSummaries, "decision", killing(), raising=False)
        else:
            checkpoint = run._checkpoint
            run._checkpoint = lambda step: (killing(checkpoint) if run.epoch == 3 else checkpoint)(
                step
            )
        with pytest.raises(Killed):
            run.run()
    make(path, ADA).run()
    assert_same_run(whole, path)


def test_ada_by_drop_path(tmp_path, monkeypatch):
    """On images, which have it."""
    blocks = stubbed_search.replace_steps(monkeypatch)
    fields = {
        "space": "s5",
        "dataset": "digits",
        "layers": 1,
        "init_channels": 2,
        "batch_size": 300,
    }
    method = f"darts_ada({RULE}, regularizer=drop_path, increase=0.3, maximum=0.3)"
    path = tmp_path / "run"
    make(path, method, kind=ImageConfig, epochs=4, cutout_length=4, **fields).run()
    assert [row["search/drop_path_prob"] for row in rows(path)][2:] == pytest.approx([0.2, 0.3])
    assert [row["search/weight_decay"] for row in rows(path)] == [3e-4] * 4
    assert [epoch for epoch, first, *_ in blocks if first == 0] == [0, 1, 2, 2, 3]
    assert blocks[-1][3]["drop_path_prob"] == pytest.approx(0.3)  # as the steps take it


def test_ada_needs_no_checkpoint_that_is_not_written(scripted, tmp_path):
    run = make(tmp_path / "run", ADA, checkpoint_every=3, epochs=4)
    run.run()
    assert len(decisions(tmp_path / "run")) == 2


def test_es_stops_with_the_architecture_of_its_epoch(scripted, tmp_path):
    path = tmp_path / "run"
    run = make(path, ES)
    found = run.run()
    assert [(d["decision"], d["epoch"]) for d in decisions(path)] == [("stop", 1)]
    assert len(rows(path)) == 3
    assert found == at_epoch(path, 1, run.space) != at_epoch(path, 2, run.space)
    assert genotype.parse((path / "genotype.json").read_text()) == found
    again = make(path, ES)  # as after a kill before the result was written
    (path / "genotype.json").unlink()
    assert again.run() == found
    assert len(rows(path)) == 3


def test_es_may_go_on_to_the_end_and_records_both(scripted, tmp_path):
    path = tmp_path / "run"
    run = make(path, ES.replace("start_epoch=1", "start_epoch=2"), continue_after_stop=True)
    found = run.run()
    assert len(rows(path)) == 5
    assert [d["epoch"] for d in decisions(path)] == [2]
    assert found == at_epoch(path, 2, run.space) != at_epoch(path, 4, run.space)
    last = genotype.parse((path / "genotype_last_epoch.json").read_text())
    assert last == at_epoch(path, 4, run.space)
    for epoch, row in enumerate(rows(path)):
        assert row["genotype"] == str(at_epoch(path, epoch, run.space))


def test_decisions_show_in_tensorboard(rolled_back):
    events = EventAccumulator(str(rolled_back[0] / "tensorboard"), {"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert {"curvature/lambda_max", "curvature/rollback", "decision/rollback"} <= set(tags)
    assert {e.step for e in events.Tensors("curvature/rollback")} == {1}
    assert [e.step for e in events.Tensors("curvature/lambda_max")] == list(range(5))


def test_lambda_max_every_so_many_epochs_and_after_the_last(tmp_path):
    make(tmp_path / "run", "darts", hessian_every=3, epochs=5, hessian_spectrum=True).run()
    measured = [r["epoch"] for r in rows(tmp_path / "run") if "curvature/lambda_max" in r]
    assert measured == [0, 3, 4]
    saved = load_npz(tmp_path / "run/hessian/epoch_0003.npz")
    np.testing.assert_allclose(np.linalg.eigvalsh(saved["hessian"]), saved["spectrum"], atol=1e-6)


def test_analyze_computes_the_spectrum_of_checkpoints_anew(rolled_back):
    path, _ = rolled_back
    recorded = {row["epoch"]: row["curvature/lambda_max"] for row in rows(path)}
    files = dict(analyze.spectra(AnalyzeConfig(what="spectrum"), [str(path)]))
    assert set(files) == {"spectrum_run.png", "spectrum.csv"}
    table = list(csv.DictReader(files["spectrum.csv"].decode().splitlines()))
    largest = {int(row["epoch"]): float(row["eigenvalue"]) for row in table}  # the last of each
    assert len(largest) >= 2
    for epoch, value in largest.items():
        assert value == pytest.approx(recorded[epoch], rel=1e-6)


def test_a_hessian_that_is_not_finite_is_missing_not_zero(scripted, tmp_path, monkeypatch):
    run = make(tmp_path / "run", "darts", epochs=2)
    measure, said = run.curvature.measure, []
    run.say = said.append

    def broken(*args, epoch, **kwargs):
        found = measure(*args, epoch=epoch, **kwargs)
        return found._replace(lambda_max=float("nan")) if epoch == 0 else found

    monkeypatch.setattr(run.curvature, "measure", broken)
    run.run()
    assert [row["curvature/lambda_max"] is None for row in rows(tmp_path / "run")] == [True, False]
    assert any("epoch 0: the Hessian is not finite" in line for line in said)


def test_a_loss_without_second_derivative(tmp_path, monkeypatch):
    """Halved and doubled in size, bilinearly, as TensorFlow can derive only once."""
    loss = task.Search.loss

    def blurred(self, call, batch, carry, *, edge_weights, **network):
        image = tf.reshape(edge_weights["toy"], [1, 1, 2, 1])
        image = tf.image.resize(tf.image.resize(image, (2, 2)), (1, 2))
        weights = {"toy": tf.reshape(image, [1, 2])}
        return loss(self, call, batch, carry, edge_weights=weights, **network)

    monkeypatch.setattr(task.Search, "loss", blurred)
    monkeypatch.setattr(summaries, "SearchSummaries", lambda *a, **k: summaries.NoSummaries())
    flags = {"epochs": 2, "alpha_step": "first_order"}
    run, said = make(tmp_path / "plain", "darts", **flags), []
    run.say = said.append
    run.run()
    assert [row.get("curvature/lambda_max") for row in rows(tmp_path / "plain")] == [None, None]
    assert sum("ResizeBilinearGrad" in line for line in said) == 1
    with pytest.raises(UserError, match="ResizeBilinearGrad.*darts_es"):
        make(tmp_path / "es", ES, **flags).run()
