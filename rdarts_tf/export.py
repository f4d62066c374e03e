"""Exports the retrained network, a cell, or drawings: python -m rdarts_tf.export --run_dir=RUN."""

import dataclasses
import pathlib
import sys

from absl import flags, logging

from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import search as config_lib
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import named
from rdarts_tf.runs import placing
from rdarts_tf.runs.run_dir import RunDir, write_files

_DRAWINGS = ("png", "svg", "dot")
_SUFFIX = {"savedmodel": "_savedmodel", "tflite": ".tflite", "onnx": ".onnx", "keras": ".keras"}
_NUM_SAMPLES = 64


def main(argv):
    logging.set_verbosity(logging.WARNING)  # TensorFlow tells each step of saving
    try:
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}; flags look like --run_dir=RUN")
        config = config_lib.from_flags(config_lib.ExportConfig)
        run_dir = RunDir(flags.FLAGS.run_dir) if flags.FLAGS.run_dir else None
        _check(config, run_dir)
        if config.format in _DRAWINGS:
            _draw(config, run_dir)
        elif config.what == "cell":
            _export_cell(config, run_dir)
        else:
            _export_network(config, run_dir)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _check(config, run_dir):
    drawing = config.format in _DRAWINGS
    if run_dir is None and not (config.genotype and (drawing or config.what == "cell")):
        raise UserError("give --run_dir of a run, or --genotype with --what=cell or a drawing")
    if config.genotype and config.what == "network" and not drawing:
        raise UserError(
            "--genotype has no trained weights; retrain it with python -m rdarts_tf.evaluate, or "
            "export --what=cell"
        )
    if config.what == "cell" and config.format in ("tflite", "onnx"):
        raise UserError(f"--what=cell goes with --format=keras or savedmodel, not {config.format}")
    if config.what == "cell" and config.channels % 2:
        raise UserError(f"--channels={config.channels} is odd; take {config.channels + 1}")
    if config.quantize == "int8" and config.format != "tflite":
        raise UserError(f"--quantize=int8 goes with --format=tflite, not {config.format}")


def _genotype(config, run_dir):
    if config.genotype:
        return named.read(config.genotype)
    path = run_dir.path / "genotype.json"
    if path.exists():
        return named.read(str(path))
    folder, _ = _evaluation(config, run_dir, needed_for="a genotype")
    return named.read(folder.read_json("config.json")["genotype"])


def _default_out(run_dir):
    return (run_dir.path if run_dir else pathlib.Path()) / "export"


def _target(config, run_dir, name):
    """The path of an export; raises UserError where something is in its place."""
    path = _default_out(run_dir) / name
    if config.out:
        path = placing.target(pathlib.Path(config.out), name)
    placing.check(path, overwrite=flags.FLAGS.overwrite)
    return path


def _draw(config, run_dir):
    """Every cell as a file of its own, in the folder --out."""
    from rdarts_tf.drawing import dot, plots

    genotype = _genotype(config, run_dir)
    files = {}
    for cell_type, pairs in genotype.cells.items():
        concat, title = genotype.concat[cell_type], f"{cell_type} cell"
        sizes = {"num_inputs": 1, "ops_per_node": 1} if cell_type == "recurrent" else {}
        if config.format == "dot":
            content = dot.to_dot(pairs, concat, title=title, **sizes).encode()
        else:
            figure = plots.draw_cell(pairs, concat, title=title, **sizes)
            content = plots.to_png(figure) if config.format == "png" else plots.to_svg(figure)
        files[f"{cell_type}_cell.{config.format}"] = content
    ours = run_dir is not None and not config.out
    folder = config.out or _default_out(run_dir)
    write_files(folder, files, replace=ours or flags.FLAGS.overwrite)


