"""Whatever the files of a run hold, a command succeeds or tells one sentence."""

import json
import pathlib
import shutil

import pytest

from rdarts_tf import analyze, api, evaluate, export, reading, registry, search, shrink
from rdarts_tf.config import evaluate as evaluate_config
from rdarts_tf.config import export as export_config
from rdarts_tf.config import search as search_config
from rdarts_tf.config.analyze import AnalyzeConfig
from rdarts_tf.engine import environment
from rdarts_tf.errors import UserError
from rdarts_tf.reporting import tables
from rdarts_tf.runs import files, given, placing, record_reading, search_epochs, task_table
from rdarts_tf.runs.decisions import Decisions
from rdarts_tf.runs.logbook import Logbook
from rdarts_tf.runs.run_dir import RunDir
from tests import damaged_files, scripted_steps
from tests.scripted_steps import ADA, TOY
from tests.toy_task import options

NUMBER = 400
RECORDS = ("metrics.jsonl", "alphas.npz", "decisions.json", "environment.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a search that went back, an evaluation of it, and a selection."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_TRUSTED", {"tests.toy_task"})
        scripted_steps.replace_steps(patch)
        for name, *flags in (("ada", f"--method={ADA}", "--epochs=3"), ("l2", *_SELECTION)):
            assert scripted_steps.call("search", *TOY, f"--run_dir={folder / name}", *flags) == 0
        where = (f"--run_dir={folder / 'ada'}", "--plugin=tests.toy_task", TOY[1])
        assert scripted_steps.call("evaluate", *where, "--epochs=3") == 0
        assert scripted_steps.call("evaluate", *where, "--epochs=1", "--search_epoch=0") == 0
        (folder / "ada/export.json").write_text('{"genotype": "Genotype()"}')
        yield folder


_SELECTION = ("--method=rdarts_l2(values=[0.1])", "--epochs=2", "--select_epochs=1")
_SELECTION += ("--executor=local",)


def readers(folder):
    """{name: what a command does with the files of a run before it starts to work}."""
    ada, l2 = RunDir(folder / "ada"), RunDir(folder / "l2")
    owner = _owner(ada.list_checkpoints()[0][1])
    path, evaluated = ada.path, ada.path / "evaluate/tests.toy_task"

    def resume():
        config = search_config.check(search_config.of_record(analyze._recorded(path)))
        newest = ada.load_newest_checkpoint(lambda line: None)
        book = Logbook(ada, owner)
        if newest and newest[0][0] <= 3:
            book.open(ada.checkpoint(*newest[0]), newest[0])
        decisions = Decisions(config.make_method(), config, book)
        decisions.extend(ada.read_json("config.json") or {}, len(book.rows))
        [decisions.in_force(epoch) for epoch in range(4)]
        decisions.make(book.rows) if book.rows else None
        environment.note(ada, len(book.rows), lambda line: None)

    def report(*paths):
        records, _ = record_reading.read(paths)
        for block in (*tables.runs(records), *tables.selections(records)):
            str(block)

    def retrain():
        found = evaluate_config.resolve(options.EvaluateConfig(seeds="1,2", epochs=3), ada)
        run_dir = RunDir(evaluated)
        evaluate._check_same(found, run_dir, extend=False)
        evaluate._summary(list(run_dir.seeds().values())[:1], "loss")
        for seed_dir in run_dir.seeds().values():
            evaluate._is_done(seed_dir, found, evaluate._history(found, run_dir))

    def serve():
        config = export_config.ExportConfig()
        found, result = export._evaluation(config, ada, needed_for="a network")
        export._arrays(config, found, result)
        export._genotype(config, ada)

    def python():
        for each in (path, l2.path):
            run = api.Run(each, plugin=("tests.toy_task",))
            repr(run), run.lambda_max, run.alphas, run.runs, run.space

    return {
        "search": lambda: search._is_finished(_flags(), RunDir(path), extend=False),
        "resume": resume,
        "report": lambda: report(path),
        "report of a selection": lambda: report(l2.path),
        "trajectory": lambda: analyze._trajectories(AnalyzeConfig(), path),
        "regret": lambda: analyze._without_free(analyze._searched(path)),
        "evaluate": retrain,
        "export": serve,
        "given": lambda: given.options({"space": None, "genotype": None, "run_dir": str(path)}),
        "shrink": lambda: shrink._edge_weights(shrink._finished(path).searched),
        "earlier epochs": lambda: search_epochs.genotypes(ada, [0, 2]),
        "python": python,
        "table": lambda: task_table._progress(folder),
        "placing": lambda: placing.is_export(evaluated),
    }


def _flags():
    return search_config.of_space("tests.toy_task")(
        space="tests.toy_task", dataset="tests.toy_task", method=ADA, epochs=3
    )


def _owner(path):
    """Of an undamaged checkpoint."""
    return json.loads(files.load_beside(path)["owner.json"])["of"]


def read_of(call, monkeypatch):
    """The paths of the files that a call reads."""
    found, read_bytes, archive = set(), reading.read_bytes, files._archive
    with monkeypatch.context() as patch:
        patch.setattr(
            reading, "read_bytes", lambda path, *most: found.add(path) or read_bytes(path, *most)
        )
        patch.setattr(files, "_archive", lambda path: found.add(path) or archive(path))
        call()
    return {path for path in found if isinstance(path, pathlib.Path)}


def test_damaged_files(whole, tmp_path, capsys, monkeypatch):
    folder, rng = shutil.copytree(whole, tmp_path / "runs"), damaged_files.stream(1)
    paths = [
        p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in (".cfg", ".txt")
    ]
    calls, refused = readers(folder), 0
    monkeypatch.setattr(registry, "_check_place", lambda name: None)  # slow, and no matter of files
    read_by = {path: [] for path in paths}
    for name, call in calls.items():
        for path in read_of(call, monkeypatch):
            read_by.get(path, []).append(name)
    paths = [path for path in paths if read_by[path]]
    before = {path: path.read_bytes() for path in paths}
    failures = {}
    for _ in range(NUMBER):
        path = rng.choice(paths)
        damaged_files.damage(path, rng)
        for name in read_by[path]:
            try:
                calls[name]()
            except UserError as error:
                refused += 1
                if "\n" in str(error) or len(str(error).encode()) > 3000:
                    failures[f"{name}: {error}"[:300]] = str(path)
            except Exception as error:
                failures[f"{name}: {error!r}"[:300]] = str(path)
        for each, content in before.items():
            if each == path or each.name in RECORDS:
                damaged_files.restore(each, content)
        capsys.readouterr()
    assert not failures, json.dumps(failures, indent=1)
    assert refused > NUMBER / 2
