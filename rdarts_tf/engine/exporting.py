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

# Largest difference between the file's outputs and ours, relative to the largest entry, at least 1.
TOLERANCE = {"savedmodel": 1e-5, "keras": 1e-5, "tflite": 1e-4, "onnx": 1e-4}

# Runs without this package but for a .keras file, whose layers it defines.
_RELOAD = """
import importlib
import sys
import numpy as np
kind, path, samples, out, module = sys.argv[1:]
inputs = dict(np.load(samples))
if kind == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, inputs)))
else:
    import tensorflow as tf
    if kind == "tflite":
        outputs = tf.lite.Interpreter(path).get_signature_runner("serve")(**inputs)
    elif kind == "savedmodel":
        inputs = {name: tf.constant(value) for name, value in inputs.items()}
        outputs = tf.saved_model.load(path).signatures["serve"](**inputs)
    else:
        import keras
        importlib.import_module(module)
        outputs = keras.models.load_model(path)(**inputs)
assert kind == "keras" or "rdarts_tf" not in sys.modules
np.savez(out, **{name: np.asarray(value) for name, value in outputs.items()})
"""


def write_savedmodel(model, path, *, input_type):
    """A SavedModel with the endpoints serve, serve_<another input type> and metadata.

    Args:
        model: what a task serves: INPUT_TYPES, signature(input type) -> {name: TensorSpec}, metadata().
        input_type: of the endpoint serve.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name in model.INPUT_TYPES:
        archive.add_endpoint(
            "serve" if name == input_type else f"serve_{name}",
            _call(model),
            input_signature=[model.signature(name)],
        )
    metadata = model.metadata()
    constants = {name: tf.constant(value) for name, value in metadata.items()}
    archive.add_endpoint("metadata", lambda: constants, input_signature=[])
    archive.write_out(str(path), verbose=False)
    _write_metadata(path, metadata)


def write_keras(model, path, *, input_type):
    """A .keras file; it takes all input types."""
    model.save(path)


def write_tflite(model, path, *, input_type, calibration=None):
    """A TFLite file with the signature serve; metadata.json, and labels.txt of classes, are zipped to its end.

    Args:
        calibration: {name: array} of inputs by which weights and activations are quantised to int8;
            None keeps float32.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "model"
        write_savedmodel(model, saved, input_type=input_type)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serve"])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            num = len(next(iter(calibration.values())))
            converter.representative_dataset = lambda: (
                {name: array[i : i + 1] for name, array in calibration.items()} for i in range(num)
            )
        path.write_bytes(converter.convert())
    metadata = model.metadata()
    with zipfile.ZipFile(path, "a") as archive:
        if names := metadata.get("class_names"):
            archive.writestr("labels.txt", "".join(f"{name}\n" for name in names))
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
    signature = [model.signature(input_type)]
    function = tf.function(_call(model), input_signature=signature)
    converted, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=18)
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
        differences: {output: largest difference}.
        worst: largest of them, relative to the largest entry of the output, at least 1.
        agreement: what the task says of the answers, e.g. "100.0 % same class"; may be "".
    """

    differences: dict
    worst: float
    agreement: str


def export_network(model, path, kind, *, input_type, samples, calibration=None, overwrite=False):
    """Writes the model, reads it back in a fresh process, and moves it to `path` if it answers alike.

    Args:
        model: what a task serves, see `write_savedmodel`; further as_input(examples, input type) ->
            {name: array} and agreement(ours, theirs).
        path: of the file, for SavedModel of the folder.
        kind: a key of WRITERS.
        input_type: one of the model's.
        samples: examples as the task has them.
        calibration: the same: quantise a TFLite file to int8 with them; it may then differ by any
            amount.
        overwrite: replace a file or a former export.
    Returns:
        Comparison.
    Raises:
        UserError: no converter, the difference is out of tolerance, or something else is there;
            nothing is written.
    """
    options = {}
    if calibration is not None:
        options = {"calibration": model.as_input(calibration, input_type)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export_") as folder:
        folder = pathlib.Path(folder)
        written, inputs = folder / path.name, model.as_input(samples, input_type)
        WRITERS[kind](model, written, input_type=input_type, **options)
        found = _compare(model, inputs, _reloaded(kind, written, inputs, folder, model))
        if calibration is None and not found.worst <= TOLERANCE[kind]:
            raise UserError(
                f"the {kind} file answers otherwise than the network: {told(found)}; nothing was "
                "written"
            )
        placing.move(written, path, overwrite=overwrite)
    return found


def told(found):
    """A Comparison in words."""
    differences = (f"{value:.1e} of {name}" for name, value in found.differences.items())
    agreement = f"; {found.agreement}" if found.agreement else ""
    return f"largest difference {', '.join(differences)}{agreement}"


def _compare(model, inputs, theirs):
    constants = {name: tf.constant(value) for name, value in inputs.items()}
    ours = {name: value.numpy() for name, value in model(**constants).items()}
    differences = {name: float(np.abs(theirs[name] - ours[name]).max()) for name in ours}
    worst = max(differences[name] / max(1.0, np.abs(ours[name]).max()) for name in ours)
    return Comparison(differences, worst, model.agreement(ours, theirs))


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
    return lambda inputs: model(**inputs)


def _reloaded(kind, path, inputs, folder, model):
    """The outputs of a written file on inputs, computed by another process."""
    samples, out = folder / "samples.npz", folder / "outputs.npz"
    np.savez(samples, **inputs)
    command = [sys.executable, "-P", "-c", _RELOAD, kind, path, samples, out]
    environment = _environment() if kind == "keras" else None
    result = subprocess.run(
        [*command, type(model).__module__], capture_output=True, text=True, env=environment
    )
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
