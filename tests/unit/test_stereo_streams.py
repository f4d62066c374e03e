"""Batches of pairs: what is in them, that a resumed run sees the same, and that few are in memory."""

import os

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf.datasets import stereo_folder
from rdarts_tf.engine import distribution
from rdarts_tf.errors import UserError
from rdarts_tf.tasks.disparity import files, pairs, streams
from tests import stereo_files

SETTINGS = {"batch_size": 4, "crop": (4, 6), "augmentation_scale": 1.0, "seed": 3, "epoch": 1}
FOLDERS = (("left", "png"), ("right", "png"), ("disparity", "pfm"))
PLAIN = SETTINGS | {"augmentation_scale": 0.0}


def numbered(i, height=6, width=8):
    """A pair whose pixels and disparities are all i."""
    image = np.full([height, width, 3], i, np.uint8)
    return image, image, np.full([height, width], i, np.float32)


def part_of(num, **options):
    return pairs.of_arrays([numbered(i) for i in range(num)], **options)


def data_of(num, valid=None):
    return pairs.Data("toy", part_of(num), valid, part_of(2), digest="")


def batches(pipeline):
    """[[left, right, disparity] or, of a search, six arrays] of arrays."""
    return [tf.nest.flatten(batch) for batch in pipeline.as_numpy_iterator()]


def rows(batch):
    """Which pairs a batch of `part_of` has, by its disparities."""
    return [int(disparity[0, 0]) for disparity in batch[2]]


