"""Tasks as processes: order, logs, signals, and what happens when somebody dies."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from rdarts_tf import registry
from rdarts_tf.config.base import ExecutorConfig
from rdarts_tf.errors import UserError
from rdarts_tf.runs import executor, task_table

ROOT = str(pathlib.Path(__file__).parents[2])
LOCAL = ExecutorConfig(executor="local")
RAY = ExecutorConfig(executor="ray", cpus_per_run=1)

# Notes each of its starts; the first one waits to be killed, a later one ends.
STUBBORN = """
import os, pathlib, sys, time
starts = pathlib.Path(sys.argv[1]) / "starts"
with starts.open("a") as file:
    file.write(f"{os.getpid()} {os.getppid()}\\n")
time.sleep(0 if len(starts.read_text().splitlines()) > 1 else 600)
"""
# Ends once the other of two tasks runs, too.
MEET = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "here").touch()
end = time.monotonic() + 60
while len(list(folder.parent.glob("*/here"))) < 2:
    assert time.monotonic() < end
    time.sleep(0.1)
"""
# A cluster as the executor starts one, but of another size.
CLUSTER = """
import functools, ray, time
from rdarts_tf.runs import executor
ray.init = functools.partial(ray.init, num_cpus=999, num_gpus=3)
executor._connect(ray, None)
print(ray.get_runtime_context().gcs_address, flush=True)
time.sleep(600)
"""


def task(folder, *scripts, name="a"):
    commands = tuple(("-c", script, str(folder)) for script in scripts)
    return executor.Task(name, commands, pathlib.Path(folder))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def starts(folder):
    file = pathlib.Path(folder) / "starts"
    return (
        [list(map(int, line.split())) for line in file.read_text().splitlines()]
        if file.exists()
        else []
    )


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_commands_run_in_order_up_to_the_first_that_fails(tmp_path):
    said = []
    bad = task(tmp_path / "bad", "print('one')", "raise SystemExit(3)", "print('two')", name="bad")
    good = task(tmp_path / "good", "print('three')", name="good")
    codes = executor.run([bad, good], LOCAL, say=said.append)
    assert codes == {"bad": 3, "good": 0}
    assert (bad.folder / "log.txt").read_text() == "one\n"
    assert (good.folder / "log.txt").read_text() == "three\n"
    assert said == [f"bad: failed with exit code 3, see {bad.folder}/log.txt", "good: done"]
    with pytest.raises(executor.Failed, match="1 of 2 runs failed: bad, see .*log.txt"):
        executor.check([bad, good], codes)
    executor.check([good], codes)


def test_a_signal_reaches_the_command_and_the_rest_does_not_start(tmp_path):
    handler = "import signal, sys, time, pathlib\n" + (
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(143)))\n"
        "(pathlib.Path(sys.argv[1]) / 'ready').touch()\ntime.sleep(600)"
    )
    script = f"""
import pathlib, sys
from rdarts_tf.runs import executor
from rdarts_tf.config.base import ExecutorConfig
folders = [pathlib.Path(path) for path in sys.argv[1:]]
tasks = [executor.Task(str(f), (("-c", {handler!r}, str(f)),), f) for f in folders]
try:
    executor.run(tasks, ExecutorConfig(executor="local"))
except executor.Stopped as stopped:
    sys.exit(stopped.exit_code)
"""
    first, second = tmp_path / "first", tmp_path / "second"
    process = subprocess.Popen([sys.executable, "-c", script, str(first), str(second)])
    wait_for((first / "ready").exists)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert (first / "log.txt").read_text() == "saved\n"
    assert not second.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a command may outlive its parent")
def test_a_command_does_not_outlive_the_process_that_started_it(tmp_path):
    script = f"""
import pathlib, sys
from rdarts_tf.runs import executor
folder = pathlib.Path(sys.argv[1])
executor.run_task(executor.Task("a", (("-c", {STUBBORN!r}, str(folder)),), folder))
"""
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    (pid, _), *_ = wait_for(lambda: starts(tmp_path))
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    wait_for(lambda: not is_alive(pid), seconds=10)


