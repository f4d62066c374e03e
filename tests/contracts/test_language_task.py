"""Language modelling through the engine on tiny texts: killed and resumed, refused, returned, averaged."""

import json

import numpy as np
import pytest

from rdarts_tf import evaluate, search
from rdarts_tf.engine import epochs, evaluation_run
from rdarts_tf.runs.files import load_npz
from rdarts_tf.tasks.language_model import options, task
from tests import in_process
from tests.killed_runs import assert_same_arrays, interrupt

SEARCH = ["--space=rnn_reduced", "--nodes=2", "--hidden=6", "--batch_size=3", "--bptt=6"]
SEARCH += ["--learning_rate=2", "--eval_batch_size=2", "--eigensolver=lanczos"]
TRAIN = ["--genotype=Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=range(1, 3))"]
TRAIN += ["--hidden=6", "--batch_size=3", "--bptt=6", "--learning_rate=2", "--eval_batch_size=2"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """--dataset of a text whose next word follows from the last one."""
    folder = tmp_path_factory.mktemp("text")
    for part, lines in (("train", 24), ("valid", 8), ("test", 8)):
        (folder / f"{part}.txt").write_text("a b c d e\n" * lines)
    return f"--dataset=text_folder({folder})"


@pytest.fixture
def command(monkeypatch, capsys, text):
    """command(module, *flags) -> (exit code, stdout, the last line of stderr)."""

    def run(module, *flags):
        data = () if any("--dataset" in str(flag) for flag in flags) else (text,)
        code, out, err = in_process.run(monkeypatch, capsys, module, *data, *flags)
        return code, out, (err.strip().splitlines() or [""])[-1]

    return run


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_search_killed_between_windows_ends_with_the_same_bits(command, tmp_path, monkeypatch):
    """Hidden states of both streams and the statistics of BatchNorm included, with lambda_max."""
    flags = [*SEARCH, "--epochs=2", "--alpha_step=first_order"]
    code, out, err = command(search, *flags, f"--run_dir={tmp_path / 'whole'}")
    assert code == 0, err
    assert "perplexity" in out and "tokens/s" in out and "lambda_max" in out
    with monkeypatch.context() as patch:
        interrupt(patch, epochs.EpochRun, epoch=1, step=2)
        assert command(search, *flags, f"--run_dir={tmp_path / 'killed'}")[0] == 137
    at = load_npz(tmp_path / "killed/checkpoints/epoch_0001_step_000002.npz")
    assert np.abs(at["carry/train/0"]).max() > 0 and np.abs(at["carry/valid/0"]).max() > 0
    assert command(search, *flags, f"--run_dir={tmp_path / 'killed'}")[0] == 0
    for name in ("alphas.npz", "checkpoints/epoch_0002_step_000000.npz"):
        assert_same_arrays(tmp_path / "whole" / name, tmp_path / "killed" / name)
    row = metrics(tmp_path / "whole")[-1]
    assert row["search/perplexity"] == pytest.approx(np.exp(row["search/loss"]))
    assert row["validation/bigram_perplexity"] < row["validation/unigram_perplexity"]


@pytest.mark.parametrize("step", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_evaluation_killed_before_or_after_the_switch_ends_with_the_same_bits(
    command, tmp_path, monkeypatch, step
):
    """The trigger is set off after epoch 0, so that epoch 1 averages."""
    monkeypatch.setattr(task.trigger, "switch_epoch", lambda losses: 0 if losses else None)
    flags = [*TRAIN, "--epochs=3", "--seeds=5", "--name=run"]
    monkeypatch.chdir(tmp_path)
    found = {}
    for name in ("whole", "killed"):
        run = [*flags, f"--run_dir={tmp_path / name}"]
        if name == "killed":
            with monkeypatch.context() as patch:
                interrupt(patch, evaluation_run.EvaluationRun, epoch=step - 1, step=2)
                assert command(evaluate, *run)[0] == 137
        code, _, err = command(evaluate, *run)
        assert code == 0, err
        found[name] = tmp_path / name / "evaluate/run"
    last = "seed_5/checkpoints/epoch_0003_step_000000.npz"
    for name in (last, "seed_5/best.npz"):
        assert_same_arrays(found["whole"] / name, found["killed"] / name)
    results = [json.loads((folder / "result.json").read_text()) for folder in found.values()]
    assert results[0] == results[1]
    arrays = load_npz(found["whole"] / last)
    assert arrays["averaged_steps"] > 0
    assert np.abs(arrays["average/w0"] - arrays["weights/w0"]).max() > 0


def test_the_best_weights_are_tested_and_exported(command, tmp_path):
    code, out, err = command(
        evaluate, *TRAIN, "--epochs=3", "--seeds=1,2", f"--run_dir={tmp_path}", "--name=e"
    )
    assert code == 0, err
    result = json.loads((tmp_path / "evaluate/e/result.json").read_text())
    assert result["num_parameters"] == 6 * 6 + 4 * 36 + 2 * 2 * 36 + 6
    for seed in result["seeds"]:
        rows = metrics(tmp_path / f"evaluate/e/seed_{seed['seed']}")
        losses = [row["score/loss"] for row in rows]
        assert seed["epoch"] == int(np.argmin(losses))
        assert seed["validation_loss"] == min(losses)
        assert seed["perplexity"] == pytest.approx(np.exp(seed["loss"]))
    scores = [seed["perplexity"] for seed in result["seeds"]]
    assert result["perplexity_mean"] == pytest.approx(np.mean(scores))
    assert result["perplexity_std"] == pytest.approx(np.std(scores))
    assert "test perplexity" in out


def test_a_loss_that_is_not_finite_goes_back_to_the_best_epoch(command, tmp_path, monkeypatch):
    plain, diverged = evaluation_run.EvaluationRun._train_blocks, []

    def once(self, run):
        if self.epoch == 2 and not diverged:
            diverged.append(True)
            raise epochs.Diverged("the loss is not finite")
        return plain(self, run)

    monkeypatch.setattr(evaluation_run.EvaluationRun, "_train_blocks", once)
    code, out, err = command(evaluate, *TRAIN, "--epochs=3", f"--run_dir={tmp_path}", "--name=e")
    assert code == 0, err
    assert "back from epoch 3 to the end of epoch" in out
    rows = metrics(tmp_path / "evaluate/e/seed_1")
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[-1]["train/returns"] == 1
    last = load_npz(tmp_path / "evaluate/e/seed_1/checkpoints/epoch_0003_step_000000.npz")
    assert last["returns"] == 1


REFUSED = [
    (["--mixed_precision"], ["--mixed_precision", "recurrent"]),
    (["--batch_size=100"], ["--batch_size=100", "too large", "train text"]),
    (["--eval_batch_size=40"], ["--eval_batch_size=40", "too large", "valid text"]),
    (["--drop_path_prob=0.2"], ["--drop_path_prob", "image_classification", "language_model"]),
    (["--method=rdarts_dp"], ["rdarts_dp", "--drop_path_prob", "do not have"]),
    (["--method=darts_ada(regularizer=drop_path)"], ["--drop_path_prob", "do not have"]),
    (["--alpha_reference=original"], ["--alpha_step=finite_difference", "exact"]),
    (
        ["--differentiate_clipping", "--alpha_step=first_order"],
        ["--differentiate_clipping", "first_order"],
    ),
    (["--dropouth=1"], ["--dropouth=1.0", "less than 1"]),
]


@pytest.mark.parametrize(("flags", "words"), REFUSED)
def test_what_cannot_be_is_one_sentence(command, tmp_path, flags, words):
    given = [flag for flag in SEARCH if not flags[0].startswith(flag.partition("=")[0] + "=")]
    code, _, err = command(search, *given, *flags, f"--run_dir={tmp_path / 'run'}")
    assert code == 2 and err.startswith("error: ")
    assert all(word in err for word in words), err


def test_another_text_is_refused(command, tmp_path):
    """As for a run whose vocabulary is another one's."""
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.txt").write_text("a b c d e\n" * 20)
    data = f"--dataset=text_folder({tmp_path})"
    flags = [*SEARCH, data, "--epochs=1", "--hessian_every=0", "--alpha_step=first_order"]
    run = f"--run_dir={tmp_path / 'run'}"
    assert command(search, *flags, run)[0] == 0
    (tmp_path / "test.txt").write_text("a b c d f\n" * 20)
    code, _, err = command(evaluate, run, "--dataset=" + data.partition("=")[2])
    assert code == 2
    assert "the data are no longer those of" in err and "words in the vocabulary" in err


def test_paper_and_small_presets():
    paper = options.EvaluateConfig.defaults("auto", "ptb", {})
    assert paper == {"hidden": 850, "epochs": 1600, "batch_size": 64}
    assert options.EvaluateConfig.defaults("auto", "python_docs", {})["hidden"] < 850
