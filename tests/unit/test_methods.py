"""Decisions of the methods on plain numbers."""

import pytest

from rdarts_tf import config
from rdarts_tf.methods import base

regularization = base.Method().regularization


def test_drop_path_ramps_from_0_to_its_maximum():
    settings = config.SearchConfig(drop_path_prob=0.6, weight_decay=9e-4)
    assert regularization(settings, 0).drop_path_prob == 0
    assert regularization(settings, 25).drop_path_prob == pytest.approx(0.306122, abs=1e-6)
    assert regularization(settings, 49).drop_path_prob == 0.6
    assert regularization(settings, 49).weight_decay == 9e-4


def test_cutout_comes_with_drop_path_from_the_first_epoch():
    assert regularization(config.SearchConfig(drop_path_prob=0.6), 0).cutout_probability == 1
    assert regularization(config.SearchConfig(), 49).cutout_probability == 0
    assert regularization(config.SearchConfig(cutout="true"), 0).cutout_probability == 1
    never = config.SearchConfig(cutout="false", drop_path_prob=0.6)
    assert regularization(never, 49).cutout_probability == 0


def test_cutout_ramps_where_asked():
    settings = config.SearchConfig(drop_path_prob=0.6, cutout_ramp=True, cutout_prob=0.5)
    assert regularization(settings, 0).cutout_probability == 0
    assert regularization(settings, 49).cutout_probability == 0.5
