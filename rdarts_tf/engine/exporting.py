"""Writing networks and cells in the formats of others, and reading them back in a fresh process."""

import json
import pathlib
import tempfile
import typing
import zipfile

import keras
import numpy as np
import tensorflow as tf

from rdarts_tf.engine import reading_back, startup
from rdarts_tf.errors import UserError
from rdarts_tf.runs import placing
from rdarts_tf.runs.files import NotWritten

# Largest difference between the file's outputs and ours, relative to the largest entry, at least 1.
TOLERANCE = {"savedmodel": 1e-5, "keras": 1e-5, "tflite": 1e-4, "onnx": 1e-4}


def write_savedmodel(model, path, *, input_type, batch_size=None, alone=False):
    """A SavedModel with the endpoints serve, serve_<another input type> and metadata.

    Args:
        model: what a task serves: INPUT_TYPES, signature(input type) -> {name: TensorSpec}, metadata().
        input_type: of the endpoint serve.
        batch_size: fixed number of examples of a call; None: any.
        alone: leave the other input types out.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name in (input_type,) if alone else model.INPUT_TYPES:
        archive.add_endpoint(
            "serve" if name == input_type else f"serve_{name}",
            _call(model),
            input_signature=[_signature(model, name, batch_size)],
        )
    metadata = model.metadata()
    constants = {name: tf.constant(value) for name, value in metadata.items()}
    archive.add_endpoint("metadata", lambda: constants, input_signature=[])
    _write_out(archive, path)
    _write_metadata(path, metadata)


def _signature(model, input_type, batch_size):
    """{name: TensorSpec} of a fixed number of examples, or of any."""
    specs = model.signature(input_type).items()
    return {
        name: tf.TensorSpec([batch_size, *spec.shape[1:]], spec.dtype, name=spec.name)
        for name, spec in specs
    }


def write_keras(model, path, *, input_type, batch_size=None):
    """A .keras file; it takes all input types and any number of examples."""
    model.save(path)


def write_tflite(
    model, path, *, input_type, batch_size=None, calibration=None, integers=("float32", "float32")
):
    """A TFLite file with the signature serve; metadata.json, and labels.txt of classes, are zipped to its end.

    Args:
        calibration: {name: array} of float32 inputs by which weights and activations are quantised to
            int8, `input_type` being float32; None keeps float32.
        integers: types of input and output of a quantised file: float32, int8, of the input uint8, too.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "model"
        write_savedmodel(model, saved, input_type=input_type, batch_size=batch_size, alone=True)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serve"])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            num, step = len(next(iter(calibration.values()))), batch_size or 1
            converter.representative_dataset = lambda: (
                {
                    name: np.resize(array[i:], (step, *array.shape[1:]))
                    for name, array in calibration.items()
                }
                for i in range(0, num, step)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type, converter.inference_output_type = (
                tf.as_dtype(name) for name in integers
            )
        with startup.silence():
            content = converter.convert()
        path.write_bytes(content)
    metadata = model.metadata()
    with zipfile.ZipFile(path, "a") as archive:
        if names := metadata.get("class_names"):
            archive.writestr("labels.txt", "".join(f"{name}\n" for name in names))
        archive.writestr("metadata.json", json.dumps(metadata))


def write_onnx(model, path, *, input_type, batch_size=None):
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
            "--format=savedmodel"
        ) from error
    signature = [_signature(model, input_type, batch_size)]
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


def export_network(
    model,
    path,
    kind,
    *,
    input_type,
    samples,
    calibration=None,
    output_type="float32",
    batch_size=None,
    overwrite=False,
):
    """Writes the model, reads it back in a fresh process, and moves it to `path` if it answers alike.

    Args:
        model: what a task serves, see `write_savedmodel`; further as_input(examples, input type) ->
            {name: array} and agreement(ours, theirs).
        path: of the file, for SavedModel of the folder.
        kind: a key of WRITERS.
        input_type: one of the model's, or int8 of a quantised file.
        samples: examples as the task has them; None: the file is not read back.
        calibration: the same: quantise a TFLite file to int8 with them; it may then differ by any
            amount.
        output_type: float32, or int8 of a quantised file.
        batch_size: fixed number of examples of a call; None: any.
        overwrite: replace a file or a former export.
    Returns:
        Comparison, or None.
    Raises:
        UserError: no converter, the difference is out of tolerance, or something else is there;
            nothing is written.
    """
    options = {"input_type": input_type, "batch_size": batch_size}
    if calibration is not None:
        inputs = model.as_input(calibration, "float32")
        options |= {"calibration": inputs, "integers": (input_type, output_type)}
        options["input_type"] = "float32"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export_") as folder:
        folder = pathlib.Path(folder)
        written = folder / path.name
        WRITERS[kind](model, written, **options)
        found = None
        if samples is not None:
            step = batch_size or 1
            samples = np.resize(samples, (-(-len(samples) // step) * step, *samples.shape[1:]))
            inputs = model.as_input(samples, input_type)
            theirs = reading_back.answers(kind, written, inputs, folder, model, batch_size or 0)
            asked = "float32" if calibration is not None else input_type
            found = _compare(model, model.as_input(samples, asked), theirs)
        if found and calibration is None and not found.worst <= TOLERANCE[kind]:
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
    _write_out(archive, path)


def _write_out(archive, path):
    try:
        archive.write_out(str(path), verbose=False)
    except tf.errors.OpError as error:
        raise NotWritten.of(path.name, error.message.splitlines()[0], "--out") from error


def _write_metadata(path, metadata):
    """Beside saved_model.pb; `placing` knows an export of ours by it."""
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "metadata.json").write_text(json.dumps(metadata, indent=1) + "\n")


def _call(model):
    return lambda inputs: model(**inputs)
