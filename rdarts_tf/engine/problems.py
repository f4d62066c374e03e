"""The problem that a search solves, as its task poses it."""

from rdarts_tf import registry
from rdarts_tf.errors import UserError


def tell(data, say):
    """Tells what the user should know of the data."""
    for note in getattr(data, "notes", ()):
        say(note)


def of_search(config, data):
    """The tasks.base.Problem of a search.

    Args:
        config: config.search.SearchConfig.
        data: what `config.load_dataset` gives.
    Raises:
        UserError: the data do not fit.
    """
    task = registry.load_task(config.TASK, "task")
    problem = task.Search(config.make_method().strongest(config), data)
    if config.hessian_batches > problem.num_steps:
        raise UserError(
            f"--hessian_batches={config.hessian_batches} but an epoch has {problem.num_steps} steps; "
            "take as many at most"
        )
    return problem
