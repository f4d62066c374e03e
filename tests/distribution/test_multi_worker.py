"""Two workers on this machine: one search, only the chief writes, and what happens when one is lost."""

import json
import signal
import socket
import threading
import time

import numpy as np
import pytest

from rdarts_tf import search, sweep
from rdarts_tf.config import workers
from rdarts_tf.config.base import ConfigError
from rdarts_tf.engine import distribution, epochs
from rdarts_tf.errors import UserError
from rdarts_tf.runs import rendezvous
from rdarts_tf.runs.files import load_npz
from tests import forked, in_process

FLAGS = ("--space=tests.toy_task", "--dataset=tests.toy_task", "--learning_rate=1")
FLAGS += ("--epochs=5", "--arch_learning_rate=0.005", "--arch_weight_decay=0", "--seed=1")
LAST = "checkpoints/epoch_0005_step_000000.npz"

# A search whose worker sends itself a signal (0: none) when it begins an epoch.
SEARCH = """
import os, sys
from rdarts_tf import search
from rdarts_tf.engine import epochs

number, epoch = int(sys.argv.pop(1)), int(sys.argv.pop(1))
train_blocks = epochs.EpochRun._train_blocks

def signalled(self, run):
    if number and self.epoch == epoch:
        os.kill(os.getpid(), number)
    return train_blocks(self, run)

epochs.EpochRun._train_blocks = signalled
search.run()
"""

# The strategy comes first in its process; the reference is the default one, of the chief alone.
STEPS = """
import numpy as np
import tensorflow as tf
import keras
from rdarts_tf.config import workers
from rdarts_tf.engine import distribution, search_steps
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification import data, options, task

space = uniform("tiny", ("avg_pool_3x3", "skip_connect"), num_nodes=1)
options.SearchConfig.make_space = lambda self: space
distribution.configure_runtime()
strategies = [distribution.make_strategy("multi_worker")]
if workers.read().is_chief:
    strategies.append(distribution.make_strategy("one"))
rng = np.random.default_rng(0)
split = data.Split(rng.integers(256, size=(46, 8, 8, 2)).astype(np.uint8),
                   np.arange(46, dtype=np.int32) % 5)
images = data.Dataset("random", split, split, tuple("abcde"), np.zeros(2) + 0.5, np.ones(2) / 4)
config = options.SearchConfig(batch_size=8, layers=1, init_channels=2, cutout="false",
                              sync_batch_norm=True)
found = []
for strategy in strategies:
    problem = task.Search(config, images)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        net = problem.network()
    trainer = search_steps.Search(problem, net, config=config, strategy=strategy)
    start = {k: v.numpy() for k, v in trainer.variables().items()}
    rates = {k: tf.constant(v, tf.float32) for k, v in problem.rates(config, 0).items()}
    iterator = iter(problem.search_epoch(config, 0))  # batches of 8, 8 and 7
    at = tf.constant(0), tf.constant(3), tf.constant(0)
    assert int(trainer.search_block(iterator, *at, rates)[0]) == 3
    found.append({k: v.numpy() for k, v in trainer.variables().items()})
for kind in ("weights/", "state/alpha"):
    begun, two, one = (np.concatenate([v.ravel() for k, v in of.items() if k.startswith(kind)])
                       for of in (start, found[0], found[-1]))
    print(np.abs(two - one).max() / np.abs(one).max(), np.abs(one - begun).max() / np.abs(one).max())
"""


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def tf_config(ports, index):
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


def start(script, arguments, folder):
    """The processes of two workers; each runs in a folder of its own, which `tmp` is in, too.

    Args:
        arguments: of each.
    """
    ports, processes = free_ports(2), []
    for index, own in enumerate(arguments):
        home = folder / f"home_{index}"
        home.mkdir(exist_ok=True)
        env = {"TF_CONFIG": tf_config(ports, index), "TMPDIR": str(home)}
        processes.append(forked.Python("-c", script, *own, cwd=home, env=env))
    return processes


def ended(processes, timeout=600):
    """[(exit code, stdout, sentences of stderr)]."""
    results = []
    try:
        for process in processes:
            code, out, err = vars(process.result(timeout=timeout)).values()
            told = [line for line in err.splitlines() if line.startswith(("error: ", "stopped "))]
            results.append((code, out, told or err[-2000:]))
    finally:
        for process in processes:
            process.kill()
    return results


def searched(folder, run_dirs, *, own=(0, 0), of_second=(0, 0)):
    """The processes of a search; `own` and `of_second`: signal and epoch of the workers."""
    flags = (*FLAGS, "--strategy=multi_worker")
    arguments = [
        (*sent, *flags, f"--run_dir={run_dir}")
        for sent, run_dir in zip((own, of_second), run_dirs, strict=True)
    ]
    return start(SEARCH, arguments, folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, results) of an uninterrupted search."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, ended(searched(folder, [folder / "run"] * 2))


@pytest.mark.slow
def test_three_exact_steps_of_two_workers_equal_one_device(tmp_path):
    results = ended(start(STEPS, [()] * 2, tmp_path))
    assert [code for code, *_ in results] == [0, 0], results
    for line in results[0][1].splitlines()[-2:]:
        error, moved = map(float, line.split())
        assert error <= 1e-6 and moved > 1e-3, results[0][1]


