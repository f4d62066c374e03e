"""Who may import whom, read from the source without importing it."""

import ast
import functools
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "rdarts_tf"

COMMANDS = ("search", "evaluate", "analyze", "report", "export", "shrink", "sweep")

# A file of a room may import the rooms in the rows above, and its own room where no circle comes of it.
ROWS = (
    ("errors",),
    ("reading", "registry", "schema"),
    ("spaces",),
    ("genotypes",),
    ("bilevel", "optimizers"),
    ("hessian",),
    ("layers", "methods"),
    ("analysis",),
    ("drawing",),
    ("config",),
    ("tasks",),
    ("datasets",),
    ("runs",),
    ("engine",),
    ("reporting",),
    ("in_memory",),
    ("api",),
    COMMANDS,
    ("reproduce",),
    ("__main__",),
)
ROW = {name: row for row, names in enumerate(ROWS) for name in names}

# Plugins import of their folder `base` and these only; helpers import those before them.
HELPERS = {
    "spaces": (),
    "methods": ("tracker", "strengths"),
    "datasets": ("tfds",),
}

# Modules that only these files import.
RESERVED = {
    "absl": ("config.flags", "export"),
    "importlib.import_module": ("", "registry"),
    "matplotlib": ("drawing.cell_plot", "drawing.heatmap", "drawing.plots", "reporting.charts"),
    "pickle": (),
}

# What these know of a domain, they ask its modules for by `registry.load_task`; the engine alone knows
# the interface, which the domains give without it.
NEUTRAL = ("engine", "runs", "analysis", "reporting", "drawing", "config")
INTERFACE = "tasks.base"

# These import no TensorFlow, nor anything that does.
PLAIN = (
    "errors",
    "reading",
    "registry",
    "schema",
    "genotypes",
    "spaces",
    "methods",
    "config",
    "tasks.base",
    "tasks.disparity.augment",
    "tasks.disparity.files",
    "tasks.disparity.formats",
    "tasks.disparity.options",
    "tasks.disparity.pairs",
    "tasks.disparity.size",
    "tasks.image_classification.by_class",
    "tasks.image_classification.data",
    "tasks.image_classification.decoding",
    "tasks.image_classification.folders",
    "tasks.image_classification.label_tables",
    "tasks.image_classification.pictures",
    "tasks.image_classification.storing",
    "tasks.image_classification.options",
    "tasks.language_model.corpus",
    "tasks.language_model.ngrams",
    "tasks.language_model.options",
    "tasks.language_model.trigger",
    "tasks.language_model.windows",
    "runs",
    "analysis",
    "drawing",
    "reporting",
    "datasets.arrays",
    "datasets.image_folder",
    "in_memory",
    "api",
    "report",
    "reproduce",
    "shrink",
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
    """{"": text of __init__, "bilevel": ..., "layers": ..., "layers.cell": ...}."""
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
    """Imports of the own row, a row below it or another plugin."""
    found = []
    for module, targets in own_imports(sources).items():
        folder, _, file = module.partition(".")
        for target in targets:
            target_folder, _, target_file = target.partition(".")
            if folder == target_folder:
                allowed = folder not in HELPERS or target_file in _helpers(folder, file)
            else:
                allowed = ROW.get(target_folder, len(ROWS)) < ROW.get(folder, -1)
            if not allowed:
                found.append(f"{module or '__init__'} may not import {target}")
    return sorted(found)


def _helpers(folder, file):
    """The files of a plugin folder that one of them may import."""
    helpers = HELPERS[folder]
    if file == "base":
        return ()
    return ("base", *(helpers[: helpers.index(file)] if file in helpers else helpers))


def circular(sources):
    """Modules that import themselves through others."""
    graph = own_imports(sources)
    return sorted(
        f"{module} imports itself through {target}"
        for module, targets in graph.items()
        for target in targets
        if module in _reachable(target, graph, with_folders=False)
    )


def partial(sources):
    """Neutral modules that import of a domain, or of the interface what is not theirs to know."""
    return sorted(
        f"{module} may not import {target}"
        for module, targets in own_imports(sources).items()
        for target in targets
        if _room(module) in NEUTRAL and _is_in(target, "tasks")
        if (_room(module), target) != ("engine", INTERFACE)
    )


def dependent(sources):
    """Domains that import what runs them."""
    return sorted(
        f"{module} may not import {target}"
        for module, targets in own_imports(sources).items()
        for target in targets
        if _room(module) == "tasks" and _room(target) in ("engine", "runs")
    )


def _room(module):
    return module.split(".")[0]


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


def _reachable(module, graph, *, with_folders=True):
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, ())
            if with_folders and "." in name:  # a module runs the __init__ of its folder as well
                waiting.append(name.rpartition(".")[0])
    return seen


def long(sources):
    """Files that want splitting by concept."""
    return sorted(module for module, source in sources.items() if source.count("\n") > 300)