def test_threads_are_those_of_tensorflows_pools(tmp_path):
    script = "import os; print(os.environ['TF_NUM_INTRAOP_THREADS'])"
    assert executor.run_task(task(tmp_path, script), threads=3) == 0
    assert (tmp_path / "log.txt").read_text() == "3\n"


def test_ray_is_taken_where_it_is_and_never_inside_a_task(monkeypatch):
    monkeypatch.delenv("RDARTS_TF_TASK", raising=False)
    for spec, expected in ((None, False), (object(), True)):
        monkeypatch.setattr(executor.importlib.util, "find_spec", lambda name, spec=spec: spec)
        assert executor._uses_ray(ExecutorConfig()) is expected
    monkeypatch.setenv("RDARTS_TF_TASK", "1")
    assert not executor._uses_ray(ExecutorConfig())


def test_ray_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr(executor.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="--executor=ray needs Ray; pip install"):
        executor._uses_ray(RAY)


def test_progress_is_that_of_the_file_written_last(tmp_path):
    inner = tmp_path / "evaluate" / "select" / "seed_1"
    inner.mkdir(parents=True)
    for folder, epochs in ((tmp_path, 5), (inner.parent, 7)):
        (folder / "config.json").write_text(json.dumps({"space": "s1", "epochs": epochs}))
    rows = [{"epoch": epoch, "validation/accuracy": x} for epoch, x in enumerate((0.25, 0.5))]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.utime(metrics, (1, 1))
    assert task_table._progress(tmp_path) == "epoch 2 of 5, accuracy 0.5000"
    (inner / "metrics.jsonl").write_text('{"epoch": 0, "score/accuracy": 0.75}\n')
    told = task_table._progress(tmp_path)
    assert told == "epoch 1 of 7, accuracy 0.7500 (evaluate/select/seed_1)"
    (inner.parent / "config.json").rename(tmp_path / "later.json")
    assert task_table._progress(tmp_path) == "running"  # not the epochs of the search
    (tmp_path / "later.json").rename(inner.parent / "config.json")
    (inner / "metrics.jsonl").write_text('{"score/accu')
    assert task_table._progress(tmp_path) == "running"


