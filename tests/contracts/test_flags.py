"""Every flag of the search has an effect: one run with unusual values, looked at flag by flag.

What changes the steps themselves is tested where `ELSEWHERE` says.
"""

import dataclasses
import pathlib
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.engine import distribution, search_run
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import stubbed_search

ELSEWHERE = {
    "address": "unit/test_executor.py",
    "alpha_step": "contracts/test_toy_task.py",
    "arch_learning_rate": "contracts/test_toy_task.py",
    "arch_weight_decay": "contracts/test_toy_task.py",
    "cache_gib": "contracts/test_datasets.py",
    "class_weights": "unit/test_by_class.py",
    "continue_after_stop": "end_to_end/test_decisions.py",
    "finite_difference_radius": "contracts/test_training.py",
    "cpus_per_run": "unit/test_executor.py",
    "eigensolver": "contracts/test_curvature.py",
    "executor": "unit/test_executor.py",
    "gamma_initializer": "contracts/test_training.py",
    "gpus_per_run": "unit/test_executor.py",
    "grad_clip": "contracts/test_retraining.py",
    "hessian_products": "contracts/test_toy_task.py",
    "hessian_spectrum": "end_to_end/test_decisions.py",
    "hessian_tolerance": "contracts/test_curvature.py",
    "independent_noise": "contracts/test_training.py",
    "jit_compile": "contracts/test_training.py",
    "mixed_precision": "contracts/test_training.py",
    "momentum": "contracts/test_retraining.py",
    "overwrite": "end_to_end/test_export.py",  # of each command: contracts, test_report.py
    "plugin": "contracts/test_plugins.py",  # of every command but the sweep
    "seed": "contracts/test_training.py",
    "stem": "contracts/test_networks.py",
    "select_channels": "end_to_end/test_selection.py",
    "select_epochs": "end_to_end/test_selection.py",
    "select_layers": "end_to_end/test_selection.py",
    "extend": "contracts/test_extend.py",
}
METHOD = """
import dataclasses
from rdarts_tf.methods import base

class Method(base.Method):
    def __init__(self, factor):
        self.factor = factor

    def in_force(self, config, epoch, **kwargs):
        return dataclasses.replace(config, weight_decay=self.factor * config.weight_decay)
"""


def settings_of(folder):
    return SearchConfig(
        space="s4",
        dataset="image_folder(images)",
        method="plugins_of_a_test.method(factor=3)",
        data_dir=str(folder),
        epochs=3,
        batch_size=4,
        learning_rate=0.2,
        learning_rate_min=0.1,
        weight_decay=0.01,
        train_portion=0.75,
        init_channels=4,
        layers=2,
        nodes=1,
        drop_path_prob=0.2,
        cutout="false",
        cutout_length=6,
        cutout_prob=0.6,
        cutout_ramp=True,
        strategy="one",
        sync_batch_norm=True,
        hessian_every=2,
        hessian_batches=3,
        checkpoint_every=2,
        keep_checkpoints=1,
    )


