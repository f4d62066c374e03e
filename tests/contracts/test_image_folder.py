"""Folders of images as people have them: each layout is read right, or told in one sentence."""

import doctest

import numpy as np
import pytest

from rdarts_tf.datasets import image_folder
from rdarts_tf.tasks.image_classification import data
from tests import pictures_of_tests as files


def write_folder(root, counts, *, shape=(10, 9, 3), suffix="png"):
    """Files 0.png, 1.png, ... below each folder; all pixels of file i are 10 * i."""
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            files.write(root / folder / f"{i}.{suffix}", np.full(shape, 10 * i, np.uint8))


def test_a_share_of_each_class_is_set_aside(tmp_path):
    for name in ("a", "b"):
        for i in range(40):
            files.write(
                tmp_path / name / f"{i}.png", np.full((8, 8), 2 * i + (name == "b"), np.uint8)
            )
    loaded = image_folder.load(tmp_path)
    assert len(loaded.train) + len(loaded.test) == 80
    assert all(4 <= count <= 12 for count in np.bincount(loaded.test.labels))
    for i in range(5):
        files.write(tmp_path / "a" / f"-{i}.png", np.full((8, 8), 200 + i, np.uint8))
        (tmp_path / "b" / f"{i}.png").rename(tmp_path / "b" / f"renamed_{i}.png")
    more = image_folder.load(tmp_path)
    before, after = (set(each.test.images[:, 0, 0, 0]) for each in (loaded, more))
    assert after - set(range(200, 205)) == before
    half = image_folder.load(tmp_path, test_portion=0.5)
    assert before < set(half.test.images[:, 0, 0, 0])
    for portion in (0.0, 1.0, 2, "much"):
        with pytest.raises(data.DatasetError, match=f"test_portion={portion!r} must be a number"):
            image_folder.load(tmp_path, test_portion=portion)


