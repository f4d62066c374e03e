"""Whose cells a command is about, by its early flags. No TensorFlow."""

from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.genotypes import named
from rdarts_tf.runs.run_dir import RunDir


def evaluation(given):
    """The class of EvaluateConfig of the task of the cells, by default of images.

    Args:
        given: {"genotype", "run_dir": text or None}, see `config.flags.EARLY`.
    Raises:
        UserError: no such genotype, space or task.
    """
    if given["genotype"]:
        return evaluate_config.of_genotype(named.read(given["genotype"]))
    recorded = RunDir(given["run_dir"]).read_json("config.json") if given["run_dir"] else None
    return evaluate_config.of_record(recorded or {})
