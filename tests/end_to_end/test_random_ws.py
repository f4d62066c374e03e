"""Searches by sampled architectures on digits, in this process; killed, stopped and resumed.

`Killed` stands for SIGKILL: what the process held in memory is gone, files are as they were.
"""

import contextlib
import io
import json
import signal

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import analyze, search
from rdarts_tf.config import search as config_lib
from rdarts_tf.config.analyze import AnalyzeConfig
from rdarts_tf.engine import distribution, epochs, path_search, search_steps
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype, rule
from rdarts_tf.methods import random_ws
from rdarts_tf.runs.files import load_npz
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import in_process, scripted_steps, stubbed_search

METHOD = "random_ws(n_samples=30, score_batches=2, top=3, score_every=2)"
FLAGS = {
    "space": "s5",
    "dataset": "digits",
    "method": METHOD,
    "epochs": 3,
    "batch_size": 128,  # six steps an epoch, six batches to validate
    "init_channels": 2,
    "layers": 1,
}


class Killed(BaseException):
    pass


def make(path, **changes):
    run_dir = RunDir(path)
    run_dir.create()
    settings = config_lib.check(SearchConfig(**FLAGS | changes))
    return path_search.make_run(settings, run_dir, say=lambda line: None)


def command(monkeypatch, capsys, path, **changes):
    flags = [f"--{name}={value}" for name, value in (FLAGS | changes).items()]
    arguments = (*flags, f"--run_dir={path}")
    return in_process.run(monkeypatch, capsys, search, *arguments)


def selection(path, epoch):
    return json.loads((path / f"selections/epoch_{epoch:04d}.json").read_text())


