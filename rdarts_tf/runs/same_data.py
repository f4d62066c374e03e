"""Whether data are those that a run was made with. No TensorFlow."""

from rdarts_tf.errors import UserError


def check_same_data(recorded, now, path):
    """Compares the content of data, or, where a record has no digest of it, the names of the classes.

    Args:
        recorded: content of a run's dataset.json, a dict; None: it has none.
        now: what the data record of themselves now, see `tasks.base`.
        path: of the run.
    Raises:
        UserError: they are others; the sentence says in what.
    """
    recorded = recorded or {}
    key = next((k for k in ("digest", "class_names") if k in recorded and k in now), None)
    if key and recorded[key] != now[key]:
        raise UserError(
            f"the data are no longer those of {path}: {_difference(recorded, now)}; give the same "
            "data, or another --run_dir"
        )


def _difference(recorded, now):
    """What differs, in words."""
    counts, before = (record.get("num_examples", {}) for record in (now, recorded))
    found = [
        f"{count:,} {what} now, the run had {before[what]:,}"
        for what, count in counts.items()
        if before.get(what, count) != count
    ]
    names, known = (record.get("class_names", ()) for record in (now, recorded))
    if names != known:
        others = "others" if len(names) == len(known) else f"{len(known)}"
        found.append(f"{len(names)} classes now, the run had {others}")
    return ", ".join(found) or "the same numbers, but other content"
