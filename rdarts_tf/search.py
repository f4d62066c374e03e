"""Searches an architecture.

python -m rdarts_tf.search --space=s1 --dataset=cifar100
python -m rdarts_tf.search --flagfile=flags/quickstart.cfg
"""

import contextlib
import shlex
import sys
import types

from rdarts_tf import registry
from rdarts_tf.config import base, flags
from rdarts_tf.config import search as search_config
from rdarts_tf.engine import startup
from rdarts_tf.runs import extension
from rdarts_tf.runs.follower import open_run_dir


def main(config, *, run_dir, overwrite, extend):
    search_config.check(config)
    extension.check_switches(overwrite=overwrite, extend=extend)
    run_dir = open_run_dir(config, run_dir or config.default_run_dir())
    with run_dir.locked():
        run_dir.check_ours("search", overwrite=overwrite)
        if not overwrite and _is_finished(config, run_dir, extend=extend):
            if run_dir.WRITES:
                with contextlib.suppress(OSError):  # a run that may only be read is finished, too
                    run_dir.delete_unfinished()
                print(f"{run_dir.path} is finished; --overwrite starts anew")
                _report(config, run_dir)
            return 0
        return _search(config, run_dir, overwrite=overwrite)


def _is_finished(config, run_dir, *, extend):
    """Whether the run is complete; raises UserError if it is another one's directory."""
    remedy = "choose another --run_dir, or --overwrite"
    if extension.check_search(config, run_dir, remedy=remedy, extend=extend):
        return False
    recorded = run_dir.read_json("config.json") or {"extending": True}
    return not recorded.get("extending") and run_dir.read_genotype() is not None


def _search(config, run_dir, *, overwrite):
    # Not earlier: TensorFlow takes seconds to load.
    startup.load_tensorflow()
    from rdarts_tf.engine import distribution, epochs, path_search, selection_run
    from rdarts_tf.runs import executor

    run_dir.create()
    selects = search_config.pieces(config)
    run = selection_run.SelectionRun if selects else path_search.make_run
    try:
        with distribution.errors_told(config.strategy):
            run(config, run_dir, say=run_dir.say).run(overwrite=overwrite)
    except (epochs.Interrupted, executor.Stopped) as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except (epochs.Diverged, executor.Failed, distribution.WorkerLost) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if run_dir.WRITES:
        _report(config, run_dir)
    return 0


def _report(config, run_dir):
    print(run_dir.read_genotype())
    print(f"files:       {run_dir.path}")
    print(f"TensorBoard: tensorboard --logdir={run_dir.tensorboard}")
    flags = base.argv({"run_dir": run_dir.path} | config.plugin_flags())
    if registry.is_outside("datasets", config.dataset):  # which evaluate imports by a flag only
        flags += base.argv({"dataset": config.dataset})
    print(f"next:        {shlex.join(('python', '-m', 'rdarts_tf.evaluate', *flags))}")


def run():
    """The command; exits."""
    flags.run(main, search_config.of_given)


class _Module(types.ModuleType):
    """This module can be called: `rdarts_tf.search(space="s1", ...)`, see `rdarts_tf.api.search`."""

    def __call__(self, /, **flags):
        from rdarts_tf import api

        return api.search(**flags)


sys.modules[__name__].__class__ = _Module


if __name__ == "__main__":
    run()
