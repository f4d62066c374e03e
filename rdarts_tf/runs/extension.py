"""Whether a command may go on in a run directory, and whether it makes the run longer. No TensorFlow."""

from rdarts_tf.config import base
from rdarts_tf.config import search as search_config
from rdarts_tf.errors import UserError
from rdarts_tf.runs.decisions import stop_epoch


def check_switches(*, overwrite, extend):
    """Raises UserError for flags that exclude each other."""
    if overwrite and extend:
        raise UserError("--overwrite starts anew and --extend goes on; leave one of them out")


def check_same(config, recorded, told, *, remedy, extend=False):
    """Whether `config` makes a run longer.

    Args:
        recorded: the fields of the run, a dict; None: there is none yet.
        told: which run it is, e.g. "runs/x holds a run".
        remedy: what else the user may do.
        extend: whether the run may become longer.
    Raises:
        UserError: other flags differ, or --epochs does and may not.
    """
    differing = base.differences(config, recorded) if recorded else []
    if not differing:
        return False
    longer = None  # other flags differ
    former = recorded.get("epochs")
    if len(differing) == 1 and isinstance(former, int) and config.epochs != former:
        longer = config.epochs > former
    if extend and longer:
        return True
    if extend and longer is False:
        raise UserError(
            f"--extend makes a run longer, and {told} of {recorded.get('epochs')} epochs, not of "
            f"--epochs={config.epochs}; give more, or {remedy}"
        )
    more = "go on with it by --extend, " if longer else ""
    raise UserError(f"{told} with other flags: {', '.join(differing)}; {more}{remedy}")


def check_search(config, run_dir, *, remedy, extend=False):
    """`check_same` of a search in its run directory, and that such a search can become longer."""
    recorded, told = run_dir.read_json("config.json"), f"{run_dir.path} holds a run"
    longer = check_same(config, recorded, told, remedy=remedy, extend=extend)
    if longer and (reason := _obstacle(config, run_dir)):
        raise UserError(f"--extend cannot make {run_dir.path} longer: {reason}; {remedy}")
    return longer


def check_stored(config, run_dir, *, overwrite, extend):
    """Raises UserError where the search of arrays in memory would be refused, or a run has others."""
    check_switches(overwrite=overwrite, extend=extend)
    run_dir.check_ours("search", overwrite=overwrite)
    if overwrite:
        return
    recorded = run_dir.read_json("config.json") or {}
    if recorded.get("dataset", config.dataset) != config.dataset:
        raise UserError(
            f"{run_dir.path} holds a search of {recorded['dataset']}, these are {config.dataset}, whose "
            "name ends with a digest of the content; choose another run_dir, or give overwrite=True"
        )
    remedy = "choose another --run_dir, or --overwrite"
    check_search(config, run_dir, remedy=remedy, extend=extend)


def _obstacle(config, run_dir):
    """Why a search cannot become longer, or None."""
    if search_config.pieces(config):
        return f"{config.method} selects among several searches"
    if not config.make_method().extends:
        return f"--epochs does not give the number of steps of {config.method}"
    if (epoch := stop_epoch(run_dir.read_decisions())) is not None:
        return f"it was stopped, with the architecture of epoch {epoch} as its result"
    return missing_checkpoint(run_dir, "genotype.json")


def missing_checkpoint(run_dir, result):
    """Why a training that has left the file of its result cannot go on, or None."""
    if (run_dir.path / result).exists() and not run_dir.list_checkpoints():
        return f"{run_dir.checkpoints} holds no checkpoint to go on from"
    return None
