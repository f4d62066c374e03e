"""What cannot be is refused before it is built: sizes, types, seeds; names that would do harm."""

import json
import os
import time
import zipfile

import numpy as np
import pytest

from rdarts_tf import analyze, evaluate, export, registry, report, search, sweep
from rdarts_tf.analysis import csv_table
from rdarts_tf.config import flags
from rdarts_tf.config import search as search_config
from rdarts_tf.engine import environment
from rdarts_tf.errors import UserError
from rdarts_tf.genotypes import genotype
from rdarts_tf.methods import rdarts_dp
from rdarts_tf.runs import placing
from rdarts_tf.runs.run_dir import RunDir
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import in_process, scripted_steps
from tests.recorded_runs import write_drops, write_result, write_run
from tests.scripted_steps import TOY
from tests.toy_task import task

HUGE = "9" * 400
CSV = "space,dataset,drop_path,l2,seed,job,epoch,lambda_max\n{},c10,0,0.0003,1,1,{},0.5\n"


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """The one sentence that a command refuses with, within a second or two."""
    monkeypatch.chdir(tmp_path)

    def command(module, *arguments):
        start = time.process_time()
        code, out, err = in_process.run(monkeypatch, capsys, module, *arguments)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and "Traceback" not in err, out + err
        assert time.process_time() - start < 5
        return lines[0]

    return command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed=4294967296"], "--seed"),
        ([f"--seed={HUGE}"], "--seed"),
        ([f"--epochs={HUGE}"], "--epochs"),
        ([f"--batch_size={HUGE}"], "--batch_size"),
        ([f"--weight_decay={HUGE}"], "--weight_decay"),
        (["--weight_decay=1e300"], "--weight_decay"),
        (["--nodes=100000", "--space=darts"], "--nodes"),
        (["--layers=100000"], "--layers=100000"),
        (["--init_channels=1000000000"], "--init_channels=1000000000"),
        (["--hidden=1000000000", "--space=rnn"], "--hidden=1000000000"),
        (["--method=best_of(4)"], "method=4"),
        (["--run_dir="], "--run_dir is empty"),
        (["--space="], "--space is empty"),
        (["--method=best_of(method=[1])"], "must name a method"),
        (["--method=rdarts_dp(values=[0.1], method=4)"], "must name a method"),
        (["--method=best_of(seeds=1000000000)"], "seeds=1000000000"),
        ([f"--method=best_of(seeds={HUGE})"], "seeds=999"),
        (["--method=best_of(seeds=4)", "--seed=4294967295"], "--seed=4294967296"),
        (["--method=best_of('best_of(best_of)')"], "selects within 2 selections"),
        (["--method=darts_ada(increase=1.0000001)"], "more than 100 steps"),
        ([f"--method=darts_ada(increase={HUGE})"], "increase=999"),
        ([f"--method=darts_es(window={HUGE}1)"], "window=999"),
        ([f"--method=darts_es(factor={HUGE})"], "factor=999"),
        ([f"--method=rdarts_l2(values=[{HUGE}])"], "values=[999"),
        (["--method=random_ws(n_samples=1000000000)"], "n_samples=1000000000"),
        ([f"--method=random_ws(top={HUGE})"], "top=999"),
        (["--method=" + "best_of(" * 2000 + ")" * 2000], "cannot read"),
        (["--method=darts_es(" + "[" * 3000 + "]" * 3000 + ")"], "unknown preset"),
        (["--flagfile=/dev/zero"], "no regular file"),
        (["--flagfile=self.cfg"], "includes itself"),
        (["--flagfile=a.cfg"], "includes itself"),
        (["--flagfile=bytes.cfg"], "cannot read --flagfile"),
        (["--space=s1\0"], "cannot read"),
    ],
)
def test_a_search_that_cannot_be(command, tmp_path, arguments, words):
    (tmp_path / "self.cfg").write_text("--epochs=3\n--flagfile=self.cfg\n")
    (tmp_path / "a.cfg").write_text("--flagfile=b.cfg\n")
    (tmp_path / "b.cfg").write_text("--flagfile\na.cfg\n--flagfile=a.cfg\n")
    (tmp_path / "bytes.cfg").write_bytes(b"\xff\xfe")
    assert words in command(search, "--dataset=digits", *arguments)


NESTED = '{"cells": ' + "[" * 1000 + "]" * 1000 + "}"
CELLS = "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat={})"