def _export_cell(config, run_dir):
    genotype = _genotype(config, run_dir)
    path = _target(config, run_dir, f"{config.cell}_cell{_SUFFIX[config.format]}")
    from rdarts_tf.engine import exporting  # TensorFlow takes seconds to load
    from rdarts_tf.tasks.image_classification import networks

    networks.check_genotype(genotype)
    exporting.export_cell(
        genotype,
        config.cell,
        path,
        config.format,
        channels=config.channels,
        input_channels=config.input_channels,
        overwrite=flags.FLAGS.overwrite,
    )
    print(path)


def _export_network(config, run_dir):
    folder, result = _evaluation(config, run_dir, needed_for="a retrained network")
    evaluated = evaluate_config.EvaluateConfig(**folder.read_json("config.json"))
    calibrated = config.quantize == "int8"
    name = f"{folder.path.name}{'_int8' if calibrated else ''}{_SUFFIX[config.format]}"
    path = _target(config, run_dir, name)
    record, arrays = folder.read_json("dataset.json"), _arrays(config, folder, result)
    from rdarts_tf.engine import exporting  # TensorFlow takes seconds to load

    dataset = _dataset(config, evaluated, record)
    samples = dataset.test.images[:_NUM_SAMPLES]
    found = exporting.export_network(
        _served(evaluated, record, arrays),
        path,
        config.format,
        input_type=config.input,
        samples=samples,
        calibration=dataset.train.images[: config.calibration_images] if calibrated else None,
        overwrite=flags.FLAGS.overwrite,
    )
    print(
        f"read back in a new process, {len(samples)} test images: largest difference "
        f"{found.logits:.1e} of logits, {found.probabilities:.1e} of probabilities; "
        f"{100 * found.same_class:.1f} % same class"
    )
    print(path)


def _served(evaluated, record, arrays):
    """The serving.ServedNetwork of a checkpoint."""
    from rdarts_tf.engine import evaluation_steps
    from rdarts_tf.tasks.image_classification import serving

    image_shape, names = record["image_shape"], record["class_names"]
    net = evaluation_steps.trained_network(evaluated, image_shape, len(names), arrays=arrays)
    return serving.ServedNetwork(
        net,
        image_shape=image_shape,
        mean=record["mean"],
        std=record["std"],
        class_names=names,
        name="served",
    )


def _evaluation(config, run_dir, *, needed_for):
    """(RunDir of a finished evaluation, its result)."""
    root = run_dir.path / "evaluate"
    finished = sorted(path.parent.name for path in root.glob("*/result.json"))
    name = config.evaluation or (finished[0] if len(finished) == 1 else None)
    if name is None and finished:
        raise UserError(
            f"{run_dir.path} has the evaluations {', '.join(finished)}; choose one by --evaluation"
        )
    if name not in finished:
        raise UserError(
            f"{run_dir.path} holds no finished evaluation{f' {name!r}' if name else ''} and so not "
            f"{needed_for}; run python -m rdarts_tf.evaluate --run_dir={run_dir.path} first"
        )
    folder = RunDir(root / name)
    return folder, folder.read_json("result.json")


def _arrays(config, folder, result):
    """{name: array} after the last epoch of the seed that is asked for."""
    seeds = [entry["seed"] for entry in result["seeds"]]
    seed = seeds[0] if config.seed is None else config.seed
    if seed not in seeds:
        raise UserError(f"{folder.path} has the seeds {', '.join(map(str, seeds))}, not {seed}")
    newest = RunDir(folder.path / f"seed_{seed}").load_newest_checkpoint(print)
    if newest is None:
        raise UserError(f"{folder.path}/seed_{seed} holds no checkpoint; train it again")
    return newest[1]


def _dataset(config, evaluated, record):
    """The data set that the network was trained on, for samples."""
    dataset = dataclasses.replace(evaluated, data_dir=config.data_dir).load_dataset()
    if list(dataset.class_names) != record["class_names"]:
        raise UserError(
            f"{evaluated.dataset} has {dataset.num_classes} classes now, the network was trained on "
            f"{len(record['class_names'])} or others; give the same data"
        )
    return dataset


if __name__ == "__main__":
    config_lib.run(main, config_lib.ExportConfig)