LAYOUTS = {
    "train/b train/a validation/a": "validation",
    "Train/a Train/b Test/a": "Test",
    "training/a training/b testing/b": "testing",
    "train/a train/b valid/a": "valid",
    "train/a train/b val/a test/b": "test",
    "train/a train/b": "set aside",
    "a b": "set aside",
    "a/x/y b/2020 b/2021": "set aside",
    "train a b": "set aside",  # a class called train
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    write_folder(tmp_path / "one", dict.fromkeys(layout.split(), 5))
    loaded = image_folder.load("one", data_dir=tmp_path)
    assert f"test ({LAYOUTS[layout]})" in loaded.notes[0]
    assert loaded.class_names == (
        ("a", "b", "train") if layout.startswith("train a") else ("a", "b")
    )
    used = [folder for folder in layout.split() if "val/" not in folder or "test" not in layout]
    assert len(loaded.train) + len(loaded.test) == 5 * len(used)
    if "test" in layout and "val/" in layout:
        assert "left out as test is scored: 5 .png" in loaded.notes[0]


def test_a_test_part_without_labels_is_left_out(tmp_path):
    write_folder(tmp_path, {"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 3, "test": 4})
    loaded = image_folder.load(tmp_path)
    assert (len(loaded.train), len(loaded.test)) == (10, 5)
    assert "test (val): a 2, b 3; left out without class folders: 4 .png" in loaded.notes[0]
    write_folder(tmp_path / "no_val", {"train/a": 5, "train/b": 5, "test": 4})
    loaded = image_folder.load(tmp_path / "no_val")
    assert len(loaded.train) + len(loaded.test) == 10
    assert "set aside" in loaded.notes[0]


def test_parts_named_by_arguments(tmp_path):
    write_folder(tmp_path, {"learn/a": 5, "learn/b": 5, "holdout/a": 3, "test/a": 2, "other/b": 1})
    loaded = image_folder.load(tmp_path, train="learn", test="holdout")
    assert (len(loaded.train), len(loaded.test)) == (10, 3)
    assert "no test images of: b; left out" in loaded.notes[0]
    assert len(image_folder.load(tmp_path, train="learn").test) == 2
    with pytest.raises(data.DatasetError, match=r"test=hold: .*hold is neither a folder nor"):
        image_folder.load(tmp_path, train="learn", test="hold")
    with pytest.raises(data.DatasetError, match=r"learn/a has no class folders"):
        image_folder.load(tmp_path, train="learn", test="learn/a")


def test_test_folders_below_each_other(tmp_path):
    """macOS and notebooks leave folders behind."""
    write_folder(tmp_path, {"train/a": 5, "train/b": 5, "test/a": 3})
    write_folder(tmp_path, {"__MACOSX/train": 2, ".ipynb_checkpoints": 2, "train/.thumbs": 1})
    loaded = image_folder.load(tmp_path)
    assert loaded.class_names == ("a", "b")
    assert "left out hidden: 5 .png" in loaded.notes[0]


@pytest.mark.parametrize("headings", ["", "file,label\n", "id,species,split\n", "label,image\n"])
def test_tables(tmp_path, headings):
    write_folder(tmp_path, {"images/deep": 6, "images": 2})
    rows = [
        ("images/deep/0.png", "x"),
        ("deep/1.png", "y"),
        ("2", "x"),
        ("3.png", "y"),
        ("4.png", "x"),
    ]
    rows[1] = ("images\\deep\\1.png", "y")
    rows = [
        (file.replace("2", "images/deep/2.png") if file == "2" else file, y) for file, y in rows
    ]
    if "split" in headings:
        rows = [
            (*row, part) for row, part in zip(rows, ["train"] * 3 + ["test", "val"], strict=True)
        ]
    if headings.startswith("label"):
        rows = [row[::-1] for row in rows]
    text = headings + "".join(",".join(row) + "\n" for row in rows)
    (tmp_path / "list.csv").write_text(text, encoding="utf-8-sig")
    loaded = image_folder.load(tmp_path)
    assert loaded.class_names == ("x", "y")
    train, test = (set(part.images[:, 0, 0, 0] // 10) for part in (loaded.train, loaded.test))
    assert "left out beside the classes: 3 .png" in loaded.notes[0]
    if "split" in headings:
        assert (train, test) == ({0, 1, 2}, {3})
    else:
        assert train | test == {0, 1, 2, 3, 4}
        assert not train & test
    given = image_folder.load(tmp_path, labels="list.csv")
    np.testing.assert_array_equal(given.train.images, loaded.train.images)


def test_a_table_for_each_part(tmp_path):
    write_folder(tmp_path, {"train": 4, "test": 3})
    (tmp_path / "train.csv").write_text(
        "id;label\n" + "".join(f"train/{i}.png;{i % 2}\n" for i in range(4))
    )
    (tmp_path / "test.csv").write_text("id\n" + "".join(f"test/{i}.png\n" for i in range(3)))
    loaded = image_folder.load(tmp_path)
    assert (loaded.class_names, len(loaded.train) + len(loaded.test)) == (("0", "1"), 4)
    assert "left out without class folders: 3 .png, 1 .csv" in loaded.notes[0]
    (tmp_path / "scored.csv").write_text("test/0.png;1\ntest/2.png;0\n")
    loaded = image_folder.load(tmp_path, test="scored.csv")
    assert (len(loaded.train), list(loaded.test.labels)) == (4, [1, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; write a file and its label"),
        (
            "file,label\nimages/0.png,a\nimages/9.png,b\n",
            "names 1 files that are not .*'images/9.png'",
        ),
        ("file,label\n", "no column of .* names files"),
        (
            "images/0.png,a,x\nimages/1.png,b,y\n",
            "has the columns 3; call the one of classes label",
        ),
        ("file\nimages/0.png\n", "has no column of labels"),
        ("images/0.png,a\nimages/1.png\n", "row 2: 1 columns, the first row has 2"),
        ("images/0.png,a\nimages/0.png,b\n", "gives 0.png no label, or two"),
        ("file,label,split\nimages/0.png,a,dev\n", "has the part 'dev'; write train, test or val"),
    ],
)
def test_tables_that_cannot_be(tmp_path, text, message):
    write_folder(tmp_path, {"images": 2})
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(data.DatasetError, match=message):
        image_folder.load(tmp_path)


def test_files_that_are_left_out_are_counted(tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 5})
    write_folder(tmp_path, {"a/below": 3}, suffix="webp")
    write_folder(tmp_path, {"b": 2}, suffix="tiff")
    for name in ("a/notes.txt", "b/scan.heic", "b/photo.heic", "readme"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "a" / "._0.png").write_text("no image either")
    files.write(tmp_path / "0.png", np.zeros((10, 9, 3), np.uint8))
    loaded = image_folder.load(tmp_path)
    assert len(loaded.train) + len(loaded.test) == 15
    note = loaded.notes[0]
    assert "left out no image that Pillow reads: 2 .heic, 1 .txt, 1 readme" in note
    assert "left out hidden: 1 .png" in note
    assert "left out beside the classes: 1 .png" in note


def test_many_classes_are_told_in_short(tmp_path):
    write_folder(tmp_path, {f"train/class{i}": 1 + i % 2 for i in range(30)} | {"test/class3": 1})
    note = image_folder.load(tmp_path).notes[0]
    assert "train: 45 images of 30 classes, 1 to 2 each" in note
    assert "no test images of: class0, class1" in note and "and 17 more" in note


@pytest.mark.parametrize("place", [0, 19])
def test_one_colour_image_makes_all_colour(tmp_path, place):
    for i in range(20):
        pixels = np.full((8, 8, 3 if i == place else 1), 100, np.uint8)
        files.write(tmp_path / ("a" if i < 10 else "b") / f"{i}.png", pixels)
    assert image_folder.load(tmp_path).image_shape == (8, 8, 3)
    (tmp_path / ("a" if place < 10 else "b") / f"{place}.png").unlink()
    assert image_folder.load(tmp_path).image_shape == (8, 8, 1)


def test_16_bits_are_scaled_by_what_the_training_part_uses(tmp_path):
    tops = {"train/a": 1000, "train/b": 900, "test/a": 3000, "test/b": 500}
    for folder, top in tops.items():
        files.deep_png(tmp_path / folder / "0.png", np.full((8, 8, 1), top))
    files.write(tmp_path / "train/b/8_bits.png", np.full((8, 8), 7, np.uint8))
    loaded = image_folder.load(tmp_path)
    assert sorted(loaded.train.images[:, 0, 0, 0]) == [7, 900 // 4, 1000 // 4]
    assert list(loaded.test.images[:, 0, 0, 0]) == [255, 500 // 4]
    assert "the 16-bit training images use 10 bits: values are divided by 4" in loaded.notes


def test_transparency_is_told(tmp_path):
    write_folder(tmp_path, {"a": 5, "b": 4})
    files.write(tmp_path / "b" / "x.png", np.zeros((10, 9, 4), np.uint8))
    assert (
        "1 images have transparent pixels: shown on white" in image_folder.load(tmp_path).notes[1]
    )
    loaded = image_folder.load(tmp_path, channels=4)
    assert loaded.image_shape == (10, 9, 4)
    assert "kept as fourth channel" in loaded.notes[1]


def test_shuffled_so_that_both_halves_have_every_class(tmp_path):
    write_folder(tmp_path, {"a": 20, "b": 20, "c": 20})
    for half in data.split_search(image_folder.load(tmp_path), 0.5):
        assert set(half.labels) == {0, 1, 2}


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, "has no class folders; put"),
        ({"train": 2, "test": 2}, r"train has no class folders; .* or write a .csv"),
        ({"train/a": 2, "train/b": 2, "val/c": 2}, "val has the class 'c', which .*train lacks"),
        ({"a": 2, "b": 0}, r"b holds no image; add some or remove it"),
        ({"a": 9}, "has 1 classes; at least 2"),
        (
            {"Train_data/a": 2, "Train_data/b": 2, "Test_data/a": 2},
            r"no folder train, but Test_data, Train",
        ),
        ({"inner/a": 2, "inner/b": 2}, r"holds nothing but inner; give .*inner"),
        ({"test/a": 2, "test/b": 2, "val/a": 1}, "no folder train, but test, val; say which"),
    ],
)
def test_layouts_that_cannot_be(tmp_path, layout, message):
    write_folder(tmp_path / "root", layout)
    (tmp_path / "root").mkdir(exist_ok=True)
    with pytest.raises(data.DatasetError, match=message):
        image_folder.load("root", data_dir=tmp_path)
    with pytest.raises(data.DatasetError, match=r"there is no folder .*absent; give"):
        image_folder.load("absent", data_dir=tmp_path)


def test_sizes_differ(tmp_path):
    write_folder(tmp_path, {"train/a": 1, "test/a": 1, "train/b": 1, "test/b": 1})
    files.write(tmp_path / "test" / "b" / "0.png", np.zeros([12, 9, 3], np.uint8))
    pattern = r"train/./0.png is 10x9 but .*test/b/0.png is 12x9; resize .*size=32\)"
    with pytest.raises(data.DatasetError, match=pattern):
        image_folder.load(tmp_path)
    assert image_folder.load(tmp_path, size=8).image_shape == (8, 8, 3)
    assert image_folder.load(tmp_path, size=(9, 30), fit="pad").image_shape == (9, 30, 3)


def test_all_broken_images_are_told_at_once_or_a_few_left_out(tmp_path):
    for i in range(200):
        files.write(tmp_path / "ab"[i % 2] / f"{i // 2}.png", np.full((8, 8), i, np.uint8))
    for name in ("a/3.png", "b/7.png", "b/8.png"):
        (tmp_path / name).write_bytes(b"")
    pattern = "cannot read 3 of 200 images, .*3.png .*7.png .*8.png .*; repair or remove them"
    with pytest.raises(data.DatasetError, match=pattern):
        image_folder.load(tmp_path)
    with pytest.raises(data.DatasetError, match="on_error=skip leaves out at most 1 %"):
        image_folder.load(tmp_path, on_error="skip")
    files.write(tmp_path / "a" / "3.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(data.DatasetError, match="or leave them out by on_error=skip"):
        image_folder.load(tmp_path)
    loaded = image_folder.load(tmp_path, on_error="skip")
    assert len(loaded.train) + len(loaded.test) == 198
    assert "b/7.png" in loaded.notes[-1] and "b/8.png" in loaded.notes[-1]
    assert "a 100" not in loaded.notes[0]
    with pytest.raises(data.DatasetError, match="unknown on_error='ignore'"):
        image_folder.load(tmp_path, on_error="ignore")


def test_example_of_the_docstring(tmp_path, monkeypatch):
    for name in ("a", "b"):
        for i in range(4):
            files.write(tmp_path / "photos" / name / f"{i}.jpg", files.gradient(40 + i, 50))
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(image_folder)
    assert (results.attempted, results.failed) == (2, 0)