def assert_same(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_an_epoch_has_every_pair_as_often_as_it_is_cropped():
    part = part_of(5, crops=2)
    found = batches(streams.train_batches(part, **PLAIN))
    assert len(found) == streams.num_steps(part.draws, 4) == 3
    assert [len(batch[0]) for batch in found] == [4, 4, 2]
    assert sorted(row for batch in found for row in rows(batch)) == sorted([*range(5)] * 2)
    for left, right, disparity in found:
        assert left.shape[1:] == right.shape[1:] == (4, 6, 3)
        assert disparity.shape[1:] == (4, 6)
        assert left.dtype == right.dtype == disparity.dtype == np.float32
        np.testing.assert_allclose(left[..., 0], disparity / 255 - 0.4, atol=1e-7)  # float32
        np.testing.assert_array_equal(left, right)


def test_order_and_augmentation_follow_from_seed_and_epoch():
    part = pairs.of_arrays(
        [(stereo_files.colours(i), stereo_files.colours(i), numbered(i)[2]) for i in range(6)]
    )
    first = batches(streams.train_batches(part, **SETTINGS))
    assert_same(first, batches(streams.train_batches(part, **SETTINGS)))
    for change in ({"seed": 4}, {"epoch": 2}):
        other = batches(streams.train_batches(part, **(SETTINGS | change)))
        assert any(rows(a) != rows(b) for a, b in zip(first, other, strict=True))
        assert not np.array_equal(first[0][0], other[0][0])


def test_crops_of_one_pair_differ():
    image = stereo_files.colours(1, 20, 30)
    part = pairs.of_arrays([(image, image, np.ones([20, 30], np.float32))], crops=8)
    found = batches(streams.train_batches(part, **(SETTINGS | {"batch_size": 8})))
    assert len({crop.tobytes() for crop in found[0][0]}) == 8


def test_a_resumed_epoch_goes_on_with_the_same_batches():
    train, valid = part_of(11, crops=2), part_of(5, crops=3, max_offset=2, flip=True)
    whole = batches(streams.search_batches(train, valid, **SETTINGS))
    assert len(whole) == 6
    for first_step in (1, 5):
        rest = streams.search_batches(train, valid, **SETTINGS, first_step=first_step)
        assert_same(whole[first_step:], batches(rest))
        rest = batches(streams.train_batches(train, **SETTINGS, first_step=first_step))
        assert_same([batch[:3] for batch in whole[first_step:]], rest)


def test_validation_batches_are_whole_and_drawn_afresh():
    found = batches(streams.search_batches(part_of(9), part_of(7), **PLAIN))
    assert [len(batch[0]) for batch in found] == [4, 4, 1]
    drawn = [tuple(rows(batch[3:])) for batch in found]
    assert all(len(set(batch)) == 4 and set(batch) <= set(range(7)) for batch in drawn)
    assert len(set(drawn)) == 3


def test_scoring_reads_whole_pairs_of_any_size():
    left, right = stereo_files.colours(1, 5, 8), stereo_files.colours(2, 5, 8)
    disparity = np.arange(40, dtype=np.float32).reshape(5, 8)
    disparity[1, 1] = np.nan
    part = pairs.of_arrays(
        [(left, right, disparity), numbered(7, 8, 6), numbered(9, 3, 3)], crops=5
    )
    assert streams.padded_size(part, 4) == (8, 8)
    first, second = batches(streams.score_batches(part, batch_size=2, multiple=4))
    assert [v.shape for v in first] == [(2, 8, 8, 3), (2, 8, 8, 3), (2, 8, 8)]
    assert [v.shape for v in second] == [(1, 8, 8, 3), (1, 8, 8, 3), (1, 8, 8)]
    for found, image in zip(first, (left, right), strict=False):
        np.testing.assert_allclose(found[0, :5], image / 255 - 0.4, atol=1e-7)
        np.testing.assert_array_equal(found[0, 5:], np.stack([found[0, 4]] * 3))
    np.testing.assert_array_equal(first[2][0, :5], disparity)
    assert np.isnan(first[2][0, 5:]).all()
    assert np.isfinite(first[2][1, :, :6]).all()
    assert np.isnan(first[2][1, :, 6:]).all()
    assert streams.padded_size(part, 32) == (32, 32)


def test_passes_that_score_architectures_have_each_an_order_of_its_own():
    options = {"batch_size": 4, "multiple": 2, "seed": 3}
    passes = [streams.sample_batches(part_of(9), **options, number=i) for i in range(3)]
    orders = [[row for batch in batches(found) for row in rows(batch)] for found in passes]
    assert all(sorted(order) == [*range(9)] for order in orders)
    assert len(set(map(tuple, orders))) == 3
    numbers = tf.data.Dataset.range(1, 3, output_type=tf.int32)
    endless = streams.sample_batches(part_of(9), **options, number=0, first_step=2).concatenate(
        numbers.flat_map(lambda i: streams.sample_batches(part_of(9), **options, number=i))
    )
    assert [row for batch in batches(endless) for row in rows(batch)] == [
        *orders[0][8:], *orders[1], *orders[2]
    ]  # fmt: skip


def test_what_does_not_fit_is_told():
    cases = [
        (
            {"batch_size": 6},
            "batch size 6 does not go with the training part, which has 5 crops; ch",
        ),
        ({"batch_size": 0}, "batch size 0 does not go with"),
        (
            {"crop": (7, 6)},
            "crops of 7x6 do not fit the training part, whose smallest image has 6x8",
        ),
        ({"crop": (6, 9)}, "crops of 6x9 do not fit"),
        ({"crop": (0, 6)}, "crops of 0x6 do not fit"),
    ]
    for change, message in cases:
        with pytest.raises(pairs.PairsError, match=message):
            streams.train_batches(part_of(5), **(SETTINGS | change))
    with pytest.raises(pairs.PairsError, match="search validation part, which has 3 crops"):
        streams.search_batches(part_of(5), part_of(3), **SETTINGS)


DAMAGES = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:70]), "left/01.png", "cut off"),
    "removed": (lambda path: path.unlink(), "disparity/01.pfm", "No such file"),
    "no right image": (lambda path: path.unlink(), "right/01.png", "No such file"),
    "other size": (
        lambda path: path.write_bytes(stereo_files.png(stereo_files.colours(1, 5, 9))),
        "right/01.png",
        "has 5x9 pixels but",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_pair_damaged_after_loading_is_one_sentence_that_names_the_file(tmp_path, damage):
    change, name, words = DAMAGES[damage]
    names = [[f"{kind}/{i:02}.{end}" for kind, end in FOLDERS] for i in range(2)]
    for i in (0, 1):
        stereo_files.write(tmp_path, stereo_files.pair(i, *names[i]))
    part = files.part([files.PairFiles(*(tmp_path / path for path in row)) for row in names])
    change(tmp_path / name)
    with pytest.raises(UserError) as caught, distribution.errors_told("one"):
        batches(streams.train_batches(part, **(PLAIN | {"batch_size": 2})))
    told = str(caught.value)
    assert str(tmp_path / name) in told and words in told and "\n" not in told


def test_the_search_takes_a_share_of_training_where_there_is_no_validation_part():
    train, valid = pairs.split_search(data_of(7), 0.5)
    assert [part.read(0)[2][0, 0] for part in (train, valid)] == [0, 3]
    assert (len(train), len(valid)) == (3, 4)
    own = part_of(2)
    assert pairs.split_search(data_of(7, own), 0.5)[1] is own
    for portion in (0.0, 0.1, 1.0):
        with pytest.raises(
            pairs.PairsError, match=f"train_portion={portion} leaves a search split"
        ):
            pairs.split_search(data_of(7), portion)
    only_test = pairs.Data("toy", None, None, part_of(2), digest="")
    with pytest.raises(
        pairs.PairsError, match="toy is for testing only; train on another data set"
    ):
        pairs.split_search(only_test, 0.5)
    with pytest.raises(pairs.PairsError, match="toy has no test pairs; give at least one"):
        pairs.Data("toy", part_of(2), None, part_of(0), digest="")


def test_halves_by_hand():
    left = np.zeros([3, 5, 3], np.uint8)
    left[:2, :2, 0], left[:2, 2:4, 1] = [[1, 2], [3, 5]], [[255, 255], [255, 254]]
    disparity = np.float32([[1, 2, np.nan, 9, 5], [3, 6, np.nan, np.nan, 5], [7] * 5])
    images = np.zeros([1, 2, 3])
    images[0, 0, 0], images[0, 1, 1] = 3, 255  # 2.75 and 254.75
    half = pairs.halve(left, left, disparity)
    assert [v.dtype for v in half] == [np.uint8, np.uint8, np.float32]
    np.testing.assert_array_equal(half[0], images)
    np.testing.assert_array_equal(half[2], [[1.5, np.nan]])
    two_known = np.float32([[4, np.inf], [np.nan, 8]])
    np.testing.assert_array_equal(pairs.halve(left, left, two_known)[2], [[3]])
    part = pairs.of_arrays([(left, left, disparity)], max_offset=9, crops=2).halved()
    assert (part.sizes, part.max_offset, part.crops) == (((1, 2),), 4, 2)
    np.testing.assert_array_equal(part.read(0)[2], half[2])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path):
    """2,000 pairs on disk, which are links to a few."""
    num, few = 2000, 8
    for i in range(num):
        names = [f"train/{kind}/{i:04}.{end}" for kind, end in FOLDERS]
        if i < few:
            stereo_files.write(tmp_path, stereo_files.pair(i, *names, height=32, width=64))
        for name, (kind, end) in zip(names, FOLDERS, strict=True):
            if i >= few:
                os.link(tmp_path / f"train/{kind}/{i % few:04}.{end}", tmp_path / name)
    names = [f"test/{kind}/0.{end}" for kind, end in FOLDERS]
    stereo_files.write(tmp_path, stereo_files.pair(0, *names, height=32, width=64))
    before = grown = 0
    part = stereo_folder.load(tmp_path).train
    for step, _ in enumerate(streams.train_batches(part, **(PLAIN | {"crop": (24, 32)}))):
        if step % 50 == 49:
            before = before or _resident()
            grown = max(grown, _resident() - before)
    assert step + 1 == num / PLAIN["batch_size"]
    # All crops together would be 43 MB, all pairs as floats 115 MB.
    assert grown < 20e6


def _resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
