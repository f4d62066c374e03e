"""Files for other programs answer as the disparity network does, images of any size."""

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.engine import exporting
from rdarts_tf.tasks.disparity import serving
from rdarts_tf.tasks.disparity.derived_network import DerivedNetwork
from rdarts_tf.tasks.disparity.size import Size

GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1)], normal_concat=[2], "
    "reduce=[('skip_connect', 0), ('sep_conv_3x3', 1)], reduce_concat=[2], "
    "upsample=[('max_pool_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 2), "
    "('sep_conv_3x3', 3)], upsample_concat=[4])"
)
SIZES = [(16, 32), (9, 21)]  # a multiple of what the encoder divides by, and none


@pytest.fixture(scope="module")
def model():
    """With weights that make every disparity depend on both images."""
    net = DerivedNetwork(GENOTYPE, Size(2, 1, 1, 1, 2), normalised=False)
    net.build()
    rng = np.random.default_rng(0)
    for v in net.trainable_variables:
        v.assign(rng.normal(size=v.shape) * 0.7)
    net.heads[-1].kernel.assign(0.02 * net.heads[-1].kernel)
    net.heads[-1].bias.assign([5.0])
    return serving.ServedNetwork(net, name="served")


@pytest.fixture(scope="module")
def answers(model):
    """[(inputs, disparity)] of pairs of each size."""
    rng = np.random.default_rng(1)
    pairs = [rng.integers(0, 256, (2, 2, *size, 3), dtype=np.uint8) for size in SIZES]
    inputs = [model.as_input(pair, "uint8") for pair in pairs]
    found = [(x, model(**{k: tf.constant(v) for k, v in x.items()})["disparity"]) for x in inputs]
    for (x, y), size in zip(found, SIZES, strict=True):
        swapped = model(left=tf.constant(x["left"]), right=tf.constant(x["left"]))["disparity"]
        assert y.shape == (2, *size) and np.all(y > 0) and np.abs(y - swapped).max() > 1e-2
    return found


def reader(kind, path):
    """(inputs) -> the file's answer, by the program that others would take."""
    if kind == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(["disparity"], inputs)[0]
    serve = tf.lite.Interpreter(path).get_signature_runner("serve")
    return lambda inputs: serve(**inputs)["disparity"]


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_other_formats_answer_alike_at_any_size(model, answers, tmp_path, kind):
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    exporting.WRITERS[kind](model, tmp_path / "file", input_type="uint8")
    read = reader(kind, str(tmp_path / "file"))
    for inputs, expected in answers:
        np.testing.assert_allclose(read(inputs), expected, atol=1e-4)