@pytest.mark.parametrize(
    ("trusted", "told"),
    [
        ({"tests.counting_task"}, "epoch 1 of 7, counting error 1.5 words (evaluate/x/seed_1)"),
        (set(), "epoch 1 of 7 (evaluate/x/seed_1)"),
    ],
)
def test_progress_is_told_by_the_metric_of_the_runs_task(tmp_path, monkeypatch, trusted, told):
    monkeypatch.setattr(registry, "_TRUSTED", trusted)
    inner = tmp_path / "evaluate" / "x" / "seed_1"
    inner.mkdir(parents=True)
    config = {"space": "tests.counting_task", "epochs": 5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    evaluation = {"genotype": "Genotype(count=[('on', 0)], count_concat=[1])", "epochs": 7}
    (inner.parent / "config.json").write_text(json.dumps(evaluation))
    row = {"epoch": 0, "score/counting_error": 1.53, "score/accuracy": 1}
    (inner / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    assert task_table._progress(tmp_path) == told


def test_a_terminal_shows_what_is_running_as_far_as_it_fits(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    size = os.terminal_size((30, 6))
    monkeypatch.setattr(task_table.shutil, "get_terminal_size", lambda *_, **__: size)
    tasks = [task(tmp_path / str(i), name=f"task{i}") for i in range(9)]
    table = task_table.Table(tasks, print)
    table.show({}, running=[])
    assert capsys.readouterr().out == "0 of 9 done\n"
    for one in tasks[1:]:
        one.folder.mkdir()
        (one.folder / "config.json").write_text('{"epochs": 3}')
        (one.folder / "metrics.jsonl").write_text('{"epoch": 0}\n')
    table.show({"task1": 0})
    lines = [f"task{i}: epoch 1 of 3" for i in (2, 3, 4)]
    assert capsys.readouterr().out.split("\n") == [
        "\033[1A\033[Jtask1: done",
        *lines,
        "1 of 9 done",
        "",
    ]
    table.show({"task1": 0})
    assert capsys.readouterr().out.startswith("\033[4A\033[Jtask2")


@pytest.mark.parametrize("terminal, looks", [(True, 4), (False, 1)])
def test_folders_of_running_tasks_are_looked_into_every_few_seconds(
    terminal, looks, tmp_path, monkeypatch
):
    seen, now = [], [0.0]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(task_table, "_progress", lambda folder: seen.append(folder) or "running")
    monkeypatch.setattr(task_table.time, "monotonic", lambda: now[0])
    table = task_table.Table([task(tmp_path / name, name=name) for name in "abc"], lambda line: 0)
    for now[0] in range(20) if terminal else range(70):
        table.show({"a": 0}, running=["b"])
    assert seen == [tmp_path / "b"] * looks


@pytest.fixture(scope="module")
def cluster():
    """Settings for a Ray cluster with 999 cores and 3 GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # a token is the cluster's business
        patch.setenv("PYTHONPATH", ROOT, prepend=":")
        pytest.importorskip("ray")
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdout=subprocess.PIPE, text=True
        )
        yield dataclasses.replace(RAY, address=process.stdout.readline().strip())
        process.terminate()
        process.wait()


def test_ray_runs_two_tasks_at_a_time(cluster, tmp_path):
    tasks = [task(tmp_path / name, MEET, name=name) for name in "ab"]
    assert executor.run(tasks, cluster) == {"a": 0, "b": 0}


def test_a_killed_ray_worker_takes_its_command_along_and_is_replaced(cluster, tmp_path):
    script = f"""
import pathlib, sys
from rdarts_tf.runs import executor
from rdarts_tf.config.base import ExecutorConfig
folder = pathlib.Path(sys.argv[1])
settings = ExecutorConfig(executor="ray", address=sys.argv[2], cpus_per_run=1)
sys.exit(executor.run([executor.Task("a", (("-c", {STUBBORN!r}, str(folder)),), folder)], settings)["a"])
"""
    command = [sys.executable, "-c", script, str(tmp_path), cluster.address]
    process = subprocess.Popen(command)
    (pid, worker), *_ = wait_for(lambda: starts(tmp_path))
    os.kill(worker, signal.SIGKILL)
    assert process.wait(120) == 0
    assert len(starts(tmp_path)) == 2 and not is_alive(pid)


def test_a_cluster_gives_each_run_its_resources(cluster, tmp_path):
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    shown = []
    for gpus in (None, 2.0, 0.0):
        settings = dataclasses.replace(cluster, cpus_per_run=998, gpus_per_run=gpus)
        one = task(tmp_path / str(gpus), show)
        assert executor.run([one], settings) == {"a": 0}
        shown.append((one.folder / "log.txt").read_text().strip())
    assert [sorted(ids.split(",")) for ids in shown] == [["0"], ["0", "1"], ["-1"]]


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="cannot reach a Ray cluster at --address=127.0.0.1:1: "):
        executor.run([task(tmp_path, "pass")], dataclasses.replace(RAY, address="127.0.0.1:1"))


def test_more_resources_than_there_are_is_one_sentence(cluster, tmp_path):
    with pytest.raises(UserError, match="--cpus_per_run=100000 .* take fewer"):
        executor.run([task(tmp_path, "pass")], dataclasses.replace(cluster, cpus_per_run=100_000))


def test_a_node_that_does_not_start_is_one_sentence(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")

    def init(*args, **options):
        raise Exception("the node timed out")  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(UserError, match="cannot start Ray here: the node .* --executor=local"):
        executor.run([task(tmp_path, "pass")], RAY)
