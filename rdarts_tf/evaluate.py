"""Trains a found network from scratch and tests it.

python -m rdarts_tf.evaluate --run_dir=runs/s1_digits_darts_s2 --seeds=1,2,3
python -m rdarts_tf.evaluate --genotype=DARTS_V2 --dataset=cifar10
python -m rdarts_tf.evaluate --run_dir=runs/s1_digits_darts_s2 --search_epoch=0,5,10,15
"""

import contextlib
import dataclasses
import statistics
import sys

from rdarts_tf import registry
from rdarts_tf.config import base, flags
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.engine import startup
from rdarts_tf.errors import UserError
from rdarts_tf.runs import extension, given, lengths, samples, schemas, search_epochs
from rdarts_tf.runs.files import damage
from rdarts_tf.runs.follower import open_run_dir
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.runs.same_data import check_same_data


def main(config, *, run_dir, overwrite, extend):
    extension.check_switches(overwrite=overwrite, extend=extend)
    searched = RunDir(run_dir) if run_dir else None
    options = {"overwrite": overwrite, "by_default": config.batch_size is None}
    with contextlib.ExitStack() as locks:
        opened = [
            _opened(each, root, locks, extend=extend, **options)
            for each, root in _parts(config, searched)
        ]
        return _evaluate(opened, searched=searched, **options)


def _parts(config, searched):
    """Yields (resolved EvaluateConfig, RunDir that its evaluation is in): one, or one a --search_epoch."""
    if config.search_epoch is None:
        resolved = evaluate_config.resolve(config, searched)
        yield resolved, searched or RunDir(evaluate_config.default_run_dir(config))
        return
    if config.genotype or not searched:
        raise UserError(
            "--search_epoch trains what a search would have returned; give --run_dir of that search, "
            "and no --genotype"
        )
    genotypes = search_epochs.genotypes(searched, config.search_epochs())
    one = dataclasses.replace(config, search_epoch=None)
    for epoch, genotype in genotypes.items():
        resolved = evaluate_config.resolve(one, searched, genotype=genotype)
        yield resolved, search_epochs.folder(searched, epoch)


def _opened(config, root, locks, *, overwrite, by_default, extend):
    """(EvaluateConfig, its RunDir, locked), checked."""
    run_dir = open_run_dir(config, root.path / "evaluate" / config.name)
    locks.enter_context(run_dir.locked())
    run_dir.check_ours("evaluation", overwrite=overwrite)
    known = run_dir.read_json("dataset.json") if by_default and not overwrite else None
    config = config.fitted(known) if known and "num_examples" in known else config
    if not overwrite:
        _check_same(config, run_dir, extend=extend)
    return config, run_dir


def _check_same(config, run_dir, *, extend):
    recorded, told = run_dir.read_json("config.json"), f"{run_dir.path} holds an evaluation"
    remedy = "choose another --name, or --overwrite"
    extension.check_same(config, recorded, told, remedy=remedy, extend=extend)
    seeds, history = run_dir.seeds(), _history(config, run_dir)
    for seed_dir in (seeds[seed] for seed in config.seed_list() if seed in seeds):
        obstacle = extension.missing_checkpoint(seed_dir, "result.json")
        if obstacle and not _is_done(seed_dir, config, history):
            raise UserError(f"{seed_dir.path} cannot go on: {obstacle}; {remedy}")


def _evaluate(opened, **options):
    """Makes the evaluations [(config, run_dir)], one after the other."""
    # Not earlier: TensorFlow takes seconds to load.
    startup.load_tensorflow()
    from rdarts_tf.engine import distribution, epochs, problems

    distribution.configure_runtime()
    (config, run_dir), *_ = opened
    try:
        with distribution.errors_told(config.strategy):
            strategy = distribution.make_strategy(config.strategy)  # a process has but one
            data = config.load_dataset(run_dir.path)
            problems.tell(data, run_dir.say)
            for config, run_dir in opened:
                _train(config, run_dir, data, strategy, **options)
    except epochs.Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except (epochs.Diverged, distribution.WorkerLost) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train(config, run_dir, data, strategy, *, searched, overwrite, by_default):
    """Trains with each seed that has no result yet, then writes what all seeds together give."""
    from rdarts_tf.engine import distribution, epochs, evaluation_run

    distribution.check_same(strategy, base.SAME_FLAGS, digest=base.digest(config))
    task = registry.load_task(config.TASK, "task")
    _check_data(config, data, None if overwrite else run_dir, searched)
    config = _fitted(config, data, run_dir.say) if by_default else config
    by_seed = {seed: task.Evaluation(config, data, seed=seed) for seed in config.seed_list()}
    some = next(iter(by_seed.values()))
    facts = _facts(config, data, some, say=run_dir.say)
    with distribution.chief_first(strategy):
        if overwrite:
            run_dir.clear("evaluation")  # all seeds, also those not asked for: they had other flags
    run_dir.create()
    history = _history(config, run_dir)
    for seed, problem in by_seed.items():
        seed_dir = run_dir.folder(f"seed_{seed}")
        seed_dir.create()
        missing = not _is_done(seed_dir, config, history)
        distribution.check_same(strategy, epochs.SHARED, seed=seed, missing=missing)
        if missing:
            run_dir.say(f"seed {seed}, files in {seed_dir.path}")
            run = evaluation_run.EvaluationRun(
                config,
                seed_dir,
                problem=problem,
                strategy=strategy,
                seed=seed,
                history=history.get(str(seed), ()),
                say=run_dir.say,
            )
            run_dir.write_description(config, data.record(), history=history)
            _keep_samples(config, data, run_dir)
            result = _result(problem.SCORE, seed, run.run()) | problem.further_tests(run.net)
            result |= {"epochs": config.epochs, "of": run.logbook.of} | run.examined
            seed_dir.write_json("result.json", result)
    with distribution.chief_first(strategy):
        if run_dir.WRITES:
            done = [each for each in run_dir.seeds().values() if _is_done(each, config, history)]
            run_dir.write_json("result.json", facts | _summary(done, some.SCORE.name))
            _report(run_dir, some.SCORE)


