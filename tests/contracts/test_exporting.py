"""What is written of a network or a cell is read back elsewhere and answers alike."""

import functools
import importlib.util
import json
import subprocess
import sys
import types
import zipfile
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import export as export_command
from rdarts_tf.engine import exporting, reading_back
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import named
from rdarts_tf.runs import samples
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification import export
from rdarts_tf.tasks.image_classification.derived_network import DerivedNetwork
from rdarts_tf.tasks.image_classification.options import ExportConfig
from rdarts_tf.tasks.image_classification.serving import ServedNetwork
from tests import forked

PAIRS = "[('sep_conv_3x3', 0), ('{}', 1)]"
NAMES = ("cat", "dog", "cow")


FORGET = "import sys; [sys.modules.pop(n) for n in [*sys.modules] if n.startswith('rdarts_tf')]\n"


@pytest.fixture(autouse=True)
def _read_back_by_a_fork(monkeypatch):
    """As a user's files are by a new process, see tests/end_to_end/test_export.py."""

    def run(command, **_):
        _, _, option, source, *arguments = command  # python -P
        return forked.python(option, FORGET + source, *arguments)

    monkeypatch.setattr(reading_back, "subprocess", types.SimpleNamespace(run=run))


def genotype(primitive="max_pool_3x3"):
    pairs = PAIRS.format(primitive)
    return f"Genotype(normal={pairs}, normal_concat=[2], reduce={pairs}, reduce_concat=[2])"


@functools.cache
def served(primitive="max_pool_3x3", mean=0.4):
    keras.utils.set_random_seed(1)
    net = DerivedNetwork(genotype(primitive), 3, channels=4, num_cells=3, auxiliary=False)
    net.build((None, 8, 8, 2))
    for v in net.variables:
        if "variance" in v.name:
            v.assign(np.random.default_rng(0).uniform(0.5, 2.0, v.shape))
    return ServedNetwork(
        net, image_shape=(8, 8, 2), mean=(mean, 0.5), std=(0.2, 0.3), class_names=NAMES, name="net"
    )


def images(n=5):
    return np.random.default_rng(2).integers(0, 256, size=(n, 8, 8, 2), dtype=np.uint8)


def test_both_input_types_mean_the_same():
    net, x = served(), images()
    raw, scaled = net(tf.constant(x)), net(tf.constant(x.astype(np.float32) / 255))
    np.testing.assert_allclose(raw["logits"], scaled["logits"], rtol=1e-5, atol=1e-5)
    normalised = (x / 255.0 - np.array([0.4, 0.5])) / np.array([0.2, 0.3])
    logits = net.network(tf.constant(normalised, tf.float32), training=False)
    np.testing.assert_allclose(raw["logits"], logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.sum(raw["probabilities"], axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "input_type"),
    [
        pytest.param("savedmodel", "uint8", marks=pytest.mark.slow),
        ("keras", "uint8"),
        pytest.param("tflite", "float32", marks=pytest.mark.slow),
        ("tflite", "uint8"),
    ],
)
def test_the_written_file_answers_alike_and_replaces_an_older_one(kind, input_type, tmp_path):
    path = tmp_path / f"net.{kind}"
    if kind == "savedmodel":
        exporting.write_savedmodel(served(mean=0.1), path, input_type=input_type)
    else:
        path.write_text("old")
    found = exporting.export_network(
        served(), path, kind, input_type=input_type, samples=images(), overwrite=True
    )
    assert found.differences["logits"] < 1e-4 and found.differences["probabilities"] < 1e-5
    assert found.agreement == "100.0 % same class"
    assert path.exists() and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(UserError, match="no file and no SavedModel exported here"):
        exporting.export_network(
            served(), tmp_path, "savedmodel", input_type="uint8", samples=images(), overwrite=True
        )
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_savedmodel_names_its_classes_and_takes_both_types(tmp_path):
    net, path = served(), tmp_path / "model"
    exporting.write_savedmodel(net, path, input_type="uint8")
    script = """
import sys
import numpy as np, tensorflow as tf
model, x = tf.saved_model.load(sys.argv[1]), np.load(sys.argv[2])
raw = model.signatures["serve"](images=tf.constant(x))
scaled = model.signatures["serve_float32"](images=tf.constant(x.astype("float32") / 255))
assert "rdarts_tf" not in sys.modules
default = model.signatures["serving_default"](images=tf.constant(x[:1]))
assert default["logits"].shape == (1, 3)
print([n.decode() for n in model.signatures["metadata"]()["class_names"].numpy()])
np.savez(sys.argv[3], raw=raw["logits"], scaled=scaled["logits"])
"""
    np.save(tmp_path / "x.npy", images())
    arguments = [path, tmp_path / "x.npy", tmp_path / "out.npz"]
    result = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == str(list(NAMES))
    out, expected = np.load(tmp_path / "out.npz"), net(tf.constant(images()))["logits"]
    np.testing.assert_allclose(out["raw"], expected, atol=1e-5)
    np.testing.assert_allclose(out["scaled"], expected, atol=1e-4)
    record = json.loads((path / "assets.extra/metadata.json").read_text())
    assert record["class_names"] == list(NAMES)
    assert named.read(record["genotype"]) == net.network.genotype