CHECKS = {
    "space": lambda seen: "noise" in seen.run.net.cells[0].primitives[0],
    "dataset": lambda seen: seen.run.data.class_names == ("cat", "dog"),
    "data_dir": lambda seen: seen.run.data.name == "image_folder(images)",
    "method": lambda seen: np.allclose([row["search/weight_decay"] for row in seen.rows], 0.03),
    "weight_decay": lambda seen: np.isclose(seen.blocks[0][-1]["weight_decay"], 0.03),
    "epochs": lambda seen: [row["epoch"] for row in seen.rows] == [0, 1, 2],
    "batch_size": lambda seen: max(last for _, _, last, _ in seen.blocks) == 3,  # of 12 images
    "learning_rate": lambda seen: np.isclose(seen.blocks[0][-1]["learning_rate"], 0.2),
    # cos(2 pi / 3) = -1/2
    "learning_rate_min": lambda seen: np.isclose(seen.blocks[-1][-1]["learning_rate"], 0.125),
    "train_portion": lambda seen: (
        (len(seen.run.problem.train), len(seen.run.problem.scored)) == (12, 4)
    ),
    "init_channels": lambda seen: seen.run.net.channels == 4,
    "layers": lambda seen: len(seen.run.net.cells) == 2,
    "nodes": lambda seen: seen.run.net.alphas["normal"].shape == (2, 2),
    "drop_path_prob": lambda seen: np.isclose(seen.blocks[-1][-1]["drop_path_prob"], 0.2),
    "cutout": lambda seen: (
        seen.run.problem.augmentation(seen.settings, epoch=2).cutout_length == 0
    ),  # in spite of drop path
    "cutout_length": lambda seen: {a.cutout_length for a in seen.with_cutout} == {6},
    "cutout_prob": lambda seen: seen.with_cutout[-1].cutout_probability == 0.6,
    "cutout_ramp": lambda seen: (
        [a.cutout_probability for a in seen.with_cutout] == pytest.approx([0, 0.3, 0.6])
    ),
    "strategy": lambda seen: seen.strategies == ["one"],
    "sync_batch_norm": lambda seen: seen.run.net.cells[1].preprocess0.bn.synchronized,
    "checkpoint_every": lambda seen: seen.saved == [2, 3],  # the last epoch in any case
    "keep_checkpoints": lambda seen: len(seen.checkpoints) == 1,
    "hessian_every": lambda seen: ["curvature/lambda_max" in r for r in seen.rows] == [1, 0, 1],
    "hessian_batches": lambda seen: seen.rows[0]["curvature/products"] == 3,
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a run with `settings_of` left behind."""
    folder = tmp_path_factory.mktemp("flags")
    (folder / "plugins_of_a_test").mkdir()
    (folder / "plugins_of_a_test/method.py").write_text(METHOD)
    for name in ("cat", "dog"):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(10):
            image = tf.io.encode_png(np.full((9, 8, 1), 20 * i, np.uint8))
            (folder / "images" / name / f"{i}.png").write_bytes(image.numpy())
    return _search(folder)


def _search(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(registry, "_TRUSTED", {"plugins_of_a_test.method"})
        blocks, strategies = stubbed_search.replace_steps(patch), []
        make_strategy = distribution.make_strategy
        patch.setattr(
            distribution,
            "make_strategy",
            lambda name: strategies.append(name) or make_strategy(name),
        )
        saved, save_checkpoint = [], RunDir.save_checkpoint
        patch.setattr(
            RunDir,
            "save_checkpoint",
            lambda self, arrays, *, epoch, **at: (
                saved.append(epoch) or save_checkpoint(self, arrays, epoch=epoch, **at)
            ),
        )
        settings, run_dir = settings_of(folder), RunDir(folder / "run")
        run_dir.create()
        run = search_run.SearchRun(settings, run_dir, say=lambda line: None)
        run.run()
        with_cutout = dataclasses.replace(settings, cutout="true")
        problem = task.Search(with_cutout, run.data)
        return types.SimpleNamespace(
            settings=settings,
            run=run,
            rows=run_dir.read_metrics(),
            blocks=blocks,
            strategies=strategies,
            with_cutout=[problem.augmentation(with_cutout, epoch) for epoch in range(3)],
            saved=saved,
            checkpoints=[position for position, _ in run_dir.list_checkpoints()],
        )


@pytest.mark.parametrize("name", CHECKS)
def test_flag_has_an_effect(seen, name):
    default = SearchConfig.__dataclass_fields__[name].default
    assert getattr(seen.settings, name) != default  # else the check proves nothing
    assert CHECKS[name](seen)


NAMES = [*SearchConfig.__dataclass_fields__, "overwrite", "plugin", "extend"]


@pytest.mark.parametrize("name", NAMES)
def test_flag_is_tested_somewhere(name):
    """A new flag needs a line in CHECKS, or in ELSEWHERE and a test there."""
    if name not in CHECKS:
        path = pathlib.Path(__file__).parents[1] / ELSEWHERE[name]
        assert re.search(rf"\b{name}\b", path.read_text())
