"""Every data set keeps the contract of `tasks.image_classification.data`; nothing is downloaded."""

import doctest
import functools
import hashlib
import importlib
import threading
import time
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from rdarts_tf import registry
from rdarts_tf.datasets import cifar10, digits, svhn, tfds
from rdarts_tf.errors import UserError
from rdarts_tf.tasks.image_classification import (
    augment,
    data,
    pictures,
    stored_splits,
    storing,
    streams,
)
from rdarts_tf.tasks.image_classification.options import SearchConfig
from tests import prepared_tfds

SPECS = {
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "svhn": "svhn_cropped",
    "tfds(mnist)": "mnist",
    "tfds(tf_flowers, size=16, flip=False)": "tf_flowers",
    "digits": None,
    "image_folder(FOLDER)": None,
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(params=SPECS)
def dataset(request, data_dir, tmp_path):
    spec, prepared = request.param, SPECS[request.param]
    if prepared:
        splits = {"train": 40, "validation": 20} if prepared == "tf_flowers" else None
        prepared_tfds.prepare(prepared, data_dir, splits=splits, sides=[20, 31])
    if "FOLDER" in spec:
        write_folder(tmp_path, {"train/cat": 6, "train/dog": 6, "test/cat": 2, "test/dog": 2})
        spec = f"image_folder({tmp_path})"
    module, args, kwargs = registry.load("datasets", spec)
    return module.load(*args, data_dir=str(data_dir), **kwargs)


def write_folder(root, counts, *, shape=(10, 9, 3)):
    """PNG files 0.png, 1.png, ... below each folder; all pixels of file i are 10 * i."""
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for i in range(count):
            write_png(root / folder / f"{i}.png", np.full(shape, 10 * i, np.uint8))


def write_png(path, image):
    path.write_bytes(tf.io.encode_png(image).numpy())


def split_of(count, *, classes=3, shape=(8, 8, 1)):
    """Image i is recognisable, its pixels are i (at most 256 images)."""
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, *shape))
    return data.Split(np.ascontiguousarray(images), np.arange(count, dtype=np.int32) % classes)


def dataset_of(train, test=None, **changes):
    values = {"class_names": ("a", "b", "c"), "mean": (0.5,), "std": (0.25,)} | changes
    return data.Dataset("toy", train, split_of(6) if test is None else test, **values)


class Identity:
    """Lets pixel values through, so that an image can be recognised behind the pipeline."""

    def __call__(self, images, seed):
        del seed
        return self.test(images)

    def test(self, images):
        return tf.cast(images, tf.float32)


SHARP = augment.Augmentation((0.5,), (0.25,), crop_padding=1, cutout_length=4)


def elements(pipeline):
    """The batches as lists of arrays: images, labels; of a search for training, then validation."""
    return [tf.nest.flatten(batch) for batch in pipeline.as_numpy_iterator()]


def assert_same(first, second):
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        for one, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(one, other)


# Every data set.


def test_contract(dataset):
    assert isinstance(dataset, data.Dataset)
    assert dataset.num_classes == len(set(dataset.class_names)) >= 2
    assert all(isinstance(name, str) for name in dataset.class_names)
    height, width, channels = dataset.image_shape
    assert len(dataset.mean) == len(dataset.std) == channels
    for split in (dataset.train, dataset.test):
        assert split.images.dtype == np.uint8
        assert split.images.shape == (len(split), height, width, channels)
        assert split.labels.dtype == np.int32
    train, valid = data.split_search(dataset, 0.5)
    transform = augment.Augmentation(
        dataset.mean, dataset.std, crop_padding=dataset.crop_padding, flip=dataset.flip
    )
    (images, labels), (valid_images, _) = next(
        iter(streams.search_epoch(train, valid, batch_size=4, augment=transform, seed=0, epoch=0))
    )
    assert images.shape == valid_images.shape == (4, height, width, channels)
    assert images.dtype == tf.float32
    assert labels.dtype == tf.int32


def test_registry_lists_data_sets_and_no_helper():
    names = registry.names("datasets")
    assert {"cifar10", "cifar100", "svhn", "tfds", "digits", "image_folder"} <= set(names)
    assert not {"augment", "base"} & set(names)
    for name in names:
        assert callable(importlib.import_module(f"rdarts_tf.datasets.{name}").load)


