"""What a written network answers, read back in a fresh process."""

import os
import pathlib
import subprocess
import sys

import numpy as np

from rdarts_tf.errors import UserError

# Runs without this package but for a .keras file, whose layers it defines.
_RELOAD = """
import importlib
import sys
import numpy as np
kind, path, samples, out, batch, module = sys.argv[1:]
samples = dict(np.load(samples))
if kind == "onnx":
    import onnxruntime
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    answer = lambda **inputs: dict(zip(names, session.run(names, inputs)))
else:
    import tensorflow as tf
    if kind == "tflite":
        answer = serve = tf.lite.Interpreter(path).get_signature_runner("serve")
    elif kind == "savedmodel":
        loaded = tf.saved_model.load(path)
        answer = lambda **x: loaded.signatures["serve"](**{k: tf.constant(v) for k, v in x.items()})
    else:
        import keras
        importlib.import_module(module)
        loaded = keras.models.load_model(path)
        answer = lambda **inputs: loaded(**inputs)
assert kind == "keras" or "rdarts_tf" not in sys.modules
num = len(next(iter(samples.values())))
step = int(batch) or num
parts = [answer(**{k: v[i : i + step] for k, v in samples.items()}) for i in range(0, num, step)]
outputs = {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
if kind == "tflite":
    for name, detail in serve.get_output_details().items():
        scale, zero = detail["quantization"]
        if detail["dtype"] == np.int8:
            outputs[name] = scale * (outputs[name].astype(np.float32) - zero)
np.savez(out, **outputs)
"""


def answers(kind, path, inputs, folder, model, batch_size):
    """The outputs of a written file on inputs, computed by another process."""
    samples, out = folder / "samples.npz", folder / "outputs.npz"
    np.savez(samples, **inputs)
    command = [sys.executable, "-P", "-c", _RELOAD, kind, path, samples, out, str(batch_size)]
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
