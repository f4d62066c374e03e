"""The command line of every command: its help, its examples, and flags that another task has."""

import dataclasses
import re
import shlex

import pytest

import rdarts_tf
from rdarts_tf import analyze, evaluate, export, registry, report, reproduce, search, sweep
from rdarts_tf.config import base
from rdarts_tf.config.analyze import AnalyzeConfig
from rdarts_tf.config.report import ReportConfig
from rdarts_tf.config.reproduce import ReproduceConfig
from rdarts_tf.config.sweep import SweepConfig
from rdarts_tf.tasks.image_classification.options import EvaluateConfig, ExportConfig, SearchConfig
from tests import in_process
from tests.recorded_runs import write_run

# (module, configuration, flags that are no field of it)
COMMANDS = {
    "analyze": (analyze, AnalyzeConfig, ["plugin"]),
    "evaluate": (evaluate, EvaluateConfig, ["run_dir", "overwrite", "extend", "plugin"]),
    "export": (export, ExportConfig, ["run_dir", "overwrite", "plugin"]),
    "report": (report, ReportConfig, ["plugin"]),
    "reproduce": (reproduce, ReproduceConfig, []),
    "search": (search, SearchConfig, ["run_dir", "overwrite", "extend", "plugin"]),
    "sweep": (sweep, SweepConfig, []),
}
every_command = pytest.mark.parametrize("name", COMMANDS)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """command(name, *arguments) -> (exit code, stdout, stderr), in a folder that is importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda name, *arguments: in_process.run(
        monkeypatch, capsys, COMMANDS[name][0], *arguments
    )


def sections(page):
    """{heading: {flag: (what follows its name, its text without spaces)}} of a page of help."""
    headings, found, rows = [group.capitalize() for group in base.GROUPS], {}, None
    for line in page.splitlines():
        if line in headings:
            rows = found.setdefault(line, {})
        elif row := re.fullmatch(r"  --(\w+)(\S*)\s*(.*)", line):
            name, value, text = row.groups()
            rows[name] = (value, text)
        elif line.startswith(" " * 30):
            value, text = rows[name]
            rows[name] = (value, text + line)
    return {
        heading: {name: (value, "".join(text.split())) for name, (value, text) in rows.items()}
        for heading, rows in found.items()
    }


def told(found):
    """The sentence of a refusal."""
    code, stdout, stderr = found
    assert (code, stdout) == (2, "")
    (line,) = stderr.splitlines()
    assert line.startswith("error: ")
    return line


# Help.
@every_command
@pytest.mark.parametrize("flag", ["--help", "-h", "-help", "--helpshort", "--helpfull"])
def test_help_is_the_page_and_exit_code_0(command, tmp_path, name, flag):
    code, page, stderr = command(name, flag)
    assert (code, stderr) == (0, "")
    assert page.startswith(COMMANDS[name][0].__doc__.strip().splitlines()[0])
    assert sections(page)
    assert ("--flagfile:" in page) == (flag == "--helpfull")
    assert not list(tmp_path.iterdir())


@every_command
def test_the_version(command, name):
    expected = f"rdarts_tf {rdarts_tf.__version__}\n"
    assert command(name, "--version") == (0, expected, "")


@every_command
def test_the_page_has_every_flag_under_its_heading(command, name):
    _, config_class, others = COMMANDS[name]
    expected = {}
    for field in dataclasses.fields(config_class):
        expected.setdefault(field.metadata["group"].capitalize(), []).append(field.name)
    if others:
        expected.setdefault("Run directory", []).extend(others)
    found = sections(command(name, "--help")[1])
    assert {heading: list(rows) for heading, rows in found.items()} == expected
    headings = [group.capitalize() for group in base.GROUPS]
    assert list(found) == [heading for heading in headings if heading in expected]


@every_command
def test_the_page_tells_defaults_meanings_and_choices(command, name):
    _, config_class, _ = COMMANDS[name]
    page = command(name, "--help")[1]
    found = {flag: row for rows in sections(page).values() for flag, row in rows.items()}
    for field in dataclasses.fields(config_class):
        value, text = found[field.name]
        assert value == ("" if field.default is None else f"={base.to_text(field.default)}")
        assert text.startswith("".join(field.metadata["help"].split()))
        choices = field.metadata.get("choices") or ()
        if f"{field.name}s" in registry.KINDS:
            choices = registry.names(f"{field.name}s")
        listed = ",".join(choices)
        assert not choices or text.endswith((f"({listed})", f":{listed}"))
    rows = [line for line in page.splitlines() if line.startswith("  --") or " " * 30 in line]
    assert max(map(len, rows)) <= 80


@every_command
def test_the_examples_of_the_page_use_flags_that_there_are(command, name):
    page = command(name, "--help")[1]
    known = {flag for rows in sections(page).values() for flag in rows} | {"flagfile"}
    start = f"python -m rdarts_tf.{name} "
    examples = [line.strip() for line in page.splitlines() if line.strip().startswith(start)]
    assert examples
    for example in examples:
        words = shlex.split(example)[3:]
        own = words[: words.index("--")] if "--" in words else words
        assert any(word.startswith("--") for word in own) or name in ("analyze", "report")
        assert {word[2:].partition("=")[0] for word in own if word.startswith("--")} <= known


def test_help_of_a_run_is_no_help_of_the_sweep(command):
    assert "flag 'help'" in told(command("sweep", "--dataset=digits", "--", "--help"))


# Flags of another task.
OPTIONS = """
import dataclasses
from rdarts_tf.config import evaluate, search
from rdarts_tf.config.base import option