def _keep_samples(config, data, run_dir):
    """Writes some examples, so that an export needs no data; nothing of a task without export."""
    if config.TASK in registry.names("tasks") and run_dir.read_bytes(samples.FILE) is None:
        exporting = registry.load_task(config.TASK, "export")
        run_dir.write_bytes(samples.FILE, samples.content(exporting, data))


def _fitted(config, data, say):
    """The configuration whose default of --batch_size fits the data; told."""
    fitted = config.fitted(data.record())
    if fitted.batch_size != config.batch_size:
        say(
            f"--batch_size={fitted.batch_size}, all training examples, instead of {config.batch_size}"
        )
    return fitted


def _history(config, run_dir):
    """{seed: its history, see runs.lengths}.

    With a new length all seeds are claimed for this process, and their epochs keep the one they had.
    """
    recorded = run_dir.read_json("config.json") or {}
    history, former = recorded.get("history", {}), recorded.get("epochs", config.epochs)
    if former == config.epochs:
        return history
    found = {}
    for seed, seed_dir in run_dir.seeds().items():
        seed_dir.create()
        before = history.get(str(seed), ())
        epochs = range(seed_dir.num_epochs_begun())
        found[str(seed)] = lengths.history_of(lengths.at(before, e, former) for e in epochs)
    return found


def _is_done(seed_dir, config, history):
    """Whether a seed has a result of this configuration; earlier versions said neither length nor flags."""
    result, seed = seed_dir.read_json("result.json"), seed_dir.path.name.removeprefix("seed_")
    if result is None:
        return False
    of, unsaid = config.seed_identity(seed), None if seed in history else config.epochs
    return result.get("epochs", unsaid) == config.epochs and result.get("of", of) == of


def _check_data(config, data, run_dir, searched):
    """Raises UserError if the data are not those of the evaluation, or, of the same name, of the search."""
    records = [run_dir] if run_dir else []
    spec = ((searched and searched.read_json("config.json")) or {}).get("dataset")
    if spec and registry.parse(spec) == registry.parse(config.dataset):
        records.append(searched)
    for each in records:
        check_same_data(each.read_json("dataset.json"), data.record(), each.path)


def _facts(config, data, problem, *, say):
    """What is known before training; told."""
    facts = {
        "genotype": config.genotype,
        "dataset": data.name,
        "split": config.split,
        "epochs": config.epochs,
        **problem.facts(problem.network()),
    }
    say(f"{problem.told(facts)}, {config.epochs} epochs")
    return facts


def _result(score, seed, last):
    """What result.json of a seed tells; `last` is the last row of its metrics."""
    from rdarts_tf.engine.evaluation_run import stage

    validated = {
        f"validation_{name}": number
        for name, number in stage(last, "validation").items()
        if f"score/{name}" in last
    }
    return {
        "seed": seed,
        score.name: score.of(stage(last, "score")),
        "loss": last["score/loss"],
        "train_loss": last["train/loss"],
        **({"epoch": last["epoch"]} | validated if validated else {}),
    }


def _summary(seed_dirs, name):
    """Mean and population standard deviation, as the paper gives them, of all seeds that are done."""
    results = sorted((_seed_result(each, name) for each in seed_dirs), key=lambda r: r["seed"])
    scores = [result[name] for result in results]
    examined = [result.pop("examined", None) for result in results]
    return {
        f"{name}_mean": statistics.fmean(scores),
        f"{name}_std": statistics.pstdev(scores),
        "seeds": results,
        **({"examined": _mean(examined)} if all(examined) else {}),
    }


def _mean(examined):
    from rdarts_tf.engine import examination

    return examination.mean(examined)


def _seed_result(seed_dir, name):
    """What a seed found; raises RunDirError where it has no score."""
    result = seed_dir.read_json("result.json")
    with damage(seed_dir.path / "result.json"):
        schemas.check(result, {name: schemas.NUMBER, "*": schemas.ANY})
    return {name: value for name, value in result.items() if name != "of"}


def _report(run_dir, score):
    result, name = run_dir.read_json("result.json"), score.name
    seeds = ", ".join(f"{r['seed']}: {score.told(r[name])}" for r in result["seeds"])
    print(
        f"{result['split']} {name} on {result['dataset']}: "
        f"{score.told(result[f'{name}_mean'], result[f'{name}_std'])} (by seed: {seeds})"
    )
    left_out = sorted(set(run_dir.seeds()) - {r["seed"] for r in result["seeds"]})
    if left_out:
        print(
            f"left out:    without a result of {result['epochs']} epochs; --seeds="
            f"{','.join(map(str, left_out))} trains on"
        )
    print(f"files:       {run_dir.path}")
    print(f"TensorBoard: tensorboard --logdir={run_dir.path}")


def run():
    """The command; exits."""
    flags.run(main, given.evaluation)


if __name__ == "__main__":
    run()