def test_published_statistics(tmp_path):
    prepared_tfds.prepare("cifar10", tmp_path)
    prepared_tfds.prepare("svhn_cropped", tmp_path, splits={"train": 30, "test": 9, "extra": 50})
    assert cifar10.load(data_dir=tmp_path).mean == (0.49139968, 0.48215827, 0.44653124)
    house_numbers = svhn.load(data_dir=tmp_path)
    assert house_numbers.std == (0.1980, 0.2010, 0.1970)
    assert house_numbers.flip  # as the authors do
    assert len(house_numbers.train) == 30  # without "extra"


def test_tfds_keeps_what_was_stored(tmp_path):
    prepared_tfds.prepare("mnist", tmp_path, splits={"train": 30, "test": 10})
    loaded = tfds.load("mnist", data_dir=tmp_path)
    stored = np.random.default_rng(30).integers(0, 256, (30, 28, 28, 1), np.uint8)
    # TFDS shuffles when it writes; the same images with their labels must be there.
    row_of = {image.tobytes(): i for i, image in enumerate(stored)}
    rows = np.array([row_of[image.tobytes()] for image in loaded.train.images])
    assert sorted(rows) == list(range(30))
    np.testing.assert_array_equal(loaded.train.labels, rows % 10)
    np.testing.assert_allclose(loaded.mean, stored.mean() / 255, rtol=1e-12)  # float64
    np.testing.assert_allclose(loaded.std, stored.std() / 255, rtol=1e-12)


def test_digits():
    loaded = digits.load()
    assert (len(loaded.train), len(loaded.test)) == (1437, 360)
    assert loaded.image_shape == (8, 8, 1)
    assert loaded.train.images.max() == 255
    assert (loaded.crop_padding, loaded.flip) == (1, False)
    for split in (*data.split_search(loaded, 0.5), loaded.test):
        assert np.bincount(split.labels, minlength=10).min() >= 20
    np.testing.assert_array_equal(loaded.train.labels, digits.load().train.labels)


# TFDS errors.


def test_without_network_one_sentence_comes_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_reachable", lambda url: False)
    started = time.monotonic()
    with pytest.raises(data.DatasetError) as caught:
        cifar10.load(data_dir=tmp_path)
    assert time.monotonic() - started < 10
    message = str(caught.value)
    manual = str(tmp_path / "downloads" / "manual")
    for part in (
        "cifar10",
        f"--data_dir={tmp_path}",
        manual,
        "-10-binary.tar.gz",
        "--dataset=digits",
    ):
        assert part in message
    assert "\n" not in message


def test_unreachable_host_is_noticed():
    # The name is reserved (RFC 2606); port 1 of this machine is closed.
    assert not tfds._reachable("http://host.invalid/archive.tar.gz")
    assert not tfds._reachable("http://127.0.0.1:1/archive.tar.gz")


