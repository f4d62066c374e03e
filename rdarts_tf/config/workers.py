"""The workers of `--strategy=multi_worker`, as the environment variable TF_CONFIG names them."""

import json
import os
import typing

from rdarts_tf.config.base import ConfigError

_JOBS = ("chief", "worker")  # in the order of ranks
_EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}\' with the index of each worker'
)


class Workers(typing.NamedTuple):
    """All workers of a run and which one this process is.

    Attributes:
        addresses: "host:port" by rank, the chief first.
        jobs: {"chief" or "worker": number of its tasks}.
        rank: of this process.
    """

    addresses: tuple[str, ...] = ("",)
    jobs: dict = {}
    rank: int = 0

    @property
    def is_chief(self):
        """Whether this process writes the run's files."""
        return self.rank == 0


def of(config):
    """The Workers of a base.RunConfig; one where its strategy needs no others.

    Raises:
        ConfigError: TF_CONFIG is missing or broken.
    """
    return read() if config.strategy == "multi_worker" else Workers()


def read():
    """The Workers that TF_CONFIG names; raises ConfigError if it is missing or broken."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ConfigError(f"--strategy=multi_worker needs TF_CONFIG; set {_EXAMPLE}")
    try:
        return _parsed(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"misses {error}" if isinstance(error, KeyError) else f"is broken: {error}"
        raise ConfigError(f"TF_CONFIG {told}; write {_EXAMPLE}") from error


def check_alone(config, what):
    """Raises ConfigError where a command that starts processes is to share them out.

    Args:
        config: base.RunConfig of what it starts.
        what: it is, for the user.
    """
    if config.strategy == "multi_worker":
        raise ConfigError(
            f"{what} starts processes of its own, which --strategy=multi_worker cannot share; take "
            "another --strategy, or run its commands one by one"
        )


def _parsed(given):
    cluster, task = given["cluster"], given["task"]
    if strange := sorted(set(cluster) - set(_JOBS)):
        raise ValueError(f"its cluster has {strange[0]!r}, only chief and worker take part")
    jobs = {job: cluster[job] for job in _JOBS if cluster.get(job)}
    addresses = [address for of_job in jobs.values() for address in of_job]
    for address in addresses:
        if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdecimal():
            raise ValueError(f"{address!r} is no host:port")
    if len(set(addresses)) < len(addresses):
        raise ValueError("an address occurs twice")
    if len(jobs.get("chief", ())) > 1:
        raise ValueError("it names more than one chief")
    kind, index = task["type"], int(task["index"])
    if not 0 <= index < len(jobs.get(kind, ())):
        raise ValueError(f"its task is {kind} {index}, which its cluster does not name")
    rank = index + (len(jobs.get("chief", ())) if kind == "worker" else 0)
    return Workers(tuple(addresses), {job: len(of_job) for job, of_job in jobs.items()}, rank)
