"""The task of a run by what is recorded of it: its module `options`, see tasks.base. No TensorFlow."""

from rdarts_tf import registry
from rdarts_tf.config import spaces
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import named


class UnknownCells(UserError):
    """Cells of which no task of this package builds networks."""


def of_space(spec):
    """Of a space as a user names it.

    Raises:
        UserError: no such space or task.
    """
    return registry.load_task(spaces.make(spec).task, "options")


def check_space(space):
    """Raises UserError unless the networks of its task can have the cells of a spaces.base.Space."""
    options = registry.load_task(space.task, "options")
    refused, networks = f"space {space.name!r} has", f"networks of the task {space.task} have"
    if set(space.cells) != set(options.CELL_TYPES):
        cells = ", ".join(options.CELL_TYPES)
        raise UserError(f"{refused} the cells {', '.join(space.cells)}; {networks} {cells}")
    for t, cell in space.cells.items():
        inputs = getattr(options, "INPUTS", {}).get(t, cell.num_inputs)
        if cell.num_inputs != inputs:
            raise UserError(
                f"{refused} {cell.num_inputs} inputs in cell {t!r}; {networks} {inputs}"
            )
        kept = getattr(options, "KEPT_EDGES", cell.kept_edges)
        if cell.kept_edges != kept:
            raise UserError(f"{refused} kept_edges={cell.kept_edges}; {networks} {kept} a node")
        known = getattr(options, "PRIMITIVES", None)
        names = [name for row in cell.primitives for name in row]
        if known and (unknown := [name for name in names if name not in known]):
            raise UserError(
                f"{refused} the primitive {unknown[0]!r} in cell {t!r}; {networks} {', '.join(known)}"
            )


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
