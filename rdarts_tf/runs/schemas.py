"""What the files of a run hold, checked wherever one is read, by schemas as `rdarts_tf.schema` has them."""

import re

from rdarts_tf.schema import ANY, FLAG, NAME, NUMBER, SCALAR, TEXT, WHOLE, check

_LENGTHS = [{"epochs": WHOLE, "until": WHOLE}]
_HISTORY = {False: _LENGTHS, True: {"*": _LENGTHS}}  # of a search; of an evaluation by seed
_SCORED = {"genotype": TEXT, "score?": NUMBER}
_SEED = {"seed": WHOLE, "epochs?": WHOLE, "of?": TEXT, "examined?": ANY, "*": NUMBER}
OWNER = {"of": TEXT, "epoch": WHOLE, "step": WHOLE}
ROW = {"epoch": WHOLE, "genotype?": TEXT, "curvature/converged?": FLAG, "*?": NUMBER}
SEARCH = {"space": NAME, "dataset": NAME, "method": NAME, "seed": WHOLE, "epochs": WHOLE}
SEARCH |= {"weight_decay": NUMBER, "drop_path_prob?": NUMBER, "augmentation_scale?": NUMBER}
SEARCH |= {"nodes?": WHOLE, "*": ANY}
DECISIONS = [
    {
        "decision": {"stop", "rollback"},
        "epoch": WHOLE,
        "decided_after?": WHOLE,
        "text?": TEXT,
        "carried_out?": FLAG,
        "epochs?": WHOLE,
    }
]
_CONFIG = dict.fromkeys(("space?", "dataset?", "method?", "genotype?", "split?", "name?"), NAME)
_CONFIG |= {"epochs?": WHOLE, "seed?": WHOLE, "nodes?": WHOLE, "weight_decay?": NUMBER}
SCHEMAS = {
    "config.json": _CONFIG | {"history?": ANY, "extending?": FLAG, "*": SCALAR},
    "dataset.json": {
        "name?": NAME,
        "digest?": TEXT,
        "class_names?": [TEXT],
        "num_examples?": {"*": WHOLE},
        "image_shape?": [WHOLE],
        "mean?": [NUMBER],
        "std?": [NUMBER],
        "vocabulary?": [TEXT],
        "*": ANY,
    },
    "environment.json": [{"epoch": WHOLE, "*": ANY}],
    "decisions.json": DECISIONS,
    "selection.json": {
        "winner": NAME,
        "runs": [{"name": NAME, "method": NAME, "genotype?": TEXT, "*?": NUMBER}],
    },
    "epoch.json": {
        "epoch": WHOLE,
        "weights": TEXT,
        "scored": [_SCORED],
        "top": [_SCORED | {"*?": NUMBER}],
    },
    "result.json": {
        "split": NAME,
        "dataset": NAME,
        "epochs": WHOLE,
        "num_parameters": WHOLE,
        "genotype?": TEXT,
        "seeds": [_SEED],
        "*": ANY,
    },
    "seed.json": _SEED,
    "genotype.json": ANY,
}


def check_file(path, value):
    """Raises ValueError unless the content of a run's JSON file is what such files hold."""
    name = path.name
    if re.fullmatch(r"epoch_\d+\.json", name):
        name = "epoch.json"
    elif name == "result.json" and re.fullmatch(r"seed_\d+", path.parent.name):
        name = "seed.json"
    check(value, SCHEMAS[name])
    if name == "config.json":
        of_seeds = "genotype" in value
        check(value.get("history", {} if of_seeds else []), _HISTORY[of_seeds], "history")
    if name == "result.json":
        numbers = {key: n for key, n in value.items() if key.endswith(("_mean", "_std"))}
        check(numbers, {"*": NUMBER})


def check_row(row, epoch):
    """Raises ValueError unless a row of metrics.jsonl is that of an epoch."""
    check(row, ROW, f"line {epoch + 1}")
    if row["epoch"] != epoch:
        raise ValueError(f"line {epoch + 1} is of epoch {row['epoch']}")


def check_alphas(arrays):
    """Raises ValueError unless these are as many matrices of finite numbers for each cell type."""
    for name, array in arrays.items():
        if array.ndim != 3 or array.dtype.kind != "f":
            raise ValueError(f"alpha of cell {name!r} has shape {list(array.shape)}, {array.dtype}")
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError("its cells have different numbers of epochs")
