"""What a search would have returned after its epochs, trained in RUN/search_epochs/epoch_*. No TensorFlow."""

import re

from rdarts_tf.analysis import regret
from rdarts_tf.config import search as search_config
from rdarts_tf.errors import UserError
from rdarts_tf.runs import files

FOLDER = "search_epochs"
_MOST_TOLD = 20  # epochs in a sentence


def folder(run_dir, epoch):
    """The RunDir that holds the evaluations of the architecture after `epoch` of a search."""
    return run_dir.folder(f"{FOLDER}/epoch_{epoch:04d}")


def folders(run_dir):
    """{epoch: its RunDir} of those that are there."""
    found = sorted((run_dir.path / FOLDER).glob("epoch_*"))
    matches = [re.fullmatch(r"epoch_(\d{4,9})", path.name) for path in found]
    epochs = [int(match[1]) for match in matches if match]
    return {epoch: folder(run_dir, epoch) for epoch in epochs}


def check_searches(config, path):
    """Raises UserError where a SearchConfig, of a run in `path`, has no epochs of its own."""
    if pieces := search_config.pieces(config):
        runs = ", ".join(f"{path}/runs/{name}" for name in pieces)
        raise UserError(
            f"{path} selects among searches and has no epochs of its own; give --search_epoch with one of "
            f"{runs}"
        )


def genotypes(run_dir, epochs):
    """What a search would have returned, had it ended after these epochs.

    Args:
        run_dir: run_dir.RunDir of the search; it need not be finished.
        epochs: integers; 0 is the first.
    Returns:
        {epoch: genotypes.genotype.Genotype}.
    Raises:
        UserError: it is no search, selects among several, or does not know an epoch's architecture.
    """
    path = run_dir.path
    if not run_dir.holds("search"):
        raise UserError(f"--search_epoch needs --run_dir of a search; {path} holds none")
    config = search_config.of_record(run_dir.read_json("config.json"))
    check_searches(config, path)
    rows = run_dir.read_metrics()
    if missing := [epoch for epoch in epochs if epoch >= len(rows)]:
        there = f"the epochs 0 to {len(rows) - 1}" if rows else "no finished epoch"
        raise UserError(
            f"--search_epoch={missing[0]} is not in {path}, which has {there}; leave it out"
        )
    with files.damage(path / "metrics.jsonl", "restore it"):
        found = regret.genotypes_of_run(config.make_space(), rows, run_dir.read_alphas())
    if unknown := [epoch for epoch in epochs if found[epoch] is None]:
        known = [str(epoch) for epoch, each in enumerate(found) if each is not None]
        more = ", ..." if len(known) > _MOST_TOLD else ""
        raise UserError(
            f"--search_epoch={unknown[0]}: {path} recorded no architecture after it; it did after "
            f"{', '.join(known[:_MOST_TOLD]) or 'no epoch'}{more}"
        )
    return {epoch: found[epoch] for epoch in epochs}
