"""What a run is told to need: memory before it starts, hours once steps are measured."""

import types

import pytest

from rdarts_tf import registry
from rdarts_tf.engine import needs
from rdarts_tf.spaces.base import uniform
from rdarts_tf.tasks.image_classification import kept

NET = types.SimpleNamespace(
    trainable_variables=[
        types.SimpleNamespace(shape=types.SimpleNamespace(num_elements=lambda: 1234))
    ]
)


def told(monkeypatch, *, there, values=2**20, sampled=False, **config):
    settings = {"batch_size": 256, "mixed_precision": False, "alpha_step": "first_order"} | config
    problem = types.SimpleNamespace(kept_values=lambda net: values)
    monkeypatch.setattr(needs, "available", lambda: there)
    return needs.of_search(problem, NET, types.SimpleNamespace(**settings), sampled=sampled)


def test_memory_is_told_and_that_it_will_not_do(monkeypatch):
    first, second = told(monkeypatch, there=2**30)
    assert first == "supernet of 1,234 parameters; a step takes about 1.6 GiB of memory"
    assert second.startswith("warning: this machine has 1.0 GiB free; take a smaller --batch_size")
    assert told(monkeypatch, there=2**31) == [first]
    assert told(monkeypatch, there=None) == [first]
    assert told(monkeypatch, there=1, values=None) == ["supernet of 1,234 parameters"]
    assert told(monkeypatch, there=1, sampled=True) == ["supernet of 1,234 parameters"]


def test_what_a_cell_keeps():
    """One node: two edges of a separable convolution and a skip connection."""
    space = uniform("tiny", ("sep_conv_3x3", "skip_connect"), num_nodes=1)
    assert kept.values(space, [("normal", 4)], 64) == (6 + 2 * 8) * 64 * 4
    reduced = (6 * 4 + 2 * (11 + 7)) * 16 * 8
    assert kept.values(space, [("reduce", 8)], 64) == reduced
    assert kept.values(space, [("normal", 4), ("reduce", 8)], 64) == 22 * 64 * 4 + reduced


def test_larger_spaces_and_images_keep_more():
    cells = [("normal", 16)] * 2 + [("reduce", 32)]
    s1, s2, darts = (registry.load("spaces", name)[0].SPACE for name in ("s1", "s2", "darts"))
    assert kept.values(s1, cells, 1024) < kept.values(s2, cells, 1024)
    assert kept.values(darts, cells, 1024) > 3 * kept.values(s2, cells, 1024)
    assert kept.values(s1, cells, 4096) == 4 * kept.values(s1, cells, 1024)


@pytest.mark.parametrize(
    ("seconds", "epochs", "hours"),
    [(0.5, 1, "50 seconds"), (2.0, 6, "20 minutes"), (3.0, 50, "4 hours"), (36.0, 50, "2 days")],
)
def test_the_pace(seconds, epochs, hours):
    sentence = needs.pace(seconds, 100, epochs)
    assert sentence.startswith(
        f"{seconds:.2g} s a step: {epochs} epoch{'s' * (epochs > 1)} of 100 steps take about {hours};"
    )
    assert 0.05 < float(sentence.split("; ")[1].split()[0]) < 100
