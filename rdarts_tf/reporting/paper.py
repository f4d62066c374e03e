"""The tables of Zela et al. 2020 as printed, beside what is doubtful in their digits."""

import csv
import pathlib
import statistics

TASK = "image_classification"  # of its tables
FOLDER = pathlib.Path(__file__).parent / "paper_tables"
METHODS = {
    "random_ws": "RS-ws",
    "darts": "DARTS",
    "rdarts_dp": "R-DARTS(DP)",
    "rdarts_l2": "R-DARTS(L2)",
    "darts_es": "DARTS-ES",
    "darts_ada": "DARTS-ADA",
}


def read(name):
    """`rows`, `space` as we write it."""
    return [row | {"space": row["space"].lower()} for row in rows(name)]


def rows(name):
    """The rows of paper_tables/NAME.csv: dicts of strings, digits as printed."""
    with (FOLDER / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def selected():
    """Table 3, architectures selected of four searches: test errors in %.

    Returns:
        {(data set, space): {method: text}}, {(data set, space): what is doubtful}.
    """
    columns = {method: method for method in METHODS}
    columns |= {"random_ws": "rs_ws", "rdarts_dp": "r_darts_dp", "rdarts_l2": "r_darts_l2"}
    return _errors("table3_methods_test_error", columns)


def mean_errors():
    """Tables 1 and 6, mean and population standard deviation of three searches; as `selected`.

    DARTS and DARTS-ES stand in both; they are taken from Table 1.
    """
    first, _ = _errors(
        "table1_darts_vs_darts_es",
        {"darts": "darts_test_error", "darts_es": "darts_es_test_error"},
    )
    sixth, doubts = _errors(
        "table6_mean_std_three_runs", {"random_ws": "random_nas", "darts_ada": "darts_ada"}
    )
    return {key: first[key] | sixth[key] for key in sixth}, doubts


FULL_SPACES = {"cifar10": "darts", "cifar100": "darts", "svhn": "darts", "ptb": "rnn"}


def full_spaces():
    """Table 4: test errors in %, perplexity on PTB; as `selected`."""
    values, doubts = {}, {}
    for row in rows("table4_full_spaces"):
        key = row["benchmark"], FULL_SPACES[row["benchmark"]]
        values[key] = {"darts": _value(row, "darts"), "rdarts_l2": _value(row, "r_darts_l2")}
        doubts |= {key: row["doubt"]} if row["doubt"] else {}
    return values, doubts


def drop_path_runs():
    """Table 5: {(data set, space, drop path, seed): row of strings}, accuracies in %."""
    return {
        ("cifar10", row["space"], float(row["max_drop_path_prob"]), int(row["seed"])): row
        for row in read("table5_cifar10_drop_path")
    }


_PLAIN = {"drop_path_prob": 0.0, "weight_decay": 3e-4}  # of Table 1


def by_strength(field):
    """{(data set, space, method): {strength: test error}}, of Table 1 and the means of Table 5."""
    found = {
        (*key, method): {_PLAIN[field]: row[method]}
        for key, row in mean_errors()[0].items()
        for method in ("darts", "darts_es")
    }
    groups = {}
    for (dataset, space, strength, _), row in drop_path_runs().items():
        groups.setdefault((dataset, space, strength), []).append(100 - float(row["test_acc"]))
    for (dataset, space, strength), errors in groups.items() if field == "drop_path_prob" else ():
        text = f"{statistics.fmean(errors):.2f} ± {statistics.pstdev(errors):.2f}"
        found[dataset, space, "darts"].setdefault(strength, text)
    return found


def _errors(name, columns):
    rows = {(row["dataset"], row["space"]): row for row in read(name)}
    values = {
        key: {method: _value(row, column) for method, column in columns.items()}
        for key, row in rows.items()
    }
    return values, {key: row["doubt"] for key, row in rows.items() if row.get("doubt")}


def _value(row, column):
    if column in row:
        return row[column]
    return " ± ".join(filter(None, (row[f"{column}_mean"], row[f"{column}_std"])))
