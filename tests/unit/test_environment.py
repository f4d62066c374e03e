"""environment.json tells on which machine and by which versions each epoch was computed."""

import pytest

from rdarts_tf.engine import environment
from rdarts_tf.runs.run_dir import RunDir

HERE = {"tensorflow": "2.21.0", "cores": 2, "intra_op_threads": None, "gpus": []}
THERE = HERE | {"tensorflow": "2.21.1", "cores": 1}
GPU = HERE | {"gpus": ["NVIDIA H100", "NVIDIA H100"], "intra_op_threads": "4"}


@pytest.fixture
def note(tmp_path, monkeypatch):
    """Notes a machine from an epoch on; returns what was said."""
    run_dir = RunDir(tmp_path)

    def note(machine, epoch):
        said = []
        monkeypatch.setattr(environment, "present", lambda: machine)
        environment.note(run_dir, epoch, said.append)
        return said

    note.recorded = lambda: run_dir.read_json("environment.json")
    return note


def test_a_difference_is_told_once_and_recorded_by_epoch(note):
    assert note(HERE, 0) == note(HERE, 3) == []
    assert note.recorded() == [{"epoch": 0} | HERE]
    assert note(THERE, 5) == [
        "tensorflow 2.21.0 -> 2.21.1, cores 2 -> 1: the last digits may differ from an uninterrupted run"
    ]
    assert note(THERE, 6) == []
    assert note.recorded() == [{"epoch": 0} | HERE, {"epoch": 5} | THERE]
    assert note(GPU, 8)[0].startswith(
        "tensorflow 2.21.1 -> 2.21.0, cores 1 -> 2, intra_op_threads unset -> 4, "
        "gpus none -> NVIDIA H100, NVIDIA H100: "
    )


def test_epochs_that_are_run_again_are_those_of_the_new_machine(note):
    note(HERE, 0), note(THERE, 5)
    assert note(THERE, 2) == []  # a rollback
    assert note.recorded() == [{"epoch": 0} | HERE, {"epoch": 2} | THERE]
    assert note(HERE, 0) == []  # nothing is left of the former ones
    assert note.recorded() == [{"epoch": 0} | HERE]


def test_what_an_older_version_did_not_record_is_a_difference(note):
    note({"cores": 2}, 0)
    assert note({"cores": 2, "keras": "3.1"}, 1)[0].startswith("keras unset -> 3.1: ")


def test_it_is_recorded_what_there_is(monkeypatch, tmp_path):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    text = "processor : 0\nmodel name : Some CPU: fast\nflags : b a\n\nprocessor : 1\nflags : c\n"
    monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "cpuinfo")
    without = environment.present()
    assert without["cpu"] and without["cpu_flags"] is None
    (tmp_path / "cpuinfo").write_text(text)
    found = environment.present()
    assert found["cpu"] == "Some CPU: fast"
    assert found["cores"] >= 1 and found["intra_op_threads"] == "3"
    assert found["tensorflow"].count(".") >= 2 and isinstance(found["gpus"], list)
    (tmp_path / "cpuinfo").write_text(text.replace("b a", "a b"))
    assert environment.present() == found
    (tmp_path / "cpuinfo").write_text(text.replace("b a", "a b c"))
    assert environment.present()["cpu_flags"] != found["cpu_flags"]


def test_a_search_records_it_and_tells_a_change(monkeypatch, capsys, tmp_path):
    from rdarts_tf import search
    from rdarts_tf.engine import epochs
    from tests import in_process, scripted_steps

    scripted_steps.replace_steps(monkeypatch)
    flags = (*scripted_steps.TOY, "--epochs=2", f"--run_dir={tmp_path / 'run'}")
    train = epochs.EpochRun._train_blocks

    def train_blocks(self, block):
        if self.epoch == 1:
            raise epochs.Interrupted("killed", 137)
        return train(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(epochs.EpochRun, "_train_blocks", train_blocks)
        assert in_process.run(monkeypatch, capsys, search, *flags)[0] == 137
    run_dir = RunDir(tmp_path / "run")
    (first,) = run_dir.read_json("environment.json")
    assert first == {"epoch": 0} | environment.present() | {"replicas": 1, "jit": False}
    monkeypatch.setattr(environment, "_cores", lambda: first["cores"] + 1)
    code, out, _ = in_process.run(monkeypatch, capsys, search, *flags)
    assert code == 0 and f"cores {first['cores']} -> {first['cores'] + 1}: the last digits" in out
    assert [each["epoch"] for each in run_dir.read_json("environment.json")] == [0, 1]