CHECKS = (
    unplaced,
    upward,
    circular,
    partial,
    dependent,
    long,
    relative,
    reserved,
    reaching_tensorflow,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package_keeps(check):
    assert check(package_sources()) == []


def test_package_is_read_whole():
    """A wrong path or a reader that finds nothing would let every check pass."""
    sources = package_sources()
    assert {"", "bilevel", "search", "spaces.s1", "layers.cell", "engine.search_run"} <= set(
        sources
    )
    graph = own_imports(sources)
    in_a_function = "engine.path_search"
    assert {"config.search", "runs.follower", in_a_function} <= graph["search"]
    assert {"layers.mixed_op", "spaces.base"} <= graph["layers.mixed_nodes"]
    assert graph["registry"] == {"errors"}


def test_everything_in_the_tables_exists():
    files = {f"{folder}.{file}" for folder, names in HELPERS.items() for file in names}
    files |= {module for importers in RESERVED.values() for module in importers}
    assert files | {*ROW, *PLAIN, *NEUTRAL, INTERFACE} <= set(package_sources())


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
        (upward, "runs.executor", "from rdarts_tf.engine import epochs"),
        (upward, "evaluate", "from rdarts_tf import search"),
        (upward, "spaces.base", "from rdarts_tf.spaces import s1"),
        (upward, "spaces.s2", "from rdarts_tf.spaces.s1 import SPACE"),
        (upward, "methods.darts", "from rdarts_tf.config import search"),
        (upward, "methods.darts", "from rdarts_tf.methods import darts_es"),
        (circular, "layers.primitives", "from rdarts_tf.layers.mixed_op import MixedOp"),
        (upward, "", "from rdarts_tf import bilevel"),
        (partial, "engine.epochs", "from rdarts_tf.tasks.image_classification import task"),
        (
            partial,
            "engine.epochs",
            "def late():\n    from rdarts_tf.tasks import image_classification",
        ),
        (partial, "engine.epochs", "from rdarts_tf import tasks"),
        (partial, "runs.run_dir", "import rdarts_tf.tasks.image_classification.options"),
        (partial, "runs.run_dir", "from rdarts_tf.tasks import base"),
        (partial, "analysis.regret", "from rdarts_tf.tasks.image_classification.data import Split"),
        (partial, "reporting.errors", "from rdarts_tf.tasks.image_classification import options"),
        (partial, "reporting.errors", "from rdarts_tf.tasks.base import Score"),
        (partial, "drawing.plots", "from rdarts_tf.tasks.base import Metric"),
        (partial, "config.search", "from rdarts_tf.tasks.image_classification import options"),
        (partial, "config.search", "from rdarts_tf.tasks import base"),
        (dependent, "tasks.image_classification.task", "from rdarts_tf.engine import epochs"),
        (dependent, "tasks.image_classification.task", "from rdarts_tf.runs.run_dir import RunDir"),
        (dependent, "tasks.base", "def late():\n    from rdarts_tf import runs"),
        (relative, "layers.cell", "from . import mixed_op"),
        (relative, "layers.cell", "from .mixed_op import MixedOp"),
        (reserved, "engine.epochs", "from absl import flags"),
        (reserved, "engine.epochs", "from absl import logging"),
        (reserved, "engine.epochs", "from absl.flags import FLAGS"),
        (reserved, "engine.epochs", "import absl.app"),
        (reserved, "engine.epochs", "import absl"),
        (reserved, "search", "from absl import app"),
        (reserved, "config.search", "from absl import flags"),
        (reserved, "engine.epochs", "import importlib"),
        (reserved, "engine.summaries", "from matplotlib import pyplot"),
        (reserved, "runs.run_dir", "import pickle"),
        (long, "spaces.s1", "\n" * 301),
        (reaching_tensorflow, "spaces.s1", "import tensorflow as tf"),
        (reaching_tensorflow, "methods.base", "from keras import ops"),
        (reaching_tensorflow, "methods.darts", "from rdarts_tf import bilevel"),
        (reaching_tensorflow, "spaces", "import tensorflow_datasets"),
        (reaching_tensorflow, "config.search", "import keras"),
        (reaching_tensorflow, "config.search", "from rdarts_tf import optimizers"),
        (reaching_tensorflow, "tasks.base", "import tensorflow as tf"),
        (
            reaching_tensorflow,
            "tasks.image_classification.options",
            "from rdarts_tf.tasks.image_classification import augment",
        ),
        (reaching_tensorflow, "report", "from rdarts_tf.engine import discretization"),
    ],
)
def test_a_wrong_import_is_noticed(check, module, source):
    assert check(package_sources() | {module: source})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hessian", "from rdarts_tf.errors import UserError"),
        ("layers.cell", "from rdarts_tf.layers import mixed_op, primitives"),
        ("engine.search_run", "from rdarts_tf.engine import epochs"),
        ("engine.search_run", "from rdarts_tf.tasks.base import Problem"),
        ("tasks.image_classification.task", "from rdarts_tf.tasks import base"),
        ("search", "from rdarts_tf.engine import search_run"),
        ("export", "from absl import logging"),
        ("engine.summaries", "from rdarts_tf import __version__"),
    ],
)
def test_a_right_import_is_not(module, source):
    sources = package_sources() | {module: source}
    assert [finding for check in CHECKS for finding in check(sources)] == []