@pytest.mark.parametrize(
    "text",
    [
        CELLS.format("range(999999999999)"),
        CELLS.format(f"range({HUGE})"),
        CELLS.format("[9999999]"),
        CELLS.format("range(0, 5, 1, 7)"),
        CELLS.format("(" * 3000 + ")" * 3000),
        CELLS.format("-" * 5000 + "1"),
        CELLS.format("[2]") + " " * 200_000,
        CELLS.format("[2]").replace("normal", "../../x"),
        CELLS.format("[2]").replace("skip_connect", "a$b"),
        CELLS.format("[2]").replace("skip_connect", "x" * 100),
        NESTED,
        '{"cells": {"../x": [["a", 0], ["a", 1]]}, "concat": {"../x": [2]}}',
        '{"cells": {"x": [["a\\"]", 0], ["a", 1]]}, "concat": {"x": [2]}}',
        '{"cells": {"é": [["a", 0], ["a", 1]]}, "concat": {"é": [2]}}',
        f'{{"cells": {{"x": [["a", {HUGE}], ["a", 1]]}}, "concat": {{"x": [2]}}}}',
    ],
)
def test_a_genotype_that_cannot_be(text):
    start = time.process_time()
    with pytest.raises(genotype.GenotypeError) as error:
        genotype.parse(text)
    assert time.process_time() - start < 2 and len(str(error.value)) < 500


@pytest.mark.parametrize("spec", ["/dev/zero", ".", "large", "pipe", "bytes", "a\0b"])
def test_a_genotype_that_is_no_file(tmp_path, monkeypatch, spec, command):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**31)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    line = command(evaluate, f"--genotype={spec}", "--dataset=digits")
    assert "no genotype" in line or f"cannot read a genotype from {spec}" in line


@pytest.mark.parametrize(
    "seeds", ["4294967296", HUGE, "1,²", "", ",".join(map(str, range(3))) + ",0"]
)
def test_seeds_that_cannot_be(command, seeds):
    assert "--seeds" in command(
        evaluate, "--genotype=DARTS_V2", "--dataset=digits", f"--seeds={seeds}"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CSV.format("s1", "999999999999"), "is not from 0"),
        (CSV.format("s1", "9" * 5000), "needs numbers"),
        (CSV.format("../../s1", "1"), "does not name a space"),
        (CSV.format("s1", "1").replace("0.0003", "much"), "must be numbers"),
    ],
)
def test_a_table_that_cannot_be(command, tmp_path, text, words):
    (tmp_path / "table.csv").write_text(text)
    assert words in command(analyze, "table.csv", "--what=trajectory")


def test_lists_of_runs_that_are_no_file(command):
    assert "cannot read --list" in command(sweep, "--list=/dev/zero")


def test_the_fields_of_a_record_have_types_and_bounds():
    good = {"space": "s1", "dataset": "digits", "method": "darts", "seed": 1, "epochs": 3}
    assert search_config.of_record(good).epochs == 3
    for wrong in ({"epochs": "3"}, {"epochs": 10**7}, {"seed": -1}, {"batch_size": True}):
        with pytest.raises(UserError, match=f"--{next(iter(wrong))}="):
            search_config.of_record(good | wrong)
    with pytest.raises(UserError, match="--alpha_step=x is none of"):
        search_config.of_record(good | {"alpha_step": "x"})


def test_arrays_that_would_unpack_to_more_than_their_file_can_hold(tmp_path):
    """128 MiB of zeros in 130 kB; 64 GiB would be as quick to make."""
    with zipfile.ZipFile(tmp_path / "alphas.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("normal.npy", bytes(2**27))
    with pytest.raises(UserError, match=r"alphas\.npz is damaged: it unpacks to 134,217,728 bytes"):
        RunDir(tmp_path).read_alphas()


# Names.


@pytest.fixture
def strange(tmp_path):
    """A run directory whose name is a formula of three languages, and a run of another's in it."""
    run = tmp_path / "=1+$x_{<b>|`"
    write_run(run, method="darts_es", curvature=(0.1, 0.2, 0.4) * 6)
    (run / "alphas.npz").unlink()  # whose figures take long
    write_result(run, [0.2], name="$e_{")
    write_drops(run, [(0, 0.1, 0.2)])
    return run


def test_strange_names_do_no_harm(strange, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    other = write_run(tmp_path / "@other$")
    (other / "alphas.npz").unlink()
    for arguments in (
        (report, strange, other, "--out=page"),
        (analyze, strange, other, "--what=trajectory", "--out=drawn"),
        (export, f"--run_dir={strange}", "--format=svg", "--out=cells"),
        (export, f"--run_dir={strange}", "--format=dot", "--out=cells"),
    ):
        code, out, err = in_process.run(monkeypatch, capsys, *arguments)
        assert code == 0, out + err
    lines = (tmp_path / "drawn/trajectory.csv").read_text().splitlines()[1:]
    assert {line[0] for line in lines} == {"'"}
    assert "<b>" not in (tmp_path / "page/report.html").read_text()
    names = ("@other$", "cells", "drawn", "page", strange.name)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_tables_hold_no_formulas():
    rows = [{"run": text, "value": -1.5} for text in ("=1+1", "+1", "-1", "@x", "\tx", "x")]
    lines = csv_table.to_bytes(rows).decode().splitlines()[1:]
    assert [line[:2] for line in lines] == ["'=", "'+", "'-", "'@", "'\t", "x,"]
    assert all(line.endswith(",-1.5") for line in lines)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("report", (report, "run")),
        ("analysis", (analyze, "run", "--what=trajectory")),
        ("export", (export, "--run_dir=run", "--format=dot")),
        ("export", (export, "--run_dir=run", "--format=dot", "--overwrite")),
    ],
)
def test_a_run_does_not_lead_elsewhere(tmp_path, command, name, arguments):
    run = write_run(tmp_path / "run", method="darts_es", curvature=(0.1, 0.2) * 3)
    (tmp_path / "mine").mkdir()
    for file in ("report.md", "trajectory.csv", "normal_cell.dot"):
        (tmp_path / "mine" / file).write_text("mine")
    (run / name).symlink_to(tmp_path / "mine")
    assert f"run/{name} is a link" in command(*arguments)
    assert {path.read_text() for path in (tmp_path / "mine").iterdir()} == {"mine"}


