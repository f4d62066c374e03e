"""Stereo data sets as they lie on disk; what is missing or wrong is one sentence before any work."""

import sys

import numpy as np
import pytest

from rdarts_tf import registry
from rdarts_tf.datasets import motorcycle
from rdarts_tf.errors import UserError
from rdarts_tf.tasks.disparity import pairs
from tests.stereo_files import colours, pair, pfm, png, write


def load(spec, **options):
    module, args, kwargs = registry.load("datasets", spec)
    return module.load(*args, **(kwargs | options))


def numbers(part):
    """By which the pairs of `pair` are known."""
    return [int(part.read(i)[0][0, 0, 0]) for i in range(len(part))]


def fails(spec, message, **options):
    with pytest.raises(UserError, match=message) as caught:
        load(spec, **options)
    assert "\n" not in str(caught.value)


# Motorcycle.


def test_motorcycle_is_the_real_pair():
    pytest.importorskip("skimage")
    whole, half = load("motorcycle(half=False)"), load("motorcycle(crops=7)")
    assert whole.train.sizes == ((160, 741), (148, 741))
    assert half.train.sizes == ((80, 370), (74, 370))
    assert half.valid.sizes == half.test.sizes == ((48, 370),)
    assert (half.train.crops, half.train.max_offset, whole.train.max_offset) == (7, 8, 16)
    parts = [
        part.read(i) for part in (whole.train, whole.valid, whole.test) for i in range(len(part))
    ]
    disparity = np.concatenate([truth for *_, truth in parts])
    assert disparity.dtype == np.float32
    assert np.isnan(disparity).sum() == 27_226
    assert [round(float(v), 2) for v in (np.nanmin(disparity), np.nanmax(disparity))] == [
        7.19,
        59.91,
    ]
    assert (
        len(np.unique(np.concatenate([image for image, *_ in parts]).reshape(500, -1), axis=0))
        == 500
    )
    assert _colour_error(parts, 1) < 10 < 40 < _colour_error(parts, -1)
    assert half.record() == load("motorcycle").record()


def _colour_error(parts, sign):
    """Mean difference of the left pixels and those that the right image has at x - sign * d."""
    errors = []
    for left, right, disparity in parts:
        y, x = np.nonzero(np.isfinite(disparity))
        place = np.rint(x - sign * disparity[y, x]).astype(int)
        inside = (place >= 0) & (place < left.shape[1])
        y, x, place = y[inside], x[inside], place[inside]
        errors.append(np.abs(left[y, x].astype(int) - right[y, place]).mean())
    return np.mean(errors)