CELL_TYPES = ("recurrent",)

@dataclasses.dataclass(frozen=True)
class SearchConfig(search.SearchConfig):
    TASK = "PACKAGE"
    units: int = option("network", 8, "of a state", low=1)

@dataclasses.dataclass(frozen=True)
class EvaluateConfig(evaluate.EvaluateConfig):
    TASK = "PACKAGE"
    units: int = option("network", 16, "of a state", low=1)
"""
SPACE = """
from rdarts_tf.spaces.base import CellSpace, Space

SPACE = Space("own", {"recurrent": CellSpace((("tanh", "relu"),), 1, 1, 1)}, "PACKAGE")
"""


@pytest.fixture
def package(tmp_path):
    """A task of the user's own and a space of it, PACKAGE.space, in a package of this test alone."""
    name = re.sub(r"\W", "_", f"task_of_{tmp_path.name}")
    (tmp_path / name / "own").mkdir(parents=True)
    for file, text in {"__init__": "", "options": OPTIONS, "space": SPACE}.items():
        text = text.replace("PACKAGE", f"{name}.own")
        (tmp_path / name / "own" / f"{file}.py").write_text(text)
    return f"{name}.own"


IN_ONES_OWN = {
    "search": ["--space=PACKAGE.space", "FLAG"],
    "evaluate": ["--run_dir=run", "--plugin=PACKAGE.space", "FLAG"],
    "sweep": ["--space=PACKAGE.space", "--dataset=digits", "--", "FLAG"],
    "sweep --evaluate": [
        "--space=PACKAGE.space",
        "--dataset=digits",
        "--evaluate",
        "--evaluate_flags=FLAG",
    ],
}
OF_IMAGES = {
    "search": ["--space=s1", "FLAG"],
    "search by default": ["FLAG"],
    "evaluate": ["--genotype=DARTS_V2", "FLAG"],
    "sweep": ["--dataset=digits", "--", "FLAG"],
}


def arguments_of(words, *, flag, package):
    return [word.replace("FLAG", flag).replace("PACKAGE", package) for word in words]


@pytest.mark.parametrize("flag", ["--layers=3", "--sync_batch_norm", "--nosync_batch_norm"])
@pytest.mark.parametrize("name", IN_ONES_OWN)
def test_a_flag_of_images_is_refused_by_another_task(command, tmp_path, package, name, flag):
    write_run(tmp_path / "run", space=f"{package}.space", genotype=None)
    before = sorted(tmp_path.iterdir())
    arguments = arguments_of(IN_ONES_OWN[name], flag=flag, package=package)
    line = told(command(name.split()[0], *arguments))
    shown = flag.partition("=")[0]
    assert f"{shown} is a flag of the task " in line and "image_classification" in line
    assert line.endswith(f", not of {package}; leave it out, or take another space")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", OF_IMAGES)
def test_a_flag_of_another_task_is_refused_by_that_of_images(command, monkeypatch, package, name):
    names = registry.names
    monkeypatch.setattr(registry, "names", lambda kind: names(kind) + [package] * (kind == "tasks"))
    arguments = arguments_of(OF_IMAGES[name], flag="--units=3", package=package)
    assert told(command(name.split()[0], *arguments)).endswith(
        f"--units is a flag of the task {package}, not of image_classification; leave it out, or "
        "take another space"
    )


@pytest.mark.parametrize("name", ["search", "evaluate"])
def test_a_flag_of_no_task_is_refused(command, tmp_path, package, name):
    write_run(tmp_path / "run", space=f"{package}.space")
    arguments = arguments_of(IN_ONES_OWN[name], flag="--unit=3", package=package)
    line = told(command(name, *arguments))
    assert "'unit'" in line and line.endswith("--help lists the flags")


@pytest.mark.parametrize(("name", "default"), [("search", 8), ("evaluate", 16)])
def test_help_is_that_of_the_task(command, tmp_path, package, name, default):
    write_run(tmp_path / "run", space=f"{package}.space")
    arguments = arguments_of(IN_ONES_OWN[name], flag="--help", package=package)
    code, page, _ = command(name, *arguments)
    assert code == 0
    network = sections(page)["Network"]
    assert network["units"] == (f"={default}", "ofastate")
    assert not {"layers", "init_channels"} & set(network)
