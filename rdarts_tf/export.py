"""Exports the retrained network, a cell, or drawings and texts of the cells.

python -m rdarts_tf.export --run_dir=runs/s1_digits_darts_s2 --format=tflite
python -m rdarts_tf.export --genotype=DARTS_V2 --format=png --out=cells
"""

import dataclasses
import json
import pathlib

from absl import logging

from rdarts_tf import registry
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import flags
from rdarts_tf.config import task as tasks
from rdarts_tf.config.search import space_of
from rdarts_tf.engine import startup
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import named
from rdarts_tf.runs import files, given, placing, samples
from rdarts_tf.runs.placing import write_files
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.runs.same_data import check_same_data

_DRAWINGS = ("png", "svg", "dot")
_TEXTS = {
    "text": ("genotype.txt", str),
    "json": ("genotype_darts.json", lambda genotype: json.dumps(genotype.to_plain())),
    "nni": ("genotype_nni.json", lambda genotype: json.dumps(genotype.to_nni(), indent=1)),
}
_SUFFIX = {"savedmodel": "_savedmodel", "tflite": ".tflite", "onnx": ".onnx", "keras": ".keras"}


# Arguments of an export that not every task has.
_FIELDS = {"output_type": "output", "batch_size": "batch_size"}


def main(config, *, run_dir, overwrite):
    logging.set_verbosity(logging.WARNING)  # TensorFlow tells each step of saving
    run_dir = RunDir(run_dir) if run_dir else None
    _check(config, run_dir)
    try:
        if config.format in _DRAWINGS or config.format in _TEXTS:
            _draw(config, run_dir, overwrite=overwrite)
        elif config.what == "cell":
            _export_cell(config, run_dir, overwrite=overwrite)
        else:
            _export_network(config, run_dir, overwrite=overwrite)
    except OSError as error:
        path = error.filename or config.out or _default_out(run_dir)
        if files.gave_way(error):
            raise files.NotWritten.of(path, error.strerror, "--out") from error
        raise UserError(f"cannot write {path}: {error.strerror}; choose another --out") from error
    return 0


def _check(config, run_dir):
    drawing = config.format in _DRAWINGS or config.format in _TEXTS
    if run_dir is None and not (config.genotype and (drawing or config.what == "cell")):
        raise UserError(
            "give --run_dir of a run, or --genotype with --what=cell, a drawing or a text"
        )
    if config.genotype and config.what == "network" and not drawing:
        raise UserError(
            "--genotype has no trained weights; retrain it with python -m rdarts_tf.evaluate, or "
            "export --what=cell"
        )
    if config.what == "cell" and config.format in ("tflite", "onnx"):
        raise UserError(f"--what=cell goes with --format=keras or savedmodel, not {config.format}")
    if config.TASK is None and not drawing:
        early = {"space": config.space, "genotype": config.genotype}
        tasks.part(given.options(early | {"run_dir": run_dir and run_dir.path}), "ExportConfig")
    config.check_values()


def _genotype(config, run_dir):
    if config.genotype:
        return named.read(config.genotype, space_of(config.space) if config.space else None)
    if (found := run_dir.read_genotype()) is not None:
        return found
    folder, _ = _evaluation(config, run_dir, needed_for="a genotype")
    return named.read(folder.read_json("config.json")["genotype"])


def _default_out(run_dir):
    return placing.inside(run_dir.path, "export") if run_dir else pathlib.Path("export")


def _target(config, run_dir, name, *, overwrite):
    """The path of an export; raises UserError where something is in its place, or of a wrong name."""
    path = _default_out(run_dir) / name
    if config.out:
        path = placing.target(pathlib.Path(config.out), name)
    if config.format == "keras" and path.suffix != ".keras":
        raise UserError(f"--out={config.out} does not end in .keras, and Keras reads no other name")
    placing.check(path, overwrite=overwrite)
    return path


def _draw(config, run_dir, *, overwrite):
    """Every cell as a file of its own, or all as a text, in the folder --out."""
    genotype = _genotype(config, run_dir)
    if config.format in _TEXTS:
        name, write = _TEXTS[config.format]
        contents = {name: f"{write(genotype)}\n".encode()}
    else:
        contents = _drawings(config, genotype)
    ours = run_dir is not None and not config.out
    folder = config.out or _default_out(run_dir)
    write_files(folder, contents, replace=ours or overwrite)


def _drawings(config, genotype):
    """{file name: bytes} of a picture of each cell."""
    from rdarts_tf.drawing import cell_plot, dot, plots

    contents = {}
    for cell_type in genotype.cells:
        title = f"{cell_type} cell"
        if config.format == "dot":
            content = dot.to_dot(genotype, cell_type, title=title).encode()
        else:
            figure = cell_plot.draw_cell(genotype, cell_type, title=title)
            content = plots.to_png(figure) if config.format == "png" else plots.to_svg(figure)
        contents[f"{cell_type}_cell.{config.format}"] = content
    return contents


