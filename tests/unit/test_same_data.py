"""Data that changed between two commands are refused; what differs is told."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import evaluate, search
from rdarts_tf.engine import evaluation_steps, search_steps, summaries
from rdarts_tf.errors import UserError
from rdarts_tf.runs.same_data import check_same_data
from rdarts_tf.tasks.image_classification import task
from rdarts_tf.tasks.image_classification.data import Dataset, Split
from tests import in_process

RECORD = {"digest": "a", "num_examples": {"training images": 1430, "test images": 360}}
RECORD |= {"class_names": ["cat", "dog"]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"num_examples": {"training images": 1437, "test images": 360}},
            "1,437 training images now, the run had 1,430; give",
        ),
        ({}, "the same numbers, but other content"),
        ({"class_names": ["cat", "cow"]}, "2 classes now, the run had others"),
        ({"class_names": ["cat", "cow", "dog"]}, "3 classes now, the run had 2"),
    ],
)
def test_what_differs_is_told(change, told):
    with pytest.raises(UserError, match=f"no longer those of RUN: {told}"):
        check_same_data(RECORD, RECORD | {"digest": "b"} | change, "RUN")


def without(record, *names):
    return {name: value for name, value in record.items() if name not in names}


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        (RECORD, RECORD),
        (None, RECORD),
        ({}, RECORD),
        (RECORD, {}),
        (without(RECORD, "digest"), RECORD | {"num_examples": {"training images": 9}}),
        (without(RECORD, "digest", "class_names"), RECORD),
    ],
)
def test_where_nothing_is_known_to_differ_the_run_goes_on(recorded, now):
    check_same_data(recorded, now, "RUN")


def test_without_digest_the_names_of_the_classes_are_compared():
    before, now = without(RECORD, "digest"), RECORD | {"class_names": ["cat", "cow", "dog"]}
    with pytest.raises(UserError, match="3 classes now, the run had 2"):
        check_same_data(before, now, "RUN")


def dataset(**changes):
    rng = np.random.default_rng(0)
    values = {"train": 6, "test": 3, "class_names": ("a", "b"), "label": 0, "pixel": 0} | changes

    def split(num):
        images = rng.integers(255, size=(num, 8, 8, 1), dtype=np.uint8)
        return Split(images, np.arange(num, dtype=np.int32) % 2)

    train, test = split(values["train"]), split(values["test"])
    train.labels[0], test.images[-1, -1, -1, -1] = values["label"], values["pixel"]
    return Dataset("x", train, test, values["class_names"], (0.5,), (0.5,))


def test_the_digest_is_of_the_content():
    assert dataset().digest == dataset().digest
    assert dataset().record()["digest"] == dataset().digest
    assert dataset().record()["num_examples"] == {"training images": 6, "test images": 3}
    changes = ({"label": 1}, {"pixel": 1}, {"train": 5}, {"class_names": ("a", "c")})
    assert len({dataset(**change).digest for change in ({}, *changes)}) == 5


def test_the_digest_is_of_the_order_and_not_of_the_memory():
    found = dataset()
    turned = dataclasses.replace(
        found, train=Split(found.train.images[::-1], found.train.labels[::-1])
    )
    fortran = dataclasses.replace(
        found, train=Split(np.asfortranarray(found.train.images), found.train.labels)
    )
    assert turned.digest != found.digest == fortran.digest


# The commands.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of images with a run on it; its path is returned."""
    for number in range(20):
        add(tmp_path / "images", number)
    monkeypatch.setattr(
        search_steps.Search, "search_block", lambda self, *a, **k: (a[2], tf.constant(0.5))
    )
    monkeypatch.setattr(search_steps.Search, "validate_block", lambda *args: None)
    monkeypatch.setattr(
        evaluation_steps.Evaluation, "train_block", lambda self, *a: (a[2], tf.constant(0.5))
    )
    monkeypatch.setattr(evaluation_steps.Evaluation, "validate_block", lambda *args: None)
    monkeypatch.setattr(task.Evaluation, "examined", None)
    monkeypatch.setattr(summaries, "SearchSummaries", lambda *a, **k: summaries.NoSummaries())
    return tmp_path


def add(images, number, *, to=("cat", "dog")):
    for name in to:
        (images / name).mkdir(parents=True, exist_ok=True)
        image = tf.io.encode_png(np.full((8, 8, 1), 10 * number + len(name), np.uint8))
        (images / name / f"{number:02}.png").write_bytes(image.numpy())


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """(exit code, stdout, stderr) of a command on the run."""
    monkeypatch.chdir(folder)

    def command(module, *flags):
        return in_process.run(monkeypatch, capsys, module, "--run_dir=run", *flags)

    return command


SEARCH = ("--space=s5", "--dataset=image_folder(images)", "--layers=1", "--init_channels=2")
SEARCH += ("--batch_size=8", "--hessian_every=0")
EVALUATE = ("--layers=1", "--init_channels=2", "--batch_size=8", "--epochs=1")


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_commands_refuse_a_folder_that_grew(folder, command):
    assert command(search, *SEARCH, "--epochs=1")[0] == 0
    assert command(evaluate, *EVALUATE)[0] == 0
    statistics = json.loads((folder / "run/dataset.json").read_text())["mean"]
    (folder / "run/genotype.json").rename(folder / "kept")  # as if the search were not finished
    add(folder / "images", 22, to=["dog"])
    before = state(folder / "run")
    told = "33 training images now, the run had 32"
    code, _, err = command(search, *SEARCH, "--epochs=1")
    assert code == 2 and told in err and err.count("\n") == 1
    (folder / "kept").rename(folder / "run/genotype.json")
    code, _, err = command(evaluate, *EVALUATE, "--seeds=2")
    assert code == 2 and told in err, err
    after = state(folder / "run")
    assert {p: t for p, t in after.items() if p.name != "genotype.json"} == before
    # Data of another name are another matter; --overwrite takes the new ones.
    other = ("--dataset=image_folder(images, size=8)", "--name=other")
    assert command(evaluate, *EVALUATE, *other)[0] == 0
    assert command(search, *SEARCH, "--epochs=1", "--overwrite")[0] == 0
    assert json.loads((folder / "run/dataset.json").read_text())["mean"] != statistics


def test_a_run_that_selects_refuses_before_any_work(folder, command):
    flags = (*SEARCH, "--method=best_of(seeds=1)", "--epochs=1", "--executor=local")
    run = folder / "run"
    run.mkdir()
    (run / "dataset.json").write_text(json.dumps(RECORD))
    (run / "config.json").write_text("{}")
    config = search_config_of(flags)
    (run / "config.json").write_text(json.dumps(dataclasses.asdict(config)))
    before = state(run)
    code, _, err = command(search, *flags)
    assert code == 2 and "32 training images now, the run had 1,430" in err
    assert state(run) == before


def search_config_of(flags):
    from rdarts_tf.config import flags as flags_lib
    from rdarts_tf.config import search as search_config

    return flags_lib.parse(search_config.of_given, flags)[0]
