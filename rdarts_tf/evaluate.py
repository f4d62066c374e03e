"""Trains a found network from scratch and tests it: python -m rdarts_tf.evaluate --run_dir=RUN."""

import statistics
import sys

from absl import flags

from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import search as config_lib
from rdarts_tf.errors import UserError
from rdarts_tf.runs.run_dir import RunDir


def main(argv):
    try:
        if len(argv) > 1:
            raise UserError(f"unexpected argument {argv[1]!r}; flags look like --run_dir=RUN")
        config = config_lib.from_flags(evaluate_config.EvaluateConfig)
        searched = RunDir(flags.FLAGS.run_dir) if flags.FLAGS.run_dir else None
        resolved = evaluate_config.resolve(config, searched)
        root = searched or RunDir(evaluate_config.default_run_dir(config))
        run_dir = RunDir(root.path / "evaluate" / resolved.name)
        run_dir.check_ours("evaluation", overwrite=flags.FLAGS.overwrite)
        if not flags.FLAGS.overwrite:
            _check_same(resolved, run_dir)
        return _evaluate(resolved, run_dir, searched=searched, overwrite=flags.FLAGS.overwrite)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _check_same(config, run_dir):
    recorded = run_dir.read_json("config.json")
    if recorded and (differing := config_lib.differences(config, recorded)):
        raise UserError(
            f"{run_dir.path} holds an evaluation with other flags: {', '.join(differing)}; choose "
            "another --name, or --overwrite"
        )


def _evaluate(config, run_dir, *, searched, overwrite):
    """Trains with each seed that has no result yet, then writes what all seeds together give."""
    # Not earlier: TensorFlow takes seconds to load.
    from rdarts_tf.engine import distribution, epochs, evaluation_run, evaluation_steps

    dataset = config.load_dataset()
    _check_classes(dataset, [RunDir(run_dir.path), *([searched] if searched else [])], config)
    evaluation_run.splits(config, dataset)
    evaluation_run.make_augmentation(config, dataset)
    distribution.configure_runtime()
    net = evaluation_steps.make_network(config, dataset.image_shape, dataset.num_classes)
    facts = _facts(config, dataset, net)
    strategy = distribution.make_strategy(config.strategy)
    if overwrite:
        run_dir.clear("evaluation")  # all seeds, also those not asked for: they had other flags
    try:
        for seed in config.seed_list():
            seed_dir = RunDir(run_dir.path / f"seed_{seed}")
            seed_dir.create()
            if seed_dir.read_json("result.json") is None:
                print(f"seed {seed}, files in {seed_dir.path}")
                run = evaluation_run.RetrainingRun(
                    config, seed_dir, dataset=dataset, strategy=strategy, seed=seed
                )
                config_lib.write_description(config, run_dir, dataset)
                seed_dir.write_json("result.json", _result(seed, run.run()))
    except epochs.Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except epochs.Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run_dir.write_json("result.json", facts | _summary(run_dir))
    _report(run_dir)
    return 0


def _check_classes(dataset, run_dirs, config):
    """Raises UserError if a record of the same data set names other classes."""
    for run_dir in run_dirs:
        recorded = run_dir.read_json("dataset.json")
        if recorded and recorded["name"] == dataset.name:
            names = recorded["class_names"]
            if names != list(dataset.class_names):
                raise UserError(
                    f"{config.dataset} has {dataset.num_classes} classes now, {run_dir.path} knows "
                    f"{len(names)} or others; give the same data, or another --run_dir"
                )


def _facts(config, dataset, net):
    """What is known before training; printed."""
    facts = {
        "genotype": config.genotype,
        "dataset": dataset.name,
        "split": config.split,
        "epochs": config.epochs,
        "num_parameters": net.num_parameters(auxiliary=False),
        "num_parameters_with_auxiliary_head": net.num_parameters(),
        "multiply_adds": net.multiply_adds(*dataset.image_shape[:2]),
    }
    print(
        f"{facts['num_parameters']:,} parameters "
        f"({facts['num_parameters_with_auxiliary_head']:,} with auxiliary head), "
        f"{facts['multiply_adds']:,} multiply-adds; {config.layers} cells, "
        f"{config.init_channels} channels, {config.epochs} epochs",
        flush=True,
    )
    return facts


def _result(seed, last):
    return {
        "seed": seed,
        "error": 1 - last["score/accuracy"],
        "loss": last["score/loss"],
        "train_loss": last["train/loss"],
    }


def _summary(run_dir):
    """Mean and population standard deviation, as the paper gives them, of all seeds that are done."""
    read = [RunDir(path).read_json("result.json") for path in run_dir.path.glob("seed_*")]
    results = sorted(filter(None, read), key=lambda result: result["seed"])
    errors = [result["error"] for result in results]
    return {
        "error_mean": statistics.fmean(errors),
        "error_std": statistics.pstdev(errors),
        "seeds": results,
    }


def _report(run_dir):
    result = run_dir.read_json("result.json")
    seeds = ", ".join(f"{r['seed']}: {100 * r['error']:.2f} %" for r in result["seeds"])
    print(
        f"{result['split']} error on {result['dataset']}: {100 * result['error_mean']:.2f} +- "
        f"{100 * result['error_std']:.2f} % (by seed: {seeds})"
    )
    print(f"files:       {run_dir.path}")
    print(f"TensorBoard: tensorboard --logdir={run_dir.path}")


if __name__ == "__main__":
    config_lib.run(main, evaluate_config.EvaluateConfig)