def test_silent_network_is_given_up_in_time(monkeypatch):
    release = threading.Event()

    def hang(url, timeout):
        release.wait(60)
        raise TimeoutError

    monkeypatch.setattr(tfds, "_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(tfds.urllib.request, "urlopen", hang)
    started = time.monotonic()
    assert not tfds._reachable("http://host.invalid/archive.tar.gz")
    assert time.monotonic() - started < 5
    release.set()


def test_archive_placed_by_hand_is_tried_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_reachable", lambda url: pytest.fail("asked for the network"))
    (tmp_path / "downloads" / "manual").mkdir(parents=True)
    (tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz").write_bytes(b"damaged")
    with pytest.raises(data.DatasetError, match=r"cannot prepare cifar10 .*wrong checksum"):
        cifar10.load(data_dir=tmp_path)


def test_tfds_errors(tmp_path):
    with pytest.raises(data.DatasetError, match=r"no data set 'mnisst'; did you mean mnist or"):
        tfds.load("mnisst", data_dir=tmp_path)
    with pytest.raises(data.DatasetError, match=r"cannot build 'cifar10:9.9.9'; check the name"):
        tfds.load("cifar10:9.9.9", data_dir=tmp_path)
    with pytest.raises(data.DatasetError, match=r"features description, label, title; image cl"):
        tfds.load("ag_news_subset", data_dir=tmp_path)
    with pytest.raises(data.DatasetError, match=r"differ in size; .* tfds\(tf_flowers, size=32\)"):
        tfds.load("tf_flowers", data_dir=tmp_path)
    with pytest.raises(data.DatasetError, match=r"size=3; give an integer from 8 on"):
        tfds.load("tf_flowers", data_dir=tmp_path, size=3)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """tf_flowers with a train split only, of two sizes."""
    folder = tmp_path_factory.mktemp("flowers")
    prepared_tfds.prepare("tf_flowers", folder, splits={"train": 40}, sides=[20, 31])
    return folder


def test_tfds_with_a_train_split_only_sets_a_share_aside(flowers):
    loaded = tfds.load("tf_flowers", data_dir=flowers, size=(16, 24), fit="crop")
    assert len(loaded.train) + len(loaded.test) == 40
    assert set(loaded.test.labels) == set(range(5))
    assert loaded.image_shape == (16, 24, 3)
    of_other_size = tfds.load("tf_flowers", data_dir=flowers, size=8, channels=1)
    np.testing.assert_array_equal(of_other_size.test.labels, loaded.test.labels)
    assert loaded.notes[0].endswith("test images set aside from them")
    everything = tfds.load("tf_flowers", data_dir=flowers, size=8, split="train[:30]")
    assert len(everything.train) + len(everything.test) == 30


def test_example_of_the_docstring(flowers):
    (example,) = doctest.DocTestFinder().find(
        tfds.load, globs={"load": functools.partial(tfds.load, data_dir=flowers)}
    )
    assert doctest.DocTestRunner().run(example) == (0, 2)


def test_tfds_splits_by_name(flowers):
    options = {"data_dir": flowers, "size": 16}
    parts = {"split": "train[:75%]", "test_split": "train[75%:]"}
    loaded = tfds.load("tf_flowers", **parts, **options)
    assert (len(loaded.train), len(loaded.test)) == (30, 10)
    with pytest.raises(data.DatasetError, match="have images in common; name splits"):
        tfds.load("tf_flowers", split="train[:50%]", test_split="train[40%:]", **options)
    for split in ("tests", "train[:5"):
        with pytest.raises(data.DatasetError, match="has no split .*there are train, and parts"):
            tfds.load("tf_flowers", test_split=split, **options)


def test_tfds_images_of_varying_channels(tmp_path, monkeypatch):
    images = [np.full((9, 9, c), 40 * c, np.uint8) for c in (1, 4, 3, 1)]
    stream = tf.data.Dataset.from_generator(
        lambda: ({"image": image, "label": i % 2} for i, image in enumerate(images)),
        output_signature={
            "image": tf.TensorSpec([9, 9, None], tf.uint8),
            "label": tf.TensorSpec([], tf.int64),
        },
    )
    monkeypatch.setattr(stored_splits, "_stream", lambda builder, split: stream)
    info = mock.Mock()
    info.features = {"image": mock.Mock(shape=(9, 9, None))}
    info.splits = {"train": mock.Mock(num_examples=4)}
    builder, form = mock.Mock(info=info), pictures.Form(background="black")
    form = stored_splits._with_channels(builder, form, ["train"])
    rows = np.array([3, 0, 2, 1])
    split = stored_splits._read_split(builder, "train", form, storing.Store(), rows=rows)
    assert split.images.shape == (4, 9, 9, 3)
    assert list(split.images[:, 0, 0, 0]) == [40, 40, 120, 100]  # 160 * 160 / 255 on black
    assert list(split.labels) == [1, 0, 0, 1]


# Checks of a Dataset.


def test_dataset_errors():
    good = split_of(9)
    cases = [
        ({"class_names": ("a",)}, good, "has 1 classes; at least 2"),
        ({"class_names": ("a", "b")}, good, "labels from 0 to 2; with 2 classes"),
        ({"mean": (0.5, 0.5)}, good, "give 1 numbers each, one per channel"),
        ({"std": (0.0,)}, good, "std above 0"),
        ({"flip": "no"}, good, "flip='no'; give an integer from 0 to 8, and True or False"),
        ({"crop_padding": -1}, good, "crop_padding=-1"),
        ({}, data.Split(good.images / 255.0, good.labels), "dtype float64 .* give uint8"),
        ({}, data.Split(good.images[..., 0], good.labels), r"shape \(9, 8, 8\); give uint8"),
        ({}, data.Split(good.images, good.labels.astype(np.int64)), "labels of dtype int64"),
        ({}, data.Split(good.images, good.labels[:4]), r"shape \(4,\); give int32 \[9\]"),
        ({}, data.Split(good.images, good.labels - 1), "labels from -1 to 1"),
        ({}, data.Split(good.images[:0], good.labels[:0]), "training split of toy is empty"),
        ({}, split_of(9, shape=(7, 8, 1)), "images of 7x8 .* at least 8x8"),
        ({}, split_of(9, shape=(8, 8, 5)), "with 5 channels"),
        ({}, split_of(9, shape=(8, 9, 1)), "but test images of"),
    ]
    for changes, train, message in cases:
        with pytest.raises(data.DatasetError, match=message):
            dataset_of(train, **changes)
    with pytest.raises(data.DatasetError, match="test split of toy is empty"):
        dataset_of(good, data.Split(good.images[:0], good.labels[:0]))


def test_what_is_set_aside_does_not_move_when_images_are_added():
    digests = [hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(400)]
    labels = np.array([i % 2 for i in range(400)])
    aside = data.set_aside(digests, labels, 0.2)
    # 200 of each class: 40 +- 4 standard deviations of 5.7.
    assert all(17 <= count <= 63 for count in np.bincount(labels[aside]))
    np.testing.assert_array_equal(data.set_aside(digests[:200], labels[:200], 0.2), aside[:200])
    order = np.random.default_rng(0).permutation(400)
    shuffled = data.set_aside([digests[row] for row in order], labels[order], 0.2)
    np.testing.assert_array_equal(shuffled, aside[order])


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_of_small_classes_some_are_set_aside_but_never_all(count):
    for salt in range(20):
        digests = [hashlib.sha256(bytes([salt, i])).digest() for i in range(count)]
        found = data.set_aside(digests, np.zeros(count, int), 0.2).sum()
        assert found == 0 if count == 1 else 1 <= found <= 3 and found < count


def test_split_search_takes_the_first_part_in_stored_order():
    train, valid = data.split_search(dataset_of(split_of(7)), 0.5)
    np.testing.assert_array_equal(train.images[:, 0, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(valid.images[:, 0, 0, 0], [3, 4, 5, 6])
    for portion in (0.0, 0.1, 1.0, 2.0):
        with pytest.raises(
            data.DatasetError, match=f"train_portion={portion} leaves .* 7 training"
        ):
            data.split_search(dataset_of(split_of(7)), portion)


def test_channel_statistics():
    images = np.zeros([600, 8, 8, 2], np.uint8)
    images[:150, ..., 0] = 255
    images[..., 1] = 51
    mean, std = data.channel_statistics(images)
    np.testing.assert_allclose(mean, [0.25, 0.2], rtol=1e-12)
    np.testing.assert_allclose(std, [np.sqrt(3) / 4, 1 / 255], rtol=1e-12)  # p (1 - p); the floor


def test_batch_size_errors():
    split = split_of(5)
    with pytest.raises(
        data.DatasetError, match="batch size 6 is larger .*valid.*5 images.*at most 5"
    ):
        streams.check_batch_size(6, split, name="valid")
    with pytest.raises(data.DatasetError, match="batch size 0"):
        streams.check_batch_size(0, split, name="valid")
    arguments = {"batch_size": 6, "augment": SHARP, "seed": 0, "epoch": 0}
    with pytest.raises(data.DatasetError, match="search validation split, which has 5 images"):
        streams.search_epoch(split_of(9), split, **arguments)
    with pytest.raises(data.DatasetError, match="search training split"):
        streams.search_epoch(split, split_of(9), **arguments)
    with pytest.raises(data.DatasetError, match="training split"):
        streams.train_epoch(split, **arguments)


# Pipelines.


def test_search_epoch_covers_training_once_and_draws_distinct_validation_images():
    train, valid = split_of(21), split_of(30)
    batches = elements(
        streams.search_epoch(train, valid, batch_size=8, augment=Identity(), seed=0, epoch=0)
    )
    assert [len(batch[0]) for batch in batches] == [8, 8, 5]
    assert len(batches) == streams.num_steps(21, 8) == 3
    seen = np.concatenate([batch[0][:, 0, 0, 0] for batch in batches])
    assert sorted(seen) == list(range(21))
    assert list(seen) != list(range(21))
    for images, labels, valid_images, valid_labels in batches:
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
        np.testing.assert_array_equal(valid_images[:, 0, 0, 0] % 3, valid_labels)
        assert len(set(valid_images[:, 0, 0, 0])) == len(valid_images) == 8


def test_validation_batches_are_fresh_and_uniform():
    train, valid = split_of(250), split_of(10)
    arguments = {"batch_size": 1, "augment": Identity(), "seed": 1}
    rows = [
        batch[2][0, 0, 0, 0]
        for epoch in range(4)
        for batch in elements(streams.search_epoch(train, valid, epoch=epoch, **arguments))
    ]
    counts = np.bincount(np.array(rows, int), minlength=10)
    # 1,000 draws with replacement across steps: 100 +- 5 standard deviations of 9.5.
    assert np.all(np.abs(counts - 100) < 48)


@pytest.mark.parametrize("first_step", [1, 2, 3])
def test_resumed_epoch_continues_bit_for_bit(first_step):
    arguments = {"batch_size": 8, "augment": SHARP, "seed": 3, "epoch": 2}
    whole = elements(streams.search_epoch(split_of(21), split_of(30), **arguments))
    rest = streams.search_epoch(split_of(21), split_of(30), first_step=first_step, **arguments)
    assert_same(elements(rest), whole[first_step:])
    whole = elements(streams.train_epoch(split_of(21), **arguments))
    rest = streams.train_epoch(split_of(21), first_step=first_step, **arguments)
    assert_same(elements(rest), whole[first_step:])


def test_epochs_are_functions_of_seed_and_epoch():
    train, valid = split_of(16), split_of(16)

    def epoch(seed, epoch, transform=SHARP):
        return elements(
            streams.search_epoch(
                train, valid, batch_size=16, augment=transform, seed=seed, epoch=epoch
            )
        )[0]

    assert_same([epoch(5, 1)], [epoch(5, 1)])
    for other in (epoch(5, 2), epoch(6, 1)):
        for part in (0, 2):
            assert np.any(other[part] != epoch(5, 1)[part])
    # Order and augmentation are separate streams, and so are training and validation.
    rows = epoch(5, 1, Identity())
    assert np.any(rows[0] != rows[2])


def test_train_and_validation_augmentation_are_independent():
    same = data.Split(np.full([8, 8, 8, 1], 200, np.uint8), np.zeros(8, np.int32))
    batch = elements(
        streams.search_epoch(same, same, batch_size=8, augment=SHARP, seed=0, epoch=0)
    )[0]
    assert np.any(batch[0] != batch[2])


def test_test_epoch_is_sequential_plain_or_augmented():
    split = split_of(21)
    plain = elements(streams.test_epoch(split, batch_size=8, augment=SHARP))
    np.testing.assert_array_equal(
        np.concatenate([images for images, _ in plain]), SHARP.test(split.images)
    )
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in plain]), split.labels)
    arguments = {"batch_size": 8, "augment": SHARP, "seed": 0}
    first = elements(streams.test_epoch(split, epoch=0, **arguments))
    assert_same(elements(streams.test_epoch(split, epoch=0, **arguments)), first)
    second = elements(streams.test_epoch(split, epoch=1, **arguments))
    for one, other, unchanged in zip(first, second, plain, strict=True):
        np.testing.assert_array_equal(one[1], unchanged[1])
        assert np.any(one[0] != other[0])
        assert np.any(one[0] != unchanged[0])


def test_batch_larger_than_a_scored_split_is_one_partial_batch():
    (batch,) = elements(streams.test_epoch(split_of(5), batch_size=8, augment=SHARP))
    assert len(batch[1]) == 5


def test_one_trace_for_all_epochs_and_partial_batches():
    traces = []

    @tf.function
    def run(iterator, num_steps):
        traces.append(1)
        total = tf.constant(0)
        for _ in tf.range(num_steps):
            (images, _), (valid_images, _) = next(iterator)
            total += tf.shape(images)[0] + tf.shape(valid_images)[0]
        return total

    specs = set()
    for epoch, first_step in ((0, 0), (1, 0), (2, 1)):
        pipeline = streams.search_epoch(
            split_of(21),
            split_of(30),
            batch_size=8,
            augment=SHARP,
            seed=0,
            epoch=epoch,
            first_step=first_step,
        )
        specs.add(pipeline.element_spec)
        assert len(pipeline) == 3 - first_step
        total = run(iter(pipeline), tf.constant(3 - first_step))
        assert total == 21 + 24 - 16 * first_step
    assert len(traces) == len(specs) == 1
    assert [spec.shape.as_list() for spec in tf.nest.flatten(specs.pop())] == [
        [None, 8, 8, 1],
        [None],
    ] * 2


def test_images_are_not_held_twice():
    """What a pipeline reads is the array itself, changes included."""
    split = split_of(64)
    pipeline = streams.test_epoch(split, batch_size=64, augment=Identity())
    split.images[5] = 99
    ((images, _),) = elements(pipeline)
    assert list(images[4:7, 0, 0, 0]) == [4, 99, 6]


@pytest.mark.parametrize("spec", ["FOLDER", "tfds(mnist)", "cifar10"])
def test_images_on_disk_are_the_same_and_decoded_once(spec, tmp_path, monkeypatch, data_dir):
    if spec == "FOLDER":
        write_folder(tmp_path / "mine", {"cat": 20, "dog": 20})
        spec = f"image_folder({tmp_path}/mine, channels=1)"
    elif not (data_dir / SPECS[spec]).exists():
        prepared_tfds.prepare(SPECS[spec], data_dir)
    options = {"dataset": spec, "data_dir": str(data_dir)}
    run = tmp_path / "run"
    in_memory = SearchConfig(**options).load_dataset(run)
    assert not run.exists()
    on_disk = SearchConfig(cache_gib=0.0, **options).load_dataset(run)
    assert isinstance(on_disk.train.images, np.memmap)
    assert on_disk.digest == in_memory.digest
    assert (on_disk.mean, on_disk.std) == (in_memory.mean, in_memory.std)
    monkeypatch.setattr(storing, "_filled", lambda *args: pytest.fail("decoded again"))
    again = SearchConfig(cache_gib=0.0, **options).load_dataset(run / "evaluate" / "x")
    assert again.digest == on_disk.digest and again.notes == on_disk.notes
    batches = [
        elements(streams.train_epoch(d.train, batch_size=8, augment=SHARP, seed=0, epoch=0))
        for d in (in_memory, on_disk)
        if d.image_shape[-1] == 1
    ]
    assert_same(*batches) if batches else None


def test_images_of_changed_files_are_decoded_again(tmp_path):
    write_folder(tmp_path / "mine", {"cat": 5, "dog": 5})
    load = SearchConfig(dataset=f"image_folder({tmp_path}/mine)", cache_gib=0.0).load_dataset
    before = load(tmp_path / "run")
    write_png(tmp_path / "mine/cat/0.png", np.full((10, 9, 3), 7, np.uint8))
    assert load(tmp_path / "run").digest != before.digest


def test_how_much_is_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "free_bytes", lambda: 1000)
    fills = []
    for size, store in (
        (500, storing.Store(tmp_path)),
        (501, storing.Store(tmp_path)),
        (501, storing.Store()),
        (501, storing.Store(tmp_path, 1.0)),
    ):
        images, facts = store.images((size,), lambda array: fills.append(1) or 7, source="x")
        assert isinstance(images, np.memmap) == (fills == [1, 1])
        assert facts == 7
    (tmp_path / "other").write_text("a file")
    with pytest.raises(data.DatasetError, match="cannot keep the decoded images in .*--cache_gib"):
        storing.Store(tmp_path / "other").images((501,), lambda array: 7, source="x")


