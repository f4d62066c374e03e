"""Writing networks and cells in the formats of others, and reading them back in a fresh process."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import typing
import zipfile

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.errors import UserError
from rdarts_tf.runs import placing

# Largest difference between the file's outputs and ours, relative to the largest logit, at least 1.
TOLERANCE = {"savedmodel": 1e-5, "keras": 1e-5, "tflite": 1e-4, "onnx": 1e-4}
_DTYPES = {"uint8": tf.uint8, "float32": tf.float32}

# Runs without this package but for a .keras file, whose layers it defines.
_RELOAD = """
import importlib
import sys
import numpy as np
kind, path, samples, out, module = sys.argv[1:]
images = np.load(samples)
if kind == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {"images": images})))
else:
    import tensorflow as tf
    if kind == "tflite":
        outputs = tf.lite.Interpreter(path).get_signature_runner("serve")(images=images)
    elif kind == "savedmodel":
        outputs = tf.saved_model.load(path).signatures["serve"](images=tf.constant(images))
    else:
        import keras
        importlib.import_module(module)
        outputs = keras.models.load_model(path)(images)
assert kind == "keras" or "rdarts_tf" not in sys.modules
np.savez(out, **{name: np.asarray(value) for name, value in outputs.items()})
"""


def write_savedmodel(model, path, *, input_type):
    """A SavedModel with the endpoints serve, serve_<the other input type> and metadata."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, dtype in _DTYPES.items():
        archive.add_endpoint(
            "serve" if name == input_type else f"serve_{name}",
            _call(model),
            input_signature=[tf.TensorSpec([None, *model.image_shape], dtype, name="images")],
        )
    metadata = model.metadata()
    constants = {name: tf.constant(value) for name, value in metadata.items()}
    archive.add_endpoint("metadata", lambda: constants, input_signature=[])
    archive.write_out(str(path), verbose=False)
    _write_metadata(path, metadata)


def write_keras(model, path, *, input_type):
    """A .keras file; it takes both input types."""
    model.save(path)


def write_tflite(model, path, *, input_type, calibration=None):
    """A TFLite file with the signature serve; labels.txt and metadata.json are zipped to its end.

    Args:
        calibration: images in the input type [n, H, W, channels] by which weights and activations
            are quantised to int8; None keeps float32.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "model"
        write_savedmodel(model, saved, input_type=input_type)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serve"])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"images": calibration[i : i + 1]} for i in range(len(calibration))
            )
        path.write_bytes(converter.convert())
    metadata = model.metadata()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "".join(f"{name}\n" for name in metadata["class_names"]))
        archive.writestr("metadata.json", json.dumps(metadata))


def write_onnx(model, path, *, input_type):
    """An ONNX file; metadata in its metadata_props.

    Raises:
        UserError: no converter is installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 - reads the file back
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f'ONNX needs a converter ({error}); pip install "rdarts-tf[onnx]", or take '
            "--format=tflite or savedmodel"
        ) from error
    spec = tf.TensorSpec([None, *model.image_shape], _DTYPES[input_type], name="images")
    function = tf.function(_call(model), input_signature=[spec])
    converted, _ = tf2onnx.convert.from_function(function, input_signature=[spec], opset=18)
    for name, value in model.metadata().items():
        converted.metadata_props.add(key=name, value=json.dumps(value))
    onnx.save(converted, path)


WRITERS = {
    "savedmodel": write_savedmodel,
    "keras": write_keras,
    "tflite": write_tflite,
    "onnx": write_onnx,
}


class Comparison(typing.NamedTuple):
    """Of a written file with the network, on samples.

    Attributes:
        logits, probabilities: largest differences.
        same_class: share of samples.
        scale: largest logit, at least 1.
    """

    logits: float
    probabilities: float
    same_class: float
    scale: float


def export_network(model, path, kind, *, input_type, samples, calibration=None, overwrite=False):
    """Writes the model, reads it back in a fresh process, and moves it to `path` if it answers alike.

    Args:
        model: ServedNetwork of a task.
        path: of the file, for SavedModel of the folder.
        kind: a key of WRITERS.
        input_type: "uint8" or "float32".
        samples: uint8 [n, H, W, channels].
        calibration: uint8 [m, H, W, channels]: quantise a TFLite file to int8 with them; it may
            then differ by any amount.
        overwrite: replace a file or a former export.
    Returns:
        Comparison.
    Raises:
        UserError: no converter, the difference is out of tolerance, or something else is there;
            nothing is written.
    """
    as_input = (lambda x: x) if input_type == "uint8" else (lambda x: x.astype(np.float32) / 255)
    options = {} if calibration is None else {"calibration": as_input(calibration)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export_") as folder:
        folder = pathlib.Path(folder)
        written, images = folder / path.name, as_input(samples)
        WRITERS[kind](model, written, input_type=input_type, **options)
        found = _compare(
            model(tf.constant(images)),
            _reloaded(kind, written, images, folder, type(model).__module__),
        )
        worst = max(found.logits / found.scale, found.probabilities)
        if calibration is None and not worst <= TOLERANCE[kind]:
            raise UserError(
                f"the {kind} file answers otherwise than the network: logits differ by "
                f"{found.logits:.1e}, probabilities by {found.probabilities:.1e}; nothing was written"
            )
        placing.move(written, path, overwrite=overwrite)
    return found


def _compare(ours, theirs):
    ours = {name: value.numpy() for name, value in ours.items()}
    difference = {name: float(np.abs(theirs[name] - ours[name]).max()) for name in ours}
    same = np.mean(theirs["logits"].argmax(-1) == ours["logits"].argmax(-1))
    scale = max(1.0, float(np.abs(ours["logits"]).max()))
    return Comparison(**difference, same_class=float(same), scale=scale)


def export_cell(model, path, kind, *, metadata, overwrite=False):
    """Writes a Keras model of a list of states, freshly initialised, as .keras file or SavedModel.

    The SavedModel has the endpoints serve and train, for keras.layers.TFSMLayer.

    Args:
        metadata: dict ready for JSON, for the SavedModel.
        overwrite: replace a file or a former export.
    Raises:
        UserError: something else is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export_") as folder:
        written = pathlib.Path(folder) / path.name
        if kind == "keras":
            model.save(written)
        else:
            _write_cell_savedmodel(model, written)
            _write_metadata(written, metadata)
        placing.move(written, path, overwrite=overwrite)


def _write_cell_savedmodel(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, training in (("serve", False), ("train", True)):
        archive.add_endpoint(
            name,
            lambda states, training=training: model(states, training=training),
            input_signature=[[tf.TensorSpec(state.shape, tf.float32) for state in model.inputs]],
        )
    archive.write_out(str(path), verbose=False)


def _write_metadata(path, metadata):
    """Beside saved_model.pb; `placing` knows an export of ours by it."""
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")


def _call(model):
    return lambda images: model(images)


def _reloaded(kind, path, images, folder, module):
    """The outputs of a written file on images, computed by another process."""
    samples, out = folder / "samples.npy", folder / "outputs.npz"
    np.save(samples, images)
    command = [sys.executable, "-P", "-c", _RELOAD, kind, path, samples, out, module]
    environment = _environment() if kind == "keras" else None
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"the {kind} file cannot be read back: {last}; nothing was written")
    with np.load(out) as file:
        return dict(file)


def _environment():
    """That of this process, and this package can be imported."""
    root = str(pathlib.Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