@pytest.mark.slow
def test_int8_is_smaller_and_reads_labels_from_its_end(tmp_path):
    net = served()
    paths = [tmp_path / "float.tflite", tmp_path / "int8.tflite"]
    exporting.write_tflite(net, paths[0], input_type="uint8")
    found = exporting.export_network(
        net, paths[1], "tflite", input_type="uint8", samples=images(), calibration=images(8)
    )
    assert float(found.agreement.split()[0]) >= 60  # of five images
    operators = [
        {d["dtype"] for d in tf.lite.Interpreter(str(path)).get_tensor_details()} for path in paths
    ]
    assert np.int8 not in operators[0] and np.int8 in operators[1]
    with zipfile.ZipFile(paths[1]) as archive:
        assert archive.read("labels.txt").decode().split() == list(NAMES)
        assert "genotype" in json.loads(archive.read("metadata.json"))


MANY = "[('avg_pool_3x3', 0), ('sep_conv_3x3', 1), ('dil_conv_3x3', 2), ('skip_connect', 0)]"


@pytest.fixture(scope="module")
def for_chips():
    """Every kind of operation, in a reduction cell."""
    keras.utils.set_random_seed(1)
    text = f"Genotype(normal={MANY}, normal_concat=[2, 3], reduce={MANY}, reduce_concat=[2, 3])"
    net = DerivedNetwork(text, 3, channels=4, num_cells=1, auxiliary=False)
    net.build((None, 8, 8, 1))
    return ServedNetwork(net, image_shape=(8, 8, 1), mean=(0.4,), std=(0.2,), class_names=NAMES)


@pytest.mark.parametrize(
    ("input_type", "output_type", "batch_size"), [("int8", "int8", 1), ("uint8", "float32", 2)]
)
def test_a_file_for_chips(for_chips, input_type, output_type, batch_size, tmp_path):
    x = np.random.default_rng(2).integers(0, 256, size=(65, 8, 8, 1), dtype=np.uint8)
    x[0, 0, 0], x[0, -1, -1] = 0, 255
    found = exporting.export_network(
        for_chips,
        tmp_path / "net.tflite",
        "tflite",
        input_type=input_type,
        samples=x[:5] if output_type == "int8" else None,
        calibration=x,
        output_type=output_type,
        batch_size=batch_size,
    )
    assert output_type != "int8" or found.differences["probabilities"] < 0.1
    interpreter = tf.lite.Interpreter(str(tmp_path / "net.tflite"))
    interpreter.allocate_tensors()
    (given,), answers = interpreter.get_input_details(), interpreter.get_output_details()
    assert list(given["shape"]) == [batch_size, 8, 8, 1]
    assert given["dtype"] == np.dtype(input_type)
    scale, zero = given["quantization"]  # so that raw pixels, or those less 128, are what it takes
    assert scale == pytest.approx(1 / 255, rel=1e-3) and zero == (
        -128 if input_type == "int8" else 0
    )
    assert {answer["dtype"] for answer in answers} == {np.dtype(output_type).type}
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert "AVERAGE_POOL_2D" in names
    assert not {name for name in names if name == "SHAPE" or "BROADCAST" in name}
    inside = {d["dtype"] for d in interpreter.get_tensor_details()} - {np.int32}
    assert output_type == "float32" or inside == {np.int8}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"input": "int8"}, "--input=int8 needs --quantize=int8"),
        ({"output": "int8", "format": "tflite"}, "--output=int8 needs --quantize=int8"),
        ({"batch_size": 1, "format": "keras"}, "--batch_size=1 is for networks as"),
    ],
)
def test_what_chips_cannot_have_is_told(flags, message):
    with pytest.raises(UserError, match=message):
        ExportConfig(**flags).check_values()


class Kept:
    """A task's export and an evaluation's data, which may be gone."""

    gone = False

    def load_dataset(self, path):
        if self.gone:
            raise UserError("there is no folder x")
        return mock.Mock(record=dict)

    def samples(self, data, num):
        return np.full((num, 8, 8, 1), 7, np.uint8)

    calibration = samples