def test_free_memory_is_that_of_the_machine_or_of_its_share(tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(storing, "_CGROUP", tmp_path)
    assert storing.free_bytes() == float("inf")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  5 kB\n")
    assert storing.free_bytes() == 5 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("100\n")
    assert storing.free_bytes() == 5 * 1024
    (tmp_path / "memory.max").write_text("1100\n")
    assert storing.free_bytes() == 1000


TASKS = registry.names("tasks")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("dataset", ["digits", "python_docs", "motorcycle"])
def test_data_of_another_task_are_refused(task, dataset, monkeypatch):
    """They hold other things, of which a network would fail somewhere."""
    module = importlib.import_module(f"rdarts_tf.datasets.{dataset}")
    for kind in ("SearchConfig", "EvaluateConfig"):
        config = getattr(registry.load_task(task, "options"), kind)(dataset=dataset)
        if task == module.TASK:
            assert task == config.load_dataset().TASK
            continue
        words = f"--dataset={dataset} is data of {module.TASK}, not of {task} "
        with pytest.raises(UserError, match=words):
            config.dataset_plugin()  # before anything is read
        with monkeypatch.context() as patch, pytest.raises(UserError, match=words):
            patch.delattr(module, "TASK")
            config.load_dataset()


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_every_data_set_tells_its_task(name):
    assert importlib.import_module(f"rdarts_tf.datasets.{name}").TASK in TASKS
