"""The task of a run by what is recorded of it: its module `options`, see tasks.base. No TensorFlow."""

from rdarts_tf import registry
from rdarts_tf.config import base
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import named


class UnknownCells(UserError):
    """Cells of which no task of this package builds networks."""


def of_space(spec):
    """Of a space as a user names it.

    Raises:
        UserError: no such space or task.
    """
    module, _, _ = base.plugin("spaces", spec, "SPACE")
    return registry.load_task(module.SPACE.task, "options")


def of_genotype(genotype):
    """Of the task of this package whose networks have such cells.

    Raises:
        UnknownCells: there is none.
    """
    for task in registry.names("tasks"):
        options = registry.load_task(task, "options")
        if fits(options, genotype):
            return options
    raise UnknownCells(
        f"no task has networks of the cells {', '.join(genotype.cells)}; give --space=... of the "
        "space that they belong to"
    )


def of_record(recorded):
    """Of the content of a config.json, be it of a search or of an evaluation.

    Raises:
        UserError: there is none, or it may not be imported.
    """
    if recorded.get("space"):
        return of_space(recorded["space"])
    return of_genotype(named.read(recorded["genotype"]))


def fits(options, genotype):
    """Whether the networks of a task have the cells of a genotype."""
    return set(genotype.cells) == set(options.CELL_TYPES)


def part(options, name):
    """What the task defines of that name, such as its EvaluateConfig.

    Raises:
        UserError: nothing.
    """
    if not hasattr(options, name):
        raise UserError(
            f"{options.__name__} defines no {name}, which this needs; rdarts_tf/tasks/base.py tells "
            "what it must be"
        )
    return getattr(options, name)