def test_examples_are_those_that_the_run_keeps(tmp_path, monkeypatch, capsys):
    kept, evaluated, run_dir = Kept(), Kept(), RunDir(tmp_path)
    monkeypatch.setattr(export_command.dataclasses, "replace", lambda config, **_: config)
    monkeypatch.setattr(samples, "NUM", 4)
    run_dir.write_bytes(samples.FILE, samples.content(kept, None))
    config = ExportConfig()

    def examples(**needed):
        found = export_command._examples(kept, evaluated, config, run_dir, needed)
        return {name: len(array) for name, array in found.items()}

    assert examples(samples=4, calibration=6) == {"samples": 4, "calibration": 6}
    evaluated.gone = True
    assert examples(samples=4, calibration=0) == {"samples": 4}
    assert examples(samples=0, calibration=3) == {"calibration": 3}
    assert not capsys.readouterr().out
    assert examples(samples=4, calibration=6) == {"samples": 4, "calibration": 4}
    assert (
        "calibrated on 4 images that the run keeps: there is no folder x" in capsys.readouterr().out
    )
    (tmp_path / samples.FILE).unlink()
    assert examples(samples=0, calibration=0) == {}
    with pytest.raises(UserError, match="no folder x; or give --compare=none, which needs no data"):
        examples(samples=4, calibration=0)
    (tmp_path / samples.FILE).write_bytes(b"damaged")
    with pytest.raises(UserError, match="samples.npz is damaged"):
        examples(samples=4, calibration=0)


@pytest.mark.slow
def test_noise_is_frozen_in_what_is_served(tmp_path):
    net = served("noise")
    first, second = (net(tf.constant(images()))["logits"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    exporting.export_network(
        net, tmp_path / "model", "savedmodel", input_type="uint8", samples=images()
    )


def test_a_file_that_answers_otherwise_is_not_left_behind(tmp_path, monkeypatch):
    def write_another(model, path, **options):
        exporting.write_savedmodel(served(mean=0.5), path, **options)

    monkeypatch.setitem(exporting.WRITERS, "savedmodel", write_another)
    with pytest.raises(UserError, match="answers otherwise.*of logits.*nothing was written"):
        exporting.export_network(
            served(), tmp_path / "model", "savedmodel", input_type="uint8", samples=images()
        )
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_read_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.WRITERS, "tflite", lambda model, path, **_: path.write_text("x"))
    with pytest.raises(UserError, match="cannot be read back"):
        exporting.export_network(
            served(), tmp_path / "net.tflite", "tflite", input_type="uint8", samples=images()
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("tf2onnx") is not None, reason="the converter is installed"
)
def test_onnx_without_converter_names_the_extra(tmp_path):
    with pytest.raises(UserError, match=r'pip install "rdarts-tf\[onnx\]"'):
        exporting.export_network(
            served(), tmp_path / "net.onnx", "onnx", input_type="uint8", samples=images()
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is None, reason="needs the extra onnx")
def test_onnx_answers_alike(tmp_path):
    found = exporting.export_network(
        served(), tmp_path / "net.onnx", "onnx", input_type="uint8", samples=images()
    )
    assert found.differences["logits"] < 1e-4


# Cells.
def small(cell_type):
    return ExportConfig(cell=cell_type, channels=4, input_channels=6)


@pytest.mark.parametrize("cell_type", ["normal", "reduce"])
def test_a_cell_becomes_part_of_a_keras_model(cell_type, tmp_path):
    path = tmp_path / "cell.keras"
    made = export.cell(named.read("DARTS_V2"), small(cell_type))
    exporting.export_cell(made, path, "keras", metadata={})
    cell = keras.models.load_model(path)
    inputs = keras.Input((8, 8, 3))
    stem = keras.layers.Conv2D(6, 3, padding="same")(inputs)
    features = keras.layers.GlobalAveragePooling2D()(cell([stem, stem]))
    model = keras.Model(inputs, keras.layers.Dense(2)(features))
    assert features.shape == (None, 16)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    x, y = np.ones((4, 8, 8, 3), np.float32), np.array([0, 1, 0, 1])
    before = [v.numpy() for v in cell.trainable_variables]
    model.fit(x, y, epochs=1, verbose=0)
    moved = [np.any(v.numpy() != b) for v, b in zip(cell.trainable_variables, before, strict=True)]
    assert any(moved)


@pytest.mark.slow
def test_a_cell_as_savedmodel_trains_without_this_package(tmp_path):
    path = tmp_path / "cell"
    made = export.cell(named.read(genotype()), small("reduce"))
    exporting.export_cell(made, path, "savedmodel", metadata={"cell": "reduce"})
    record = json.loads((path / "assets.extra/metadata.json").read_text())
    assert record == {"cell": "reduce"}
    script = """
import sys
import keras, numpy as np
cell = keras.layers.TFSMLayer(sys.argv[1], "serve", call_training_endpoint="train")
x = np.random.default_rng(0).normal(size=(2, 8, 8, 6)).astype("float32")
assert cell([x, x]).shape == (2, 4, 4, 4)
assert np.abs(cell([x, x], training=True) - cell([x, x])).max() > 1e-3
assert len(cell.trainable_weights) > 0
assert "rdarts_tf" not in sys.modules
"""
    command = [sys.executable, "-P", "-c", script, path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