def test_nothing_is_written_outside_of_the_folder(tmp_path):
    with pytest.raises(UserError, match="outside"):
        placing.write_files(tmp_path / "in", {"../x.png": b""}, replace=True)
    assert not list(tmp_path.rglob("*.png"))


# 13: strengths that print alike.


def test_strengths_that_print_alike_have_folders_of_their_own():
    runs = rdarts_dp.Method([0.1234567, 0.1234568]).runs(SearchConfig())
    assert list(runs) == ["drop_path_prob_0.1234567", "drop_path_prob_0.1234568"]
    assert list(rdarts_dp.Method([0.0, 0.2]).runs(SearchConfig())) == [
        "drop_path_prob_0",
        "drop_path_prob_0.2",
    ]


# 9: what goes wrong after the work has begun.


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(registry, "_TRUSTED", set())
    scripted_steps.replace_steps(monkeypatch)
    return scripted_steps.call


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_weights_that_overflow_in_the_last_step_are_not_kept(
    scripted, tmp_path, monkeypatch, value
):
    step = scripted_steps._step

    def overflowing(trainer, epoch, number, decay):
        step(trainer, epoch, number, decay)
        if epoch == 2 and number == trainer.problem.num_steps - 1:
            trainer.net.w.assign(value)

    monkeypatch.setattr(scripted_steps, "_step", overflowing)
    run = RunDir(tmp_path / "run")
    assert scripted("search", *TOY, "--epochs=4", f"--run_dir={run.path}") == 1
    assert [row["epoch"] for row in run.read_metrics()] == [0, 1]
    assert [position for position, _ in run.list_checkpoints()] == [(2, 0), (1, 0)]
    monkeypatch.setattr(task.Evaluation, "KEEPS_BEST", False)
    monkeypatch.setattr(scripted_steps.evaluation_steps.Evaluation, "train_block", _plain_block)
    flags = ("--genotype=Genotype(toy=[('on', 0)], toy_concat=[1])", *TOY, "--epochs=4")
    assert scripted("evaluate", f"--run_dir={tmp_path / 'e'}", *flags) == 1
    seed = RunDir(tmp_path / "e/evaluate/tests.toy_task/seed_1")
    assert [row["epoch"] for row in seed.read_metrics()] == [0, 1]
    for path in tmp_path.rglob("*.json*"):
        assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()


def _plain_block(self, iterator, first, last, epoch, rates):
    for number in range(int(first), int(last)):
        scripted_steps._step(self, int(epoch), number, 0.0)
    return last, scripted_steps.tf.constant(0.5)


def test_xla_where_it_cannot_be_is_one_sentence(command, tmp_path, monkeypatch):
    loss = task.Search.loss

    def with_text(self, call, batch, carry, **network):
        scripted_steps.tf.strings.as_string(batch[0])
        scripted_steps.tf.print(
            scripted_steps.tf.strings.as_string(batch[0]), output_stream="file:///dev/null"
        )
        return loss(self, call, batch, carry, **network)

    monkeypatch.setattr(task.Search, "loss", with_text)
    told = command(
        search, *TOY, "--epochs=1", "--jit_compile=true", f"--run_dir={tmp_path / 'run'}"
    )
    assert "XLA cannot compile this network" in told and "--jit_compile=false" in told


# 5: what rounds otherwise.


def test_other_switches_and_replicas_are_told(tmp_path, monkeypatch):
    run_dir, said = RunDir(tmp_path), []
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    environment.note(run_dir, 0, said.append, replicas=1)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    environment.note(run_dir, 1, said.append, replicas=2)
    (line,) = said
    assert "switches none -> TF_ENABLE_ONEDNN_OPTS=0" in line and "replicas 1 -> 2" in line
    assert json.loads((tmp_path / "environment.json").read_text())[1]["replicas"] == 2


def test_flags_hold_the_bounds_too():
    for arguments in (["--nodes=65"], ["--seed=-1"]):
        with pytest.raises(UserError):
            flags.parse(search_config.of_given, arguments)