def assert_same(one, two):
    newest = [RunDir(path).list_checkpoints()[0] for path in (one, two)]
    assert newest[0][0] == newest[1][0]
    ours, theirs = (load_npz(path) for _, path in newest)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for a, b in zip(*(RunDir(path).read_metrics() for path in (one, two)), strict=True):
        assert a | {"search/step_seconds": 0} == b | {"search/step_seconds": 0}
    for name in ("genotype.json", "selections/epoch_0001.json", "selections/epoch_0002.json"):
        assert (one / name).read_text() == (two / name).read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(run directory, SearchRun, stdout) of one command."""
    path, runs, printed = tmp_path_factory.mktemp("whole") / "run", [], io.StringIO()

    def kept(*args, make_run=path_search.make_run, **kwargs):
        runs.append(make_run(*args, **kwargs))
        return runs[-1]

    distribution.configure_runtime()  # which a command in this process leaves out
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(path_search, "make_run", kept)
        code, *_ = command(patch, scripted_steps.unread(), path)
    assert code == 0
    return path, *runs, printed.getvalue()


def test_one_command_leaves_a_genotype_and_what_was_scored(finished):
    path, _, stdout = finished
    found = genotype.parse((path / "genotype.txt").read_text())
    assert str(found) in stdout
    assert "lambda_max" not in stdout
    assert "epoch 1/3: loss" in stdout
    rows = RunDir(path).read_metrics()
    assert [row["genotype"] is None for row in rows] == [True, False, False]
    assert [row["search/skip_connections"] is None for row in rows] == [True, False, False]
    assert rows[2]["genotype"] == str(found)
    assert all(key in rows[0] for key in ("search/loss", "validation/accuracy"))
    assert not any(key.startswith("curvature") for key in rows[0])
    assert not (path / "alphas.npz").exists()  # nothing trained them


def test_the_selection_is_by_the_whole_split_among_the_best_few(finished):
    for epoch, row in enumerate(RunDir(finished[0]).read_metrics()[1:], 1):
        record = selection(finished[0], epoch)
        scored, top = record["scored"], record["top"]
        names = [entry["genotype"] for entry in scored]
        assert 20 < len(names) == len(set(names)) <= 30  # of 81 some are drawn twice
        scores = [entry["score"] for entry in scored]
        assert [e["genotype"] for e in top] == [
            names[i] for i in np.argsort([-s for s in scores], kind="stable")[:3]
        ]
        accuracies = [entry["accuracy"] for entry in top]
        assert row["genotype"] == top[int(np.argmax(accuracies))]["genotype"]


def test_scores_are_those_of_the_architecture_on_its_own_batches(finished):
    """By a network that computes everything, on batches cut from each pass by hand."""
    run, record = finished[1], selection(finished[0], 2)
    run.epoch = 2
    for index in (0, 4):  # batches 0 and 1 of the first pass of six, 2 and 3 of the second
        at, batches = 2 * index, list(run._scoring_batches(0).take(12))[2 * index :][:2]
        number, step = divmod(at, 6)
        again = list(run._scoring_batches(6 * number).skip(step).take(2))
        paths = path_search.distinct(run._sample(path_search._SELECT, 30))
        path = {t: tf.constant(p[index]) for t, p in paths.items()}
        correct = count = 0
        for (images, labels), (same, _) in zip(batches, again, strict=True):
            np.testing.assert_array_equal(images, same)
            logits = run.net(images, edge_weights=path, training=False)
            correct += int(np.sum(np.argmax(logits, axis=1) == labels.numpy()))
            count += len(labels)
        found = record["scored"][index]
        assert found["score"] == pytest.approx(correct / count, abs=1e-6)
        assert found["genotype"] == str(rule.of_path(run.space, path))


def test_every_step_has_its_own_architecture_and_a_resumed_epoch_the_same(finished):
    run = finished[1]
    config = run.decisions.in_force(1)
    run.epoch = 1
    whole = list(run._search_epoch(config, 1, first_step=0))
    rest = list(run._search_epoch(config, 1, first_step=4))
    assert (len(whole), len(rest)) == (6, 2)
    for one, two in zip(whole[4:], rest, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, two)
    bits = {np.concatenate([p.numpy().ravel() for p in e[1].values()]).tobytes() for e in whole}
    assert len(bits) > 3  # six of 81
    run.epoch = 2
    other = next(iter(run._search_epoch(config, 2, first_step=0)))
    assert np.abs(other[0][0] - whole[0][0][0]).max() > 0


def killed_at(monkeypatch, name, number):
    """`Killed` instead of the call with that number of a method of search_steps.PathSearch."""
    calls, method = [], getattr(search_steps.PathSearch, name)

    def call(self, *arguments):
        calls.append(None)
        if len(calls) == number:
            raise Killed
        return method(self, *arguments)

    monkeypatch.setattr(search_steps.PathSearch, name, call)


@pytest.mark.slow
def test_stopped_in_mid_epoch_and_killed_in_a_selection_equals_uninterrupted(
    finished, tmp_path, monkeypatch
):
    path = tmp_path / "run"
    monkeypatch.setattr(epochs, "_BLOCK_SECONDS", 1e-9)  # a checkpoint after any step, or file
    run, block = make(path), search_steps.PathSearch.search_block

    def terminate(self, iterator, first, *arguments):
        if int(first) == 2:
            signal.raise_signal(signal.SIGTERM)
        return block(self, iterator, first, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(search_steps.PathSearch, "search_block", terminate)
        with pytest.raises(epochs.Interrupted) as stopped:
            run.run()
    assert stopped.value.exit_code == 143
    assert RunDir(path).list_checkpoints()[0][0] == (0, 3)
    with monkeypatch.context() as patch:  # two epochs are validated; the eleventh architecture
        killed_at(patch, "validate_block", 12 + 11)
        with pytest.raises(Killed):
            make(path).run()
    assert len(selection(path, 1)["scored"]) == 10
    assert RunDir(path).list_checkpoints()[0][0] == (1, 6)  # no training is lost
    make(path).run()
    assert_same(finished[0], path)


@pytest.mark.parametrize(
    ("number", "code", "part", "done"),
    [(signal.SIGTERM, 143, "scored", 13), (signal.SIGINT, 130, "top", 1)],
)
def test_a_signal_in_the_last_selection_ends_it_and_nothing_is_scored_twice(
    tmp_path, monkeypatch, capsys, number, code, part, done
):
    path, block = tmp_path / "run", search_steps.PathSearch.validate_block
    file, before, after = path / "selections/epoch_0000.json", [], []
    monkeypatch.setattr(epochs, "_BLOCK_SECONDS", 1e-9)

    def count(self, *arguments):
        (after if before[-1:] == ["signal"] else before).append("call")
        if not after and file.exists() and len(selection(path, 0)[part]) == done:
            before.append("signal")
            signal.raise_signal(number)
        return block(self, *arguments)

    monkeypatch.setattr(
        search_steps.PathSearch, "search_block", lambda *a: (a[3], tf.constant(0.5))
    )
    monkeypatch.setattr(search_steps.PathSearch, "validate_block", count)
    method = METHOD.replace("score_every=2", "score_every=0")
    stopped, _, stderr = command(monkeypatch, capsys, path, method=method, epochs=1)
    assert stopped == code
    assert "the same command goes on from there" in stderr
    assert not (path / "genotype.json").exists()
    stopped = selection(path, 0)
    assert command(monkeypatch, capsys, path, method=method, epochs=1)[0] == 0
    scored, top = (len(selection(path, 0)[name]) - len(stopped[name]) for name in ("scored", "top"))
    assert len(after) == 6 + scored + 6 * top  # the validation is done again
    assert (scored > 0, top) == ((True, 3) if part == "scored" else (False, 2))


def test_scores_of_other_weights_are_not_taken_up(finished):
    run = finished[1]
    run.epoch = 2
    assert run._unfinished_selection()["scored"]
    weight = run.net.trainable_variables[0]
    before = weight.numpy()
    weight.assign(before + 1e-6)
    assert run._unfinished_selection()["scored"] == []
    weight.assign(before)


def test_a_budget_in_steps_cuts_the_last_epoch(tmp_path, monkeypatch):
    """7 steps: an epoch of 6 and one of 1, while the learning rate falls over all of --epochs."""
    monkeypatch.setattr(random_ws, "AUTHORS_STEPS", 7)
    blocks = stubbed_search.replace_steps(monkeypatch)
    run = make(
        tmp_path / "run", method="random_ws(n_samples=2, top=1, score_batches=1, budget=authors)"
    )
    monkeypatch.setattr(run.trainer, "metrics", lambda: {"loss": 1.0, "accuracy": 0.5})
    run.run()
    done = {epoch: max(last for e, _, last, _ in blocks if e == epoch) for epoch in (0, 1)}
    assert done == {0: 6, 1: 1}
    rows = RunDir(tmp_path / "run").read_metrics()
    assert [row["epoch"] for row in rows] == [0, 1]
    # 0.001 + 0.024 (1 + cos(pi / 3)) / 2
    assert rows[1]["search/learning_rate"] == pytest.approx(0.019)
    assert RunDir(tmp_path / "run").list_checkpoints()[0][0] == (2, 0)
    assert (tmp_path / "run/genotype.json").exists()


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("random_ws(score_batches=7)", ["score_batches=7", "6 batches"]),
        ("random_ws(budget=authors)", ["19531", "--epochs=3"]),
        ("random_ws(n_samples=3)", ["top=10", "n_samples=3"]),
    ],
)
def test_what_does_not_fit_is_one_sentence_before_any_work(
    tmp_path, monkeypatch, capsys, method, words
):
    code, _, stderr = command(monkeypatch, capsys, tmp_path / "run", method=method)
    last = stderr.strip().splitlines()[-1]
    assert code == 2
    assert last.startswith("error: ")
    assert all(word in last for word in words), last
    assert not (tmp_path / "run/config.json").exists()


def test_analyses_of_alpha_refuse_the_run(finished):
    with pytest.raises(UserError, match="has sampled its architectures"):
        list(analyze.discretizations(AnalyzeConfig(), [finished[0]]))
