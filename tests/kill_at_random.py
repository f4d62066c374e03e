"""Kills commands at random moments, runs them again, and compares all files with those of a run in peace.

    python tests/kill_at_random.py --kills=100

Each command is killed with its children, at a moment up to the time that it takes; one time in three it is
killed once more on the way. At the end a line of counts; exit code 1 unless nothing is lost or other.
"""

import argparse
import collections
import contextlib
import itertools
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests import forked  # noqa: E402 - after the path is known

TOY = ("--space=tests.toy_task", "--dataset=tests.toy_task")
PLUGIN = ("--plugin=tests.toy_task",)
ADA = "darts_ada(frequency=1, window=1, delta=2, start_epoch=0, factor=1e-9)"
SEARCH = ("search", *TOY, "--run_dir=RUN/run", "--epochs=5")
# {name: (commands before it, the command)}.
SCENARIOS = {
    "search": ((), SEARCH),
    "darts_ada": ((), (*SEARCH, f"--method={ADA}")),
    "rdarts_l2": (
        (),
        (*SEARCH, "--method=rdarts_l2(values=[0.1, 0.2])", "--select_epochs=3", "--executor=local"),
    ),
    "evaluate": ((SEARCH,), ("evaluate", "--run_dir=RUN/run", *PLUGIN, TOY[1], "--seeds=1,2")),
    "sweep": (
        (),
        ("sweep", *TOY, "--seeds=1,2", "--out=RUN", "--executor=local", "--", "--epochs=3"),
    ),
    "report": ((SEARCH,), ("report", "RUN/run", *PLUGIN)),
    "analyze": ((SEARCH,), ("analyze", "RUN/run", *PLUGIN)),
    "export": ((SEARCH,), ("export", "--run_dir=RUN/run", *PLUGIN, "--format=png")),
}
SLOW = ("rdarts_l2", "sweep")  # each process of theirs loads TensorFlow: every third time only

_IN_A_GROUP = """import os, runpy, sys
os.setsid()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start(command, folder):
    name, *arguments = (text.replace("RUN", str(folder)) for text in command)
    return forked.Python("-c", _IN_A_GROUP, f"rdarts_tf.{name}", *arguments)


def finish(command, folder):
    """Raises RuntimeError with what a command printed unless it ended well."""
    ended = start(command, folder).result()
    if ended.returncode:
        out = (ended.stdout + ended.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(command)}: exit code {ended.returncode}: {out}")


def kill(command, folder, seconds):
    """Kills a command with its children after so long; 1 if it was still there, else 0."""
    process = start(command, folder)
    time.sleep(seconds)
    alive = int(process.poll() is None)
    with contextlib.suppress(ProcessLookupError):  # it has ended, or has no group yet
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.result()
    return alive


class Scenario:
    """A command, the folder before it, what is there after it, and how long it takes."""

    def __init__(self, name, folder):
        before, self.command = SCENARIOS[name]
        self.before, whole = folder / "before", folder / "whole"
        self.before.mkdir(parents=True)
        for command in before:
            finish(command, self.before)
        shutil.copytree(self.before, whole)
        begin = time.monotonic()
        finish(self.command, whole)
        self.seconds, self.whole = time.monotonic() - begin, _comparable(whole)

    def kill_and_resume(self, folder, rng):
        """(number of kills, "same", "other" or "lost")."""
        shutil.copytree(self.before, folder)
        kills = kill(self.command, folder, rng.uniform(0, self.seconds))
        if rng.random() < 1 / 3:
            kills += kill(self.command, folder, rng.uniform(0, self.seconds))
        try:
            finish(self.command, folder)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return kills, "lost"
        found = _comparable(folder)
        if differing := sorted(k for k in found | self.whole if found.get(k) != self.whole.get(k)):
            print(f"other: {', '.join(differing)}", file=sys.stderr)
            return kills, "other"
        return kills, "same"


def _comparable(folder):
    """All files but TensorBoard's, which has times and one more file for each start."""
    # Not above: a forked process imports this file.
    from tests.contracts.test_crash_points import contents

    binary = [path for path in folder.rglob("*") if path.is_file() and path.suffix == ".png"]
    pictures = {str(path.relative_to(folder)): path.read_bytes() for path in binary}
    for path in (*binary, *folder.rglob("events.out.*"), *folder.rglob("environment.json")):
        path.unlink()
    return contents(folder) | pictures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", default=",".join(SCENARIOS))
    given = parser.parse_args()
    rng, counts = random.Random(given.seed), collections.Counter()
    forked.python("-c", "")  # TensorFlow is loaded once
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        scenarios = {name: Scenario(name, folder / name) for name in given.commands.split(",")}
        quick = [name for name in scenarios if name not in SLOW]
        for name in itertools.cycle((*scenarios, *quick, *quick)):
            if counts["kills"] >= given.kills:
                break
            kills, found = scenarios[name].kill_and_resume(folder / "run", rng)
            shutil.rmtree(folder / "run")
            counts.update(kills=kills, runs=1, **{found: 1})
            print(f"{name}: {kills} kills, {found}", flush=True)
    print(
        f"{counts['kills']} kills of {counts['runs']} runs over {', '.join(scenarios)}: "
        f"{counts['lost']} lost, {counts['other']} other bits, {counts['same']} the same"
    )
    return int(counts["lost"] + counts["other"] > 0)


if __name__ == "__main__":
    sys.exit(main())