def _export_cell(config, run_dir, *, overwrite):
    genotype = _genotype(config, run_dir)
    path = _target(
        config, run_dir, f"{config.cell}_cell{_SUFFIX[config.format]}", overwrite=overwrite
    )
    startup.load_tensorflow()
    from rdarts_tf.engine import exporting  # TensorFlow takes seconds to load

    made = registry.load_task(config.TASK, "export").cell(genotype, config)
    metadata = {"genotype": str(genotype), "cell": config.cell}
    exporting.export_cell(made, path, config.format, metadata=metadata, overwrite=overwrite)
    print(path)


def _export_network(config, run_dir, *, overwrite):
    folder, result = _evaluation(config, run_dir, needed_for="a retrained network")
    kind = tasks.part(registry.load_task(config.TASK, "options"), "EvaluateConfig")
    evaluated = evaluate_config.of_evaluation(kind, folder.read_json("config.json"))
    calibrated = config.quantize == "int8"
    name = f"{folder.path.name}{'_int8' if calibrated else ''}{_SUFFIX[config.format]}"
    path = _target(config, run_dir, name, overwrite=overwrite)
    record, arrays = folder.read_json("dataset.json"), _arrays(config, folder, result)
    startup.load_tensorflow()
    from rdarts_tf.engine import exporting  # TensorFlow takes seconds to load

    task = registry.load_task(config.TASK, "export")
    needed = {"calibration": config.calibration_images if calibrated else 0}
    needed["samples"] = 0 if config.compare == "none" else samples.NUM
    examples = _examples(task, evaluated, config, folder, needed)
    found = exporting.export_network(
        task.served(evaluated, record, arrays),
        path,
        config.format,
        input_type=config.input,
        samples=examples.get("samples"),
        calibration=examples.get("calibration"),
        **{
            name: getattr(config, field)
            for name, field in _FIELDS.items()
            if hasattr(config, field)
        },
        overwrite=overwrite,
    )
    if found is not None:
        num = len(examples["samples"])
        print(f"read back in a new process, {num} test examples: {exporting.told(found)}")
    print(path)


def _examples(task, evaluated, config, folder, needed):
    """{"samples", "calibration": array} as many as needed, of what the evaluation kept or of its data."""
    kept = samples.read(folder)
    wanted = {name for name, num in needed.items() if num}
    if all(
        len(kept.get(name, ())) >= needed[name] for name in wanted & {"calibration"}
    ) and wanted <= set(kept):
        return {name: kept[name][: needed[name]] for name in wanted}
    if not wanted:
        return {}
    settings = dataclasses.replace(evaluated, data_dir=config.data_dir)
    try:
        dataset = settings.load_dataset(folder.path)
    except UserError as error:
        if not wanted <= set(kept):
            raise UserError(f"{error}; or give --compare=none, which needs no data") from error
        print(f"calibrated on {len(kept['calibration'])} images that the run keeps: {error}")
        return {name: kept[name] for name in wanted}
    check_same_data(folder.read_json("dataset.json"), dataset.record(), folder.path)
    return {name: getattr(task, name)(dataset, needed[name]) for name in wanted}


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
    result, recorded = folder.read_json("result.json"), folder.read_json("config.json")
    if recorded is None:
        raise UserError(f"{folder.path} has no config.json; restore it, or evaluate the run again")
    if result["epochs"] != recorded.get("epochs", result["epochs"]):
        raise UserError(
            f"{folder.path} was extended from {result['epochs']} to {recorded['epochs']} epochs and is "
            "not finished; run the same python -m rdarts_tf.evaluate again first"
        )
    return folder, result


def _arrays(config, folder, result):
    """{name: array} of the seed that is asked for: after its last epoch, or the best where that is kept."""
    seeds = [entry["seed"] for entry in result["seeds"]]
    seed = seeds[0] if config.seed is None else config.seed
    if seed not in seeds:
        raise UserError(f"{folder.path} has the seeds {', '.join(map(str, seeds))}, not {seed}")
    trained = RunDir(folder.path / f"seed_{seed}")
    if (best := trained.load_best()) is not None:
        return best
    newest = trained.load_newest_checkpoint(print)
    if newest is None:
        raise UserError(f"{folder.path}/seed_{seed} holds no checkpoint; train it again")
    return newest[1]


def run():
    """The command; exits."""
    flags.run(main, given.export)


if __name__ == "__main__":
    run()
