"""The run directory as a worker sees it that is not the chief: it reads the chief's and writes nothing.

Records are taken from the chief's files when they are first asked for, which is before the chief goes
on. From then on the worker, which computes the same numbers, keeps them in memory.
"""

import contextlib

from rdarts_tf.config import workers
from rdarts_tf.runs.run_dir import RunDir


def open_run_dir(config, path):
    """The RunDir of the chief, or of a run with one process; the Follower of every other worker.

    Args:
        config: config.base.RunConfig.
    Raises:
        ConfigError: TF_CONFIG is missing or broken.
    """
    return (RunDir if workers.of(config).is_chief else Follower)(path)


class Follower(RunDir):
    """See the module; a RunDir in all else."""

    WRITES = False

    def __init__(self, path):
        super().__init__(path)
        self._records = {}

    def read_bytes(self, name):
        if name not in self._records:
            self._records[name] = super().read_bytes(name)
        return self._records[name]

    def write_bytes(self, name, content):
        self._records[name] = content

    def say(self, line):
        """Nothing, like all that follows; the chief tells."""

    @contextlib.contextmanager
    def locked(self):
        yield

    def create(self):
        pass

    def clear(self, kind):
        pass

    def save_hessian(self, epoch, arrays):
        pass

    def forget_hessians(self, num_epochs):
        pass

    def save_checkpoint(self, arrays, *, epoch, step=0, beside=()):
        pass

    def save_best(self, arrays, beside=()):
        pass

    def prune_checkpoints(self, *, keep, oldest_needed):
        pass

    def delete_checkpoints_after(self, num_epochs):
        pass
