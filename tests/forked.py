"""`python` in a process of its own, forked from one that has TensorFlow loaded, which takes seconds."""

import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parents[1]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["rdarts_tf.engine.search_run", "rdarts_tf.engine.evaluation_run"])


class Python:
    """`python -m MODULE ARGUMENT...` or `python -c SOURCE ARGUMENT...`, begun."""

    def __init__(self, *arguments, cwd=ROOT, env=()):
        self._folder = tempfile.TemporaryDirectory()
        args = (list(map(str, arguments)), cwd, dict(env), self._folder.name)
        self._process = _SERVER.Process(target=_run, args=args)
        self._process.start()
        self.pid, self.kill = self._process.pid, self._process.kill

    def poll(self):
        """The exit code, None while it runs; negative: the signal that ended it."""
        return self._process.exitcode

    def result(self, *, timeout=600):
        """Waits for the end: returncode, stdout, stderr."""
        self._process.join(timeout)
        if self._process.is_alive():
            self.kill()
            raise TimeoutError(f"still running after {timeout} s")
        texts = {name: pathlib.Path(self._folder.name, name) for name in ("stdout", "stderr")}
        texts = {name: path.read_text() if path.exists() else "" for name, path in texts.items()}
        return types.SimpleNamespace(returncode=self._process.exitcode, **texts)


def python(*arguments, **kwargs):
    """The result of a process, once it has ended."""
    return Python(*arguments, **kwargs).result()


def _run(arguments, cwd, env, folder):
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        os.dup2(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT), stream.fileno())
    os.chdir(cwd)
    os.environ.update(env)
    tempfile.tempdir = None  # TMPDIR may be another
    option, given, *rest = arguments
    sys.argv = [given if option == "-m" else option, *rest]
    if option == "-m":
        runpy.run_module(given, run_name="__main__", alter_sys=True)
    else:
        exec(compile(given, "<source>", "exec"), {"__name__": "__main__"})
