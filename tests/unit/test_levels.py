"""Who may import whom, read from the source without importing it."""

import ast
import functools
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "rdarts_tf"

COMMANDS = ("search", "evaluate", "analyze", "report", "export", "sweep")

# A file of a row may import what stands in the rows above. Levels of CONTRIBUTING.md; some have
# several rows, since `errors` serves the rest of its level, and `loop` and `training` use theirs.
ROWS = (
    ("0", ("errors",)),
    ("0", ("registry", "genotype", "spaces")),
    ("0", ("named_genotypes",)),
    ("1", ("bilevel", "optimizers")),
    ("1", ("hessian",)),
    ("2", ("layers",)),
    ("3", ("networks", "methods", "tasks", "datasets")),
    ("3", ("analysis",)),
    ("4", ("placing",)),
    ("4", ("config", "run_dir", "distribution", "progress", "summaries")),
    ("4", ("evaluate_config", "sweep_config", "weight_training", "epochs", "run_records")),
    ("4", ("training", "record_reading")),
    ("4", ("curvature",)),
    ("4", ("loop", "retraining", "executor")),
    ("4", ("path_search", "exhaustive", "retraining_loop")),
    ("4", ("selection",)),
    ("4", ("serving", "exporting")),
    ("5", COMMANDS),
)
ROW = {name: row for row, (_, names) in enumerate(ROWS) for name in names}

# What the files of a folder may import of it, besides `base`; helpers import those before them.
HELPERS = {
    "layers": ("batch_norm", "drop_path", "primitives", "mixed_op", "classifier"),
    "datasets": ("augment", "tfds"),
    "analysis": (
        "cell_graph",
        "csv_table",
        "spectrum",
        "trajectory",
        "plots",
        "paper",
        "report_page",
        "report_plots",
        "report_tables",
    ),
    "methods": ("tracker", "strengths"),
}

# Modules that only these files import.
RESERVED = {
    "absl": ("config", *COMMANDS),
    "importlib.import_module": ("registry",),
    "matplotlib": ("analysis.plots", "analysis.report_plots"),
    "pickle": (),
}

# These import no TensorFlow, nor anything that does.
PLAIN = (
    "errors",
    "registry",
    "genotype",
    "named_genotypes",
    "spaces",
    "methods",
    "placing",
    "run_dir",
    "config",
    "run_records",
    "record_reading",
    "report",
    "analysis.csv_table",
    "analysis.regret",
    "executor",
    "exhaustive",
    "sweep",
)
TENSORFLOW = ("tensorflow", "tensorflow_datasets", "keras")


