"""Whose cells a command is about, by its early flags. No TensorFlow."""

from rdarts_tf import registry
from rdarts_tf.config import export as export_config
from rdarts_tf.config import task as tasks
from rdarts_tf.config.search import space_of
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import named
from rdarts_tf.runs.run_dir import RunDir


def evaluation(given):
    """The class of EvaluateConfig of the task of the cells.

    Args:
        given: {"space", "genotype", "run_dir": text or None}, see `config.flags.EARLY`.
    Raises:
        UserError: as `options`.
    """
    return tasks.part(options(given), "EvaluateConfig")


def export(given):
    """The class of ExportConfig; where no task exports such networks that of drawings alone.

    Args, Raises: as `evaluation`.
    """
    try:
        return getattr(options(given), "ExportConfig", export_config.ExportConfig)
    except tasks.UnknownCells:
        return export_config.ExportConfig


def options(given):
    """The module `options` of the task of the cells, of images where nothing tells.

    A genotype is of the task of --space; else of that of the run, if its networks have such cells; else
    of the task of this package whose networks do.

    Raises:
        UserError: no such genotype, space or task.
    """
    space, text = given["space"], given["genotype"]
    if space and not text:
        raise UserError(f"--space={space} is for --genotype; a run tells its own, leave it out")
    recorded = _recorded(given["run_dir"])
    found = tasks.of_space(space) if space else tasks.of_record(recorded) if recorded else None
    if text is None:
        return found or registry.load_task("image_classification", "options")
    genotype = named.read(text, space_of(space) if space else None)
    if found and tasks.fits(found, genotype):
        return found
    if space:
        raise UserError(
            f"--genotype has the cells {', '.join(genotype.cells)}, networks of --space={space} "
            f"{', '.join(found.CELL_TYPES)}; give the space that they are of"
        )
    return tasks.of_genotype(genotype)


def _recorded(path):
    """The config.json of a run, or of an evaluation in its directory where nothing was searched."""
    if not path:
        return None
    trained = (
        RunDir(file.parent) for file in sorted(RunDir(path).path.glob("evaluate/*/config.json"))
    )
    found = [(RunDir(path), "search"), *((run_dir, "evaluation") for run_dir in trained)]
    return next((run.read_json("config.json") for run, kind in found if run.holds(kind)), None)
