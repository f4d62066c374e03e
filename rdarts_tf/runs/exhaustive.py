"""Trains every architecture of a space and makes the table from which analysis.regret reads."""

import dataclasses
import os
import pathlib

from rdarts_tf import registry
from rdarts_tf.analysis import csv_table, regret
from rdarts_tf.config import base, flags, workers
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config.search import SearchConfig
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import rule
from rdarts_tf.runs import executor
from rdarts_tf.runs.run_dir import RunDir


class Exhaustive:
    """All architectures of a space on a data set.

    Args:
        space, dataset: as a user writes them.
        seeds: as a user writes them; None: those in `common`.
        out: folder; an architecture has its run directory OUT/<space>_<dataset>/<id>.
        common: flags of python -m rdarts_tf.evaluate for each.
    Raises:
        UserError: the space has nodes that keep some of their edges only, a flag that cannot be, an
            architecture that was trained with other flags, or another file in place of the table.
    """

    def __init__(self, space, dataset, *, seeds, out, common):
        self.space = SearchConfig(space=space).make_space()
        rule.check_keeps_all_edges(self.space)
        self.score = regret.score_of(self.space)
        given, own = flags.parse(lambda _: evaluate_config.of_space(self.space), common)
        refused = (own["run_dir"], own["overwrite"], own["extend"], given.search_epoch)
        if any(refused) or given.split != "test":
            raise UserError(
                "--exhaustive trains into directories of its own, goes on with what is there and "
                "scores on the test part; leave --run_dir, --overwrite, --extend, --search_epoch and --split out"
            )
        workers.check_alone(given, "--exhaustive")
        # Those of the cells that a search on the space finds; evaluate does not know the space.
        sizes = given.defaults(given.preset, dataset, {"space": self.space.name})
        self.changes = {"dataset": dataset, "seeds": given.seeds if seeds is None else seeds}
        for name, size in sizes.items():
            value = getattr(given, name)
            self.changes[name] = size if value is None else value
        if registry.is_outside("tasks", self.space.task):  # the cells do not tell it
            self.changes["space"] = space
        self.given, self.common = dataclasses.replace(given, **self.changes), common
        name = evaluate_config.folder_name(f"{self.space.name}_{dataset}")
        self.folder, self.table = pathlib.Path(out) / name, pathlib.Path(out) / f"{name}.csv"
        self.choices = {self._id(choice): choice for choice in self.space.architectures()}
        self._check_trained_alike()
        self._check_table()

    def tasks(self):
        """The executor.Tasks of the architectures that lack a seed."""
        return [self._task(name) for name in self.choices if self._trained(name) is None]

    def write_table(self):
        """Writes the table of all architectures, which must be trained.

        Returns:
            (id, regret.Trained) of the best.
        """
        found = {name: self._trained(name) for name in self.choices}
        rows = [
            regret.row(self.space, choice, found[name]) for name, choice in self.choices.items()
        ]
        RunDir(self.table.parent).write_bytes(self.table.name, csv_table.to_bytes(rows))
        return min(found.items(), key=lambda pair: pair[1].test)

    def _task(self, name):
        text = str(rule.of_choice(self.space, self.choices[name]))
        own = self.changes | {"genotype": text, "run_dir": self.folder / name}
        command = ("-m", "rdarts_tf.evaluate", *self.common, *base.argv(own))
        return executor.Task(name, (command,), self.folder / name)

    def _id(self, choice):
        """sep-skip_max-sep: the first words of the primitives where these tell them apart."""
        names = sorted(
            {name for rows in self.space.primitives.values() for r in rows for name in r}
        )
        short = {name: name.partition("_")[0] for name in names}
        if len(set(short.values())) < len(names):
            short = {name: name.replace("_", "") for name in names}
        return "_".join("-".join(short[name] for name in edges) for edges in choice.values())

    def evaluation(self, name):
        """(directory of the evaluation of an architecture, its resolved configuration)."""
        text = str(rule.of_choice(self.space, self.choices[name]))
        config = dataclasses.replace(self.given, genotype=text)
        resolved = evaluate_config.resolve(config, None)
        return self.folder / name / "evaluate" / resolved.name, resolved

    def _check_trained_alike(self):
        for name in self.choices:
            RunDir(self.evaluation(name)[0]).check_ours("evaluation")
            self._trained(name)

    def _check_table(self):
        """Only a former table may be written anew."""
        try:
            if os.path.lexists(self.table):
                regret.read_table(self.table, self.space)
        except UserError as error:
            raise UserError(
                f"the table would replace a file: {error}; choose another --out"
            ) from error

    def _trained(self, name):
        """regret.Trained over all seeds; None if one is missing; UserError if by other flags."""
        path, config = self.evaluation(name)
        run_dir = RunDir(path)
        recorded = run_dir.read_json("config.json")
        if recorded and (differing := base.differences(config, recorded)):
            raise UserError(
                f"{run_dir.path} was trained with other flags: {', '.join(differing)}; choose "
                "another --out"
            )
        result, seeds = run_dir.read_json("result.json"), config.seed_list()
        if result is None or not set(seeds) <= {each["seed"] for each in result["seeds"]}:
            return None
        return regret.trained_of(self.space, result, recorded, seeds=seeds)
