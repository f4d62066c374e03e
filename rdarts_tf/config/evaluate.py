"""The configuration of a training from scratch: what tasks have in common, and what the run itself says."""

import dataclasses
import hashlib
import re

from rdarts_tf import registry
from rdarts_tf.config import base, task
from rdarts_tf.config.base import ConfigError, option
from rdarts_tf.config.search import space_of
from rdarts_tf.genotypes import named


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(base.RunConfig):
    """Everything that determines an evaluation but for what its task adds; `resolve` fills in None."""

    RUN_DIR = "the run whose cells are trained; with --genotype: default runs/<genotype>_<dataset>"

    genotype: str | None = option(
        "what",
        None,
        "instead of the run's: the text Genotype(...), FILE or FILE:NAME of any dialect, or a "
        "published name",
    )
    search_epoch: str | None = option(
        "what",
        None,
        "instead of the result: what the search would have returned after these epochs, separated by "
        "commas, the first is 0",
    )
    space: str | None = option(
        "what", None, "whose cells --genotype has; default: that of the run, or as the cells tell"
    )
    dataset: str | None = option("what", None, "data set; default: that of the run, else cifar10")
    seeds: str = option("what", "1", "one training for each, separated by commas")
    preset: str = option(
        "what",
        "auto",
        "sizes and epochs where no flag gives them; auto: paper for its data sets, else small",
        choices=("auto", "paper", "small"),
    )
    split: str = option(
        "data",
        "test",
        "test: all training examples, scored on the test part; search: the search's training half, "
        "scored on its validation half",
        choices=("test", "search"),
    )
    epochs: int | None = option("training", None, "epochs", low=1, high=10**6)
    batch_size: int | None = option("training", None, "examples a step over all devices", low=1)
    learning_rate: float = option("training", 0.025, "in epoch 0; a cosine takes it to 0", low=0.0)
    weight_decay: float = option("training", 3e-4, "L2 factor", low=0.0)
    grad_clip: float = option("training", 5.0, "largest global norm of the gradient", low=0.0)
    name: str | None = option(
        "run directory", None, "of the folder in RUN/evaluate; default: data set and split"
    )

    # Where neither a flag nor the run names a data set.
    DATASET = "cifar10"

    def seed_list(self):
        """The seeds as integers.

        Raises:
            ConfigError: something else, or one twice.
        """
        return _integers("seeds", self.seeds, base.MOST_SEED, "1,2,3")

    def search_epochs(self):
        """The epochs of the search as integers; [] if none is given; raises ConfigError as `seed_list`."""
        text = self.search_epoch
        return [] if text is None else _integers("search_epoch", text, base.MOST, "0,5,10")

    def seed_identity(self, seed):
        """A text that tells the training with a seed, see `base.identity`."""
        return f"{base.identity(self)}, seed {seed}"

    @staticmethod
    def defaults(preset, dataset, searched):
        """{field: value} of a --preset and of the run whose cells are trained; each task has its own.

        Args:
            preset: "auto", "paper" or "small".
            searched: fields of the run's config.json; {} if there is none.
        """
        return {}

    def fitted(self, record):
        """The configuration whose defaults fit the data.

        Args:
            record: what the data record of themselves.
        """
        return self

    def check_values(self):
        super().check_values()
        self.seed_list()
        self.search_epochs()
        if self.name != folder_name(self.name) or not self.name.strip("."):
            raise ConfigError(
                f"--name={self.name} must consist of letters, digits, '.', '-' and '_', not of dots only"
            )


def _integers(name, text, most, example):
    """The value of a flag that lists different integers; raises ConfigError for another."""
    texts = [each.strip() for each in text.split(",")]
    digits = all(re.fullmatch("[0-9]{1,10}", each) for each in texts)
    found = [int(each) for each in texts] if digits else []
    if not 0 < len(set(found)) == len(found) or max(found) > most:
        raise ConfigError(
            f"--{name}={text[:60]} is no list of different integers up to {most}; write "
            f"--{name}={example}"
        )
    return found


def of_space(space):
    """The subclass of EvaluateConfig of a spaces.base.Space's task."""
    return task.part(registry.load_task(space.task, "options"), "EvaluateConfig")


def of_evaluation(kind, recorded):
    """The EvaluateConfig of an evaluation's recorded fields, a dict.

    Args:
        kind: the subclass of its task.
    Raises:
        ConfigError: it is of another version.
    """
    try:
        config = kind(**base.fields_of(recorded))
        base.check_fields(config)
        return config
    except TypeError as error:
        raise ConfigError(f"the evaluation's config.json is of another version: {error}") from error


def resolve(config, run_dir, *, genotype=None):
    """The configuration with everything filled in, its genotype in text form.

    Args:
        config: EvaluateConfig of a task, as the flags give it.
        run_dir: runs.run_dir.RunDir, or None.
        genotype: Genotype; None: that of --genotype, or of the run.
    Raises:
        UserError: no genotype, or a value that cannot be.
    """
    searched = (run_dir and run_dir.read_json("config.json")) or {}
    searched |= {"space": config.space} if config.space else {}
    dataset = config.dataset or searched.get("dataset") or config.DATASET
    defaults = config.defaults(config.preset, dataset, searched)
    defaults |= {"name": default_name(dataset, config.split)}
    given = {k: v for k, v in dataclasses.asdict(config).items() if v is not None}
    text = _genotype(config, run_dir) if genotype is None else str(genotype)
    filled = defaults | given | {"genotype": text, "dataset": dataset}
    resolved = dataclasses.replace(config, **filled)
    resolved.check_values()
    registry.load("datasets", dataset)
    return resolved


def default_name(dataset, split):
    """Of an evaluation's folder."""
    return folder_name(dataset) + ("_search" if split == "search" else "")


def default_run_dir(config):
    """Where an evaluation without a run goes: by name of the genotype, or by its digest."""
    spec = config.genotype
    if spec is None:
        raise ConfigError("give --run_dir of a finished search, or --genotype")
    if spec not in named.TEXTS:
        text = str(_read(config))
        spec = f"genotype_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return f"runs/{spec}_{folder_name(config.dataset or config.DATASET)}"


def _genotype(config, run_dir):
    if config.genotype:
        return str(_read(config))
    if run_dir is None:
        raise ConfigError("give --run_dir of a finished search, or --genotype")
    if (found := run_dir.read_genotype()) is None:
        raise ConfigError(
            f"{run_dir.path} holds no genotype; finish the search with "
            f"python -m rdarts_tf.search --run_dir={run_dir.path}, or give --genotype"
        )
    return str(found)


def _read(config):
    """The Genotype that --genotype gives."""
    return named.read(config.genotype, space_of(config.space) if config.space else None)


def folder_name(text):
    """A text with everything but letters, digits, '.', '-' and '_' as '-'."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-")