@functools.cache
def imports(source):
    """The dotted names that `source` imports, at any depth: `from a import b` gives "a.b"."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            found |= {f"{stem}.{alias.name}" for alias in node.names}
    return found


def package_sources():
    """{"": text of __init__, "loop": ..., "layers": ..., "layers.cell": ...}."""
    sources = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        sources[".".join(part for part in parts if part != "__init__")] = path.read_text()
    return sources


def own_imports(sources):
    """{module: modules of rdarts_tf that it imports}; of "bilevel.exact" only "bilevel" is one."""
    graph = {}
    for module, source in sources.items():
        names = [name.split(".")[1:] for name in imports(source) if _is_in(name, "rdarts_tf")]
        graph[module] = {_module(parts, sources) for parts in names} - {""}
    return graph


def _module(parts, sources):
    candidates = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in candidates if name in sources), "")


def _is_in(name, package):
    return name == package or name.startswith(package + ".")


def unplaced(sources):
    tops = {module.split(".")[0] for module in sources} - {"", *ROW}
    return [f"place {top!r} in ROWS of tests/unit/test_levels.py" for top in sorted(tops)]


def upward(sources):
    """Imports of the own row, a row below it or an unlisted file of the own folder."""
    found = []
    for module, targets in own_imports(sources).items():
        folder, _, file = module.partition(".")
        for target in targets:
            target_folder, _, target_file = target.partition(".")
            if folder == target_folder:
                allowed = target_file in _folder_imports(folder, file)
            else:
                allowed = ROW.get(target_folder, len(ROWS)) < ROW.get(folder, -1)
            if not allowed:
                found.append(f"{module or '__init__'} may not import {target}")
    return sorted(found)


def _folder_imports(folder, file):
    helpers = HELPERS.get(folder, ())
    if file == "base":
        return ()
    return ("base", *(helpers[: helpers.index(file)] if file in helpers else helpers))


def relative(sources):
    return sorted(
        f"{module} imports {name}: write it absolutely"
        for module, source in sources.items()
        for name in imports(source)
        if name.startswith(".")
    )


def reserved(sources):
    """Imports of `RESERVED` modules by others; `import importlib` reaches its functions."""
    return sorted(
        f"{module} may not import {name}"
        for module, source in sources.items()
        for name in imports(source)
        for package, importers in RESERVED.items()
        if module not in importers and (_is_in(name, package) or name == package.split(".")[0])
    )


def reaching_tensorflow(sources):
    """Plain modules from which a chain of imports leads to TensorFlow."""
    graph = own_imports(sources)
    heavy = {
        module
        for module, source in sources.items()
        if any(_is_in(name, package) for name in imports(source) for package in TENSORFLOW)
    }
    return sorted(
        f"{module} imports TensorFlow through {through}"
        for module in sources
        if any(_is_in(module, plain) for plain in PLAIN)
        for through in heavy & _reachable(module, graph)
    )


def _reachable(module, graph):
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            # A module runs the __init__ of its folder as well.
            waiting += [*graph.get(name, ()), *([name.rpartition(".")[0]] if "." in name else [])]
    return seen


CHECKS = (unplaced, upward, relative, reserved, reaching_tensorflow)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package_keeps(check):
    assert check(package_sources()) == []


def test_package_is_read_whole():
    """A wrong path or a reader that finds nothing would let every check pass."""
    sources = package_sources()
    assert {"", "config", "search", "spaces.s1", "layers.cell"} <= set(sources)
    graph = own_imports(sources)
    assert {"config", "run_dir", "path_search"} <= graph["search"]  # the last in a function
    assert {"layers.mixed_op", "spaces.base"} <= graph["layers.cell"]
    assert graph["registry"] == {"errors"}


def test_every_helper_exists():
    files = {f"{folder}.{file}" for folder, names in HELPERS.items() for file in names}
    assert files <= set(package_sources())


@pytest.mark.parametrize(
    ("check", "module", "source"),
    [
        (unplaced, "extra", ""),
        (unplaced, "extra.part", ""),
        (upward, "bilevel", "from rdarts_tf.layers.cell import Cell"),
        (upward, "bilevel", "from rdarts_tf import layers"),
        (upward, "bilevel", "import rdarts_tf.layers.cell as cell"),
        (upward, "bilevel", "def late():\n    from rdarts_tf import optimizers"),
        (upward, "errors", "from rdarts_tf import registry"),
        (upward, "training", "from rdarts_tf import loop"),
        (upward, "evaluate", "from rdarts_tf import search"),
        (upward, "spaces.base", "from rdarts_tf.spaces import s1"),
        (upward, "spaces.s2", "from rdarts_tf.spaces.s1 import SPACE"),
        (upward, "methods.darts", "from rdarts_tf import config"),
        (upward, "layers.primitives", "from rdarts_tf.layers.mixed_op import MixedOp"),
        (upward, "layers", "from rdarts_tf.layers import cell"),
        (upward, "", "from rdarts_tf import loop"),
        (relative, "layers.cell", "from . import mixed_op"),
        (relative, "layers.cell", "from .mixed_op import MixedOp"),
        (reserved, "loop", "from absl import flags"),
        (reserved, "loop", "from absl import logging"),
        (reserved, "loop", "from absl.flags import FLAGS"),
        (reserved, "loop", "import absl.app"),
        (reserved, "loop", "import absl"),
        (reserved, "loop", "import importlib"),
        (reserved, "summaries", "from matplotlib import pyplot"),
        (reserved, "run_dir", "import pickle"),
        (reaching_tensorflow, "spaces.s1", "import tensorflow as tf"),
        (reaching_tensorflow, "methods.base", "from keras import ops"),
        (reaching_tensorflow, "methods.darts", "from rdarts_tf import bilevel"),
        (reaching_tensorflow, "spaces", "import tensorflow_datasets"),
        (reaching_tensorflow, "config", "import keras"),
        (reaching_tensorflow, "config", "from rdarts_tf import optimizers"),
        (reaching_tensorflow, "report", "from rdarts_tf.analysis import discretization"),
    ],
)
def test_a_wrong_import_is_noticed(check, module, source):
    assert check(package_sources() | {module: source})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hessian", "from rdarts_tf.errors import UserError"),
        ("layers.cell", "from rdarts_tf.layers import mixed_op, primitives"),
        ("networks.rnn", "from rdarts_tf.networks.base import Network"),
        ("search", "from rdarts_tf import config, loop\nfrom absl import app"),
        ("summaries", "from rdarts_tf import __version__"),
    ],
)
def test_a_right_import_is_not(module, source):
    sources = package_sources() | {"networks.base": "", module: source}
    assert [finding for check in CHECKS for finding in check(sources)] == []