def test_motorcycle_is_cut_into_bands_that_do_not_overlap(monkeypatch):
    row = np.broadcast_to(np.arange(500)[:, np.newaxis], (500, 741)).astype(np.float32)
    image = np.repeat((row // 2)[..., np.newaxis], 3, axis=-1).astype(np.uint8)
    monkeypatch.setattr(motorcycle, "_whole", lambda: (image, image, row))
    for factor, found in ((1, load("motorcycle")), (2, load("motorcycle(half=False)"))):
        parts = (found.train, found.valid, found.test)
        used = [part.read(i)[2][:, 0] for part in parts for i in range(len(part))]
        assert len(np.unique(np.concatenate(used))) == sum(map(len, used)) == 250 * factor
        assert found.record()["num_examples"] == {
            "training pairs": 2,
            "validation pairs": 1,
            "test pairs": 1,
        }
    before = load("motorcycle").digest
    image = image.copy()
    image[498:, :2] += 9
    assert load("motorcycle").digest != before


def test_motorcycle_errors(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    fails(
        "motorcycle",
        r"comes with scikit-image, .* install it with pip install 'rdarts-tf\[stereo\]",
    )
    fails("motorcycle(crops=0)", "crops=0 must be a whole number of at least 1")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("motorcycle", ["half"]),
        ("stereo_folder", ["negative", "half"]),
        ("flying_things3d", ["final", "half"]),
        ("sintel_stereo", ["final", "occluded"]),
    ],
)
def test_a_word_is_no_boolean(name, arguments):
    for argument in arguments:
        fails(
            f"{name}({'., ' * (name == 'stereo_folder')}{argument}=no)",
            f"{argument}='no' must be True or",
        )


# Folders.


def folder(root, count, left="left", right="right", disparity="disparity", value=None, first=0):
    for i in range(first, first + count):
        names = (f"{left}/{i:02}.png", f"{right}/{i:02}.png", f"{disparity}/{i:02}.pfm")
        write(root, pair(i, *names, value=value))


def test_a_folder_of_views(tmp_path):
    folder(tmp_path, 12)
    write(tmp_path, {"disparity/.hidden": b"", "left/99.png": b"extra"})
    found = load("stereo_folder(.)", data_dir=tmp_path)
    assert numbers(found.train) == [*range(10)]
    assert numbers(found.test) == [10, 11]
    assert found.valid is None
    left, right, disparity = found.train.read(3)
    np.testing.assert_array_equal(left, colours(3))
    np.testing.assert_array_equal(right, colours(103))
    np.testing.assert_array_equal(disparity, np.full([6, 8], 0.375, np.float32))
    assert found.train.largest == (6, 8)
    record = found.record()
    assert record["num_examples"] == {"training pairs": 10, "test pairs": 2}
    assert record == load("stereo_folder(.)", data_dir=str(tmp_path)).record()
    folder(tmp_path, 1, value=0.5)
    assert load("stereo_folder(.)", data_dir=tmp_path).digest != record["digest"]
    half = load(f"stereo_folder({tmp_path}, half=True)")
    assert half.train.read(4)[2].shape == (3, 4)
    assert half.train.read(4)[2][0, 0] == 0.25


def test_a_folder_of_parts_and_other_names(tmp_path):
    names = {"left": "image_2", "right": "image_3", "disparity": "disp_occ_0"}
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        folder(tmp_path / part, count, **names)
    found = load(
        "stereo_folder(., left=image_2, right=image_3, disparity=disp_occ_0)", data_dir=tmp_path
    )
    assert [len(part) for part in (found.train, found.valid, found.test)] == [3, 2, 1]


def test_formats_and_masks_of_a_folder(tmp_path):
    stored = np.full([6, 8], 640, np.uint16)
    stored[0, :3] = 0
    encoded = np.full([6, 8, 3], [1, 64, 0], np.uint8)
    cases = [("0.png", png(stored), {}, 2.5), ("0.png", png(encoded), {"encoding": "sintel"}, 5.0)]
    cases += [("0.pfm", pfm(np.full([6, 8], -3.5)), {"negative": True}, 3.5)]
    mask = np.full([6, 8], 255, np.uint8)
    mask[5] = 0
    for i, (name, content, options, value) in enumerate(cases):
        root = tmp_path / str(i)
        for part in ("train", "test"):
            write(root / part, pair(0, "left/0.png", "right/0.png", "disparity/" + name))
            write(root / part, {"disparity/" + name: content, "mask/0.png": png(mask)})
        _, _, disparity = load("stereo_folder(.)", data_dir=root, **options).train.read(0)
        assert disparity[2, 2] == value
        assert np.isnan(disparity[5]).all()
        assert np.isnan(disparity[0, 0]) == (i == 0)


def test_a_folder_of_scenes(tmp_path):
    for i, truth in enumerate(["disp0.pfm", "disp0GT.pfm", "disp0.pfm"]):
        scene = f"scene{i}"
        write(tmp_path, pair(i, f"{scene}/im0.png", f"{scene}/im1.png", f"{scene}/{truth}"))
    mask = np.zeros([6, 8], np.uint8)
    mask[2, 3] = 255
    write(tmp_path, {"scene1/mask0nocc.png": png(mask), "scene1/disp0.pfm": b"of another kind"})
    found = load(f"stereo_folder({tmp_path})")
    assert (numbers(found.train), numbers(found.test)) == ([0, 1], [2])
    disparity = found.train.read(1)[2]
    assert np.argwhere(np.isfinite(disparity)).tolist() == [[2, 3]]


def test_folder_errors(tmp_path):
    spec = "stereo_folder(.)"

    def broken(message, changes=(), missing=None, **options):
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        folder(root, 5)
        write(root, dict(changes))
        if missing:
            (root / missing).unlink()
        fails(spec, message, data_dir=root, **options)

    broken(
        r"there is no .*right/02.png, which belongs to .*disparity/02.pfm; add it",
        missing="right/02.png",
    )
    other = png(colours(0, 6, 9))
    for name in ("left/04.png", "right/04.png"):
        broken(r"04.png has 6x[89] pixels but .*left/04.png 6x[98]; all files of a", {name: other})
    broken(
        r"03.pfm has 8x6 pixels but .*left/03.png 6x8", {"disparity/03.pfm": pfm(np.ones([8, 6]))}
    )
    broken(
        r"mask/03.png has 1x1 pixels but",
        {f"mask/0{i}.png": png(np.ones([6, 8], np.uint8)) for i in range(5)}
        | {"mask/03.png": png(np.ones([1, 1], np.uint8))},
    )
    broken(r"no .*mask/00.png, which belongs to", {"mask/01.png": png(np.ones([6, 8], np.uint8))})
    broken(r"disparity/notes.txt has a suffix of no format", {"disparity/notes.txt": b"?"})
    broken(r"left/04.png is a PNG image without an end", {"left/04.png": png(colours(4))[:-20]})
    broken(
        r"disparity/02.pfm has 188 bytes of pixels", {"disparity/02.pfm": pfm(np.ones([6, 8]))[:-4]}
    )
    broken(
        r"00.pfm has disparities down to -2.0 pixels; they must be positive",
        {"disparity/00.pfm": pfm(np.full([6, 8], -2.0))},
    )
    broken(
        r"00.pfm has mostly disparities above 900.0 pixels in images 8 pixels wide",
        {"disparity/00.pfm": pfm(np.full([6, 8], 900.0))},
    )
    broken(r"unknown encoding 'kitty'; there are: pfm, npy, kitti, sintel", encoding="kitty")
    broken(r"has a folder train but none called test; add one", {"train/left/0.png": b""})
    fails(spec, "there is no folder .*absent; give the one", data_dir=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    fails(
        spec,
        "neither the folders left, right, disparity nor scenes with im0",
        data_dir=tmp_path / "empty",
    )
    folder(tmp_path / "one", 1)
    fails(spec, "has no training pairs; give at least one", data_dir=tmp_path / "one")
    folder(tmp_path / "none", 2)
    for file in (tmp_path / "none" / "disparity").iterdir():
        file.unlink()
    fails(spec, "has no t.* pairs; give at least one", data_dir=tmp_path / "none")


def test_a_pair_that_breaks_after_it_was_listed_is_told(tmp_path):
    folder(tmp_path, 3)
    found = load("stereo_folder(.)", data_dir=tmp_path)
    write(tmp_path, {"disparity/01.pfm": pfm(np.full([6, 8], -1.0))})
    with pytest.raises(UserError, match="01.pfm has disparities down to -1.0"):
        found.train.read(1)
    write(tmp_path, {"right/01.png": png(colours(1, 7, 8))})
    with pytest.raises(UserError, match=r"right/01.png has 7x8 pixels but"):
        found.train.read(1)
    write(tmp_path, {"disparity/00.pfm": pfm(np.full([6, 8], np.nan))})
    assert np.isnan(found.train.read(0)[2]).all()


# FlyingThings3D and Sintel.


def things(root, scenes, images="frames_cleanpass", suffix="png"):
    """The full release, numbered by scene and frame."""
    number = 0
    for scene in scenes:
        for frame in ("0006", "0007"):
            views = [f"{images}/{scene}/{view}/{frame}.{suffix}" for view in ("left", "right")]
            write(root, pair(number, *views, f"disparity/{scene}/left/{frame}.pfm"))
            number += 1
    write(root, {"all_unused_files.txt": b""})


SCENES = ("TRAIN/A/0000", "TRAIN/B/0003", "TRAIN/C/0001", "TEST/A/0000")


def test_flying_things_without_the_unusable_files(tmp_path):
    root = tmp_path / "flying_things3d"
    things(root, SCENES)
    found = load("flying_things3d", data_dir=tmp_path)
    assert sorted(numbers(found.train)) == [*range(6)]
    assert numbers(found.test) == [6, 7]
    assert numbers(found.train) != [*range(6)]
    scenes = [number // 2 for number in numbers(found.train)]
    assert scenes[0::2] == scenes[1::2]  # stay together
    assert numbers(found.train) == numbers(load("flying_things3d", data_dir=tmp_path).train)
    unused = (
        "TRAIN/A/0000/left/0007.png\nTRAIN/B/0003/right/0006.png\nTRAIN/A/0000/right/0007.png\n"
    )
    write(root, {"all_unused_files.txt": unused.encode()})
    assert sorted(numbers(load("flying_things3d", data_dir=tmp_path).train)) == [0, 3, 4, 5]
    half = load("flying_things3d(half=True)", data_dir=tmp_path)
    assert half.test.read(1)[2][0, 0] == np.float32(7 / 16)
    assert half.valid is None


def test_flying_things_final_pass(tmp_path):
    things(tmp_path, SCENES, images="frames_finalpass")
    assert len(load(f"flying_things3d({tmp_path}, final=True)").test) == 2
    fails(
        f"flying_things3d({tmp_path})",
        r"there is no .*frames_cleanpass/TRAIN/.*/left/000.\.png, whi",
    )


def test_flying_things_subset_has_negative_disparities(tmp_path):
    for part, count in (("train", 3), ("val", 2)):
        for i in range(count):
            views = [f"{part}/image_clean/{view}/{i:07}.png" for view in ("left", "right")]
            write(tmp_path, pair(i, *views, f"{part}/disparity/left/{i:07}.pfm", value=-2.5 - i))
    found = load(f"flying_things3d({tmp_path})")
    assert (numbers(found.train), numbers(found.test)) == ([0, 1, 2], [0, 1])
    assert found.train.read(2)[2][0, 0] == 4.5
    assert found.record()["num_examples"] == {"training pairs": 3, "test pairs": 2}


def test_flying_things_errors(tmp_path):
    fails(
        "flying_things3d",
        r"no FlyingThings3D in .*flying_things3d; put the folders frames_cleanpass",
        data_dir=tmp_path,
    )
    root = tmp_path / "flying_things3d"
    things(root, SCENES)
    write(root, {"all_unused_files.txt": b"TRAIN/A/0000/left/0007.png\nsomething/else.png\n"})
    fails(
        "flying_things3d",
        r"unused_files.txt has the entry 'something/else.png', but they look like",
        data_dir=tmp_path,
    )
    (root / "all_unused_files.txt").unlink()
    fails(
        "flying_things3d",
        r"cannot read .*unused_files.txt \(No such file .*put the list of unusable",
        data_dir=tmp_path,
    )


def sintel(root, count):
    for i in range(count):
        frame = f"scene{i % 2}/frame_{i:04}.png"
        views = [f"training/clean_{view}/{frame}" for view in ("left", "right")]
        write(root, pair(i, *views, "unused.pfm"))
        encoded = np.zeros([6, 8, 3], np.uint8)
        encoded[...] = [0, 96, i]
        write(root, {f"training/disparities/{frame}": png(encoded)})
        occluded, outside = (np.zeros([6, 8], np.uint8) for _ in range(2))
        occluded[1, 2], outside[3, 4] = 255, 255
        write(root, {f"training/occlusions/{frame}": png(occluded)})
        write(root, {f"training/outofframe/{frame}": png(outside)})


def test_sintel_is_for_testing_only(tmp_path):
    sintel(tmp_path / "sintel_stereo", 3)
    found = load("sintel_stereo", data_dir=tmp_path)
    assert (found.train, found.valid) == (None, None)
    assert numbers(found.test) == [0, 2, 1]
    np.testing.assert_array_equal(
        found.test.read(1)[2], np.full([6, 8], 1.5 + 2 / 16384, np.float32)
    )
    with pytest.raises(
        pairs.PairsError, match="sintel_stereo is for testing only; train on another"
    ):
        pairs.training_part(found)
    visible = load("sintel_stereo(occluded=False)", data_dir=tmp_path).test.read(0)[2]
    assert np.argwhere(np.isnan(visible)).tolist() == [[1, 2], [3, 4]]
    fails(
        "sintel_stereo(final=True)",
        r"there is no .*final_left/scene0/frame_0000.png",
        data_dir=tmp_path,
    )
    fails(
        "sintel_stereo(elsewhere)",
        r"there is no Sintel in .*elsewhere; put the folder training of",
        data_dir=tmp_path,
    )


def test_a_digest_of_much_data_reads_no_content(tmp_path, monkeypatch):
    folder(tmp_path, 3)
    monkeypatch.setattr("rdarts_tf.tasks.disparity.files._SMALL", 100)
    before = load("stereo_folder(.)", data_dir=tmp_path).digest
    folder(tmp_path, 1, value=0.5)
    assert load("stereo_folder(.)", data_dir=tmp_path).digest == before
    write(tmp_path, {"right/00.png": png(np.zeros([6, 8, 3], np.uint8))})
    assert load("stereo_folder(.)", data_dir=tmp_path).digest != before
