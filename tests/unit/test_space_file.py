"""Spaces that lie in files: round trips, hostile files, records that outlive the file."""

import dataclasses
import json
import os

import pytest

from rdarts_tf import registry
from rdarts_tf.config import base, spaces
from rdarts_tf.config import search as search_config
from rdarts_tf.config import task as tasks
from rdarts_tf.config.evaluate import EvaluateConfig
from rdarts_tf.errors import UserError
from rdarts_tf.spaces import space_file
from rdarts_tf.spaces.base import CellSpace, Space

NAMES = [name for name in registry.names("spaces") if name != "space_file"]
SMALL = Space("small", {"normal": CellSpace((("none", "skip_connect"), ("none", "noise")), 1)})
SMALL = dataclasses.replace(SMALL, cells=SMALL.cells | {"reduce": SMALL.cell("normal")})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(space_file.to_json(SMALL))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_every_space_comes_back_from_its_file_and_from_its_record(name, tmp_path):
    space, path = spaces.make(name), tmp_path / "space.json"
    path.write_text(space_file.to_json(space))
    assert spaces.make(f"space_file({path})") == space
    record = spaces.recorded(f"space_file({path})")
    path.unlink()
    assert spaces.make(record) == space and spaces.recorded(record) == record
    tasks.check_space(space)


def test_a_line_of_the_file_is_an_edge(file):
    assert '    ["none", "skip_connect"],\n    ["none", "noise"]\n' in file.read_text()


def test_other_forms_of_the_same_content_are_the_same_space(file, tmp_path):
    other = tmp_path / "a, (b).json"
    other.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True))
    specs = [f"space_file({file})", f"space_file({str(other)!r})"]
    assert len({spaces.recorded(spec) for spec in specs}) == 1
    assert len({spaces.label(spec) for spec in specs}) == 1
    assert spaces.label("s1") == spaces.recorded("s1") == "s1"


def test_a_configuration_has_the_content_and_tells_another(file):
    before = search_config.SearchConfig(space=f"space_file({file})")
    file.write_text(file.read_text().replace("noise", "sep_conv_3x3"))
    assert before.make_space() == SMALL
    now = search_config.SearchConfig(space=f"space_file({file})")
    (sentence,) = base.differences(now, dataclasses.asdict(before))
    assert sentence.count("space_file with small-") == 2 and len(sentence) < 120
    assert now.default_run_dir().startswith("runs/small-")
    assert EvaluateConfig(space=f"space_file({file})").space == now.space
    assert search_config.of_record(dataclasses.asdict(before)).make_space() == SMALL


CELL = {"nodes": 1, "inputs": 2, "kept_edges": [2], "primitives": [["none"], ["noise"]]}
CONTENT = {"name": "mine", "task": "image_classification", "cells": {"normal": CELL}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1", "Expecting"),
        ("[]", "no object"),
        ("[" * 1000, "nested too deep"),
        ("{}", "has no 'name'"),
        (CONTENT | {"name": "../x"}, "no name of up to 64"),
        (CONTENT | {"name": "x" * 65}, "no name of up to 64"),
        (CONTENT | {"more": 1}, "field 'more' that is unknown"),
        (CONTENT | {"cells": {}}, "no cells"),
        (CONTENT | {"cells": {"a b": CELL}}, "'a b' is no name"),
        (CONTENT | {"cells": {"normal": CELL | {"nodes": 10**9}}}, "1000000000 nodes"),
        (CONTENT | {"cells": {"normal": CELL | {"nodes": True}}}, "whole number"),
        (CONTENT | {"cells": {"normal": CELL | {"inputs": 0}}}, "0 inputs"),
        (CONTENT | {"cells": {"normal": CELL | {"kept_edges": [3]}}}, "kept_edges"),
        (CONTENT | {"cells": {"normal": CELL | {"kept_edges": []}}}, "kept_edges"),
        (CONTENT | {"cells": {"normal": CELL | {"primitives": [["none"]]}}}, "1 edges"),
        (CONTENT | {"cells": {"normal": CELL | {"primitives": [["a"], ["b", "c"]]}}}, "equally"),
        (CONTENT | {"cells": {"normal": CELL | {"primitives": [["a", "a"]] * 2}}}, "twice"),
        (CONTENT | {"cells": {"normal": CELL | {"primitives": [[], []]}}}, "offers nothing"),
        (CONTENT | {"cells": {"normal": CELL | {"primitives": [["a'b"]] * 2}}}, "no name"),
        (CONTENT | {"cells": {f"c{i}": CELL for i in range(200)}}, "9,000 at most"),
        (" " * 2**21, "more than 1,048,576"),
    ],
)
def test_what_holds_no_space_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "space.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError) as caught:
        spaces.make(f"space_file({path})")
    told = str(caught.value)
    assert words in told and str(path) in told and "rdarts_tf.shrink" in told and "\n" not in told


@pytest.mark.parametrize("spec", ["space_file", "space_file()", "space_file(a=b)", "s1(3)"])
def test_other_arguments_are_refused(spec):
    with pytest.raises(UserError, match="does not take that|takes no arguments"):
        spaces.make(spec)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "nothing"):
        with pytest.raises(UserError, match="cannot read the space file"):
            spaces.make(f"space_file({tmp_path / name})")


def test_code_that_a_file_names_is_not_trusted(monkeypatch, file):
    monkeypatch.setattr(registry, "_TRUSTED", set())
    file.write_text(file.read_text().replace("image_classification", "tests.toy_task"))
    with pytest.raises(UserError, match="no flag names; if you trust it, give --plugin=tests.toy"):
        spaces.make(f"space_file({file})")
    registry.trust("tests.toy_task")
    assert spaces.plugin(f"space_file({file})") == "tests.toy_task"
    assert spaces.plugin("s1") is None and spaces.plugin("tests.toy_task") == "tests.toy_task"


def _with(space, cell_type, **changes):
    cell = dataclasses.replace(space.cell(cell_type), **changes)
    return dataclasses.replace(space, cells=space.cells | {cell_type: cell})


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (Space("a", {"normal": SMALL.cell("normal")}), "cells normal; networks"),
        (_with(SMALL, "normal", primitives=(("sep",), ("none",))), "the primitive 'sep'"),
        (
            _with(SMALL, "reduce", num_inputs=1, primitives=(("none",),), kept_edges=1),
            "1 inputs in cell 'reduce'",
        ),
        (
            Space("r", {"recurrent": CellSpace((("relu",),) * 3, 2, 1, (1, 2))}, "language_model"),
            "kept_edges=\\(1, 2\\)",
        ),
    ],
)
def test_a_space_that_no_network_of_its_task_has_is_refused(space, words):
    with pytest.raises(UserError, match=words):
        tasks.check_space(space)
