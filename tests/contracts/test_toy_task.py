"""A task that the package does not know, one folder, is searched to its closed-form optimum.

With w* = p, a virtual step of size 1 ends at p whatever w was, so the exact gradient in p is
(p - A) + (p - B); at xi = 0 the engine sees w = p from the last weight step and p - B alone.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tests.toy_task
from rdarts_tf import search
from rdarts_tf.engine import epochs, summaries
from rdarts_tf.runs.files import load_npz
from rdarts_tf.runs.run_dir import selection_file
from rdarts_tf.spaces.base import CellSpace, Space
from rdarts_tf.tasks import base
from tests import in_process
from tests.toy_task import A, B, task

FLAGS = ("--space=tests.toy_task", "--dataset=tests.toy_task", "--learning_rate=1")
FLAGS += ("--epochs=10", "--arch_learning_rate=0.02", "--arch_weight_decay=0", "--seed=1")
OPTIMUM = {"exact": (A + B) / 2, "finite_difference": (A + B) / 2, "first_order": B}


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """(exit code, run directory, stderr) of a search; without TensorBoard, whose drawings take long."""
    monkeypatch.setattr(summaries, "SearchSummaries", lambda *a, **k: summaries.NoSummaries())

    def run(name, *flags):
        folder = tmp_path / name
        code, _, err = in_process.run(
            monkeypatch, capsys, search, *FLAGS, f"--run_dir={folder}", *flags
        )
        return code, folder, err

    return run


def on_of(alpha):
    """p, the weight of the first primitive: [..., 1, 2] -> [...]."""
    return 1 / (1 + np.exp(alpha[..., 0, 1] - alpha[..., 0, 0]))


@pytest.mark.parametrize("alpha_step", OPTIMUM)
def test_the_optimum_is_found_and_its_curvature(run, alpha_step):
    code, folder, err = run(alpha_step, f"--alpha_step={alpha_step}", "--hessian_tolerance=1e-9")
    assert code == 0, err
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    p = on_of(load_npz(folder / "alphas.npz")["toy"])
    assert p[-1] == pytest.approx(OPTIMUM[alpha_step], rel=1e-3)
    assert rows[-1]["validation/loss"] == pytest.approx(
        ((p[-1] - A) ** 2 + (p[-1] - B) ** 2) / 2, rel=1e-5
    )
    for row, at in zip(rows, p, strict=True):  # along the difference u of both alphas
        slope = at * (1 - at)
        second = slope**2 + (at - B) * slope * (1 - 2 * at)  # d^2 ((p - B)^2 / 2) / du^2
        assert row["curvature/lambda_max"] == pytest.approx(max(2 * second, 0), rel=1e-6, abs=1e-9)


SCALES = np.array([1.0, 2.0, 0.5])  # of the validation batches of an epoch
RATE, DECAY, ALPHA_RATE, ALPHA_DECAY = 0.5, 0.25, 0.02, 0.125
CHANGED = [f"--weight_decay={DECAY}", f"--learning_rate={RATE}", "--epochs=2"]
CHANGED += [f"--arch_learning_rate={ALPHA_RATE}", f"--arch_weight_decay={ALPHA_DECAY}"]


def by_hand(alpha, alpha_step):
    """[(alpha, lambda_max)] after each of two epochs of three steps, in numpy."""
    w, m, v, found = 0.0, np.zeros(2), np.zeros(2), []
    for t in range(1, 7):
        p, c = on_of(alpha[None]), SCALES[(t - 1) % 3]
        at = w if alpha_step == "first_order" else w - RATE * (w - p + DECAY * w)
        g = (c - 1) * (at - p) + c * (p - B)
        if alpha_step != "first_order":
            g += RATE * ((1 - c) * (at - p) + c * (at - A))
        g = g * p * (1 - p) * np.array([1, -1]) + ALPHA_DECAY * alpha
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
        rate = ALPHA_RATE * np.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        alpha = alpha - rate * m / (np.sqrt(v) + 1e-8)
        p = on_of(alpha[None])
        w -= RATE * (w - p + DECAY * w)
        slope, first = p * (1 - p), (c - 1) * (w - p) + c * (p - B)
        found.append((alpha, max(2 * slope * (slope + first * (1 - 2 * p)), 0)))
    return found[2::3]


@pytest.mark.parametrize("alpha_step", OPTIMUM)
def test_steps_and_curvature_are_those_of_the_formulas(run, monkeypatch, alpha_step):
    """Batches that differ, weight decay in the real and the virtual step, Adam on alpha."""

    def update(w, slots, g, rates):
        rate, decay = (tf.cast(rates[k], w[0].dtype) for k in ("learning_rate", "weight_decay"))
        return [w[0] - rate * (g[0] + decay * w[0])], {}

    def search_epoch(self, config, epoch, *, first_step=0):
        valid = tf.data.Dataset.from_tensor_slices(np.tile(SCALES[:, None], 3)).skip(first_step)
        return valid.map(lambda scale: ((tf.zeros([3], tf.float64),), (scale,)))

    monkeypatch.setattr(task.Search, "recipe", lambda self: base.Recipe(update, (), 1e9))
    monkeypatch.setattr(task.Search, "search_epoch", search_epoch)
    monkeypatch.setattr(task.Search, "num_steps", 3)
    keras.utils.set_random_seed(1)
    start = task.Network().alphas["toy"].numpy()[0]
    code, folder, err = run(alpha_step, *CHANGED, f"--alpha_step={alpha_step}")
    assert code == 0, err
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    alphas = load_npz(folder / "alphas.npz")["toy"][:, 0]
    for (alpha, lambda_max), row, actual in zip(
        by_hand(start, alpha_step), rows, alphas, strict=True
    ):
        np.testing.assert_allclose(actual, alpha, rtol=1e-9)
        assert row["curvature/lambda_max"] == pytest.approx(lambda_max, rel=1e-5, abs=1e-7)
        assert row["curvature/converged"] is True
    kept = load_npz(folder / "checkpoints/epoch_0002_step_000000.npz")["curvature/vector"]
    np.testing.assert_array_equal(kept, load_npz(folder / "hessian/epoch_0001.npz")["vector"])


def test_curvature_is_measured_on_the_last_validation_batches_of_the_epoch():
    class Search(base.Problem):
        num_steps = 10

        def search_epoch(self, config, epoch, *, first_step=0):
            return [("training", (epoch, step)) for step in range(first_step, 10)]

    assert Search(None, None).curvature_epoch(None, 3, 2) == [(3, 8), (3, 9)]


def test_products_are_limited_and_the_user_is_told(run):
    """--hessian_products=1: one cannot know that it suffices."""
    flags = ("--epochs=1", "--eigensolver=lanczos", "--hessian_products=1")
    code, folder, err = run("limited", *flags)
    assert code == 0, err
    row = json.loads((folder / "metrics.jsonl").read_text())
    assert (row["curvature/products"], row["curvature/converged"]) == (1, False)


def test_killed_and_run_again_it_ends_with_the_same_bits(run, monkeypatch):
    _, whole, _ = run("whole", "--epochs=2")
    train_epoch = epochs.EpochRun._train_blocks

    def interrupted(self, block):
        if self.epoch == 1:
            raise epochs.Interrupted("killed", 137)
        return train_epoch(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(epochs.EpochRun, "_train_blocks", interrupted)
        assert run("killed", "--epochs=2")[0] == 137
    code, killed, err = run("killed", "--epochs=2")
    assert code == 0, err
    for name in ("alphas.npz", "checkpoints/epoch_0002_step_000000.npz"):
        a, b = (load_npz(folder / name) for folder in (whole, killed))
        assert a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


def test_a_flag_of_images_is_refused(run):
    code, _, err = run("flag", "--init_channels=4")
    assert code == 2
    assert "--init_channels is a flag of the task disparity and of image_classification" in err


def test_what_flows_from_step_to_step_is_kept_and_starts_anew_with_each_epoch(run, monkeypatch):
    """A carry that counts the passes of its stream: 20 steps an epoch, one of scoring."""
    plain = task.Search.loss
    shapes = {stream: [(3,)] for stream in ("train", "valid", "score")}
    monkeypatch.setattr(task.Search, "carries", shapes)

    def counting(self, call, batch, carry, **kwargs):
        return plain(self, call, batch, [part + 1 for part in carry], **kwargs)

    monkeypatch.setattr(task.Search, "loss", counting)
    for alpha_step in OPTIMUM:
        every = f"--hessian_every={int(alpha_step == 'exact')}"  # which counts no pass
        code, folder, err = run(alpha_step, f"--alpha_step={alpha_step}", "--epochs=2", every)
        assert code == 0, err
        last = load_npz(folder / "checkpoints/epoch_0002_step_000000.npz")
        counted = {stream: last[f"carry/{stream}/0"].tolist() for stream in shapes}
        assert counted == {"train": [20] * 3, "valid": [20] * 3, "score": [1] * 3}


def test_a_batch_may_scale_the_learning_rate(run, monkeypatch):
    """Half the rate by each batch is half the rate."""

    def update(w, slots, g, rates):
        return [w[0] - tf.cast(rates["learning_rate"], w[0].dtype) * g[0]], {}

    monkeypatch.setattr(task.Search, "recipe", lambda self: base.Recipe(update, (), 1e9))
    flags = ("--epochs=2", "--hessian_every=0")
    _, half, _ = run("half", "--learning_rate=0.25", *flags)
    monkeypatch.setattr(task.Search, "learning_rate_scale", lambda self, batch: tf.constant(0.5))
    _, scaled, _ = run("scaled", "--learning_rate=0.5", *flags)
    a, b = (load_npz(folder / "alphas.npz")["toy"] for folder in (half, scaled))
    np.testing.assert_array_equal(a, b)


def test_random_ws_keeps_one_edge_a_node_and_finds_the_best(run, monkeypatch):
    """Nodes 0 and 1 behind one input: 2 * 4 architectures, of which one has p = B, the least loss."""
    values = tf.constant([[0.1, 0.0], [0.0, 0.3], [0.5, 0.9]], tf.float64)  # [E, K]
    cell = CellSpace((("on", "off"),) * 3, num_nodes=2, num_inputs=1, kept_edges=1)
    monkeypatch.setattr(tests.toy_task, "SPACE", Space("toy", {"toy": cell}, "tests.toy_task"))

    def call(self, edge_weights, training=False):
        return self.w + 0.0, tf.reduce_sum(values * tf.cast(edge_weights["toy"], tf.float64))

    monkeypatch.setattr(task.Network, "call", call)
    pairs = task.Search.search_epoch

    def train_epoch(self, config, epoch, *, first_step=0):
        return pairs(self, config, epoch, first_step=first_step).map(lambda train, valid: train)

    def sample_epoch(self, config, epoch, number, *, first_step=0):
        return self.score_epoch(config, epoch)

    monkeypatch.setattr(task.Search, "train_epoch", train_epoch)
    monkeypatch.setattr(task.Search, "sample_epoch", sample_epoch)
    flags = ("--method=random_ws(n_samples=60, score_batches=1, top=2)", "--epochs=1")
    code, folder, err = run("random", *flags)
    assert code == 0, err
    assert json.loads((folder / "genotype.json").read_text())["cells"] == {
        "toy": [["on", 0], ["on", 1]]
    }
    selected = json.loads((folder / selection_file(0)).read_text())
    assert len({entry["genotype"] for entry in selected["scored"]}) == 8
