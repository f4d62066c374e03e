"""Which small changes of the code no test notices: `python benchmarks/mutants.py [FILE ...]`.

mutants.txt lists files with their tests, and texts that occur once in the file with what replaces them.
The tests run in a forked process on a copy of the package. Minutes; not for CI.
"""

import os
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
LIST = ROOT / "benchmarks/mutants.txt"


def read(text):
    """[(file, its tests, text, what replaces it)]."""
    found = []
    for line in text.splitlines():
        if line.startswith("# "):
            name, tests = line[2:].split(": ", 1)
        elif line:
            found.append((name, tests.split(), *line.replace("\\n", "\n").split(" => ")))
    return found


def by_file(mutants, chosen):
    """{file: [(its tests, text, what replaces it)]}; ends where a text is not there once."""
    found = {}
    for name, *mutant in mutants:
        if not chosen or name in chosen:
            times = (ROOT / "rdarts_tf" / name).read_text().count(mutant[1])
            if times != 1:
                sys.exit(f"{name}: {mutant[1]!r} is there {times} times")
            found.setdefault(name, []).append(mutant)
    return found


def main(chosen):
    files = by_file(read(LIST.read_text()), chosen)
    import keras  # noqa: F401 - once for all the forked processes, as what follows
    import matplotlib.pyplot  # noqa: F401
    import pytest
    import tensorflow  # noqa: F401

    sys.dont_write_bytecode = True
    total, survived = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        ignore = shutil.ignore_patterns("__pycache__", "data")
        for name in ("rdarts_tf", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=ignore)
        (copy / "tests/data").symlink_to(ROOT / "tests/data")
        shutil.copy(ROOT / "pyproject.toml", copy)
        for name, mutants in files.items():
            if _fails(pytest, copy, mutants[0][0]):
                sys.exit(f"{name}: its tests fail as it is")
            left = sum(_survives(pytest, copy, name, *mutant) for mutant in mutants)
            print(f"{name}: {left} of {len(mutants)} survive", flush=True)
            total, survived = total + len(mutants), survived + left
    print(f"{survived} of {total} survive")


def _survives(pytest, copy, name, tests, old, new):
    """Whether no test fails where `new` stands for `old`."""
    path = copy / "rdarts_tf" / name
    source = path.read_text()
    path.write_text(source.replace(old, new))
    noticed = _fails(pytest, copy, tests)
    path.write_text(source)
    if not noticed:
        print(f"{name}: SURVIVED {old!r} => {new!r}", flush=True)
    return not noticed


def _fails(pytest, copy, tests):
    """Whether a test fails, in a process of its own."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.chdir(copy)
    sys.path[:] = [str(copy), *(p for p in sys.path if p != str(ROOT) and p)]
    os.environ["PYTHONPATH"] = str(copy)
    files = [f"tests/{name}" for name in tests]
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *files]))


if __name__ == "__main__":
    main(sys.argv[1:])
