"""Run directories as searches and evaluations leave them, written by tests of the report."""

import json

import numpy as np

from rdarts_tf.genotypes import rule
from rdarts_tf.spaces import s1
from tests import counting_task

CELL = (("sep_conv_3x3", 0), ("skip_connect", 1)) + (("skip_connect", 0), ("dil_conv_3x3", 2)) * 3
GENOTYPE = {
    "cells": {"normal": CELL, "reduce": CELL},
    "concat": {"normal": (2, 3, 4, 5), "reduce": (2, 3, 4, 5)},
}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_run(
    path,
    *,
    curvature=(0.1, 0.2, 0.4),
    accuracy=0.75,
    genotype=GENOTYPE,
    validated=None,
    searched=s1.SPACE,
    **config,
):
    """A search, finished if it has a genotype; returns its path."""
    defaults = {"space": "s1", "dataset": "digits", "method": "darts", "seed": 2}
    defaults |= {"epochs": len(curvature), "weight_decay": 3e-4, "drop_path_prob": 0.0}
    config = defaults | config
    write_json(path / "config.json", config)
    fixed = validated or {"validation/accuracy": accuracy}
    fixed = fixed | {"search/weight_decay": config["weight_decay"]}
    rows = [
        {"epoch": epoch} | fixed | ({} if value is None else {"curvature/lambda_max": value})
        for epoch, value in enumerate(curvature)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    epochs = np.arange(len(curvature))[:, None, None]
    alphas = {
        t: epochs * np.resize([0.1, -0.1], cell.alpha_shape[1]) + np.zeros(cell.alpha_shape)
        for t, cell in searched.cells.items()
    }
    np.savez(path / "alphas.npz", **alphas)
    if genotype:
        write_json(path / "genotype.json", genotype)
    return path


def write_counting_run(path, **given):
    """A search of the made-up task tests.counting_task: one skip connection among two edges."""
    space = counting_task.SPACE
    found = rule.derive(space, {"count": [[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]})
    given = {"validated": {"validation/counting_error": 79.44}, "seed": 2} | given
    given = {"genotype": json.loads(found.to_json()), "dataset": "words"} | given
    write_run(path, space="tests.counting_task", searched=space, **given)
    config = json.loads((path / "config.json").read_text())
    config.pop("drop_path_prob")  # a task need not have it
    write_json(path / "config.json", config)
    return path


def write_result(
    run, errors, *, name="test", split="test", dataset="digits", epochs=60, score="error"
):
    """An evaluation of a run."""
    result = {
        "split": split,
        "dataset": dataset,
        "epochs": epochs,
        f"{score}_mean": float(np.mean(errors)),
        f"{score}_std": float(np.std(errors)),
        "seeds": [{"seed": seed, score: error} for seed, error in enumerate(errors)],
        "num_parameters": 123456,
    }
    if score == "error":
        result["num_parameters_with_auxiliary_head"] = 1234567
    write_json(run / "evaluate" / name / "result.json", result)


def write_drops(run, rows):
    """analysis/discretization.csv of (epoch, drop with running statistics, with those of the batch)."""
    text = "run,epoch,running/accuracy_drop,batch/accuracy_drop\n"
    text += "".join(f"{run.name},{','.join(map(str, row))}\n" for row in rows)
    (run / "analysis").mkdir()
    (run / "analysis" / "discretization.csv").write_text(text)


def write_spectra(run, spectra):
    """hessian/epoch_*.npz of {epoch: eigenvalues}, as --eigensolver=full leaves them."""
    (run / "hessian").mkdir(exist_ok=True)
    for epoch, values in spectra.items():
        np.savez(run / "hessian" / f"epoch_{epoch:04d}.npz", spectrum=values, products=0)


def write_selection(path, factors=(3e-4, 9e-4), **config):
    """R-DARTS (L2); its second sub-run wins."""
    config = {"method": "rdarts_l2", "curvature": ()} | config
    write_run(path, **config)
    (path / "alphas.npz").unlink()
    runs = []
    for number, factor in enumerate(factors):
        name = f"l2_{factor:g}"
        own = {"weight_decay": factor, "curvature": (0.3 / 2**number, 0.5 / 2**number)}
        own |= {k: v for k, v in config.items() if k in ("space", "dataset")}
        part = write_run(path / "runs" / name, **own)
        write_result(part, [0.2 / (1 + number % 2)], name="select", split="search", epochs=100)
        runs.append(
            {
                "name": name,
                "method": "darts",
                "weight_decay": factor,
                "drop_path_prob": 0.0,
                "seed": 2,
                "skips_normal": 3,
                "lambda_max": 0.5 / 2**number,
                "validation_error": 0.2 / (1 + number % 2),
                "num_parameters": 123456,
                "genotype": "Genotype(...)",
            }
        )
    write_json(path / "selection.json", {"winner": runs[1]["name"], "runs": runs})
    return path