@pytest.mark.slow
def test_the_chief_alone_writes_and_speaks(whole):
    folder, results = whole
    assert [code for code, *_ in results] == [0, 0], results
    assert "epoch 5/5" in results[0][1]
    assert results[1][1] == ""
    assert not [f for f in (folder / "home_1").iterdir() if "autograph" not in f.name]
    assert len(list((folder / "run/tensorboard").iterdir())) == 1  # events of one process
    rows = (folder / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(5))


@pytest.mark.slow
def test_after_a_loss_and_a_signal_the_bits_are_those_of_an_uninterrupted_run(whole, tmp_path):
    run_dirs = [tmp_path / "run"] * 2
    processes = searched(tmp_path, run_dirs, of_second=(signal.SIGKILL.value, 2))
    processes[1].result()
    lost = time.monotonic()
    (code, _, told), _ = ended(processes, timeout=60)
    assert time.monotonic() - lost < 60
    assert code == 1
    assert len(told) == 1 and "another worker has ended" in told[0], told

    results = ended(searched(tmp_path, run_dirs, of_second=(signal.SIGTERM.value, 3)))
    assert [code for code, *_ in results] == [143, 143], results
    assert "after 2 of 5 epochs" in results[0][1]
    assert results[0][2] == results[1][2] and "in epoch 4 after step" in results[0][2][0]

    results = ended(searched(tmp_path, run_dirs))
    assert [code for code, *_ in results] == [0, 0], results
    for name in ("alphas.npz", LAST):
        a, b = (load_npz(folder / "run" / name) for folder in (whole[0], tmp_path))
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key], err_msg=key)
    texts = [(folder / "run/genotype.txt").read_text() for folder in (whole[0], tmp_path)]
    assert texts[0] == texts[1]


def test_workers_at_different_checkpoints_are_refused(monkeypatch):
    monkeypatch.setattr(distribution, "gather", lambda _, own: np.array([[3, 0], [3, 0], own]))
    distribution.check_same(None, epochs.SHARED, epoch=3, step=0)
    with pytest.raises(UserError, match="worker 2 has step 7 and the chief 0; give all workers"):
        distribution.check_same(None, epochs.SHARED, epoch=3, step=7)


@pytest.fixture
def workers_of(monkeypatch):
    """ports -> workers.Workers of the first."""

    def of(ports):
        monkeypatch.setenv("TF_CONFIG", tf_config(ports, 0))
        return workers.read()

    return of


def test_a_worker_that_never_comes_is_named(workers_of):
    ports = free_ports(2)
    with pytest.raises(UserError, match=f"^localhost:{ports[1]} did not answer within 1 s; start"):
        rendezvous.meet(workers_of(ports), seconds=1.0)


def test_a_port_that_is_taken_is_named(workers_of):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=f"^port {port} of this worker cannot be used"):
            rendezvous.meet(workers_of([port, *free_ports(1)]), seconds=1.0)


def test_three_workers_meet_whenever_they_come(workers_of):
    first = workers_of(free_ports(3))
    failed, threads = [], []
    for rank in (2, 0, 1):

        def meet(rank=rank):
            try:
                rendezvous.meet(first._replace(rank=rank), seconds=20.0)
            except UserError as error:
                failed.append(error)

        threads.append(threading.Thread(target=meet))
        threads[-1].start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "needs TF_CONFIG"),
        ("{", "is broken"),
        ("[]", "is broken"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "misses 'task'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "worker 1"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', "no host:port"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "has 'ps'"),
        (
            '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
            "occurs twice",
        ),
    ],
)
def test_a_missing_or_broken_tf_config_is_one_sentence(monkeypatch, text, sentence):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match=sentence) as error:
        workers.read()
    assert '"index": 0' in str(error.value)  # the example


def test_the_chief_comes_first(monkeypatch):
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    given = {"cluster": cluster, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(given))
    found = workers.read()
    assert found.addresses == ("a:1", "b:1", "c:1")
    assert found.rank == 2 and not found.is_chief
    assert found.jobs == {"chief": 1, "worker": 2}


def test_the_command_tells_of_tf_config(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    flags = (*FLAGS, "--strategy=multi_worker", f"--run_dir={tmp_path / 'run'}")
    code, out, err = in_process.run(monkeypatch, capsys, search, *flags)
    assert code == 2 and not out
    assert "--strategy=multi_worker needs TF_CONFIG" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (search, ("--method=rdarts_l2", "--strategy=multi_worker")),
        (sweep, ("--space=s5", "--", "--strategy=multi_worker")),
        (sweep, ("--space=s5", "--evaluate", "--evaluate_flags=--strategy=multi_worker")),
        (
            sweep,
            ("--space=s5", "--dataset=digits", "--exhaustive", "--", "--strategy=multi_worker"),
        ),
    ],
)
def test_what_starts_processes_refuses_it(monkeypatch, capsys, tmp_path, command, arguments):
    monkeypatch.chdir(tmp_path)
    code, out, err = in_process.run(monkeypatch, capsys, command, *arguments)
    assert code == 2 and not out
    assert err.count("\n") == 1 and "starts processes of its own" in err
    assert not list(tmp_path.iterdir())
